//! Quantities as people write them: `48h`, `1h30m`, `32KiB`.

use std::{fmt, time::Duration};

use super::raw::{Item, Problem};

/// A number of bytes. Written as `32KiB`, `10MB` or `512`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// In bytes, as the machine counts; the largest count where it cannot hold the number.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZES
            .iter()
            .rev()
            .find(|(name, bytes)| name.ends_with("iB") && self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A duration in the form the configuration takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Humane(pub Duration);

impl fmt::Display for Humane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_millis();
        if left == 0 {
            return f.write_str("0s");
        }
        // Days are read but not written: "48h" is what the documentation says.
        for (name, millis) in SPANS.iter().filter(|(name, _)| *name != "d") {
            let count = left / u128::from(*millis);
            left %= u128::from(*millis);
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

/// `250ms`, `5s`, `1h30m`, `7d`. Ten years at most, so that no sum of times can overflow.
pub(super) fn duration(item: &Item) -> Result<Duration, Problem> {
    let text =
        item.text().map_err(|problem| format!("{problem}; a duration has a unit: ms, s, m, h or d"))?;
    parse_duration(text)
}

/// A duration that is not zero.
pub(super) fn timeout(item: &Item) -> Result<Duration, Problem> {
    let span = duration(item)?;
    if span.is_zero() {
        return Err("must be longer than zero".to_owned());
    }
    Ok(span)
}

/// `32KiB`, `10MB`, `0`; a bare number counts bytes.
pub(super) fn size(item: &Item) -> Result<ByteSize, Problem> {
    if let Ok(bytes) = item.number(0..=i64::MAX) {
        return Ok(ByteSize(bytes.unsigned_abs()));
    }
    let text = item.text().map_err(|_| "expected a size such as \"32KiB\"".to_owned())?;
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is not a size: a whole number and B, KB, KiB, MB, MiB, GB or GiB");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let bytes = match unit.trim_start() {
        "" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes).ok_or_else(wrong)?,
    };
    let bytes = number.checked_mul(bytes).filter(|bytes| i64::try_from(*bytes).is_ok());
    bytes.map(ByteSize).ok_or_else(|| format!("{text:?} is more than can be counted"))
}

fn parse_duration(text: &str) -> Result<Duration, Problem> {
    let wrong =
        || format!("{text:?} is not a duration: a whole number and ms, s, m, h or d, such as \"1h30m\"");
    let mut rest = text;
    let mut millis: u64 = 0;
    // Units stand in falling order and once each: "5m1h" is a slip rather than an idea.
    let mut coarsest = SPANS;
    while !rest.is_empty() || text.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(number_ends);
        let unit_ends = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        let place = coarsest.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        millis = number
            .checked_mul(coarsest[place].1)
            .and_then(|more| millis.checked_add(more))
            .filter(|sum| *sum <= LONGEST)
            .ok_or_else(|| format!("{text:?} is longer than ten years"))?;
        coarsest = &coarsest[place + 1..];
        rest = tail;
    }
    Ok(Duration::from_millis(millis))
}

/// In milliseconds, from coarse to fine.
const SPANS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const LONGEST: u64 = 3_653 * 86_400_000;

/// In bytes.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];
