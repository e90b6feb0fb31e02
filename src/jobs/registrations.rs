//! Clients that registered themselves and came to nothing, removed a batch at a time.

use super::{Job, Turn, in_batches};
use crate::{
    app::App,
    clients,
    db::{
        Trace,
        registrations::{self, Stored},
    },
};

pub const JOB: Job = Job { name: "registrations", every: clients::SWEPT_EVERY, at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let kept = app.config.registration.unused_kept;
        in_batches(app, JOB.name, |tx, _| Box::pin(async { registrations::mark_used(tx).await.map(|_| 0) })).await?;
        in_batches(app, JOB.name, move |tx, limit| {
            let before = tx.now - kept;
            Box::pin(clients::expire_unused(tx, before, limit))
        })
        .await?;
        let stored = app.db.single(app.clock.now(), &Trace::default(), registrations::load_stored).await?;
        warn_when_nearly_full(app, stored);
        Ok(())
    })
}

/// Before strangers are refused, and not at each refusal: those are not the operator's to count.
fn warn_when_nearly_full(app: &App, stored: Stored) {
    let settings = &app.config.registration;
    let (clients, octets) = (i64::from(settings.limit), i64::from(settings.limit_kib) << 10);
    let is_nearly = |stored: i64, limit: i64| stored >= limit - limit / 10;
    if is_nearly(stored.clients, clients) || is_nearly(stored.octets, octets) {
        tracing::warn!(
            stored.clients,
            stored.octets,
            "clients that registered themselves take nine tenths of registration.limit or registration.limit_kib"
        );
    }
}
