//! The head of a client's request: read once, by a parser of many years (httparse), and judged where two programs could read
//! it differently.
//!
//! - Refused by the parser: bytes that are no token in a method or name, white space before a colon, folded lines, control
//!   characters, other versions. Lines end in LF, with or without CR, as in all servers of note.
//! - Refused here: a transfer coding in HTTP/1.0, one that is not `chunked` in the end, a length that is not digits, two that
//!   differ. They are no HTTP, and nothing of the request is believed.
//! - A [`Flaw`] is noted on the request, so that its refusal is counted and logged as that of a request.

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes};
use http::{
    HeaderName, HeaderValue, Method, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING},
    uri::InvalidUri,
};

use super::{MOST_FIELDS, Reading, names, sending::has_option};
use crate::proxy::{fields::Fields, request::Request};

/// What is wrong with a request although it can be read; 400 or 431, and a connection of HTTP/1 is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// `Content-Length` and `Transfer-Encoding`; `request_malformed` (RFC 9112 section 6.1).
    #[error("the request has both a length and a transfer coding")]
    TwoLengths,
    /// A head of more bytes than `limits.header_bytes`; `headers_too_large`.
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// A `#` in the target, which is no part of any target; `path_ambiguous`.
    #[error("the request target has a fragment")]
    Fragment,
    /// In HTTP/2, an `:authority` and a `Host` that are not the same; `request_malformed` (RFC 9113 section 8.3.1).
    #[error("the request names two hosts")]
    TwoHosts,
}

/// Why bytes are no request. Nothing that follows them is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They are no HTTP.
    #[error("the request cannot be read")]
    Malformed,
    /// A version that is not spoken here.
    #[error("the version of HTTP is not spoken here")]
    Version,
    /// A head without end, or of too many fields.
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// A target without end.
    #[error("the request target is too long")]
    TargetTooLong,
}

/// How much a head may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// `limits.header_bytes`.
    pub bytes: usize,
    /// `limits.header_count`.
    pub fields: usize,
}

/// A head, and what it says about its connection.
#[derive(Debug)]
pub struct Head {
    /// With its [`Flaw`], if it has one.
    pub request: Request<()>,
    /// How much of a body follows.
    pub reading: Reading,
    /// Whether the client waits for a word before it sends its body (RFC 9110 section 10.1.1).
    pub expects: bool,
    /// What its answer has to keep to.
    pub terms: Terms,
}

/// What an answer has to keep to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// In HTTP/1.0 there are no chunks and no interim answers.
    pub version: Version,
    /// Whether the client means to send another request on this connection.
    pub keeps: bool,
    /// It answers to a `HEAD`.
    pub to_head: bool,
    /// The client takes trailers (RFC 9110 section 6.5.1).
    pub trailers: bool,
}

impl Terms {
    /// Whether it came in HTTP/1.0.
    pub fn is_old(&self) -> bool {
        self.version == Version::HTTP_10
    }
}

/// Takes a head from the beginning of `bytes`; none: it is not whole yet. `room` is a list to use again.
pub(super) fn take(bytes: &mut Bytes, bounds: Bounds, room: &mut Fields) -> Result<Option<Head>, Unreadable> {
    let mut few = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut many = Vec::new();
    let places = if let Some(places) = few.get_mut(..bounds.fields) {
        places
    } else {
        many.resize(bounds.fields, MaybeUninit::uninit());
        &mut many
    };
    let mut parsed = httparse::Request::new(&mut []);
    let outcome =
        httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, places);
    let length = match outcome {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < bounds.bytes => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Unreadable::HeadTooLarge);
        }
        Err(httparse::Error::Version) if names_a_strange_version(bytes) => return Err(Unreadable::Version),
        Err(_) => return Err(Unreadable::Malformed),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Unreadable::Malformed);
    };
    let has_fragment = target.as_bytes().contains(&b'#');
    let is_old = version == 0;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Unreadable::Malformed)?;
    let target = uri(bytes.slice_ref(target.as_bytes()))?;
    let version = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut said = Said::default();
    let mut fields = std::mem::take(room);
    names::of_requests(|names| {
        for (place, field) in parsed.headers.iter().enumerate() {
            let name = names.read(place, field.name.as_bytes()).map_err(|_| Unreadable::Malformed)?;
            let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
            let value = value.map_err(|_| Unreadable::Malformed)?;
            if said.note(&name, &value)? {
                fields.append(name, value);
            }
        }
        Ok(())
    })?;
    let reading = said.body(is_old)?;
    let flaw = if said.has_two_lengths() {
        Some(Flaw::TwoLengths)
    } else if length > bounds.bytes {
        Some(Flaw::HeadTooLarge)
    } else if has_fragment {
        Some(Flaw::Fragment)
    } else {
        None
    };
    let terms = Terms {
        version,
        keeps: flaw.is_none() && said.stays.unwrap_or(!is_old),
        to_head: method == Method::HEAD,
        trailers: said.trailers,
    };
    let expects = said.expects && !is_old && !reading.is_done();
    bytes.advance(length);
    let request = Request { method, target, version, fields, flaw, body: () };
    Ok(Some(Head { request, reading, expects, terms }))
}

/// Whether what is there of a head may be all of it, when so much of it was looked at before. One that comes byte by byte is
/// not looked at byte by byte.
pub fn is_worth_a_look(bytes: &[u8], before: usize, longest: usize) -> bool {
    match before {
        0 => !bytes.is_empty(),
        _ => {
            bytes.len() >= 2 * before
                || bytes.len() >= longest
                || ends_a_head(&bytes[before.saturating_sub(3)..])
        }
    }
}

/// Whether a line ends in here and nothing stands in the next.
fn ends_a_head(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| {
        let behind = &bytes[at + 1..];
        behind.starts_with(b"\n") || behind.starts_with(b"\r\n")
    })
}

fn uri(target: Bytes) -> Result<Uri, Unreadable> {
    if target.len() > LONGEST_TARGET {
        return Err(Unreadable::TargetTooLong);
    }
    Uri::from_maybe_shared(target).map_err(|_: InvalidUri| Unreadable::Malformed)
}

/// `HTTP/` with another number than 1.0 and 1.1 at the end of the request line (RFC 9112 section 2.3).
fn names_a_strange_version(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let version = line.rsplit(|&byte| byte == b' ').next().and_then(|last| last.strip_prefix(b"HTTP/"));
    match version {
        // What is wrong is something else.
        None | Some(b"1.0" | b"1.1") => false,
        Some(number) => matches!(number, [b'0'..=b'9', b'.', b'0'..=b'9']),
    }
}

/// What a head says about its body and its connection.
#[derive(Debug, Default)]
struct Said {
    /// Whether the connection is to stay: `close` outweighs `keep-alive`.
    stays: Option<bool>,
    expects: bool,
    trailers: bool,
    length: Option<u64>,
    has_length: bool,
    /// Whether the last transfer coding is `chunked`.
    coding: Option<bool>,
}

impl Said {
    /// Whether the field is kept: of equal lengths one is.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Unreadable> {
        match *name {
            CONTENT_LENGTH => {
                self.has_length = true;
                // Beside a coding it counts for nothing, and the request is refused for having both.
                if self.coding.is_some() {
                    return Ok(true);
                }
                let length = number(value.as_bytes()).ok_or(Unreadable::Malformed)?;
                match self.length.replace(length) {
                    Some(other) if other != length => return Err(Unreadable::Malformed),
                    Some(_) => return Ok(false),
                    None => {}
                }
            }
            TRANSFER_ENCODING => {
                // Where one coding is no text, nobody knows what the others are.
                let last = value.to_str().ok().and_then(|codings| codings.rsplit(',').next());
                self.coding = Some(last.is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked")));
            }
            CONNECTION => {
                if has_option(value, "close") {
                    self.stays = Some(false);
                } else if has_option(value, "keep-alive") && value.to_str().is_ok() {
                    self.stays.get_or_insert(true);
                }
            }
            EXPECT => self.expects = value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
            TE => self.trailers |= has_option(value, "trailers"),
            _ => {}
        }
        Ok(true)
    }

    const fn has_two_lengths(&self) -> bool {
        self.has_length && self.coding.is_some()
    }

    /// RFC 9112 section 6.3.
    fn body(&self, is_old: bool) -> Result<Reading, Unreadable> {
        match (self.coding, self.length) {
            (None, Some(length)) => Ok(Reading::length(length)),
            (None, None) => Ok(Reading::Done),
            (Some(true), _) if !is_old => Ok(Reading::chunked()),
            // In HTTP/1.0 nobody knows what it means, and without `chunked` nobody knows where it ends.
            (Some(_), _) => Err(Unreadable::Malformed),
        }
    }
}

/// Digits and nothing else: no sign, no list, no white space, no empty text.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, &byte| {
        let digit = byte.is_ascii_digit().then_some(u64::from(byte.wrapping_sub(b'0')))?;
        sum.checked_mul(10)?.checked_add(digit).filter(|&sum| sum <= LONGEST_BODY)
    })
}

/// In bytes; what fits into a `Uri`.
const LONGEST_TARGET: usize = (u16::MAX - 1) as usize;
/// What a message to HTTP/2 can be told of.
const LONGEST_BODY: u64 = u64::MAX - 2;
