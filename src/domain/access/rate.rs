//! How often a credential may call (R000_23).

use std::{fmt, num::NonZeroU32};

/// Requests per minute; as many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct RatePerMinute(NonZeroU32);

/// A rate that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {} requests per minute", RatePerMinute::MAX)]
pub struct BadRate;

impl RatePerMinute {
    /// A million a second: beyond it a limit costs more than it protects.
    pub const MAX: u32 = 60_000_000;

    /// Checks the range.
    pub const fn new(per_minute: u32) -> Result<Self, BadRate> {
        match NonZeroU32::new(per_minute) {
            Some(rate) if per_minute <= Self::MAX => Ok(Self(rate)),
            _ => Err(BadRate),
        }
    }

    /// Requests per minute.
    pub const fn get(self) -> NonZeroU32 {
        self.0
    }
}

impl fmt::Display for RatePerMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for RatePerMinute {
    type Error = BadRate;

    fn try_from(per_minute: i64) -> Result<Self, BadRate> {
        u32::try_from(per_minute).map_err(|_| BadRate).and_then(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_refused_not_wrapped() {
        for wrong in [0, -1, i64::MAX, i64::from(u32::MAX), i64::from(RatePerMinute::MAX) + 1] {
            assert_eq!(RatePerMinute::try_from(wrong), Err(BadRate), "{wrong}");
        }
        assert_eq!(RatePerMinute::try_from(1).unwrap().to_string(), "1");
    }
}
