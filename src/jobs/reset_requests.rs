//! Requests for password reset links, answered by mail. At its own pace: if a request woke it, the time of the next
//! request from the same place would tell who has an account.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, authentication::password_reset, tokens::ResetLinks};

pub const JOB: Job = Job { name: "reset requests", every: Duration::from_secs(1), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, limit| {
        let sources = app.sources.clone();
        Box::pin(async move {
            // A transaction each, for its events say who asked.
            let answered = password_reset::answer_next(tx, &sources, ResetLinks::LIFETIME).await?;
            // There may be another.
            Ok(if answered { usize::try_from(limit).unwrap_or(usize::MAX) } else { 0 })
        })
    }))
}
