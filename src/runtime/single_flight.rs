//! One piece of work at a time for each key; everybody who asks meanwhile gets its result.

use std::{
    collections::{HashMap, hash_map},
    fmt,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::tasks::Tasks;

/// Work in flight by key. The work runs as a task of its own, so that it does not end with the one who happened
/// to ask first.
pub struct SingleFlight<K, V> {
    name: &'static str,
    tasks: Tasks,
    runtime: Handle,
    waiting: Arc<Mutex<Waiting<K, V>>>,
}

type Waiting<K, V> = HashMap<K, Vec<oneshot::Sender<V>>>;

impl<K, V> SingleFlight<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Nothing in flight; `name` is what the tasks are called, `runtime` where they run, whoever asks.
    pub fn new(name: &'static str, tasks: Tasks, runtime: Handle) -> Self {
        Self { name, tasks, runtime, waiting: Arc::default() }
    }

    /// The result of the work for `key`: of the one in flight, else of `work`, which is then begun.
    /// `None` when the program is stopping or the work panicked.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let begin = match lock(&self.waiting).entry(key.clone()) {
            hash_map::Entry::Occupied(mut others) => {
                others.get_mut().push(answer);
                false
            }
            hash_map::Entry::Vacant(free) => {
                free.insert(vec![answer]);
                true
            }
        };
        if begin {
            let landing = Landing { key: Some(key), waiting: Arc::clone(&self.waiting) };
            let work = work();
            self.tasks.spawn_on(&self.runtime, self.name, async move {
                landing.land(work.await);
            });
        }
        answered.await.ok()
    }
}

impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SingleFlight({})", self.name)
    }
}

/// Clears the way for the next flight, once: with a result, or without one when the work panics or is aborted.
struct Landing<K: Hash + Eq, V: Clone> {
    key: Option<K>,
    waiting: Arc<Mutex<Waiting<K, V>>>,
}

impl<K: Hash + Eq, V: Clone> Landing<K, V> {
    fn land(mut self, value: V) {
        for answer in self.leave() {
            let _ = answer.send(value.clone());
        }
    }

    /// Whoever comes after this begins a flight of their own.
    fn leave(&mut self) -> Vec<oneshot::Sender<V>> {
        self.key.take().and_then(|key| lock(&self.waiting).remove(&key)).unwrap_or_default()
    }
}

impl<K: Hash + Eq, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

fn lock<K, V>(waiting: &Mutex<Waiting<K, V>>) -> MutexGuard<'_, Waiting<K, V>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[tokio::test(flavor = "multi_thread")]
    async fn everybody_gets_a_result_and_one_does_the_work() {
        let tasks = Tasks::new(&Metrics::new().unwrap());
        let flights = Arc::new(SingleFlight::new("test", tasks, Handle::current()));
        let worked = Arc::new(AtomicU32::new(0));
        for round in 0..200 {
            let begun = Arc::new(tokio::sync::Barrier::new(8));
            let askers = (0..8).map(|_| {
                let (flights, worked, begun) =
                    (Arc::clone(&flights), Arc::clone(&worked), Arc::clone(&begun));
                async move {
                    begun.wait().await;
                    let work = || async move {
                        tokio::task::yield_now().await;
                        worked.fetch_add(1, Ordering::SeqCst)
                    };
                    assert!(flights.run((), work).await.is_some(), "round {round}");
                }
            });
            let mut all: tokio::task::JoinSet<()> = askers.collect();
            while let Some(outcome) = all.join_next().await {
                outcome.unwrap();
            }
        }
        assert!((200..1600).contains(&worked.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn work_that_panics_answers_nobody_and_blocks_nobody() {
        let tasks = Tasks::new(&Metrics::new().unwrap());
        let flights = SingleFlight::new("test", tasks, Handle::current());
        assert_eq!(flights.run((), || async { panic!("on purpose") }).await, None::<u32>);
        assert_eq!(flights.run((), || async { 7 }).await, Some(7));
    }
}
