//! One event as one line of printable ASCII.
//!
//! Much of what stands in a line was chosen by a client. Whatever it sent, the line stays one line and cannot
//! steer a terminal: control characters, quotes, and everything beyond ASCII (C1 controls, bidirectional
//! marks, line separators) are written as `\u` escapes, which JSON readers undo. Both formats share the quoting.

use std::{
    fmt::{self, Display},
    io::Write as _,
    net::IpAddr,
};

use uuid::{Uuid, fmt::Hyphenated};

use super::redact::Redactor;
use crate::domain::time::Timestamp;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// `key=value` pairs, quoted where a value needs it.
    Text,
}

/// The text of the last second, for times that share it.
#[derive(Debug, Default)]
pub(super) struct Second {
    number: i64,
    text: String,
}

impl Second {
    /// Which this is, in RFC 3339 without the `Z`; none for what has no such text.
    fn of(&mut self, time: Timestamp) -> Option<&str> {
        let number = time.seconds();
        if self.text.is_empty() || number != self.number {
            let text = Timestamp::from_micros(number.checked_mul(1_000_000)?).to_string();
            text.strip_suffix('Z')?.clone_into(&mut self.text);
            self.number = number;
        }
        Some(&self.text)
    }
}

/// A line that is being written.
pub(super) struct Line<'a> {
    buffer: &'a mut Vec<u8>,
    format: LineFormat,
    redactor: &'a Redactor,
    first: bool,
}

impl<'a> Line<'a> {
    pub(super) fn begin(buffer: &'a mut Vec<u8>, format: LineFormat, redactor: &'a Redactor) -> Self {
        if format == LineFormat::Json {
            buffer.push(b'{');
        }
        Self { buffer, format, redactor, first: true }
    }

    pub(super) fn end(self) {
        if self.format == LineFormat::Json {
            self.buffer.push(b'}');
        }
        self.buffer.push(b'\n');
    }

    #[inline]
    pub(super) fn key(&mut self, key: &str) {
        let (before, after) = match (self.format, self.first) {
            (LineFormat::Json, true) => ("\"", "\":"),
            (LineFormat::Json, false) => (",\"", "\":"),
            (LineFormat::Text, true) => ("", "="),
            (LineFormat::Text, false) => (" ", "="),
        };
        self.first = false;
        self.buffer.extend_from_slice(before.as_bytes());
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(after.as_bytes());
    }

    pub(super) fn nothing(&mut self) {
        self.buffer.extend_from_slice(if self.format == LineFormat::Json { b"null" } else { b"-" });
    }

    /// Formatted by us: needs no quoting in text and none but the quotes in JSON.
    pub(super) fn bare(&mut self, key: &str, value: impl Display) {
        self.key(key);
        self.quote();
        append(self.buffer, format_args!("{value}"));
        self.quote();
    }

    fn quote(&mut self) {
        if self.format == LineFormat::Json {
            self.buffer.push(b'"');
        }
    }

    /// A time like many before it.
    pub(super) fn time(&mut self, key: &str, value: Timestamp, second: &mut Second) {
        let Some(second) = second.of(value) else { return self.bare(key, value) };
        self.key(key);
        self.quote();
        self.buffer.extend_from_slice(second.as_bytes());
        let micros = value.micros().rem_euclid(1_000_000).unsigned_abs();
        if micros > 0 {
            self.buffer.push(b'.');
            digits(self.buffer, micros, 6);
            let zeros = self.buffer.iter().rev().take_while(|digit| **digit == b'0').count();
            self.buffer.truncate(self.buffer.len() - zeros);
        }
        self.buffer.push(b'Z');
        self.quote();
    }

    /// An address.
    pub(super) fn address(&mut self, key: &str, value: IpAddr) {
        let IpAddr::V4(value) = value else { return self.bare(key, value) };
        self.key(key);
        self.quote();
        for (place, octet) in value.octets().into_iter().enumerate() {
            if place > 0 {
                self.buffer.push(b'.');
            }
            digits(self.buffer, octet.into(), 1);
        }
        self.quote();
    }

    pub(super) fn number(&mut self, key: &str, value: impl Display) {
        self.key(key);
        append(self.buffer, format_args!("{value}"));
    }

    /// The same, several times faster.
    pub(super) fn count(&mut self, key: &str, value: u64) {
        self.key(key);
        digits(self.buffer, value, 1);
    }

    /// A number with three digits behind the point, of its thousandths.
    pub(super) fn thousandths(&mut self, key: &str, value: u64) {
        self.key(key);
        digits(self.buffer, value / 1000, 1);
        self.buffer.push(b'.');
        digits(self.buffer, value % 1000, 3);
    }

    /// One of our own words, which are plain.
    pub(super) fn word(&mut self, key: &str, value: &'static str) {
        debug_assert!(are_all(value, plain), "{value}");
        self.key(key);
        match self.format {
            LineFormat::Json => self.quoted(value.as_bytes()),
            LineFormat::Text => self.text(value),
        }
    }

    /// The name of something of ours.
    pub(super) fn id(&mut self, key: &str, value: Option<Uuid>) {
        self.key(key);
        let Some(value) = value else { return self.nothing() };
        self.quote();
        let mut text = [0; Hyphenated::LENGTH];
        self.buffer.extend_from_slice(value.hyphenated().encode_lower(&mut text).as_bytes());
        self.quote();
    }

    /// Text that somebody else chose: whatever looks like a key in it is cut.
    pub(super) fn foreign(&mut self, key: &str, value: Option<&[u8]>) {
        self.key(key);
        let Some(value) = value else { return self.nothing() };
        let redactor = self.redactor;
        if self.format == LineFormat::Json && redactor.is_harmless(value) {
            self.quoted(value);
        } else {
            // No text at all only where somebody means harm.
            self.text(&redactor.clean(&String::from_utf8_lossy(value)));
        }
    }

    fn text(&mut self, value: &str) {
        let bare = |byte: u8| plain(byte) && !matches!(byte, b' ' | b'=');
        if self.format == LineFormat::Text && value != "-" && !value.is_empty() && are_all(value, bare) {
            self.buffer.extend_from_slice(value.as_bytes());
        } else if are_all(value, plain) {
            self.quoted(value.as_bytes());
        } else {
            self.buffer.push(b'"');
            for char in value.chars() {
                escaped(self.buffer, char);
            }
            self.buffer.push(b'"');
        }
    }

    /// A JSON string (RFC 8259 section 7) that is plain.
    fn quoted(&mut self, value: &[u8]) {
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(value);
        self.buffer.push(b'"');
    }
}

/// Printable ASCII that needs no escape in a JSON string.
pub(super) const fn plain(byte: u8) -> bool {
    matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')
}

/// Whether every byte is. Looks at all of them, because that is done many at a time.
fn are_all(text: &str, is: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, byte| all & is(byte))
}

/// A number, with zeros in front where it has fewer digits than `least`.
fn digits(buffer: &mut Vec<u8>, value: u64, least: usize) {
    if let (Ok(digit @ 0..10), 1) = (u8::try_from(value), least) {
        return buffer.push(b'0' + digit);
    }
    let mut room = [b'0'; 20];
    let (mut rest, mut at) = (value, room.len());
    while rest > 0 {
        at -= 1;
        room[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    buffer.extend_from_slice(&room[at.min(room.len() - least)..]);
}

fn escaped(buffer: &mut Vec<u8>, char: char) {
    match char {
        '"' => buffer.extend_from_slice(b"\\\""),
        '\\' => buffer.extend_from_slice(b"\\\\"),
        ' '..='~' => buffer.push(u8::try_from(char).unwrap_or(b'?')),
        _ => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                append(buffer, format_args!("\\u{unit:04x}"));
            }
        }
    }
}

/// Writing to memory cannot fail.
fn append(buffer: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    let _ = buffer.write_fmt(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl FnOnce(&mut Line<'_>)) -> String {
        let (mut buffer, redactor) = (Vec::new(), Redactor::default());
        let mut line = Line::begin(&mut buffer, LineFormat::Json, &redactor);
        write(&mut line);
        line.end();
        String::from_utf8(buffer).expect("ASCII")
    }

    proptest::proptest! {
        /// What is written quickly is what the types say of themselves.
        #[test]
        fn times_and_addresses_look_as_everywhere(
            times in proptest::collection::vec(-1_000_000_000_000_000_i64..300_000_000_000_000_000, 1..4),
            near in 0_i64..3_000_000,
            address: IpAddr,
        ) {
            let mut second = Second::default();
            for micros in times.into_iter().flat_map(|time| [time, time + near, time - time.rem_euclid(1_000_000)]) {
                let time = Timestamp::from_micros(micros);
                let written = line(|line| line.time("x", time, &mut second));
                proptest::prop_assert_eq!(written, format!("{{\"x\":\"{time}\"}}\n"));
            }
            let written = line(|line| line.address("x", address));
            proptest::prop_assert_eq!(written, format!("{{\"x\":\"{address}\"}}\n"));
        }

        /// Text that is plain takes a shorter way to the same line.
        #[test]
        fn foreign_text_is_cleaned_and_quoted(text in "(?s)(\\PC|osk_|lgs_|Bearer |://|[a-z@:/ \"\\\\]){0,24}") {
            let redactor = crate::telemetry::redact::tests::redactor();
            let cleaned = redactor.clean(&text).into_owned();
            let mut buffer = Vec::new();
            let mut line = Line::begin(&mut buffer, LineFormat::Json, &redactor);
            line.foreign("x", Some(text.as_bytes()));
            line.end();
            proptest::prop_assert!(buffer.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
            let back: serde_json::Value = serde_json::from_slice(&buffer).expect("JSON");
            proptest::prop_assert_eq!(back["x"].as_str(), Some(cleaned.as_str()));
        }
    }
}
