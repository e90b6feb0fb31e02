//! Names that were there before their keys were: each gets its key, or keeps being found only as it is written.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, user_names},
    failure::Broken,
    unicode::name_key,
};

pub const JOB: Job = Job { name: "user names", every: Duration::from_mins(10), at_start: true, run };

const BATCH: i64 = 200;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let settle = async || {
            app.db
                .work(app.clock.now(), &Trace::default(), async |tx| {
                    let open = user_names::lock_open(tx, BATCH).await?;
                    for name in &open {
                        if !user_names::settle(tx, name.user_id, &name_key(&name.username)).await? {
                            tracing::warn!(user = %name.user_id, username = name.username,
                                "another user has this name in another Unicode form: it is found only as it is written");
                        }
                    }
                    Ok::<_, Broken>(open.len())
                })
                .await
        };
        app.db.work(app.clock.now(), &Trace::default(), async |tx| user_names::open_added(tx).await).await?;
        while i64::try_from(settle().await?).is_ok_and(|settled| settled == BATCH) {}
        Ok(())
    })
}
