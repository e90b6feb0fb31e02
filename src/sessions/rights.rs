//! What people may: the groups that privileged scopes ask for, and administering this server.
//!
//! Invariant: no privileged token outlives a right. Whoever loses one has their privileged sessions ended in the same
//! transaction; what else they do goes on. Their row is held meanwhile, as it is by whoever begins privileged work: that
//! has begun before, and is ended, or begins after, and is judged by what they may by then.

use uuid::Uuid;

use super::end::end_privileged;
use crate::{
    audit::Actor,
    db::{Tx, privileged_sessions, users},
    failure::Broken,
};

const LOST: &str = "rights_lost";

/// Puts a person into these groups and no others. `None`: they were in these already; else how many privileged sessions
/// were ended.
pub async fn set_groups(tx: &mut Tx, user_id: Uuid, groups: &[String], actor: Actor) -> Result<Option<usize>, Broken> {
    privileged_sessions::lock_person(tx, user_id).await?;
    let held = users::find_groups(tx, user_id).await?;
    if !users::set_groups(tx, user_id, groups).await? {
        return Ok(None);
    }
    if held.iter().all(|group| groups.contains(group)) {
        return Ok(Some(0));
    }
    end_privileged(tx, user_id, LOST, actor).await.map(Some)
}

/// Makes a person an administrator, or no longer one. `None`: that they were already; else how many privileged sessions
/// were ended.
pub async fn set_admin(tx: &mut Tx, user_id: Uuid, admin: bool, actor: Actor) -> Result<Option<usize>, Broken> {
    if !users::set_admin(tx, user_id, admin).await? {
        return Ok(None);
    }
    if admin {
        return Ok(Some(0));
    }
    end_privileged(tx, user_id, LOST, actor).await.map(Some)
}
