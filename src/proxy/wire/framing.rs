//! The body of a message in HTTP/1: where it ends, and what of it is there.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};

/// Why bytes are no body, or not a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unframed {
    /// The connection ended in the middle of it.
    #[error("the connection ended before the body did")]
    Cut,
    /// A chunk that is none.
    #[error("a chunk is malformed")]
    Chunk,
    /// Trailers beyond all bounds.
    #[error("the trailers are too long")]
    TooLong,
    /// Trailers that are no HTTP.
    #[error("the trailers are malformed: {0}")]
    Malformed(#[from] httparse::Error),
    /// A name or value that is none.
    #[error("a trailer cannot be read")]
    Field,
}

/// How much of a body is still to be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing.
    Done,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks, until the last one.
    Chunked(Chunks),
    /// Everything until the connection ends.
    Close,
}

/// Where in a chunked body (RFC 9112 section 7.1) the reading stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunks {
    at: At,
    /// Of the present chunk, what is still to come.
    left: u64,
    /// Digits of its size.
    digits: u8,
    /// Bytes of extensions so far, in all chunks.
    extensions: u32,
    /// Without the empty line at their end.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    /// Behind the size: white space, an extension, or the end of the line.
    SizeEnd,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    Trailer,
    TrailerLine,
    TrailerLf,
    EndLf,
}

/// What a look at the bytes that are there has brought.
#[derive(Debug)]
pub enum Found {
    /// A piece of the body, not empty, or its trailers.
    Frame(Frame<Bytes>),
    /// Nothing that can be passed on: more bytes are needed.
    Nothing,
    /// The end.
    End,
}

impl Reading {
    /// So many bytes.
    pub const fn length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    /// Chunks, from the first one.
    pub const fn chunked() -> Self {
        Self::Chunked(Chunks { at: At::Size, left: 0, digits: 0, extensions: 0, trailers: Vec::new() })
    }

    /// Whether there is nothing left to read.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// What is known of the rest.
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Done => SizeHint::with_exact(0),
            Self::Length(length) => SizeHint::with_exact(*length),
            Self::Chunked(_) | Self::Close => SizeHint::default(),
        }
    }

    /// Takes what belongs to the body from the beginning of `bytes`. Behind the end it takes nothing more.
    pub fn take(&mut self, bytes: &mut Bytes) -> Result<Found, Unframed> {
        match self {
            Self::Done => Ok(Found::End),
            _ if bytes.is_empty() => Ok(Found::Nothing),
            Self::Close => Ok(Found::Frame(Frame::data(std::mem::take(bytes)))),
            Self::Length(left) => {
                let data = part(bytes, left);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Found::Frame(Frame::data(data)))
            }
            Self::Chunked(chunks) => {
                let found = chunks.take(bytes)?;
                // Nobody should have to ask once more to hear that it was all.
                let over = match &found {
                    Found::Frame(frame) => frame.is_trailers(),
                    Found::Nothing => false,
                    Found::End => true,
                };
                if over {
                    *self = Self::Done;
                }
                Ok(found)
            }
        }
    }

    /// The connection has ended: whether that was to be.
    pub fn end(&mut self) -> Result<(), Unframed> {
        match self {
            Self::Done | Self::Close => {
                *self = Self::Done;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(Unframed::Cut),
        }
    }
}

/// At most `left` bytes from the beginning, which are then no longer left.
fn part(bytes: &mut Bytes, left: &mut u64) -> Bytes {
    let all = bytes.len();
    let count = usize::try_from(*left).map_or(all, |left| left.min(all));
    *left -= count as u64;
    if count == all { std::mem::take(bytes) } else { bytes.split_to(count) }
}

impl Chunks {
    fn take(&mut self, bytes: &mut Bytes) -> Result<Found, Unframed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.at {
                At::Data => {
                    bytes.advance(at);
                    let data = part(bytes, &mut self.left);
                    if self.left == 0 {
                        self.at = At::DataCr;
                    }
                    return Ok(Found::Frame(Frame::data(data)));
                }
                At::EndLf if byte == b'\n' => {
                    bytes.advance(at + 1);
                    return if self.trailers.is_empty() {
                        Ok(Found::End)
                    } else {
                        let lines = std::mem::take(&mut self.trailers);
                        trailers(lines).map(|trailers| Found::Frame(Frame::trailers(trailers)))
                    };
                }
                _ => self.at = self.step(byte)?,
            }
            at += 1;
        }
        bytes.clear();
        Ok(Found::Nothing)
    }

    fn step(&mut self, byte: u8) -> Result<At, Unframed> {
        Ok(match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or(Unframed::Chunk)?;
                self.digits += 1;
                // More digits would be more than 64 bits, or zeros without end.
                if self.digits > MOST_DIGITS {
                    return Err(Unframed::Chunk);
                }
                self.left = self.left << 4 | u64::from(digit);
                At::Size
            }
            (At::Size | At::SizeEnd, b' ' | b'\t') if self.digits > 0 => At::SizeEnd,
            (At::Size | At::SizeEnd, b';') if self.digits > 0 => At::Extension,
            (At::Size | At::SizeEnd, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Extension, b'\r') => At::SizeLf,
            // Some take a bare line feed for the end of the line, and would see another chunk than we do.
            (At::Extension, _) if byte != b'\n' && self.extensions < LONGEST_EXTENSIONS => {
                self.extensions += 1;
                At::Extension
            }
            (At::SizeLf, b'\n') => {
                self.digits = 0;
                if self.left == 0 { At::Trailer } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::EndLf,
            (At::TrailerLine, b'\r') => {
                self.keep(byte)?;
                At::TrailerLf
            }
            (At::Trailer | At::TrailerLine, _) if byte != b'\n' => {
                self.keep(byte)?;
                At::TrailerLine
            }
            (At::TrailerLf, b'\n') => {
                self.keep(byte)?;
                At::Trailer
            }
            _ => return Err(Unframed::Chunk),
        })
    }

    fn keep(&mut self, byte: u8) -> Result<(), Unframed> {
        if self.trailers.len() >= LONGEST_TRAILERS {
            return Err(Unframed::TooLong);
        }
        self.trailers.push(byte);
        Ok(())
    }
}

/// Whole lines, each with its end.
fn trailers(mut lines: Vec<u8>) -> Result<HeaderMap, Unframed> {
    lines.extend_from_slice(b"\r\n");
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let (_, found) = match httparse::parse_headers(&lines, &mut fields)? {
        httparse::Status::Complete(parsed) => parsed,
        httparse::Status::Partial => return Err(Unframed::Chunk),
    };
    let mut trailers = HeaderMap::with_capacity(found.len());
    for field in found {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Unframed::Field)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Unframed::Field)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

/// Hexadecimal: 64 bits.
const MOST_DIGITS: u8 = 16;
/// In bytes, over all chunks of a body.
const LONGEST_EXTENSIONS: u32 = 16 << 10;
const LONGEST_TRAILERS: usize = 16 << 10;
/// Of a message's head or trailers.
pub const MOST_FIELDS: usize = 100;
