//! Mail, sent: within a second after it was queued.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{
        Trace,
        mails::{self as rows, DueMail},
    },
    failure::Broken,
    notices::mail,
};

pub const JOB: Job = Job { name: "mails", every: Duration::from_secs(1), at_start: true, run };

/// At once.
const BATCH: i64 = 8;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        loop {
            let now = app.clock.now();
            let due = app.db.single(now, &Trace::default(), async |tx| rows::claim(tx, BATCH).await).await?;
            if due.is_empty() {
                return Ok(());
            }
            for sent in join_all(due.iter().map(|mail| send(app, mail))).await {
                sent?;
            }
        }
    })
}

async fn send(app: &App, due: &DueMail) -> Result<(), Broken> {
    let attempt = app.mailer.send(due, app.clock.now()).await;
    app.db.single(app.clock.now(), &Trace::default(), async |tx| mail::settle(tx, due, &attempt).await).await
}
