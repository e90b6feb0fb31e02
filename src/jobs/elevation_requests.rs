//! Requests for a second person's approval that came to nothing, told; and those that nobody looks at any more, removed.

use std::{sync::Arc, time::Duration};

use super::{Job, Turn, in_batches};
use crate::{
    app::App,
    db::elevation_requests,
    elevations::{self, Approvers},
};

pub const JOB: Job = Job { name: "elevation requests", every: Duration::from_secs(30), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let approvers = Arc::new(Approvers::of(&app.config.scopes));
        in_batches(app, JOB.name, move |tx, limit| {
            let approvers = approvers.clone();
            Box::pin(async move { elevations::void_fallen(tx, &approvers, None, limit).await })
        })
        .await?;
        in_batches(app, JOB.name, |tx, limit| Box::pin(elevation_requests::sweep(tx, limit))).await
    })
}
