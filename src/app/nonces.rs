//! Joins the store to the data plane: nonces of signed requests, many in one transaction.
//!
//! Each waits for the disk, or it would be no promise; so while one transaction is written, the next batch gathers,
//! and the wait stays that of a write or two however many requests there are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::{
    domain::{
        id::KeyId,
        time::{Clock, Timestamp},
    },
    proxy::{
        authenticate::replay::{Nonce, Nonces, Taken},
        directory::{Answer, Unavailable},
    },
    runtime::tasks::{Stopped, Tasks},
    store::{Store, StoreError, nonces},
};

/// Nonces that may wait to be written; more are refused.
const WAITING: usize = 4_096;
/// Nonces in one transaction.
const AT_ONCE: usize = 256;
/// How long a request waits for its nonce to be written; then the store counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nonces of one key that are remembered at a time: two thousand requests a second.
const MOST_OF_ONE_KEY: u64 = 1_200_000;
/// How often nonces that are no longer needed are forgotten, and about how many at once.
const PRUNE_EVERY: Duration = Duration::from_secs(5);
const PRUNE_AT_ONCE: u32 = 20_000;

/// The store as a memory of nonces.
#[derive(Debug)]
struct StoreNonces(mpsc::Sender<Asked>);

/// One who waits.
#[derive(Debug)]
struct Asked {
    nonce: Nonce,
    answer: oneshot::Sender<Result<Taken, Unavailable>>,
}

impl Nonces for StoreNonces {
    fn take(&self, nonce: Nonce) -> Answer<'_, Taken> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let unwritten = || Unavailable("a nonce could not be written in time".into());
            match self.0.try_send(Asked { nonce, answer }) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => return Ok(Taken::Full),
                Err(TrySendError::Closed(_)) => return Err(unwritten()),
            }
            match tokio::time::timeout(PATIENCE, answered).await {
                Ok(Ok(taken)) => taken,
                Ok(Err(_)) | Err(_) => Err(unwritten()),
            }
        })
    }
}

/// A memory of nonces that works for as long as these tasks.
pub fn start(tasks: &Tasks, store: &Store, clock: &Clock) -> Arc<dyn Nonces> {
    let (asking, asked) = mpsc::channel(WAITING);
    tasks.spawn("nonces", keep(store.clone(), clock.clone(), asked, tasks.stopped()));
    Arc::new(StoreNonces(asking))
}

/// Writes nonces as they come, and forgets those that need not be known any longer. Ends with the data plane: when
/// nobody is left to ask, or when told to.
async fn keep(store: Store, clock: Clock, mut asked: mpsc::Receiver<Asked>, mut stopped: Stopped) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    let mut counts = Counts::default();
    // What an earlier process left.
    let mut due = true;
    let mut prune = tokio::time::interval(PRUNE_EVERY);
    prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            count = asked.recv_many(&mut batch, AT_ONCE) => if count == 0 { return },
            _ = prune.tick(), if due || !counts.0.is_empty() => {
                due = forget(&store, clock.now()).await;
                counts.forget(clock.now());
            }
            () = &mut stopped => return,
        }
        write(&store, &clock, &mut counts, &mut batch).await;
    }
}

/// Whether there may be more to forget.
async fn forget(store: &Store, now: Timestamp) -> bool {
    match nonces::prune(store, now, PRUNE_AT_ONCE).await {
        Ok(forgotten) => forgotten >= u64::from(PRUNE_AT_ONCE),
        Err(error) => {
            tracing::debug!(%error, "old nonces could not be pruned");
            true
        }
    }
}

async fn write(store: &Store, clock: &Clock, counts: &mut Counts, batch: &mut Vec<Asked>) {
    let now = clock.now();
    let mut waiting = Vec::with_capacity(batch.len());
    for asked in batch.drain(..) {
        // Whoever waited too long has been told so: what they asked for would only be in the way of their next try.
        if asked.answer.is_closed() {
            continue;
        }
        if counts.room(asked.nonce.key, now) {
            waiting.push(asked);
        } else {
            let _ = asked.answer.send(Ok(Taken::Full));
        }
    }
    if waiting.is_empty() {
        return;
    }
    let rows: Vec<_> = waiting.iter().map(|asked| row(&asked.nonce)).collect();
    match nonces::take(store, &rows).await {
        Ok(new) => {
            for (asked, new) in waiting.into_iter().zip(new) {
                if new {
                    counts.add(asked.nonce.key, asked.nonce.until);
                }
                let _ = asked.answer.send(Ok(if new { Taken::New } else { Taken::Again }));
            }
        }
        Err(error) => {
            let told = Unavailable(told(&error));
            for asked in waiting {
                let _ = asked.answer.send(Err(told.clone()));
            }
        }
    }
}

fn told(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

const fn row(nonce: &Nonce) -> nonces::Nonce {
    nonces::Nonce { key: nonce.key, digest: nonce.digest, until: nonce.until }
}

/// How many nonces each key has, by the minute in which they are forgotten.
#[derive(Debug, Default)]
struct Counts(HashMap<KeyId, BTreeMap<i64, u64>>);

impl Counts {
    fn room(&mut self, key: KeyId, now: Timestamp) -> bool {
        let Some(minutes) = self.0.get_mut(&key) else { return true };
        *minutes = minutes.split_off(&minute(now));
        minutes.values().sum::<u64>() < MOST_OF_ONE_KEY
    }

    fn add(&mut self, key: KeyId, until: Timestamp) {
        *self.0.entry(key).or_default().entry(minute(until)).or_default() += 1;
    }

    fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, minutes| minutes.last_key_value().is_some_and(|(last, _)| *last >= minute(now)));
    }
}

const fn minute(time: Timestamp) -> i64 {
    time.seconds().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_nonces_and_room_again_later() {
        let (key, other) = (KeyId::new(Timestamp::default()), KeyId::new(Timestamp::default()));
        let now = Timestamp::from_micros(1_000_000_000_000);
        let mut counts = Counts::default();
        let until = now.after(Duration::from_secs(600));
        counts.0.entry(key).or_default().insert(minute(until), MOST_OF_ONE_KEY - 1);
        assert!(counts.room(key, now));
        counts.add(key, until);
        assert!(!counts.room(key, now) && counts.room(other, now));
        assert!(!counts.room(key, until));
        assert!(counts.room(key, until.after(Duration::from_secs(60))));
        counts.forget(until.after(Duration::from_secs(120)));
        assert!(counts.0.is_empty());
    }
}
