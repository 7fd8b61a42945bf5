//! The life of a key: active, rotating out, expired or revoked, and never back (R000_18, R000_19).

use std::{fmt, time::Duration};

use crate::domain::time::Timestamp;

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Works.
    Active,
    /// Replaced by a successor; works until its grace ends.
    Rotating,
    /// Its expiry or its grace has passed.
    Expired,
    /// Disabled by somebody, for ever.
    Revoked,
}

impl Status {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Active, Self::Rotating, Self::Expired, Self::Revoked];

    /// The name used in the API and as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a key in this state is accepted.
    pub const fn works(self) -> bool {
        matches!(self, Self::Active | Self::Rotating)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a status: expected active, rotating, expired or revoked")]
pub struct NotAStatus;

impl std::str::FromStr for Status {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(NotAStatus)
    }
}

/// The dates that decide a key's status; the status itself is never stored, so it is never stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When it was made.
    pub created_at: Timestamp,
    /// From this moment on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Set by rotation: from this moment on the old key is refused.
    pub grace_until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Life {
    /// A new key's life.
    pub const fn begin(created_at: Timestamp, expires_at: Option<Timestamp>) -> Self {
        Self { created_at, expires_at, grace_until: None, revoked_at: None }
    }

    /// The status at `now`.
    pub fn status(&self, now: Timestamp) -> Status {
        Term::from(*self).status(now)
    }

    /// The earlier of expiry and end of grace.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match (self.expires_at, self.grace_until) {
            (Some(expiry), Some(grace)) => Some(expiry.min(grace)),
            (one, other) => one.or(other),
        }
    }

    /// The old key's life after a rotation: `grace` more, but never beyond its own expiry.
    pub fn rotate(self, now: Timestamp, grace: Duration) -> Result<Self, Refused> {
        match self.status(now) {
            Status::Active => Ok(Self { grace_until: Some(now.after(grace)), ..self }),
            status => Err(Refused { status }),
        }
    }

    /// The life after a revocation.
    pub fn revoke(self, now: Timestamp) -> Result<Self, Refused> {
        match self.status(now) {
            Status::Revoked => Err(Refused { status: Status::Revoked }),
            _ => Ok(Self { revoked_at: Some(now), ..self }),
        }
    }
}

/// How a life ends: as much of it as a decision needs, in less room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    ends_at: Option<Timestamp>,
    is_revoked: bool,
    is_rotating: bool,
}

impl From<Life> for Term {
    fn from(life: Life) -> Self {
        Self {
            ends_at: life.ends_at(),
            is_revoked: life.revoked_at.is_some(),
            is_rotating: life.grace_until.is_some(),
        }
    }
}

impl Term {
    /// The status at `now`. Ends are exclusive: a key that expires at 12:00:00 is refused at 12:00:00.
    #[inline]
    pub fn status(&self, now: Timestamp) -> Status {
        if self.is_revoked {
            return Status::Revoked;
        }
        if self.ends_at.is_some_and(|end| now >= end) {
            return Status::Expired;
        }
        if self.is_rotating { Status::Rotating } else { Status::Active }
    }

    /// The earlier of expiry and end of grace.
    pub const fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// Whether it has a successor.
    pub const fn is_rotating(&self) -> bool {
        self.is_rotating
    }
}

/// A change that a key in this state does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is {status}")]
pub struct Refused {
    /// The state that forbids it.
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GRACE: Duration = Duration::from_secs(48 * 3600);

    #[test]
    fn grace_ends_to_the_microsecond() {
        let start = Timestamp::from_micros(0);
        let old = Life::begin(start, None).rotate(start, GRACE).unwrap();
        assert_eq!(old.status(start.after(GRACE).before(SECOND)), Status::Rotating);
        assert_eq!(old.status(start.after(GRACE).before(Duration::from_micros(1))), Status::Rotating);
        assert_eq!(old.status(start.after(GRACE)), Status::Expired);
    }

    #[test]
    fn grace_does_not_outlive_expiry() {
        let start = Timestamp::from_micros(0);
        let old = Life::begin(start, Some(start.after(SECOND))).rotate(start, GRACE).unwrap();
        assert_eq!(old.status(start.after(SECOND)), Status::Expired);
    }

    proptest! {
        /// Whatever is tried in whatever order, a dead key stays dead and a revoked one says so.
        #[test]
        fn nothing_comes_back(steps in prop::collection::vec((0..3_u8, 0..100_u64), 1..30), expiry in prop::option::of(0..500_u64)) {
            let start = Timestamp::from_micros(0);
            let mut life = Life::begin(start, expiry.map(|s| start.after(Duration::from_secs(s))));
            let mut now = start;
            for (step, wait) in steps {
                let before = life.status(now);
                let next = match step {
                    0 => life.rotate(now, Duration::from_secs(wait)),
                    1 => life.revoke(now),
                    _ => { now = now.after(Duration::from_secs(wait)); Ok(life) }
                };
                if let Ok(next) = next { life = next; }
                let after = life.status(now);
                if !before.works() { prop_assert!(!after.works()); }
                if before == Status::Revoked { prop_assert_eq!(after, Status::Revoked); }
                if before == Status::Rotating { prop_assert_ne!(after, Status::Active); }
            }
        }
    }
}
