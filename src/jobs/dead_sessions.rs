//! Sessions that died by themselves, told: dead they are without it.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, notices},
    sessions,
};

pub const JOB: Job = Job { name: "dead sessions", every: Duration::from_secs(5), at_start: true, run };

const BATCH: i64 = 500;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        while app.db.work(app.clock.now(), &Trace::default(), async |tx| sessions::end_dead(tx, BATCH).await).await? {}
        app.db.single(app.clock.now(), &Trace::default(), notices::queue_late).await
    })
}
