//! Which privileged scopes are declared somewhere and not here: what another replica was started with, during a rolling
//! update, counts here as well.

use std::time::Duration;

use super::{Job, Turn};
use crate::{app::App, clients, db::Trace};

pub const JOB: Job = Job { name: "scopes", every: Duration::from_secs(5), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let scopes = &app.config.scopes;
        app.db
            .single(app.clock.now(), &Trace::default(), async |tx| clients::withdraw_undeclared(tx, scopes).await)
            .await
    })
}
