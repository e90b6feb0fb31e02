//! Clients that registered themselves and came to nothing, removed a batch at a time.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    clients,
    db::{Trace, registrations},
    failure::Broken,
};

pub const JOB: Job = Job { name: "registrations", every: Duration::from_mins(10), at_start: false, run };

const BATCH: i64 = 500;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let (now, trace) = (app.clock.now(), Trace::default());
        app.db.single(now, &trace, registrations::mark_used).await?;
        let before = now - app.config.registration.unused_kept;
        loop {
            let expire = async |tx: &mut _| clients::expire_unused(tx, before, BATCH).await;
            let removed = app.db.work::<_, Broken>(now, &trace, expire).await?;
            if i64::try_from(removed).is_ok_and(|removed| removed < BATCH) {
                return Ok(());
            }
        }
    })
}
