//! Keys that are looked for at the same time are found together: to begin a statement, and to change threads for it, costs
//! several times what finding one more key by it does.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::background;
use crate::{
    runtime::tasks::Tasks,
    store::{
        self, Store, StoreError,
        keys::{self, Held},
    },
};

/// The way to whoever looks for keys.
#[derive(Debug)]
pub(super) struct Lookups(mpsc::UnboundedSender<Asked>);

#[derive(Debug)]
struct Asked {
    public: String,
    answer: oneshot::Sender<Found>,
}

type Found = Result<Option<Held>, Arc<StoreError>>;

impl Lookups {
    /// Starts whoever looks, until the group is asked to end or this is dropped. How many wait is bounded by those who ask.
    pub(super) fn start(store: &Store, tasks: &Tasks) -> Self {
        let (ask, asked) = mpsc::unbounded_channel();
        background::start(tasks, "key look-ups", look(store.clone(), tasks.clone(), asked));
        Self(ask)
    }

    /// The key with these public characters; no answer at all when the program is stopping, or looking for it panicked.
    pub(super) async fn find(&self, public: &str) -> Option<Found> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Asked { public: public.to_owned(), answer }).ok()?;
        answered.await.ok()
    }
}

async fn look(store: Store, tasks: Tasks, mut asked: mpsc::UnboundedReceiver<Asked>) {
    let places = Arc::new(Semaphore::new(BATCHES));
    while let Some(first) = asked.recv().await {
        // Closed by nobody.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        // Those who are about to ask do so first.
        tokio::task::yield_now().await;
        let others = std::iter::from_fn(|| asked.try_recv().ok());
        // Whoever does not wait any more has been told that it took too long.
        let there = std::iter::once(first).chain(others).filter(|asked| !asked.answer.is_closed());
        let (publics, answers): (Vec<_>, Vec<_>) =
            there.take(keys::AT_ONCE).map(|asked| (asked.public, asked.answer)).unzip();
        if answers.is_empty() {
            continue;
        }
        let store = store.clone();
        let (done, is_done) = oneshot::channel::<()>();
        // A task of its own: a panic is the end of this batch, and not of all look-ups.
        tasks.spawn("key look-up", async move {
            let _held = (done, place);
            match read(store, publics).await {
                Ok(found) => answer(answers, found.into_iter().map(|found| found.map_err(Arc::new))),
                Err(error) => answer(answers, std::iter::repeat(Err(Arc::new(error)))),
            }
        });
        let _ = timeout(SLOW, is_done).await;
    }
}

/// A batch that takes longer waits for a disk, or for somebody's core; the next one does not wait for it.
const SLOW: Duration = Duration::from_millis(3);
/// Batches under way. Whoever comes when a slow store has as many waits for one of them to end, and is then found together
/// with all who came meanwhile; a connection is left to those who read anything else.
const BATCHES: usize = store::READERS as usize - 1;

async fn read(
    store: Store,
    publics: Vec<String>,
) -> Result<Vec<Result<Option<Held>, StoreError>>, StoreError> {
    let publics: Vec<&str> = publics.iter().map(String::as_str).collect();
    keys::find_by_prefixes(&mut *store.read().await?, &publics).await
}

fn answer(answers: Vec<oneshot::Sender<Found>>, found: impl Iterator<Item = Found>) {
    for (answer, found) in answers.into_iter().zip(found) {
        // Who has left meanwhile needs none.
        let _ = answer.send(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    /// Whoever asks together is answered each for itself, and nobody waits for ever: neither when the store is gone, nor
    /// when the program ends.
    #[tokio::test]
    async fn everybody_gets_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latchgate.db");
        let options = store::Options::sqlite(&path).create(true).migrate(true);
        let store = Store::open(&options, crate::domain::time::Timestamp::default()).await.unwrap();
        let tasks = Tasks::new(&Metrics::new().unwrap());
        let lookups = Arc::new(Lookups::start(&store, &tasks));
        let ask_many = async || {
            let asking = (0..100).map(|number| {
                let lookups = Arc::clone(&lookups);
                async move { lookups.find(&format!("unknown{number}")).await }
            });
            let asking: tokio::task::JoinSet<_> = asking.collect();
            asking.join_all().await
        };
        assert!(ask_many().await.iter().all(|found| matches!(found, Some(Ok(None)))));
        std::fs::remove_file(&path).unwrap();
        assert!(ask_many().await.iter().all(|found| matches!(found, Some(Err(_)))));
        assert_eq!(tasks.end(Duration::from_secs(10)).await.aborted, 0);
        assert!(lookups.find("unknown").await.is_none());
    }
}
