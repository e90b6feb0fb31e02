//! Being asked to stop: SIGTERM, or SIGINT from a terminal.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to stop. Where signals cannot be heard it never does, and they keep what they do
/// to every process.
pub(super) async fn asked_to_stop() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
