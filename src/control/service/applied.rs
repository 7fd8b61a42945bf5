//! "At once" made literal: a change is answered only after this node has stopped using what it replaced (R002_10).

use std::time::Duration;

use tokio::sync::watch;

use crate::domain::id::ChangeId;

/// The change itself is durable by then; a node that cannot follow the feed for so long refuses requests by its own
/// bound, so waiting longer gains nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How far this node has applied the feed of changes.
#[derive(Debug, Clone)]
pub struct Applied(Option<watch::Receiver<ChangeId>>);

impl Applied {
    /// No node here serves requests, such as on the command line: the nodes that do follow the feed by themselves.
    pub const fn elsewhere() -> Self {
        Self(None)
    }

    /// The node whose follower sends each position after it has applied it.
    pub const fn here(positions: watch::Receiver<ChangeId>) -> Self {
        Self(Some(positions))
    }

    /// Waits until the node has applied `change`; five seconds at most.
    pub async fn wait(&self, change: ChangeId) {
        let Some(positions) = &self.0 else { return };
        let mut positions = positions.clone();
        let reached = positions.wait_for(|position| *position >= change);
        // A follower that has ended is no reason to wait: the node is stopping and takes no more requests.
        if tokio::time::timeout(LONGEST_WAIT, reached).await.is_err() {
            tracing::warn!(change = change.0, "control.change_not_applied_in_time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_position_and_not_for_a_stopped_node() {
        let (sender, receiver) = watch::channel(ChangeId(1));
        let applied = Applied::here(receiver);
        applied.wait(ChangeId(1)).await;
        let waiting = applied.wait(ChangeId(2));
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut waiting).await.is_err());
        sender.send(ChangeId(3)).unwrap();
        waiting.await;
        drop(sender);
        applied.wait(ChangeId(9)).await;
        Applied::elsewhere().wait(ChangeId(9)).await;
    }
}
