//! How often a key is used, when and from where (R000_20).

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Serialize;

use super::{super::caller::Who, own};
use crate::{
    control::service::{Caller, Control, ServiceError},
    domain::{profile::control, time::Timestamp},
    store::usage,
};

/// The use of a key in a window that ends now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyUsage {
    /// As it was asked for.
    pub window: String,
    /// The parts of the window in which the key was used, oldest first.
    pub buckets: Vec<Bucket>,
    /// From where, the busiest first.
    pub sources: Vec<Source>,
}

/// Uses in a part of the window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// When it begins.
    pub start: Timestamp,
    /// How often.
    pub count: u64,
}

/// Uses from one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Which; none when it could not be told.
    pub ip: Option<IpAddr>,
    /// How often.
    pub count: u64,
    /// When last, to the minute.
    pub last_used_at: Timestamp,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const DEFAULT: &str = "24h";
const MOST_SOURCES: u32 = 100;

impl Control {
    /// The use of a key; `window` is a number of minutes, hours or days such as `24h`.
    pub async fn key_usage(
        &self,
        caller: &Caller,
        named: &str,
        window: Option<&str>,
    ) -> Result<KeyUsage, ServiceError> {
        let window = window.unwrap_or(DEFAULT);
        let (length, step) = span(window)
            .ok_or_else(|| ServiceError::field("window", "expected 1m to 90d, such as 30m, 24h or 7d"))?;
        let now = self.clock().now();
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, now).await?;
        let held = self.key(&mut conn, &who, named).await?;
        let itself = matches!(&who, Who::Key(holder, _) if holder.key.id == held.key.id);
        if !itself && !own(&who, &held.key) {
            who.require(self.profile(), control::USAGE_READ, &held.key.boundary)?;
        }
        let since = now.before(Duration::from_secs(length));
        let step = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let mut buckets = BTreeMap::<i64, u64>::new();
        let (minutes, sources) =
            usage::by_minute_and_source(&mut conn, held.key.id, since, MOST_SOURCES).await?;
        for minute in minutes {
            let start = minute.start.micros().div_euclid(step).saturating_mul(step);
            *buckets.entry(start).or_default() += minute.count;
        }
        let bucket = |(start, count)| Bucket { start: Timestamp::from_micros(start), count };
        let source =
            |source: usage::Source| Source { ip: source.ip, count: source.count, last_used_at: source.last };
        Ok(KeyUsage {
            window: window.to_owned(),
            buckets: buckets.into_iter().map(bucket).collect(),
            sources: sources.into_iter().map(source).collect(),
        })
    }
}

/// Length of the window and of its parts, in seconds: never more than some two hundred parts.
fn span(text: &str) -> Option<(u64, u64)> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let length = number
        * match unit {
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            _ => return None,
        };
    let step = match length {
        1..=7_200 => MINUTE,
        7_201..=604_800 => HOUR,
        604_801..=7_776_000 => DAY,
        _ => return None,
    };
    Some((length, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_few_parts_and_no_surprises() {
        assert_eq!(span("24h"), Some((DAY, HOUR)));
        assert_eq!(span("120m"), Some((2 * HOUR, MINUTE)));
        assert_eq!(span("90d"), Some((90 * DAY, DAY)));
        for wrong in ["", "h", "0h", "91d", "24", "-1h", "1w", "1.5h", "24 h", "9999999m", "２h", "24é"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }
}
