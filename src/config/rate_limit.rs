//! `[rate_limit]`: how often a key may call.

use super::raw::{Item, Problem, Section};
use crate::domain::access::RatePerMinute;

/// Settings of the per-key limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Where the counts are kept.
    pub backend: Backend,
    /// Requests per minute for keys without a rate of their own; none: no limit.
    pub default_per_minute: Option<RatePerMinute>,
}

/// Where the counts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// In this process alone.
    Local,
}

impl RateLimit {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            backend: section.read("backend", r#""local""#, backend).unwrap_or(Backend::Local),
            default_per_minute: section
                .read("default_per_minute", "600", |item| item.number(0..=RatePerMinute::MAX))
                .and_then(|rate| RatePerMinute::new(rate).ok()),
        }
    }
}

/// The refusal does not print the value: a redis URL may hold a password.
fn backend(item: &Item) -> Result<Backend, Problem> {
    match item.text()? {
        "local" => Ok(Backend::Local),
        text if text.starts_with("redis") => {
            Err("Redis is not supported in this version, only local".to_owned())
        }
        _ => Err("is no backend of this version".to_owned()),
    }
}
