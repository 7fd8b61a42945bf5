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

    /// As a letter says it: `28 November 2026, 14:39 UTC`.
    pub fn for_people(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.strftime("%-d %B %Y, %H:%M UTC").to_string(),
            Err(_) => self.to_string(),
        }
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
        // The library reads more than this one form, and offsets that no place has.
        if !is_rfc3339(text.as_bytes()) {
            return Err(NotATime);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(time.as_microsecond()))
    }
}

/// The form of RFC 3339 section 5.6, whose `T` and `Z` have no case. Whether there is such a day the library knows.
fn is_rfc3339(text: &[u8]) -> bool {
    let Some((fixed, rest)) = text.split_at_checked(19) else { return false };
    let form = fixed.iter().zip(b"0000-00-00T00:00:00").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte.eq_ignore_ascii_case(form),
    });
    let fraction = match rest.split_first() {
        Some((b'.', digits)) => digits.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = &rest[if fraction > 0 { fraction + 1 } else { 0 }..];
    let below = |tens: &u8, ones: &u8, end: u8| {
        tens.is_ascii_digit() && ones.is_ascii_digit() && (tens - b'0') * 10 + (ones - b'0') < end
    };
    let zone = match zone {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h, hours, b':', m, minutes] => below(h, hours, 24) && below(m, minutes, 60),
        _ => false,
    };
    form && zone
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
        for (text, same) in [
            ("2027-01-31T09:30:00+05:30", "2027-01-31T04:00:00Z"),
            ("2027-01-31t09:30:00.5z", "2027-01-31T09:30:00.5Z"),
            ("2027-01-31T09:30:00-23:59", "2027-02-01T09:29:00Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(|time| time.to_string()), Ok(same.to_owned()), "{text}");
        }
    }

    #[test]
    fn times_have_one_form() {
        for wrong in [
            "",
            "yesterday",
            "2027-01-31",
            "2027-01-31T09:30:00",
            "2027-01-31T09:30Z",
            "2027-01-31 09:30:00Z",
            "20270131T093000Z",
            "2027-02-30T09:30:00Z",
            "2027-01-31T24:30:00Z",
            "2027-01-31T09:30:00.Z",
            "2027-01-31T09:30:00,5Z",
            "2027-01-31T09:30:00+25:00",
            "2027-01-31T09:30:00+24:00",
            "2027-01-31T09:30:00+05:60",
            "2027-01-31T09:30:00+0530",
            "2027-01-31T09:30:00+05",
            "2027-01-31T09:30:00Z[Europe/Berlin]",
            "+002027-01-31T09:30:00Z",
            "\u{ff12}027-01-31T09:30:00Z",
            " 2027-01-31T09:30:00Z",
        ] {
            assert_eq!(wrong.parse::<Timestamp>(), Err(NotATime), "{wrong}");
        }
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
