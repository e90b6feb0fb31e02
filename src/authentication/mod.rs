//! How people prove who they are.

mod access;
pub mod ceremony;
mod demand;
pub mod freshness;
pub mod passkey;
mod password;

pub use access::{Circumstances, Refusal, judge};
pub use demand::Demand;
pub use passkey::Passkeys;
pub use password::{MAX_LENGTH, PasswordVerdict, Passwords};
