//! What becomes of sessions whose proof is lost: a credential was withdrawn, suspended or replaced.
//!
//! The schema withdraws the proof itself (`withdraw_proofs`), so that nothing privileged outlives a credential whoever ends
//! it. Here the sessions are ended on paper, with their events and notices. The person stays signed in: their user session
//! is worth no more than a password from then on.

use uuid::Uuid;

use super::end::tell;
use crate::{
    audit::Actor,
    db::{Tx, session_ends},
    failure::Broken,
};

/// Ends the privileged sessions of a person that rest on a credential which has just died, in the same transaction. Returns
/// how many.
pub async fn end_unproved(tx: &mut Tx, user_id: Uuid, actor: Actor) -> Result<usize, Broken> {
    let ended = session_ends::end_unproved_of_user(tx, user_id, "credential_removed").await?;
    Ok(tell(tx, ended, actor, None))
}
