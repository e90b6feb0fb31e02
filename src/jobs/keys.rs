//! The signing keys as the database has them: a key that another replica made is published here before it signs.

use std::time::Duration;

use super::{Job, Turn};
use crate::{app::App, db::Trace};

pub const JOB: Job = Job { name: "keys", every: Duration::from_secs(15), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        app.db.single(app.clock.now(), &Trace::default(), async |tx| app.mint.keys.reload(tx).await).await
    })
}
