//! One attempt to sign in: what binds the browser that began it to the answer of the provider.
//!
//! Everything that the answer is judged by travels in a cookie of that browser, sealed: nothing is kept here for
//! attempts that nobody finishes, and whoever brings an answer to another browser has no attempt there.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::domain::{
    seal::{SealFailed, SealKey},
    time::Timestamp,
};

/// What was begun. Never prints.
#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Comes back with the answer.
    pub(super) state: String,
    /// Comes back inside the identity token.
    pub(super) nonce: String,
    /// Shows the provider that whoever redeems the code is who asked for it (RFC 7636).
    pub(super) verifier: String,
    /// Where the browser wanted to go.
    pub(super) return_to: Option<String>,
    /// Seconds since 1970.
    begun: i64,
}

impl Attempt {
    /// A new one.
    pub(super) fn begin(return_to: Option<&str>, now: Timestamp) -> Result<Self, getrandom::Error> {
        Ok(Self {
            state: random()?,
            nonce: random()?,
            verifier: random()?,
            return_to: return_to.map(str::to_owned),
            begun: now.seconds(),
        })
    }

    /// What the provider gets of the verifier.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }

    /// For the browser to keep.
    pub(super) fn seal(&self, key: &SealKey) -> Result<String, SealFailed> {
        let text = Zeroizing::new(serde_json::to_vec(self).map_err(|_| SealFailed)?);
        Ok(URL_SAFE_NO_PAD.encode(key.seal(PLACE, &text)?))
    }

    /// What the browser kept, unless it is none of ours, changed, or too old.
    pub(super) fn open(sealed: &str, key: &SealKey, now: Timestamp) -> Option<Self> {
        let text = key.open(PLACE, &URL_SAFE_NO_PAD.decode(sealed).ok()?).ok()?;
        let attempt: Self = serde_json::from_slice(&text).ok()?;
        let age = now.seconds().checked_sub(attempt.begun)?;
        (0..=LIFETIME.as_secs()).contains(&u64::try_from(age).ok()?).then_some(attempt)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.verifier.zeroize();
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt(..)")
    }
}

/// Attempts that were finished, for as long as their cookies would open: each is good for one sign-in. Only those are
/// noted that the provider stood by, or whoever makes up answers could fill it and keep everybody else out.
#[derive(Debug, Default)]
pub(super) struct Finished(Mutex<HashMap<String, i64>>);

impl Finished {
    /// Whether this one is.
    pub(super) fn knows(&self, attempt: &Attempt) -> bool {
        self.lock().contains_key(&attempt.state)
    }

    /// Notes that this one is. False: it was before, or too many are.
    pub(super) fn note(&self, attempt: &Attempt, now: Timestamp) -> bool {
        let mut finished = self.lock();
        if finished.len() >= MOST_FINISHED {
            let lifetime = i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX);
            finished.retain(|_, begun| now.seconds().saturating_sub(*begun) <= lifetime);
        }
        finished.len() < MOST_FINISHED && finished.insert(attempt.state.clone(), attempt.begun).is_none()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 random bits as text.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

/// What the cookie is sealed for.
const PLACE: &str = "oidc sign-in";
/// For a person to type a password and a second factor.
pub(super) const LIFETIME: Duration = Duration::from_secs(600);
const MOST_FINISHED: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::secret::RootSecret;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn key(byte: u8) -> SealKey {
        SealKey::derive(&RootSecret::parse(&[byte; 32]).unwrap()).unwrap()
    }

    #[test]
    fn an_attempt_opens_here_for_ten_minutes() {
        let attempt = Attempt::begin(Some("/scans?x=1"), NOW).unwrap();
        let sealed = attempt.seal(&key(1)).unwrap();
        let opened = Attempt::open(&sealed, &key(1), NOW.after(LIFETIME)).unwrap();
        assert_eq!((&opened.state, opened.return_to.as_deref()), (&attempt.state, Some("/scans?x=1")));
        assert!(Attempt::open(&sealed, &key(1), NOW.after(LIFETIME + Duration::from_secs(1))).is_none());
        assert!(Attempt::open(&sealed, &key(1), NOW.before(Duration::from_secs(1))).is_none());
        assert!(Attempt::open(&sealed, &key(2), NOW).is_none());
        for odd in ["", "x", "!", &sealed[1..], &sealed[..sealed.len() - 4]] {
            assert!(Attempt::open(odd, &key(1), NOW).is_none(), "{odd}");
        }
        for secret in [&attempt.nonce, &attempt.verifier, &attempt.state] {
            assert!(!sealed.contains(secret.as_str()) && !format!("{attempt:?}").contains(secret.as_str()));
        }
    }

    #[test]
    fn nothing_is_used_twice() {
        let (one, other) = (Attempt::begin(None, NOW).unwrap(), Attempt::begin(None, NOW).unwrap());
        assert!(one.state != other.state && one.nonce != other.nonce && one.verifier != other.verifier);
        assert!(one.state != one.nonce && one.nonce != one.verifier);
        let finished = Finished::default();
        assert!(!finished.knows(&one) && finished.note(&one, NOW) && finished.note(&other, NOW));
        assert!(finished.knows(&one));
        assert!(!finished.note(&one, NOW) && !finished.note(&other, NOW.after(LIFETIME)));
    }
}
