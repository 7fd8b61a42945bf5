//! Counts the uses of keys (R000_20): each worker for itself, without a shared line of memory, and once a second
//! for all.

use std::{cell::RefCell, collections::HashMap, net::IpAddr};

use tokio::sync::mpsc;

use crate::domain::{id::KeyId, time::Timestamp};

/// Distinct keys and addresses that a worker counts between two deliveries; more go uncounted, and are said so.
const CAPACITY: usize = 65_536;

/// How often one key was used from one address, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The key.
    pub key: KeyId,
    /// From where; none when the address could not be told.
    pub client: Option<IpAddr>,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

/// The counts of one worker.
#[derive(Debug)]
pub struct Usage {
    counts: RefCell<Counts>,
    deliver: mpsc::UnboundedSender<Vec<Use>>,
}

/// By key and address: how often, and when last.
type Counts = HashMap<(KeyId, Option<IpAddr>), (u64, Timestamp)>;

impl Usage {
    /// Nothing counted yet.
    pub fn new(deliver: mpsc::UnboundedSender<Vec<Use>>) -> Self {
        Self { counts: RefCell::default(), deliver }
    }

    /// One more use.
    pub fn count(&self, key: KeyId, client: Option<IpAddr>, now: Timestamp) {
        let mut counts = self.counts.borrow_mut();
        if let Some((count, last)) = counts.get_mut(&(key, client)) {
            *count += 1;
            *last = now;
        } else if counts.len() < CAPACITY {
            counts.insert((key, client), (1, now));
        }
    }

    /// Hands everything counted to whoever writes it down.
    pub fn flush(&self) {
        let mut counts = self.counts.borrow_mut();
        if counts.is_empty() {
            return;
        }
        let uses = counts.drain().map(|((key, client), (count, last))| Use { key, client, count, last });
        // Nobody listens any more only after the last flush of a shutdown.
        let _ = self.deliver.send(uses.collect());
    }
}
