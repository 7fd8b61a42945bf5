//! Keys from their making to their end.

mod change;
mod create;
mod end;
mod rights;
mod rotate;
mod used;

use serde_json::Value;

use crate::support::program::{ADMIN, Output, Site};

/// `keys create` for the administrator.
fn create(site: &Site, arguments: &[&str]) -> Output {
    site.cli(&[&["keys", "create", "--user", ADMIN], arguments].concat())
}

/// The days from now until this RFC 3339 time, rounded.
fn days_until(time: &Value) -> i64 {
    let time: latchgate::domain::time::Timestamp =
        time.as_str().and_then(|text| text.parse().ok()).expect("a time");
    let now = latchgate::domain::time::Clock::system().now();
    (time.micros() - now.micros() + 43_200_000_000).div_euclid(86_400_000_000)
}
