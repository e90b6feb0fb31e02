//! Requests for a second person's approval that came to nothing, told; and those that nobody looks at any more, removed.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{
    app::App,
    db::{Trace, elevation_requests},
    elevations::{self, Approvers},
};

pub const JOB: Job = Job { name: "elevation requests", every: Duration::from_secs(30), at_start: false, run };

const BATCH: i64 = 200;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let approvers = Approvers::of(&app.config.scopes);
        let void = async || {
            app.db
                .work(app.clock.now(), &Trace::default(), async |tx| {
                    elevations::void_fallen(tx, &approvers, None, BATCH).await
                })
                .await
        };
        while i64::try_from(void().await?).is_ok_and(|voided| voided == BATCH) {}
        in_batches(app, async |tx, limit| elevation_requests::sweep(tx, limit).await).await
    })
}
