//! The authorization request, after its parameters have been read: is it acceptable, what does it still need, and how is
//! it answered.
//!
//! [`Reader`] makes one list of parameters of a request, however it arrived; [`understand`] runs the ordered table [`checks::CHECKS`]; [`decide`] is the single place that says sign in, choose
//! account, consent, issue or refuse; [`issue`] makes the code. Not for pages: they show what was decided, note what
//! the person did with the stored request, and return here.

mod arrival;
mod checks;
mod decide;
mod issue;
mod object_cache;
mod parameters;
mod request;
mod respond;
mod resume;

pub use arrival::{Arrival, Endpoint, Reader, refuse};
pub use checks::understand;
pub use decide::{Decision, HeldProof, ProofSource, Standing, decide};
pub use issue::{Issue, Privileged, issue};
pub use object_cache::ObjectCache;
pub use parameters::kept;
pub use request::{Asked, AuthorizationRequest, Carrier, Misunderstood, RESPONSE_MODES, ResponseMode};
pub use respond::Response;
pub use resume::{Owner, PATIENCE, csrf, csrf_fits, owner};
