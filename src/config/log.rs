//! `[log]`: what the program says on standard output.

use tracing::Level;

use super::raw::{Item, Problem, Section};

/// Settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// One JSON object per line, or text for people.
    pub format: LogFormat,
    /// What is less important than this is left out.
    pub level: Level,
    /// Whether each request has its line.
    pub access: bool,
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
