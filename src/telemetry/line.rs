//! One event as one line of printable ASCII.
//!
//! Much of what stands in a line was chosen by a client. Whatever it sent, the line stays one line and cannot
//! steer a terminal: control characters, quotes, and everything beyond ASCII (C1 controls, bidirectional
//! marks, line separators) are written as `\u` escapes, which JSON readers undo. Both formats share the quoting.

use std::{
    fmt::{self, Display},
    io::Write as _,
};

use super::redact::Redactor;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// `key=value` pairs, quoted where a value needs it.
    Text,
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

    pub(super) fn key(&mut self, key: &str) {
        let is_json = self.format == LineFormat::Json;
        if !self.first {
            self.buffer.push(if is_json { b',' } else { b' ' });
        }
        self.first = false;
        if is_json {
            self.buffer.push(b'"');
            self.buffer.extend_from_slice(key.as_bytes());
            self.buffer.push(b'"');
            self.buffer.push(b':');
        } else {
            self.buffer.extend_from_slice(key.as_bytes());
            self.buffer.push(b'=');
        }
    }

    pub(super) fn nothing(&mut self) {
        self.buffer.extend_from_slice(if self.format == LineFormat::Json { b"null" } else { b"-" });
    }

    /// Formatted by us: needs no quoting in text and none but the quotes in JSON.
    pub(super) fn bare(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let quote: &[u8] = if self.format == LineFormat::Json { b"\"" } else { b"" };
        self.buffer.extend_from_slice(quote);
        append(self.buffer, format_args!("{value}"));
        self.buffer.extend_from_slice(quote);
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

    /// One of our own words.
    pub(super) fn word(&mut self, key: &str, value: &'static str) {
        self.key(key);
        self.text(value);
    }

    /// Text that somebody else chose: whatever looks like a key in it is cut.
    pub(super) fn foreign(&mut self, key: &str, value: Option<&str>) {
        self.key(key);
        match value {
            Some(value) => {
                let redactor = self.redactor;
                self.text(&redactor.clean(value));
            }
            None => self.nothing(),
        }
    }

    fn text(&mut self, value: &str) {
        let plain = |byte: u8| matches!(byte, b'!' | b'#'..=b'<' | b'>'..=b'[' | b']'..=b'~');
        if self.format == LineFormat::Text && value != "-" && !value.is_empty() && are_all(value, plain) {
            self.buffer.extend_from_slice(value.as_bytes());
        } else {
            quoted(self.buffer, value);
        }
    }
}

/// Whether every byte is. Looks at all of them, because that is done many at a time.
fn are_all(text: &str, is: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, byte| all & is(byte))
}

/// A number, with zeros in front where it has fewer digits than `least`.
fn digits(buffer: &mut Vec<u8>, value: u64, least: usize) {
    let mut room = [b'0'; 20];
    let (mut rest, mut at) = (value, room.len());
    while rest > 0 {
        at -= 1;
        room[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    buffer.extend_from_slice(&room[at.min(room.len() - least)..]);
}

/// A JSON string (RFC 8259 section 7) in printable ASCII.
fn quoted(buffer: &mut Vec<u8>, value: &str) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~' if byte != b'"' && byte != b'\\');
    buffer.push(b'"');
    if are_all(value, plain) {
        buffer.extend_from_slice(value.as_bytes());
    } else {
        for char in value.chars() {
            escaped(buffer, char);
        }
    }
    buffer.push(b'"');
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
