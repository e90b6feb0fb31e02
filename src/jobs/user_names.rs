//! Names that were there before their keys were: each gets its key, or keeps being found only as it is written.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{
    app::App,
    db::{Tx, user_names},
    failure::Broken,
    unicode::name_key,
};

pub const JOB: Job = Job { name: "user names", every: Duration::from_mins(10), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        in_batches(app, JOB.name, |tx, _| Box::pin(async { user_names::open_added(tx).await.map(|()| 0) })).await?;
        in_batches(app, JOB.name, |tx, limit| Box::pin(settle(tx, limit))).await
    })
}

async fn settle(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let open = user_names::lock_open(tx, limit).await?;
    for name in &open {
        if !user_names::settle(tx, name.user_id, &name_key(&name.username)).await? {
            tracing::warn!(user = %name.user_id, username = name.username,
                "another user has this name in another Unicode form: it is found only as it is written");
        }
    }
    Ok(open.len())
}
