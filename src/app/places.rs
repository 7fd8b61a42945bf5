//! Places for connections and requests: so many in all, and no more for one address than leave some for others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::runtime::crowd::network;

/// The places of a listener, or of one kind of request.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    of_one: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place that is taken; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    whose: IpAddr,
    _one: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { all: Arc::new(Semaphore::new(all)), of_one, taken: Mutex::default() })
    }

    /// Waits until there is a place at all.
    pub(super) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// A place, if there is one at this moment.
    pub(super) fn free_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).try_acquire_owned().ok()
    }

    /// Gives it to somebody; none: they hold as many as anybody may. `shared` is an address that many come from.
    pub(super) fn give(
        self: &Arc<Self>,
        one: OwnedSemaphorePermit,
        address: IpAddr,
        shared: bool,
    ) -> Option<Place> {
        let whose = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(whose).or_default();
        if *count >= self.of_one && !shared {
            return None;
        }
        *count += 1;
        Some(Place { places: Arc::clone(self), whose, _one: one })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn give(places: &Arc<Places>, address: &str, shared: bool) -> Option<Place> {
        let one = places.free().await.unwrap();
        places.give(one, address.parse().unwrap(), shared)
    }

    #[tokio::test]
    async fn nobody_takes_all_places() {
        let places = Places::new(8, 2);
        let held = [give(&places, "192.0.2.1", false).await, give(&places, "192.0.2.1", false).await];
        assert!(held.iter().all(Option::is_some));
        assert!(give(&places, "192.0.2.1", false).await.is_none());
        assert!(give(&places, "192.0.2.1", true).await.is_some(), "a proxy's clients are many");
        assert!(give(&places, "192.0.2.2", false).await.is_some());
        drop(held);
        assert!(give(&places, "192.0.2.1", false).await.is_some());
        assert!(places.taken.lock().unwrap().is_empty(), "nobody is remembered");
        assert_eq!(places.all.available_permits(), 8);
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one() {
        let places = Places::new(8, 1);
        let held = give(&places, "2001:db8::1", false).await;
        assert!(held.is_some());
        assert!(give(&places, "2001:db8::2", false).await.is_none());
        assert!(give(&places, "2001:db8:0:1::1", false).await.is_some());
    }
}
