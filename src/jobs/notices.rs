//! The outbox, delivered: at once when this process has queued something, and within a second what another one has.

mod parties;

use std::{pin::Pin, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{MissedTickBehavior, interval};

use self::parties::{AT_ONCE, Call, Parties};
use super::{Job, Turn};
use crate::{
    app::App,
    db::{
        Trace, ids,
        notices::{self as rows, DueNotice, Room},
    },
    failure::Broken,
    notices,
};

/// A turn ends only when the database fails it.
pub const JOB: Job = Job { name: "notices", every: Duration::from_secs(1), at_start: true, run };

/// How often to look for what other processes have queued, and for what is due again.
const LOOK: Duration = Duration::from_secs(1);

fn run(app: &App) -> Turn<'_> {
    Box::pin(deliver_all(app))
}

/// Something that was under way and is done.
enum Step {
    Claimed(Result<Vec<DueNotice>, Broken>),
    /// What came of a notice was noted, or could not be.
    Settled(Call, Result<(), Broken>),
}

async fn deliver_all(app: &App) -> Result<(), Broken> {
    // The claim is one of them: whatever waits for a connection, the others go on and give theirs back.
    let mut under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Step> + Send + '_>>> = FuturesUnordered::new();
    let mut parties = Parties::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut look, mut claiming) = (true, false);
    loop {
        if look && !claiming && under_way.len() < AT_ONCE {
            (look, claiming) = (false, true);
            under_way.push(Box::pin(claim(app, parties.room(under_way.len()))));
        }
        let step = tokio::select! {
            Some(step) = under_way.next(), if !under_way.is_empty() => step,
            () = app.db.outbox().notified() => {
                look = true;
                continue;
            }
            _ = looks.tick() => {
                look = true;
                continue;
            }
        };
        match step {
            Step::Claimed(claimed) => {
                claiming = false;
                let due = claimed?;
                // There may be more of it.
                look |= !due.is_empty();
                for notice in due {
                    let call = parties.begin(&notice);
                    under_way.push(Box::pin(deliver(app, notice, call)));
                }
            }
            Step::Settled(call, outcome) => {
                if let Err(error) = outcome {
                    // It is due again when the lease is over.
                    tracing::warn!(%error, client = call.client_id, "what came of a notice could not be noted");
                }
                look |= parties.end(&call);
            }
        }
    }
}

async fn claim(app: &App, room: Room) -> Step {
    let now = app.clock.now();
    Step::Claimed(app.db.single(now, &Trace::default(), async |tx| rows::claim(tx, &room).await).await)
}

async fn deliver(app: &App, notice: DueNotice, call: Call) -> Step {
    let now = app.clock.now();
    let attempt = notices::attempt(&app.mint, &app.outbound, &notice, ids::new_id(now), now).await;
    let settled = app
        .db
        .single(app.clock.now(), &Trace::default(), async |tx| notices::settle(tx, &notice, &attempt).await)
        .await;
    Step::Settled(call, settled)
}
