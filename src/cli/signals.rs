//! Signals: when to stop, and when to read files again.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at SIGTERM, or at SIGINT from a terminal. Where signals cannot be heard it never does, and they keep what they do
/// to every process.
pub(super) async fn asked_to_stop() {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
    let [Ok(mut terminate), Ok(mut interrupt)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The same, and at SIGHUP: for commands, which end with their terminal.
pub(super) async fn interrupted() {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return asked_to_stop().await };
    tokio::select! {
        () = asked_to_stop() => {}
        _ = hangup.recv() => {}
    }
}

/// Calls `read_again` at each SIGHUP, and never resolves. While it runs SIGHUP does not end the process.
pub(super) async fn at_each_hangup(mut read_again: impl FnMut()) -> std::convert::Infallible {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    loop {
        hangup.recv().await;
        read_again();
    }
}
