//! One value as people read it.

use std::{fmt::Write, time::Duration};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::Kind;
use crate::domain::time::Timestamp;

/// A text and the colour it has on a terminal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) style: Style,
}

/// How many words of a list a table row has room for.
const WORDS_IN_A_ROW: usize = 3;

impl Cell {
    /// A value in a row of many.
    pub(super) fn short(value: &Value, kind: Kind, now: Timestamp) -> Self {
        match (kind, value) {
            (Kind::Words, Value::Array(words)) if words.len() > WORDS_IN_A_ROW => {
                let shown = join(&words[..WORDS_IN_A_ROW]);
                Self::plain(&format!("{shown} +{}", words.len() - WORDS_IN_A_ROW))
            }
            _ => Self::full(value, kind, now),
        }
    }

    /// A value with room of its own.
    pub(super) fn full(value: &Value, kind: Kind, now: Timestamp) -> Self {
        match (kind, value) {
            (_, Value::Null) => Self { text: "-".to_owned(), style: Style::new().dimmed() },
            (Kind::Time, Value::String(text)) => {
                text.parse().map_or_else(|_| Self::plain(text), |at| Self::plain(&time(at, now)))
            }
            (Kind::Status, Value::String(word)) => Self { text: harmless(word), style: status_style(word) },
            (_, Value::String(text)) => Self::plain(text),
            (_, Value::Array(items)) if items.is_empty() => {
                Self { text: "-".to_owned(), style: Style::new().dimmed() }
            }
            (_, Value::Array(items)) => Self::plain(&join(items)),
            (_, Value::Object(object)) if object.contains_key("id") => Self::plain(&word(value)),
            (_, Value::Bool(true)) => Self::plain("yes"),
            (_, Value::Bool(false)) => Self::plain("no"),
            (_, other) => Self::plain(&other.to_string()),
        }
    }

    fn plain(text: &str) -> Self {
        Self { text: harmless(text), style: Style::new() }
    }
}

fn join(items: &[Value]) -> String {
    items.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A text, a person, a place, or the role that a membership gives and where.
fn word(item: &Value) -> String {
    let text = |field: &str| item.get(field).and_then(Value::as_str);
    if let Some(name) = text("email").or(text("slug")) {
        return name.to_owned();
    }
    match (item, text("role"), text("team_id")) {
        (Value::String(word), ..) => word.clone(),
        (Value::Object(_), None, None) if item.get("role").is_some() => "none".to_owned(),
        (Value::Object(_), None, Some(team)) => format!("none@{team}"),
        (_, Some(role), None) => role.to_owned(),
        (_, Some(role), Some(team)) => format!("{role}@{team}"),
        _ => item.to_string(),
    }
}

fn status_style(word: &str) -> Style {
    match word {
        "active" | "ok" | "yes" => AnsiColor::Green.on_default(),
        "rotating" | "warning" => AnsiColor::Yellow.on_default(),
        "revoked" | "failed" => AnsiColor::Red.on_default(),
        _ => Style::new().dimmed(),
    }
}

/// `2026-11-21T13:12:05Z (3h ago)`.
pub(super) fn time(at: Timestamp, now: Timestamp) -> String {
    let whole_seconds = Timestamp::from_micros(at.seconds().saturating_mul(1_000_000));
    // One of the two is zero.
    let (ahead, behind) = (at.since(now), now.since(at));
    if ahead.max(behind) < Duration::from_secs(1) {
        format!("{whole_seconds} (now)")
    } else if at > now {
        format!("{whole_seconds} (in {})", span(ahead))
    } else {
        format!("{whole_seconds} ({} ago)", span(behind))
    }
}

/// One number and a unit, from two of that unit on, to the nearest: 48 hours that began a moment ago are still 48.
fn span(span: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let seconds = span.as_secs();
    let (length, unit) = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length).unwrap_or((1, "s"));
    format!("{}{unit}", (seconds + length / 2) / length)
}

/// Names come from outside: what would move the cursor, recolour the terminal or turn the direction
/// of writing is shown as an escape instead.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.trim().chars() {
        match char {
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                let _ = write!(shown, "{}", char.escape_unicode());
            }
            _ if char.is_control() => {
                let _ = write!(shown, "{}", char.escape_default());
            }
            _ => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_250_000);

    #[test]
    fn times_tell_how_far_they_are() {
        let cases = [
            (NOW, "2027-01-15T08:00:00Z (now)"),
            (NOW.before(Duration::from_secs(59)), "2027-01-15T07:59:01Z (59s ago)"),
            (NOW.before(Duration::from_secs(7_300)), "2027-01-15T05:58:20Z (2h ago)"),
            (NOW.after(Duration::from_secs(48 * 3_600 - 2)), "2027-01-17T07:59:58Z (in 48h)"),
            (NOW.after(Duration::from_secs(90 * 86_400)), "2027-04-15T08:00:00Z (in 90d)"),
            (NOW.after(Duration::from_secs(90 * 86_400 - 1)), "2027-04-15T07:59:59Z (in 90d)"),
        ];
        for (at, expected) in cases {
            assert_eq!(time(at, NOW), expected);
        }
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(harmless("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(harmless("Zoë 日本"), "Zoë 日本");
    }

    #[test]
    fn long_lists_are_cut_in_a_row_and_whole_alone() {
        let words = json!(["a", "b", "c", "d", "e"]);
        assert_eq!(Cell::short(&words, Kind::Words, NOW).text, "a b c +2");
        assert_eq!(Cell::full(&words, Kind::Words, NOW).text, "a b c d e");
        assert_eq!(Cell::short(&json!([]), Kind::Words, NOW).text, "-");
    }
}
