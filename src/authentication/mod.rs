//! How people prove who they are.

mod password;

pub use password::{PasswordVerdict, Passwords};
