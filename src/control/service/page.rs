//! Lists in parts. A cursor is opaque to callers: the id of the last object seen.

use std::str::FromStr;

use super::error::ServiceError;

/// How much of a list, and from where on.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many: 50 unless said, 200 at most.
    pub limit: Option<u32>,
    /// The `next_cursor` of the part before.
    pub cursor: Option<String>,
}

impl Page {
    pub(super) fn limit(&self) -> Result<u32, ServiceError> {
        match self.limit {
            None => Ok(50),
            Some(limit @ 1..=200) => Ok(limit),
            Some(_) => Err(ServiceError::field("limit", "expected 1 to 200")),
        }
    }

    pub(super) fn after<T: FromStr>(&self) -> Result<Option<T>, ServiceError> {
        let cursor = self.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        cursor
            .map(|cursor| {
                cursor
                    .parse()
                    .map_err(|_| ServiceError::field("cursor", "expected a next_cursor of this list"))
            })
            .transpose()
    }
}

/// A part of a list.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PageOf<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// Where the next part begins; none at the end.
    pub next_cursor: Option<String>,
}

impl<T> PageOf<T> {
    /// From a list that was asked for one more than `limit`.
    pub(super) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Self { items, next_cursor }
    }
}
