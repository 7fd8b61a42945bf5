//! The names of the last head's fields. Those of the next are nearly always the same ones in the same places, whoever sends
//! it: one that stands where it stood before is compared instead of read. Requests and answers come in turns, and each have
//! their own.

use std::cell::RefCell;

use http::{HeaderName, header::InvalidHeaderName};

thread_local! {
    static OF_REQUESTS: RefCell<Names> = const { RefCell::new(Names(Vec::new())) };
    static OF_ANSWERS: RefCell<Names> = const { RefCell::new(Names(Vec::new())) };
}

/// What stood in each place: as it was written, and as it was read.
#[derive(Debug)]
pub struct Names(Vec<(Vec<u8>, HeaderName)>);

/// Reads the head of a request with this thread's memory of the one before.
pub(super) fn of_requests<T>(read: impl FnOnce(&mut Names) -> T) -> T {
    OF_REQUESTS.with_borrow_mut(read)
}

/// The same for that of an answer.
pub fn of_answers<T>(read: impl FnOnce(&mut Names) -> T) -> T {
    OF_ANSWERS.with_borrow_mut(read)
}

impl Names {
    /// The name of the field in this place, counted from 0.
    #[inline]
    pub fn read(&mut self, place: usize, written: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
        match self.0.get(place) {
            Some((before, name)) if before == written => Ok(name.clone()),
            _ => self.learn(place, written),
        }
    }

    fn learn(&mut self, place: usize, written: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
        let name = HeaderName::from_bytes(written)?;
        if written.len() <= LONGEST {
            if let Some((before, known)) = self.0.get_mut(place) {
                before.clear();
                before.extend_from_slice(written);
                known.clone_from(&name);
            } else if place == self.0.len() && place < MOST {
                self.0.push((written.to_vec(), name.clone()));
            }
        }
        Ok(name)
    }
}

/// Places, and bytes of a name, that are remembered: 8 KiB in all, of requests and of answers.
const MOST: usize = 32;
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_remembered_is_what_would_be_read(heads in prop::collection::vec(
            prop::collection::vec("host|Host|X-A|x-a|X_A|[a-zA-Z-]{1,70}|[ -~\u{e9}]{0,3}", 0..40), 1..6,
        )) {
            let mut names = Names(Vec::new());
            for written in heads.iter().map(|head| head.iter().enumerate()) {
                for (place, written) in written {
                    let read = names.read(place, written.as_bytes()).ok();
                    prop_assert_eq!(read, HeaderName::from_bytes(written.as_bytes()).ok());
                }
                prop_assert!(names.0.len() <= MOST);
                prop_assert!(names.0.iter().all(|(written, _)| written.len() <= LONGEST));
            }
        }
    }
}
