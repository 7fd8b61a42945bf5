//! What a record's line says.

use std::borrow::Cow;

use super::record::{AccessRecord, AuthFailure, Word};
use crate::{
    domain::{
        access::Method,
        id::{OrgId, TeamId},
    },
    telemetry::{
        line::{Line, LineFormat, Second},
        metrics::auth::method_label,
        redact::Redactor,
    },
};

/// Appends the record's line, and the one about its failed credential if it has one. Returns how many.
pub(super) fn write(
    buffer: &mut Vec<u8>,
    record: &AccessRecord,
    format: LineFormat,
    redactor: &Redactor,
    second: &mut Second,
) -> u64 {
    request(Line::begin(buffer, format, redactor), record, second);
    match &record.auth_failure {
        None => 1,
        Some(failure) => {
            auth_failed(Line::begin(buffer, format, redactor), record, failure, second);
            2
        }
    }
}

fn request(mut line: Line<'_>, record: &AccessRecord, second: &mut Second) {
    line.time("ts", record.ts, second);
    line.word("level", "info");
    line.word("msg", "request");
    line.foreign("request_id", record.said(Word::RequestId));
    line.foreign("method", Some(record.method.as_str().as_bytes()));
    line.foreign("host", record.said(Word::Host));
    line.foreign("path", record.said(Word::Path).map(legible).as_deref());
    line.count("status", record.status.as_u16().into());
    line.thousandths("duration_ms", u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX));
    line.foreign("upstream", record.said(Word::Upstream));
    line.foreign("route", record.said(Word::Route));
    address(&mut line, record);
    line.word("auth_method", method_label(record.auth_method).1);
    line.foreign("credential", record.said(Word::Credential));
    line.id("tenant", record.tenant.map(OrgId::uuid));
    line.id("team", record.team.map(TeamId::uuid));
    line.word("outcome", record.outcome);
    line.count("bytes_in", record.bytes_in);
    line.count("bytes_out", record.bytes_out);
    line.end();
}

/// A path without needless encoding (RFC 3986 section 6.2.2.2): `osk%5F...` is a key as well and has to look like one
/// to be cut.
pub(super) fn legible(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let mut pieces = path.split(|byte| *byte == b'%');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.first_chunk::<2>().and_then(|digits| str::from_utf8(digits).ok());
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let unreserved = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~".contains(octet);
        if let Some(octet) = octet.filter(unreserved) {
            text.push(octet);
            text.extend_from_slice(&piece[2..]);
        } else {
            text.push(b'%');
            text.extend_from_slice(piece);
        }
    }
    Cow::Owned(text)
}

fn auth_failed(mut line: Line<'_>, record: &AccessRecord, failure: &AuthFailure, second: &mut Second) {
    line.time("ts", record.ts, second);
    line.word("level", "warn");
    let session = record.auth_method == Some(Method::Session);
    line.word("msg", if session { "session.auth_failed" } else { "api_key.auth_failed" });
    line.foreign("request_id", record.said(Word::RequestId));
    address(&mut line, record);
    line.foreign("route", record.said(Word::Route));
    line.foreign("prefix", failure.prefix.as_deref().map(str::as_bytes));
    line.word("reason", failure.reason);
    line.end();
}

fn address(line: &mut Line<'_>, record: &AccessRecord) {
    match record.client_ip {
        Some(address) => line.address("client_ip", address),
        None => line.foreign("client_ip", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_key_looks_like_one() {
        for (path, legible_path) in [
            ("/a/b", "/a/b"),
            ("/%6Fsk%5fAbC%2d", "/osk_AbC-"),
            ("/%2F%0a%41%%zz%4", "/%2F%0aA%%zz%4"),
            ("/%+1%é", "/%+1%é"),
            ("/%255F", "/%255F"),
        ] {
            assert_eq!(&*legible(path.as_bytes()), legible_path.as_bytes(), "{path}");
        }
    }
}
