//! What the gauges show, counted: by one replica for all, and no more often than it is worth.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Job, Turn, in_batches};
use crate::{
    app::App,
    db::{
        counts,
        reports::{self, IN_THE_BACKGROUND},
    },
};

pub const JOB: Job = Job { name: "counts", every: Duration::from_mins(1), at_start: true, run };

/// How old a figure gets.
const FRESH: TimeDelta = TimeDelta::minutes(5);

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        if app.config.metrics.listen.is_none() {
            return Ok(());
        }
        let _room = reports::room().await?;
        in_batches(app, JOB.name, |tx, _| {
            Box::pin(async {
                let latest = counts::load(tx).await?.into_iter().map(|it| it.counted_at).max();
                if latest.is_none_or(|latest| latest <= tx.now - FRESH) {
                    reports::begin(tx, Some(IN_THE_BACKGROUND)).await?;
                    counts::count(tx).await?;
                }
                Ok(0)
            })
        })
        .await
    })
}
