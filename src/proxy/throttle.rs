//! How often: the rate limit of a key.
//!
//! A limit is judged after the decision, so that refused requests do not spend a key's quota.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, header::RETRY_AFTER};

use super::{
    directory::Record,
    headers::{Lines, Phrase},
    reject::Refusal,
};
use crate::domain::{
    access::{CredentialId, RatePerMinute},
    key::state::Term,
    time::{Clock, Timestamp},
};

const MINUTE: Duration = Duration::from_secs(60);
const NANOS_A_MINUTE: u64 = 60_000_000_000;
/// No time: somebody uses the limiter.
const IN_USE: u32 = u32::MAX;

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The rate limit of one rotation chain of keys (R000_23): n a minute, and n at once.
#[derive(Debug)]
pub struct Limiter {
    plan: Arc<Plan>,
    /// In nanoseconds of uptime: when the limit is whole again (the generic cell rate algorithm).
    whole_at: AtomicU64,
    /// In seconds of uptime: when a tidying first found that nobody uses it.
    idle_since: AtomicU32,
}

/// What all limits of one rate have in common.
#[derive(Debug)]
struct Plan {
    rate: RatePerMinute,
    clock: Clock,
    /// What it comes to, which every answer says.
    words: Phrase,
}

/// What is left of a limit after one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Requests that may still come at once.
    pub remaining: u32,
    /// Seconds until the limit is whole again.
    pub until_full: u64,
    /// Seconds until the next request may pass; none when this one did.
    pub retry_after: Option<u64>,
}

impl Plan {
    fn new(rate: RatePerMinute, clock: &Clock) -> Self {
        let policy = HeaderValue::try_from(format!("\"default\";q={rate};w=60"));
        let policy = policy.unwrap_or(HeaderValue::from_static(""));
        let limit = rate.get().get().into();
        let words = Phrase::from_iter([(RATELIMIT_POLICY, policy), (X_RATELIMIT_LIMIT, limit)]);
        Self { rate, clock: clock.clone(), words }
    }

    /// In nanoseconds: how long one request weighs, and as many as may come at once.
    fn weights(&self) -> (u64, u64) {
        let many = u64::from(self.rate.get().get());
        let one = NANOS_A_MINUTE / many;
        (one, one * many)
    }
}

impl Limiter {
    const fn new(plan: Arc<Plan>) -> Self {
        Self { plan, whole_at: AtomicU64::new(0), idle_since: AtomicU32::new(IN_USE) }
    }

    /// Takes one request from the limit. The answer says what is left either way.
    pub fn take(&self) -> Left {
        self.take_at(self.plan.clock.uptime())
    }

    /// The same for whoever knows what time it is, as uptime.
    fn take_at(&self, now: Duration) -> Left {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let (one, most) = self.plan.weights();
        let behind = |whole_at: u64| whole_at.max(now) + one - now;
        let taken = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |whole_at| {
            let behind = behind(whole_at);
            (behind <= most).then_some(now + behind)
        });
        match taken {
            Ok(whole_at) => {
                let remaining = (most - behind(whole_at)) / one;
                self.left(u32::try_from(remaining).unwrap_or(u32::MAX), None)
            }
            Err(whole_at) => {
                let wait = Duration::from_nanos(behind(whole_at) - most);
                self.left(0, Some(whole_seconds(wait).max(1)))
            }
        }
    }

    /// Tells the client where it stands (draft-ietf-httpapi-ratelimit-headers-11, and the older names).
    pub fn describe(&self, left: Left, lines: &mut impl Lines) {
        let (remaining, until_full) = (Text::of(left.remaining.into()), Text::of(left.until_full));
        let mut all = Text::default();
        all.push(b"\"default\";r=");
        all.push(&remaining);
        all.push(b";t=");
        all.push(&until_full);
        lines.say_phrase(&self.plan.words);
        lines.say_text(&RATELIMIT, &all);
        lines.say_text(&X_RATELIMIT_REMAINING, &remaining);
        lines.say_text(&X_RATELIMIT_RESET, &until_full);
        if let Some(seconds) = left.retry_after {
            lines.say_text(&RETRY_AFTER, &Text::of(seconds));
        }
    }

    fn left(&self, remaining: u32, retry_after: Option<u64>) -> Left {
        let rate = u64::from(self.plan.rate.get().get());
        let spent = rate.saturating_sub(u64::from(remaining));
        Left { remaining, until_full: (spent * 60).div_ceil(rate), retry_after }
    }
}

/// Where a key stands, as its every answer says: its rate limit, and its end when it is being rotated out.
#[derive(Default)]
pub struct Standing {
    caller: Option<Arc<Record>>,
    left: Option<Left>,
}

impl Standing {
    /// One more request of this key, at this uptime, if its limit allows.
    pub fn enter(&mut self, caller: &Arc<Record>, now: Duration) -> Result<(), Refusal> {
        self.caller = Some(Arc::clone(caller));
        self.left = caller.limiter.as_ref().map(|limiter| limiter.take_at(now));
        match self.left {
            Some(Left { retry_after: Some(_), .. }) => Err(Refusal::RateLimited),
            _ => Ok(()),
        }
    }

    /// Whether this is a name under which it is said where it stands: nobody else's word under it goes to the client.
    pub fn tells(&self, name: &HeaderName) -> bool {
        let Some(caller) = &self.caller else { return false };
        // Most names begin with another letter than any of these.
        match (name.as_str().as_bytes().first(), self.left) {
            (Some(b'r' | b'x'), Some(Left { retry_after: Some(_), .. })) => LIMITS.contains(name),
            (Some(b'r' | b'x'), Some(_)) => LIMITS[..LIMITS.len() - 1].contains(name),
            (Some(b'd' | b's'), _) => caller.sunset.is_some() && ENDS.contains(name),
            _ => false,
        }
    }

    /// Says so on an answer.
    pub fn describe(&self, lines: &mut impl Lines) {
        let Some(caller) = &self.caller else { return };
        if let (Some(limiter), Some(left)) = (&caller.limiter, self.left) {
            limiter.describe(left, lines);
        }
        if let Some(sunset) = &caller.sunset {
            sunset.announce(lines);
        }
    }
}

/// The limiters in use, by rotation chain: the old key and its successor share one (R000_18), and a change of
/// the key's name or networks does not fill the bucket again.
#[derive(Debug)]
pub struct Limiters {
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_family: HashMap<CredentialId, Arc<Limiter>>,
    plans: HashMap<RatePerMinute, Arc<Plan>>,
}

impl Limiters {
    /// None in use yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    /// The limiter of a chain; a new one when its rate has changed.
    pub fn of(&self, family: CredentialId, rate: RatePerMinute) -> Arc<Limiter> {
        let mut kept = self.kept();
        let Kept { by_family, plans } = &mut *kept;
        if let Some(limiter) = by_family.get(&family).filter(|limiter| limiter.plan.rate == rate) {
            limiter.idle_since.store(IN_USE, Ordering::Relaxed);
            return Arc::clone(limiter);
        }
        let plan = plans.entry(rate).or_insert_with(|| Arc::new(Plan::new(rate, &self.clock)));
        let limiter = Arc::new(Limiter::new(Arc::clone(plan)));
        by_family.insert(family, Arc::clone(&limiter));
        limiter
    }

    /// Drops the limiters that nobody has used for a minute: theirs is full again by then, so a new one is no gift.
    pub fn tidy(&self) {
        let now = u32::try_from(self.clock.uptime().as_secs()).unwrap_or(IN_USE - 1);
        let mut kept = self.kept();
        kept.by_family.retain(|_, limiter| {
            let idle_since = &limiter.idle_since;
            if Arc::strong_count(limiter) > 1 {
                idle_since.store(IN_USE, Ordering::Relaxed);
                return true;
            }
            // Nobody else has it, and whoever wants it waits for the lock.
            let since = idle_since.load(Ordering::Relaxed).min(now);
            idle_since.store(since, Ordering::Relaxed);
            u64::from(now - since) < MINUTE.as_secs()
        });
        kept.plans.retain(|_, plan| Arc::strong_count(plan) > 1);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a key in its rotation grace says on every answer (RFC 9745, RFC 8594).
#[derive(Debug, Clone)]
pub struct Sunset {
    deprecation: HeaderValue,
    sunset: HeaderValue,
}

impl Sunset {
    /// Nothing, for a key that was not rotated.
    pub fn new(life: Term, rotated_at: Option<Timestamp>) -> Option<Self> {
        let (true, Some(rotated_at), Some(ends_at)) = (life.is_rotating(), rotated_at, life.ends_at()) else {
            return None;
        };
        Some(Self {
            deprecation: HeaderValue::try_from(format!("@{}", rotated_at.seconds())).ok()?,
            sunset: HeaderValue::try_from(ends_at.http_date()?).ok()?,
        })
    }

    /// Puts it on an answer.
    pub fn announce(&self, lines: &mut impl Lines) {
        lines.say(&DEPRECATION, &self.deprecation);
        lines.say(&SUNSET, &self.sunset);
    }
}

/// What nobody but the gateway says of a limit; the last one only where it is over.
static LIMITS: [HeaderName; 6] =
    [RATELIMIT_POLICY, RATELIMIT, X_RATELIMIT_LIMIT, X_RATELIMIT_REMAINING, X_RATELIMIT_RESET, RETRY_AFTER];
/// What nobody else says of a key's end.
static ENDS: [HeaderName; 2] = [DEPRECATION, SUNSET];

/// The longest that there is: two numbers of at most 20 digits, and 16 signs.
const ROOM: usize = 56;

/// Text in memory of a fixed size; what finds no room is left out.
struct Text {
    bytes: [u8; ROOM],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }
}

impl Text {
    /// A number.
    fn of(number: u64) -> Self {
        let mut digits = [b'0'; 20];
        let (mut rest, mut at) = (number, digits.len());
        while rest > 0 || at == digits.len() {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        let mut text = Self::default();
        text.push(&digits[at..]);
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        }
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::domain::key::state::Life;

    fn limiter(per_minute: u32, clock: &Clock) -> Limiter {
        Limiter::new(Arc::new(Plan::new(RatePerMinute::new(per_minute).unwrap(), clock)))
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_micros(1_700_000_000_000_000))
    }

    #[test]
    fn n_at_once_then_n_a_minute() {
        let clock = clock();
        let limiter = limiter(60, &clock);
        for remaining in (0..60).rev() {
            assert_eq!(
                limiter.take(),
                Left { remaining, until_full: 60 - u64::from(remaining), retry_after: None }
            );
        }
        assert_eq!(limiter.take(), Left { remaining: 0, until_full: 60, retry_after: Some(1) });
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.take().retry_after, None);
        assert_eq!(limiter.take().retry_after, Some(1));
    }

    #[test]
    fn every_answer_says_what_is_left_even_of_the_largest_limit() {
        let limiter = limiter(RatePerMinute::MAX, &clock());
        let mut headers = HeaderMap::new();
        limiter.describe(Left { remaining: u32::MAX, until_full: u64::MAX, retry_after: None }, &mut headers);
        assert_eq!(headers["ratelimit"], "\"default\";r=4294967295;t=18446744073709551615");
        assert_eq!(headers["x-ratelimit-remaining"], "4294967295");
        assert_eq!(headers["x-ratelimit-reset"], "18446744073709551615");
        assert_eq!(headers["x-ratelimit-limit"], "60000000");
    }

    #[test]
    fn the_slowest_and_the_fastest_limit_work() {
        let clock = clock();
        let slow = limiter(1, &clock);
        assert_eq!(slow.take().retry_after, None);
        assert_eq!(slow.take().retry_after, Some(60));
        clock.advance(MINUTE);
        assert_eq!(slow.take().retry_after, None);
        assert_eq!(limiter(RatePerMinute::MAX, &clock).take().retry_after, None);
    }

    #[test]
    fn one_bucket_for_a_rotation_chain_until_nobody_needs_it() {
        let clock = clock();
        let limiters = Limiters::new(clock.clone());
        let family = CredentialId::Key(crate::domain::id::KeyId::new(clock.now()));
        let rate = RatePerMinute::new(1).unwrap();
        assert_eq!(limiters.of(family, rate).take().retry_after, None);
        limiters.tidy();
        assert!(limiters.of(family, rate).take().retry_after.is_some());
        limiters.tidy();
        clock.advance(MINUTE);
        limiters.tidy();
        let kept = limiters.kept();
        assert!(kept.by_family.is_empty() && kept.plans.is_empty());
    }

    #[test]
    fn a_key_in_grace_says_when_it_ends() {
        let start = Timestamp::from_micros(1_700_000_000_000_000);
        let life = Life::begin(start, None).rotate(start, Duration::from_secs(48 * 3600)).unwrap();
        let mut headers = HeaderMap::new();
        Sunset::new(life.into(), Some(start)).unwrap().announce(&mut headers);
        assert_eq!(headers["deprecation"], "@1700000000");
        assert_eq!(headers["sunset"], "Thu, 16 Nov 2023 22:13:20 GMT");
        assert!(Sunset::new(Life::begin(start, None).into(), None).is_none());
    }
}
