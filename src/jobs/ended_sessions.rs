//! Sessions that ended, removed with all that hung on them when nothing may refer to them any more.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{
    app::App,
    db::session_removal::{self, Keep},
};

pub const JOB: Job = Job { name: "ended sessions", every: Duration::from_mins(5), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    let keep = Keep { sessions: app.config.retention.sessions, grants: app.config.retention.grants };
    Box::pin(in_batches(app, JOB.name, move |tx, limit| Box::pin(session_removal::sweep(tx, keep, limit))))
}
