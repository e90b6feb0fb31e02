//! Requests for password reset links, answered by mail. At its own pace: if a request woke it, the time of the next
//! request from the same place would tell who has an account.

use std::time::Duration;

use super::{Job, Turn};
use crate::{app::App, authentication::password_reset, db::Trace, tokens::ResetLinks};

pub const JOB: Job = Job { name: "reset requests", every: Duration::from_secs(1), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let next = async || {
            let take = async |tx: &mut _| password_reset::answer_next(tx, &app.sources, ResetLinks::LIFETIME).await;
            app.db.work(app.clock.now(), &Trace::default(), take).await
        };
        while next().await? {}
        Ok(())
    })
}
