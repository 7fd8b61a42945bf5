//! The name of one request, the same in the log, the upstream's log and the answer.

use std::cell::Cell;

use http::HeaderValue;
use uuid::fmt::Hyphenated;

use super::request::X_REQUEST_ID;
use crate::{domain::time::Timestamp, proxy::fields::Fields, runtime::said::Said as _};

/// Makes ids for requests that bring none: version 7 UUIDs (RFC 9562 section 5.7). They are no secret, only
/// unique, so one seed from the system's randomness serves each worker for its life, without a system call and
/// a lock for every request.
#[derive(Debug)]
pub struct RequestIds {
    state: Cell<u64>,
}

impl RequestIds {
    /// Ids from a random seed, one for each worker.
    pub fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed) }
    }

    /// The client's own id when it sent exactly one that is 1 to 128 characters of `A-Za-z0-9._-`, so that it can
    /// be logged and echoed as it is; else a new one.
    pub fn of(&self, fields: &Fields, now: Timestamp) -> RequestName {
        match fields.single(&X_REQUEST_ID) {
            // A copy: it outlives the buffer that the request was read into.
            Some(id) if is_well_formed(id.as_bytes()) => RequestName::Sent(id.as_bytes().into()),
            _ => RequestName::Made(self.make(now)),
        }
    }

    fn make(&self, now: Timestamp) -> [u8; Hyphenated::LENGTH] {
        let millis = u64::try_from(now.micros() / 1000).unwrap_or(0);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.next().to_le_bytes());
        random[8..].copy_from_slice(&self.next().to_le_bytes()[..2]);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        let mut text = [0; Hyphenated::LENGTH];
        id.hyphenated().encode_lower(&mut text);
        text
    }

    /// `SplitMix64` (Steele, Lea and Flood 2014): every state is visited once before any repeats.
    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What a request is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RequestName {
    /// By us.
    Made([u8; Hyphenated::LENGTH]),
    /// By its client.
    Sent(Box<[u8]>),
}

impl RequestName {
    /// As text, in characters that mean nothing anywhere.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Made(text) => text,
            Self::Sent(text) => text,
        }
    }

    /// As a header's value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or(HeaderValue::from_static("0"))
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn id_of(lines: &[&str]) -> String {
        let mut fields = Fields::new();
        for line in lines {
            fields.append(X_REQUEST_ID, line.parse().unwrap());
        }
        RequestIds::new(1).of(&fields, NOW).header().to_str().unwrap().into()
    }

    #[test]
    fn a_good_id_is_kept_and_a_bad_one_replaced() {
        let longest = "a".repeat(128);
        for good in ["a", "Build-17_x.y", &longest] {
            assert_eq!(id_of(&[good]), good);
        }
        let too_long = "a".repeat(129);
        for bad in
            [&[] as &[_], &[""], &["a b"], &["a\"b"], &["a{}"], &["{jndi:x}"], &[&too_long], &["a", "a"]]
        {
            let made: uuid::Uuid = id_of(bad).parse().unwrap();
            assert_eq!(made.get_version_num(), 7, "{bad:?}");
        }
    }

    #[test]
    fn ids_differ() {
        let (ids, fields) = (RequestIds::new(u64::MAX), Fields::new());
        let made: HashSet<_> = (0..10_000).map(|_| ids.of(&fields, NOW)).collect();
        assert_eq!(made.len(), 10_000);
    }
}
