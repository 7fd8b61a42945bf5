//! Records at hand: as many as there is room for, found by their lookup.
//!
//! Whoever comes when there is no room takes the place of one that nobody has asked for since the hand last passed it
//! (the clock algorithm). A record stands here twice by reference and never by copy.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Lookup, Record};

/// Parts with a lock each, so that those who look for different records seldom meet.
const PARTS: u64 = 16;

/// A bounded memory of records.
#[derive(Debug)]
pub(super) struct Shelf {
    parts: Box<[Mutex<Part>]>,
    /// How many records one part holds at most.
    room: usize,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Part {
    places: HashMap<Named, u32>,
    records: Vec<Arc<Record>>,
    hand: usize,
}

impl Shelf {
    /// With room for so many.
    pub(super) fn new(capacity: u64) -> Self {
        let parts = capacity.clamp(1, PARTS);
        // A place is 32 bits; nobody has memory for more records in one part.
        let room = u32::try_from(capacity.div_ceil(parts).max(1)).unwrap_or(u32::MAX);
        Self {
            parts: (0..parts).map(|_| Mutex::default()).collect(),
            room: usize::try_from(room).unwrap_or(usize::MAX),
            hasher: RandomState::new(),
        }
    }

    /// The record that was put under this lookup last, if it is still here.
    pub(super) fn find(&self, lookup: &Lookup) -> Option<Arc<Record>> {
        let part = self.part(lookup);
        let place = *part.places.get(lookup)?;
        let record = part.records.get(place as usize)?;
        record.ask();
        Some(Arc::clone(record))
    }

    /// Puts a record under its lookup, in the place of any that was there.
    pub(super) fn put(&self, record: &Arc<Record>) {
        self.part(&record.lookup).put(record, self.room);
    }

    /// Takes away what is under this lookup.
    pub(super) fn remove(&self, lookup: &Lookup) {
        self.part(lookup).remove(lookup);
    }

    /// Takes away everything.
    pub(super) fn clear(&self) {
        for part in &self.parts {
            *locked(part) = Part::default();
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.parts.iter().map(|part| locked(part).records.len() as u64).sum()
    }

    fn part(&self, lookup: &Lookup) -> MutexGuard<'_, Part> {
        let number = self.hasher.hash_one(lookup) % self.parts.len() as u64;
        locked(&self.parts[usize::try_from(number).unwrap_or_default()])
    }
}

impl Part {
    fn put(&mut self, record: &Arc<Record>, room: usize) {
        self.remove(&record.lookup);
        let place = if self.records.len() < room {
            self.records.push(Arc::clone(record));
            self.records.len() - 1
        } else {
            let place = self.unasked();
            let old = std::mem::replace(&mut self.records[place], Arc::clone(record));
            self.places.remove(&old.lookup);
            self.hand = place + 1;
            place
        };
        self.places.insert(Named(Arc::clone(record)), place_of(place));
    }

    /// The place of the first record from the hand on that nobody has asked for since it passed.
    fn unasked(&mut self) -> usize {
        loop {
            self.hand %= self.records.len();
            if !self.records[self.hand].was_asked() {
                return self.hand;
            }
            self.hand += 1;
        }
    }

    fn remove(&mut self, lookup: &Lookup) {
        let Some(place) = self.places.remove(lookup) else { return };
        self.records.swap_remove(place as usize);
        // The last one has moved there.
        if let Some(moved) = self.records.get(place as usize)
            && let Some(its) = self.places.get_mut(&moved.lookup)
        {
            *its = place;
        }
    }
}

fn place_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn locked(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A record by the name of its lookup.
#[derive(Debug)]
struct Named(Arc<Record>);

impl Borrow<Lookup> for Named {
    fn borrow(&self) -> &Lookup {
        &self.0.lookup
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.lookup.hash(state);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.lookup == other.0.lookup
    }
}

impl Eq for Named {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{id::OrgId, time::Timestamp},
        proxy::usage::tests::named,
    };

    fn record(number: u32) -> Arc<Record> {
        named(OrgId::new(Timestamp::from_micros(1)), Lookup::Public(format!("{number}").into()))
    }

    #[test]
    fn there_is_never_more_than_there_is_room_for() {
        for capacity in [1, 5, 16, 100] {
            let shelf = Shelf::new(capacity);
            for number in 0..1000 {
                let record = record(number);
                shelf.put(&record);
                assert!(Arc::ptr_eq(&shelf.find(&record.lookup).expect("what was put last"), &record));
            }
            assert!(shelf.len() <= capacity.next_multiple_of(capacity.min(PARTS)), "{capacity}");
        }
    }

    #[test]
    fn who_is_asked_for_stays() {
        let shelf = Shelf::new(64);
        let hot = record(0);
        shelf.put(&hot);
        for number in 1..10_000 {
            assert!(shelf.find(&hot.lookup).is_some(), "{number}");
            shelf.put(&record(number));
        }
    }

    #[test]
    fn what_is_taken_away_is_gone_and_the_others_are_found() {
        let shelf = Shelf::new(1000);
        let records: Vec<_> = (0..500).map(record).collect();
        for record in &records {
            shelf.put(record);
        }
        for gone in records.iter().step_by(3) {
            shelf.remove(&gone.lookup);
        }
        for (number, record) in records.iter().enumerate() {
            let found = shelf.find(&record.lookup);
            assert_eq!(found.is_some(), number % 3 != 0, "{number}");
            assert!(found.is_none_or(|found| Arc::ptr_eq(&found, record)));
        }
        let again = record(1);
        shelf.put(&again);
        assert!(Arc::ptr_eq(&shelf.find(&again.lookup).expect("there"), &again), "the newest counts");
        shelf.clear();
        assert_eq!((shelf.len(), shelf.find(&again.lookup).is_some()), (0, false));
    }
}
