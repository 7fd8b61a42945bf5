//! Lists in parts. A cursor is opaque and sealed: it goes on with the list it came from, for the caller it was given
//! to, and a changed one is refused rather than read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    error::{ApiError, Wrong},
    input::Input,
    shape::{Field, Kind, field},
};
use crate::{
    control::service::{Control, Page, PageOf},
    domain::key::secret::Mac,
};

/// What every list takes.
pub(super) const FIELDS: &[Field] = &[
    field("limit", Kind::Between(1, 200), "How many at most; 50 unless said."),
    field("cursor", Kind::Text, "The `next_cursor` of the part before."),
];

const MAC: usize = 40;

/// A list as one caller asks for it.
pub(super) struct List {
    control: Control,
    /// Caller, path and filters: what a cursor belongs to.
    about: String,
}

impl List {
    pub(super) fn new(control: Control, caller: &str, path: &str, query: &Input) -> Self {
        let filters = query.without(&["limit", "cursor"]).canonical();
        Self { control, about: format!("cursor\n{caller}\n{path}\n{filters}") }
    }

    /// Where the asked part begins, and how long it is.
    pub(super) fn page(&self, query: &Input) -> Result<Page, ApiError> {
        let limit = query.whole("limit").map(|limit| u32::try_from(limit).unwrap_or(0));
        let cursor = query.text("cursor").map(|cursor| self.open(cursor)).transpose()?;
        Ok(Page { limit, cursor })
    }

    /// The answer.
    pub(super) fn answer<T: Serialize>(&self, page: &PageOf<T>) -> Value {
        let next = page.next_cursor.as_deref().map(|position| self.close(position));
        json!({ "items": page.items, "next_cursor": next })
    }

    fn close(&self, position: &str) -> String {
        let seal = self.control.seal(&format!("{}\n{position}", self.about));
        URL_SAFE_NO_PAD.encode([seal.to_bytes().as_slice(), position.as_bytes()].concat())
    }

    fn open(&self, cursor: &str) -> Result<String, ApiError> {
        let position = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (seal, position) = bytes.split_at_checked(MAC)?;
            let position = std::str::from_utf8(position).ok()?;
            let sealed = format!("{}\n{position}", self.about);
            self.control.is_sealed(&Mac::from_bytes(seal)?, &sealed).then(|| position.to_owned())
        };
        position().ok_or_else(|| {
            Wrong::new("cursor", "expected the next_cursor of this list, with the same filters").into()
        })
    }
}
