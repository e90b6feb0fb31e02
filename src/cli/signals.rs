//! Being asked to stop: SIGTERM, SIGINT from a terminal, or SIGHUP when the terminal is closed.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to stop. Where signals cannot be heard it never does, and they keep what they do
/// to every process.
pub(super) async fn asked_to_stop() {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}
