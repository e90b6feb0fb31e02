//! How people prove who they are.

mod access;
mod password;

pub use access::{Circumstances, Refusal, judge};
pub use password::{MAX_LENGTH, PasswordVerdict, Passwords};
