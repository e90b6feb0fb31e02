//! Clients that registered themselves and came to nothing, removed a batch at a time.

use super::{Job, Turn};
use crate::{
    app::App,
    clients,
    db::{
        Trace,
        registrations::{self, Stored},
    },
    failure::Broken,
};

pub const JOB: Job = Job { name: "registrations", every: clients::SWEPT_EVERY, at_start: false, run };

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
                break;
            }
        }
        let stored = app.db.single(now, &trace, registrations::load_stored).await?;
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
