//! Fraud and abuse: what makes guessing slow.

mod limits;
mod throttle;
pub mod watch;

pub use limits::{Attempt, WIDENING};
pub use throttle::{Admitted, Gate, Named, Sources};
