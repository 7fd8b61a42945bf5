//! The head of an answer: status, fields, and how the end of its body is known.
//!
//! What the parser lets through is as strict as hyper's client is; framing is stricter. Found by experiment against
//! hyper 1.12, and held to it by `tests`: white space before a colon, folded lines, control characters, other versions
//! and names that are none are refused by the parser; bare line feeds end a line.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::ext::ReasonPhrase;

use super::AnswerError;
use crate::proxy::{
    fields::Fields,
    wire::{MOST_FIELDS, Reading, has_option, names, number, room},
};

/// The head of a final answer.
#[derive(Debug)]
pub(super) struct Head {
    /// Three digits from 100.
    pub(super) status: StatusCode,
    /// Where it is not the usual one.
    pub(super) reason: Option<ReasonPhrase>,
    /// In the order in which they came.
    pub(super) fields: Fields,
    /// How much of a body follows.
    pub(super) reading: Reading,
    /// Whether the upstream means to take another request on this connection.
    pub(super) keeps: bool,
}

/// Takes the head of a final answer from the beginning of `bytes`, interim ones before it included; none: it is not whole
/// yet. What follows it is left in `bytes`. `interim` counts what was passed over.
pub(super) fn take(bytes: &mut Bytes, interim: &mut u32, to_head: bool) -> Result<Option<Head>, AnswerError> {
    loop {
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut answer = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut answer,
            bytes,
            &mut fields,
        );
        let length = match parsed? {
            httparse::Status::Complete(length) if length <= LONGEST_HEAD => length,
            httparse::Status::Partial if bytes.len() < LONGEST_HEAD => return Ok(None),
            _ => return Err(AnswerError::TooLong),
        };
        let code = answer.code.ok_or(AnswerError::Field)?;
        let status = StatusCode::from_u16(code).map_err(|_| AnswerError::Field)?;
        // One that switches protocols is final; the others say that there is more to come (RFC 9110 section 15.2).
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            bytes.advance(length);
            *interim += 1;
            if *interim > MOST_INTERIM {
                return Err(AnswerError::Interim);
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            continue;
        }
        let reason = match answer.reason {
            Some(reason) if Some(reason) != status.canonical_reason() => {
                ReasonPhrase::try_from(reason.as_bytes()).ok()
            }
            _ => None,
        };
        let mut kept = room::fields();
        let mut said = Said { is_old: answer.version == Some(0), ..Said::default() };
        names::of_answers(|names| {
            for (place, field) in answer.headers.iter().enumerate() {
                let name = names.read(place, field.name.as_bytes()).map_err(|_| AnswerError::Field)?;
                let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
                let value = value.map_err(|_| AnswerError::Field)?;
                said.note(&name, &value);
                kept.append(name, value);
            }
            Ok::<_, AnswerError>(())
        })?;
        let reading = said.body(status, to_head)?;
        let keeps = !said.is_old
            && !said.closes
            && reading != Reading::Close
            && status != StatusCode::SWITCHING_PROTOCOLS;
        bytes.advance(length);
        return Ok(Some(Head { status, reason, fields: kept, reading, keeps }));
    }
}

/// What an answer says about its own end.
#[derive(Default)]
struct Said {
    /// HTTP/1.0.
    is_old: bool,
    closes: bool,
    length: Option<Result<u64, AnswerError>>,
    codings: u8,
    is_chunked: bool,
}

impl Said {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        if name == CONTENT_LENGTH {
            // Even two equal ones: somebody between here and there may have read them otherwise.
            let repeated = self.length.is_some();
            self.length = Some(if repeated {
                Err(AnswerError::Length)
            } else {
                number(value.as_bytes()).ok_or(AnswerError::Length)
            });
        } else if name == TRANSFER_ENCODING {
            self.codings = self.codings.saturating_add(1);
            self.is_chunked = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        } else if name == CONNECTION {
            self.closes |= has_option(value, "close");
        }
    }

    /// RFC 9112 section 6.3.
    fn body(&mut self, status: StatusCode, to_head: bool) -> Result<Reading, AnswerError> {
        match (self.codings, self.length.take()) {
            (0, length) if has_no_body(status, to_head) => {
                length.map_or(Ok(Reading::Done), |length| length.map(|_| Reading::Done))
            }
            (0, None) => Ok(Reading::Close),
            (0, Some(length)) => length.map(Reading::length),
            (_, Some(_)) => Err(AnswerError::TwoLengths),
            (1, None) if self.is_chunked && !self.is_old => {
                Ok(if has_no_body(status, to_head) { Reading::Done } else { Reading::chunked() })
            }
            (_, None) => Err(AnswerError::Coding),
        }
    }
}

fn has_no_body(status: StatusCode, to_head: bool) -> bool {
    to_head
        || matches!(
            status,
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
}

/// In bytes.
pub(super) const LONGEST_HEAD: usize = 32 << 10;
const MOST_INTERIM: u32 = 100;
