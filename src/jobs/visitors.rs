//! Visitor sessions that came to nothing, removed a batch at a time: whoever asks without a cookie begins one.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, sessions},
};

pub const JOB: Job = Job { name: "visitors", every: Duration::from_mins(10), at_start: false, run };

const BATCH: i64 = 1000;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        loop {
            let removed = app
                .db
                .single(app.clock.now(), &Trace::default(), async |tx| sessions::sweep_visitors(tx, BATCH).await)
                .await?;
            if i64::try_from(removed).is_ok_and(|removed| removed < BATCH) {
                return Ok(());
            }
        }
    })
}
