//! What a handler's signature asks for: the visit, the form, the browser's session.

mod agent;
mod browser;
pub mod cookies;
mod form;
mod json_body;
mod source;
mod visit;

pub use browser::{
    Browser, Lock, Outdated, expired_cookie, give_cookie, give_cookies, give_device_cookie, session_cookie,
};
pub use form::{BadBody, Body, Form};
pub use json_body::{JsonBody, TypedJson};
pub use source::{is_trusted, neighbourhoods, network};
pub use visit::Visit;
