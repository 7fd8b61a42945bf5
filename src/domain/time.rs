//! Time as the gateway keeps it: whole microseconds UTC, read from a [`Clock`] that tests can turn.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970, UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970, UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, UTC, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// As HTTP writes it (RFC 9110 section 5.6.7); none beyond the year 9999.
    pub fn http_date(self) -> Option<String> {
        let time = jiff::Timestamp::from_microsecond(self.0).ok()?;
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
    }

    /// This much later; stays at the last representable moment instead of wrapping.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This much earlier; stays at the first representable moment instead of wrapping.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// RFC 3339 in UTC, with a fraction only where there is one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => fmt::Display::fmt(&time, f),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: expected RFC 3339 such as 2027-01-31T09:30:00Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(time.as_microsecond()))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock: what expiry and grace are judged by.
    pub wall: Timestamp,
    /// Time since the process began: what rates and ages are judged by, immune to a wall clock that is set.
    pub uptime: Duration,
}

/// Where time comes from. Cheap to clone; clones share one time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { started: Instant },
    Manual { origin: Timestamp, elapsed_micros: Arc<AtomicI64> },
}

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    pub fn system() -> Self {
        Self(Source::System { started: Instant::now() })
    }

    /// A clock that stands still until [`advance`](Self::advance) moves it.
    pub fn manual(origin: Timestamp) -> Self {
        Self(Source::Manual { origin, elapsed_micros: Arc::default() })
    }

    /// Both clocks, read together.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    pub fn read(&self) -> Moment {
        match &self.0 {
            Source::System { started } => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Moment { wall: Timestamp::default().after(since_epoch), uptime: started.elapsed() }
            }
            Source::Manual { origin, elapsed_micros } => {
                let micros = elapsed_micros.load(Ordering::SeqCst);
                let uptime = Duration::from_micros(micros.unsigned_abs());
                Moment { wall: origin.after(uptime), uptime }
            }
        }
    }

    /// The monotonic clock alone.
    pub fn uptime(&self) -> Duration {
        match &self.0 {
            Source::System { started } => started.elapsed(),
            Source::Manual { .. } => self.read().uptime,
        }
    }

    /// The wall clock alone.
    pub fn now(&self) -> Timestamp {
        self.read().wall
    }

    /// Moves a manual clock forward; the machine's clock is not ours to move.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual { elapsed_micros, .. } = &self.0 {
            let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            elapsed_micros.fetch_add(micros, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_microseconds_agree() {
        let time: Timestamp = "2027-01-31T09:30:00.25Z".parse().unwrap_or_default();
        assert_eq!(time.micros() % 1_000_000, 250_000);
        assert_eq!(time.to_string(), "2027-01-31T09:30:00.25Z");
        assert_eq!("yesterday".parse::<Timestamp>(), Err(NotATime));
    }

    #[test]
    fn spans_stop_at_the_ends_of_time() {
        let last = Timestamp::from_micros(i64::MAX);
        assert_eq!(last.after(Duration::from_secs(1)), last);
        assert_eq!(Timestamp::default().since(last), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_for_all_its_clones() {
        let clock = Clock::manual(Timestamp::from_micros(5));
        let seen_elsewhere = clock.clone();
        clock.advance(Duration::from_micros(3));
        assert_eq!(seen_elsewhere.now().micros(), 8);
    }
}
