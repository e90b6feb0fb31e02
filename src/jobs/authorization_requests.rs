//! Requests that nobody can resume any more, removed a batch at a time, so that no transaction is a long one.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, authorization_requests},
};

pub const JOB: Job = Job { name: "authorization requests", every: Duration::from_mins(5), at_start: false, run };

const BATCH: i64 = 1000;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        loop {
            let removed = app
                .db
                .single(app.clock.now(), &Trace::default(), async |tx| authorization_requests::sweep(tx, BATCH).await)
                .await?;
            if i64::try_from(removed).is_ok_and(|removed| removed < BATCH) {
                return Ok(());
            }
        }
    })
}
