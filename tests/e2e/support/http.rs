//! HTTP/1.1 read from a stream, strictly: what the gateway sends to either side must hold to the letter of RFC 9112.

use std::io::{self, ErrorKind, Read};

use serde_json::Value;

/// How many bytes of a body, and of a connection, are kept; the rest is counted and summed.
const KEPT: usize = 4 << 20;

/// Field lines in their order. Values keep each byte as the character with that number, so nothing is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// All values of this name, compared without case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The only value of this name; two lines of one name fail the test.
    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came {} times: {all:?}", all.len());
        all.first().copied()
    }

    /// Names that fold (lower case, everything but letters and digits to `-`) to this one.
    pub fn folding_to(&self, name: &str) -> Vec<&(String, String)> {
        self.0.iter().filter(|(field, _)| fold(field) == fold(name)).collect()
    }
}

fn fold(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// A body: its length and CRC-32 always, its bytes up to a bound.
#[derive(Debug, Clone, Default)]
pub struct Body {
    pub length: u64,
    pub kept: Vec<u8>,
    pub sum: crc32fast::Hasher,
}

impl Body {
    fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.sum.update(bytes);
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.kept)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
}

/// The first line and the fields of a message.
#[derive(Debug, Clone)]
pub struct Head {
    pub first: String,
    pub fields: Fields,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    ToTheEnd,
}

impl Framing {
    /// Of a message that has a body if its fields say so; `otherwise` when they say nothing.
    pub fn of(fields: &Fields, otherwise: Self) -> io::Result<Self> {
        let lengths = fields.all("content-length");
        let encodings = fields.all("transfer-encoding");
        match (lengths.as_slice(), encodings.as_slice()) {
            ([], []) => Ok(otherwise),
            ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
                length.parse().map(Self::Length).map_err(|_| broken("content-length beyond 64 bits"))
            }
            ([], [encoding]) if encoding.eq_ignore_ascii_case("chunked") => Ok(Self::Chunked),
            _ => {
                Err(broken(&format!("framing: content-length {lengths:?}, transfer-encoding {encodings:?}")))
            }
        }
    }
}

/// Reads messages one after another from a stream and records every byte.
#[derive(Debug)]
pub struct Reader<S> {
    pub stream: S,
    buffer: Vec<u8>,
    at: usize,
    pub record: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), at: 0, record: Vec::new() }
    }

    /// Bytes that have come and that no message has used.
    pub fn surplus(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// One read; zero is the end of the stream.
    pub fn fill(&mut self) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        let mut chunk = [0; 16 << 10];
        let count = loop {
            match self.stream.read(&mut chunk) {
                // A signal came in between, and nothing else.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        let room = KEPT.saturating_sub(self.record.len());
        self.record.extend_from_slice(&chunk[..count.min(room)]);
        Ok(count)
    }

    /// Hands those bytes out: they belong to something else than HTTP.
    pub fn take_surplus(&mut self) -> Vec<u8> {
        let surplus = self.buffer.split_off(self.at);
        self.at = self.buffer.len();
        surplus
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.surplus().iter().position(|byte| *byte == b'\n') {
                let line = &self.surplus()[..=end];
                let Some(text) = line.strip_suffix(b"\r\n") else {
                    return Err(broken("a line ends in a bare LF"));
                };
                if text.contains(&b'\r') || text.contains(&0) {
                    return Err(broken("a bare CR or a NUL inside a line"));
                }
                let text = text.iter().map(|byte| char::from(*byte)).collect();
                self.at += end + 1;
                return Ok(Some(text));
            }
            if self.fill()? == 0 {
                return if self.surplus().is_empty() { Ok(None) } else { Err(cut("inside a line")) };
            }
        }
    }

    fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Fields::default();
        loop {
            let line = self.line()?.ok_or_else(|| cut("inside the fields"))?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| broken(&format!("no colon in {line:?}")))?;
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(broken(&format!("white space in the field name {name:?}")));
            }
            fields.0.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    /// The next head; none when the stream ended cleanly before it.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        let Some(first) = self.line()? else { return Ok(None) };
        Ok(Some(Head { first, fields: self.fields()? }))
    }

    /// The body into `body`, and its trailers.
    pub fn body(&mut self, framing: Framing, body: &mut Body) -> io::Result<Fields> {
        match framing {
            Framing::None => Ok(Fields::default()),
            Framing::Length(length) => self.exactly(length, body).map(|()| Fields::default()),
            Framing::ToTheEnd => loop {
                body.take(&self.buffer[self.at..]);
                self.at = self.buffer.len();
                if self.fill()? == 0 {
                    return Ok(Fields::default());
                }
            },
            Framing::Chunked => loop {
                let size = self.line()?.ok_or_else(|| cut("before a chunk"))?;
                let digits = size.split(';').next().unwrap_or_default();
                let length =
                    u64::from_str_radix(digits, 16).map_err(|_| broken(&format!("chunk size {size:?}")))?;
                if length == 0 {
                    return self.fields();
                }
                self.exactly(length, body)?;
                if self.line()?.as_deref() != Some("") {
                    return Err(broken("a chunk is not followed by CRLF"));
                }
            },
        }
    }

    fn exactly(&mut self, mut length: u64, body: &mut Body) -> io::Result<()> {
        while length > 0 {
            let present = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len() - self.at);
            body.take(&self.buffer[self.at..self.at + present]);
            self.at += present;
            length -= present as u64;
            if length > 0 && self.fill()? == 0 {
                return Err(cut("inside a body"));
            }
        }
        Ok(())
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn cut(place: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("the stream ended {place}"))
}
