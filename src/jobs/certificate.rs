//! The TLS certificate as its file has it: a renewed one is shown to new connections within seconds.

use std::time::Duration;

use super::{Job, Turn};
use crate::app::App;

pub const JOB: Job = Job { name: "certificate", every: Duration::from_secs(5), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        if let Some(certificate) = app.certificate.get() {
            certificate.reload_if_changed();
        }
        Ok(())
    })
}
