//! What a handler's signature asks for: the visit, the form, the browser's session.

mod agent;
mod browser;
mod form;
mod source;
mod visit;

pub use browser::{Browser, expired_cookie, session_cookie};
pub use form::Form;
pub use visit::Visit;
