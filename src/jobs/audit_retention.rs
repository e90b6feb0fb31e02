//! Audit events that were kept for long enough, removed class by class; and their partitions, once no class is in one.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::audit_removal, failure::Broken};

pub const JOB: Job = Job { name: "audit retention", every: Duration::from_hours(1), at_start: false, run };

/// Events are looked at so many times as fast as other things are removed: most of them stay.
const FACTOR: i32 = 10;

/// What the functions of the database refuse to remove is younger; an hour more, for the server's clock may be ahead.
const LEAST: TimeDelta = TimeDelta::hours(7 * 24 + 1);

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let kept = app.config.retention;
        let [visitor, user, privileged] = [kept.visitor, kept.user, kept.privileged].map(|keep| keep.max(LEAST));
        // What fails for one class is no reason to keep events of another.
        let mut turn = Ok(());
        for (class, keep) in [("visitor", visitor), ("user", user), ("privileged", privileged)] {
            turn = turn.and(remove(app, class, keep).await);
        }
        turn.and(drop_partitions(app, visitor.max(user).max(privileged)).await)
    })
}

async fn remove(app: &App, class: &'static str, keep: TimeDelta) -> Result<(), Broken> {
    in_batches(app, JOB.name, move |tx, limit| {
        let (before, limit) = (tx.now - keep, i32::try_from(limit).unwrap_or(i32::MAX / FACTOR));
        Box::pin(async move {
            let looked = audit_removal::remove(tx, class, before, limit * FACTOR).await?;
            Ok(looked.div_ceil(FACTOR.unsigned_abs() as usize))
        })
    })
    .await
}

async fn drop_partitions(app: &App, keep: TimeDelta) -> Result<(), Broken> {
    in_batches(app, JOB.name, move |tx, limit| {
        let before = tx.now - keep;
        Box::pin(async move {
            let dropped = audit_removal::drop_partition(tx, before).await?;
            if let Some(partition) = &dropped {
                tracing::info!(partition, "dropped a partition of old audit events");
            }
            // There may be another.
            Ok(dropped.map_or(0, |_| usize::try_from(limit).unwrap_or(usize::MAX)))
        })
    })
    .await
}
