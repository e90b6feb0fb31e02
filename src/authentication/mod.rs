//! How people prove who they are.

mod password;

pub use password::{MAX_LENGTH, PasswordVerdict, Passwords};
