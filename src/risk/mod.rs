//! Fraud and abuse: what makes guessing slow.

mod limits;
mod throttle;
pub mod watch;

pub use limits::Attempt;
pub use throttle::{Admitted, Gate, Named, Sources};
