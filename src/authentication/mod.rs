//! How people prove who they are.

mod access;
pub mod ceremony;
mod demand;
pub mod freshness;
pub mod guessing;
pub mod passkey;
mod password;
pub mod password_reset;
pub mod password_rules;
pub mod recovery;
pub mod second_factor;
pub mod stateless;
pub mod totp;
mod turns;

pub use access::{Circumstances, Refusal, judge, judge_person};
pub use demand::Demand;
pub use passkey::Passkeys;
pub use password::{MAX_LENGTH, PasswordVerdict, Passwords};
pub use stateless::StatelessCeremonies;
pub use turns::{Caller, Turn};
