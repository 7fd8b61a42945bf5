//! `[log]`: what the program says on standard output.

use std::{num::NonZeroU32, time::Duration};

use tracing::Level;

use super::{
    quantity::timeout,
    raw::{Item, Problem, Section},
};

/// Settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// One JSON object per line, or text for people.
    pub format: LogFormat,
    /// What is less important than this is left out.
    pub level: Level,
    /// Whether each request has its line.
    pub access: bool,
    /// How many requests of each organization are kept for its people to look at; none: no request is kept.
    pub requests: Option<NonZeroU32>,
    /// For how long they are.
    pub requests_age: Duration,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For machines.
    Json,
    /// For people.
    Text,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            format: section.read("format", r#""json""#, format).unwrap_or(LogFormat::Json),
            level: section.read("level", r#""info""#, level).unwrap_or(Level::INFO),
            access: section.read("access", "true", Item::boolean).unwrap_or(true),
            requests: section
                .read("requests", "10000", |item| item.number(0..=1_000_000))
                .map_or(Some(REQUESTS), NonZeroU32::new),
            requests_age: section.read("requests_age", r#""7d""#, timeout).unwrap_or(REQUESTS_AGE),
        }
    }
}

fn format(item: &Item) -> Result<LogFormat, Problem> {
    match item.text()? {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        other => Err(format!("{other:?} is not json or text")),
    }
}

fn level(item: &Item) -> Result<Level, Problem> {
    match item.text()? {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        other => Err(format!("{other:?} is not error, warn, info, debug or trace")),
    }
}

/// Enough to see what a pipeline did yesterday, a few megabytes at most.
const REQUESTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);
const REQUESTS_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
