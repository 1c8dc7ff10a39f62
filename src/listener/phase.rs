//! How far the drain has come, and how long a connection that has asked nothing yet may go on.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How far the drain has come; connections watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Connections are accepted.
    Open,
    /// No new connection; open ones finish the request in flight, or under way, and close.
    Closing,
}

/// How long a connection waits for a request once the drain closes connections, counted from its last answer or, without
/// one, from its beginning. A proxy's pooled connection has been silent for longer and is closed at once; one that a proxy
/// has just opened, or just had an answer on, may have a request on its way, which would be lost with it.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(2);

/// Waits until the drain closes connections.
pub(super) async fn closing(mut phase: watch::Receiver<Phase>) {
    // The sender lives as long as the process serves.
    let _gone = phase.wait_for(|phase| *phase == Phase::Closing).await;
}

/// Waits until the drain closes connections, and the last wait of one that began then is over, too.
pub(super) async fn closed(phase: watch::Receiver<Phase>, begin: Instant) {
    closing(phase).await;
    sleep_until(begin + LAST_WAIT).await;
}
