//! `health`: how a target is asked whether it is well.

use std::{num::NonZeroU32, time::Duration};

use http::uri::PathAndQuery;

use super::super::{
    quantity::timeout,
    raw::{Item, Problem, Section},
};

/// How a target is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked for, with GET; 2xx and 3xx are well.
    pub path: PathAndQuery,
    /// From one question to the next, about; an answer that takes longer is none.
    pub interval: Duration,
    /// So many bad answers in a row take a target out.
    pub unhealthy_after: NonZeroU32,
    /// So many good ones bring it back.
    pub healthy_after: NonZeroU32,
}

impl Health {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let path = section.need("path", r#""/healthz""#, path);
        let interval = section.read("interval", r#""2s""#, timeout).unwrap_or(Duration::from_secs(2));
        let mut count = |key, example, default| {
            let given = section.read(key, example, |item| item.number(1..=1000));
            given.and_then(NonZeroU32::new).unwrap_or(default)
        };
        let unhealthy_after = count("unhealthy_after", "2", NonZeroU32::MIN.saturating_add(1));
        let healthy_after = count("healthy_after", "1", NonZeroU32::MIN);
        Some(Self { path: path?, interval, unhealthy_after, healthy_after })
    }
}

fn path(item: &Item) -> Result<PathAndQuery, Problem> {
    let text = item.text()?;
    let path = text.starts_with('/').then(|| text.parse().ok()).flatten();
    path.filter(|path: &PathAndQuery| path.as_str() == text).ok_or_else(|| format!("{text:?} is not a path"))
}
