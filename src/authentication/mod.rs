//! How people prove who they are.

mod access;
pub mod ceremony;
pub mod freshness;
pub mod passkey;
mod password;

pub use access::{Circumstances, Refusal, judge};
pub use passkey::Passkeys;
pub use password::{MAX_LENGTH, PasswordVerdict, Passwords};
