//! Pages for people: templates, the values they show, and the HTTP answer they travel in.
//!
//! Nothing here looks anything up: a page is given all it shows. Invariants: every value is escaped for HTML, no page
//! holds an inline script or style, and every page carries the strict headers of [`Page`].

pub mod answer;
pub mod json;
mod moment;
mod page;
mod policy;
mod qr;
mod templates;
pub mod views;

#[allow(clippy::wildcard_imports, reason = "there is an example of every view")]
mod samples;
#[cfg(test)]
mod tests;

pub use moment::Moment;
pub use page::{Page, last_resort};
pub use policy::source;
pub use qr::Qr;
pub use templates::{PageName, Site, Templates, strangers};
