//! How many connections each address holds, counted across workers: touched when a connection begins and when it ends,
//! never by a request.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

/// Those who are here, in parts with a lock of their own each. Which part an address is in nobody outside can know.
#[derive(Debug, Default)]
pub struct Crowd {
    parts: [Mutex<HashMap<IpAddr, u32>>; PARTS],
    hasher: RandomState,
}

/// One connection of somebody; not counted any more when dropped.
#[derive(Debug)]
pub struct Member {
    crowd: Arc<Crowd>,
    whose: IpAddr,
}

impl Crowd {
    /// Counts one more connection of an address; none: it holds as many as anybody may.
    pub fn join(self: &Arc<Self>, address: IpAddr, most: NonZeroU32) -> Option<Member> {
        let whose = network(address);
        let mut part = self.part(whose).lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.entry(whose).or_default();
        if *count >= most.get() {
            return None;
        }
        *count += 1;
        Some(Member { crowd: Arc::clone(self), whose })
    }

    fn part(&self, whose: IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        let place = self.hasher.hash_one(whose) % PARTS as u64;
        &self.parts[usize::try_from(place).unwrap_or_default()]
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut part = self.crowd.part(self.whose).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = part.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                part.remove(&self.whose);
            }
        }
    }
}

/// Whose an address is: of IPv6 everybody has a whole network of 64 bits.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// More than there are workers, so that they seldom meet.
const PARTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_as_many_as_anybody() {
        let (crowd, most) = (Arc::new(Crowd::default()), NonZeroU32::new(2).unwrap());
        let join = |address: &str| crowd.join(address.parse().unwrap(), most);
        let held = [join("192.0.2.1"), join("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(join("192.0.2.1").is_none() && join("192.0.2.2").is_some());
        let held6 = [join("2001:db8::1"), join("2001:db8::2")];
        assert!(join("2001:db8::3").is_none() && join("2001:db8:0:1::1").is_some());
        drop((held, held6));
        assert!(join("192.0.2.1").is_some());
        assert!(crowd.parts.iter().all(|part| part.lock().unwrap().is_empty()), "nobody is remembered");
    }
}
