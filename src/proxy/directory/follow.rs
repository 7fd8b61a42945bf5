//! Follows the change feed, for as long as the gateway runs.

use std::time::Duration;

use super::{Cache, Unavailable};

/// The feed is read at least this often, so that a lost signal costs no more than this.
const POLL: Duration = Duration::from_millis(250);
/// The pause after a failure: short enough to notice recovery, long enough not to add to the trouble.
const RETRY: Duration = Duration::from_millis(500);

/// Reads the feed for the first time, so that what follows is a continuation.
pub async fn begin(cache: &Cache) -> Result<(), Unavailable> {
    cache.follow().await
}

/// Applies changes as they come. Ends only with its task.
pub async fn follow(cache: Cache) {
    let mut failing = false;
    loop {
        match cache.follow().await {
            Ok(()) => {
                if failing {
                    tracing::info!("the store answers again");
                }
                failing = false;
                // News or the pause, whichever is first: both mean "look again".
                let _ = tokio::time::timeout(POLL, cache.news()).await;
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "the change feed cannot be read; known keys are served up to max_staleness");
                }
                failing = true;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
