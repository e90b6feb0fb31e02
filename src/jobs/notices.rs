//! The outbox, delivered: at once when this process has queued something, and within a second what another one has.

use std::{collections::HashMap, pin::Pin, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{MissedTickBehavior, interval};

use super::{Job, Turn};
use crate::{
    app::App,
    db::{
        Trace, ids,
        notices::{self as rows, DueNotice},
    },
    failure::Broken,
    notices,
};

/// A turn ends only when the database fails it.
pub const JOB: Job = Job { name: "notices", every: Duration::from_secs(1), at_start: true, run };

/// Calls at once.
const AT_ONCE: usize = 64;
/// Claimed at once for one party; it is not asked for more while so many are under way. One that never answers takes
/// no more than its share.
const EACH: usize = 8;
/// How often to look for what other processes have queued, and for what is due again.
const LOOK: Duration = Duration::from_secs(1);

fn run(app: &App) -> Turn<'_> {
    Box::pin(deliver_all(app))
}

/// Something that was under way and is done.
enum Step {
    Claimed(Result<Vec<DueNotice>, Broken>),
    /// What came of a notice was noted, or could not be.
    Settled(String, Result<(), Broken>),
}

async fn deliver_all(app: &App) -> Result<(), Broken> {
    // The claim is one of them: whatever waits for a connection, the others go on and give theirs back.
    let mut under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Step> + Send + '_>>> = FuturesUnordered::new();
    let mut of_party: HashMap<String, usize> = HashMap::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut look, mut claiming) = (true, false);
    loop {
        if look && !claiming && under_way.len() < AT_ONCE {
            (look, claiming) = (false, true);
            let busy = of_party.iter().filter(|(_, count)| **count >= EACH).map(|(id, _)| id.clone()).collect();
            under_way.push(Box::pin(claim(app, AT_ONCE - under_way.len(), busy)));
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
                    *of_party.entry(notice.client.client_id.clone()).or_default() += 1;
                    under_way.push(Box::pin(deliver(app, notice)));
                }
            }
            Step::Settled(client_id, outcome) => {
                if let Err(error) = outcome {
                    // It is due again when the lease is over.
                    tracing::warn!(%error, client = client_id, "what came of a notice could not be noted");
                }
                if let Some(count) = of_party.get_mut(&client_id) {
                    look |= *count >= EACH;
                    *count -= 1;
                    if *count == 0 {
                        of_party.remove(&client_id);
                    }
                }
            }
        }
    }
}

async fn claim(app: &App, room: usize, busy: Vec<String>) -> Step {
    let busy: Vec<&str> = busy.iter().map(String::as_str).collect();
    let (room, each) = (i64::try_from(room).unwrap_or(i64::MAX), i64::try_from(EACH).unwrap_or(i64::MAX));
    let now = app.clock.now();
    Step::Claimed(app.db.single(now, &Trace::default(), async |tx| rows::claim(tx, room, each, &busy).await).await)
}

async fn deliver(app: &App, notice: DueNotice) -> Step {
    let now = app.clock.now();
    let attempt = notices::attempt(&app.mint, &app.outbound, &notice, ids::new_id(now), now).await;
    let settled = app
        .db
        .single(app.clock.now(), &Trace::default(), async |tx| notices::settle(tx, &notice, &attempt).await)
        .await;
    Step::Settled(notice.client.client_id, settled)
}
