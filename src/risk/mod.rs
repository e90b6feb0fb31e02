//! Fraud and abuse: what makes guessing slow.

mod throttle;

pub use throttle::{Attempt, Gate, Sources};
