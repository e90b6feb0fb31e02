//! The signing keys as the database has them: a key that a command or another replica made is published here at once, long
//! before it signs.

use super::{Job, Turn};
use crate::{app::App, db::Trace, tokens::PUBLISHED_WITHIN};

pub const JOB: Job = Job { name: "keys", every: PUBLISHED_WITHIN, at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        app.db.single(app.clock.now(), &Trace::default(), async |tx| app.mint.keys.reload(tx).await).await
    })
}
