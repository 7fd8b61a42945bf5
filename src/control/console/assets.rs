//! What pages are dressed in: served from here, under names that change with their content, so that they may be kept
//! for ever and nothing is ever loaded from elsewhere.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Where the assets are.
#[derive(Debug, Clone)]
pub(in crate::control) struct Assets {
    /// The path of the style sheet.
    pub(in crate::control) style: String,
    /// The path of the picture.
    pub(in crate::control) mark: String,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asset {
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
}

pub(super) const STYLE: Asset =
    Asset { kind: "text/css; charset=utf-8", text: include_str!("assets/style.css") };
pub(super) const MARK: Asset = Asset { kind: "image/svg+xml", text: include_str!("assets/mark.svg") };

impl Assets {
    pub(in crate::control) fn new() -> Self {
        Self { style: path("style", "css", STYLE.text), mark: path("mark", "svg", MARK.text) }
    }
}

fn path(name: &str, ending: &str, text: &str) -> String {
    let mut path = format!("/.latchgate/assets/{name}.");
    for byte in Sha256::digest(text).iter().take(HASH_BYTES) {
        // Writing to a text cannot fail.
        let _ = write!(path, "{byte:02x}");
    }
    path + "." + ending
}

const HASH_BYTES: usize = 8;
