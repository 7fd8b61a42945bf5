//! The answer's head, from the upstream's to the client's.

use http::{
    HeaderName, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, SET_COOKIE, TRAILER, TRANSFER_ENCODING},
};
use http_body::Body;

use super::{super::cookie, names::Class, request::named_by_connection, rules::HeaderRules};
use crate::runtime::said::Said;

/// An answer that must not be passed on; 502 `upstream_protocol`, and its connection is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// A transfer coding beside a length: one of the two is a lie (RFC 9112 section 6.3).
    #[error("the upstream's answer has both a length and a transfer coding")]
    TwoLengths,
    /// A transfer coding other than exactly `chunked`, which nobody asked for.
    #[error("the upstream's answer has a transfer coding other than chunked")]
    TransferEncoding,
    /// The upstream changed protocol, which nobody asked for either.
    #[error("the upstream switched protocols")]
    Switched,
}

impl HeaderRules {
    /// Checks an answer's framing, and takes out what was for the gateway alone.
    ///
    /// Refused already: two lengths that differ or are not digits, a transfer coding in HTTP/1.0,
    /// white space before a colon, folded lines.
    pub fn receive<B: Body>(&self, response: &mut Response<B>) -> Result<(), BadResponse> {
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(BadResponse::Switched);
        }
        *response.version_mut() = Version::HTTP_11;
        let length = response.body().size_hint().exact();
        let headers = response.headers_mut();
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        if let Some(coding) = codings.next() {
            if codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(BadResponse::TransferEncoding);
            }
            if headers.contains_key(CONTENT_LENGTH) {
                return Err(BadResponse::TwoLengths);
            }
        }
        // `5, 5` and `005` are five to some; the client gets the one spelling that everybody reads alike.
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        if let Some(first) = lengths.next()
            && (lengths.next().is_some() || !is_plain_number(first.as_bytes()))
        {
            // Answers to HEAD have no body whose length would be known.
            match length.filter(|&length| length > 0) {
                Some(length) => headers.insert(CONTENT_LENGTH, length.into()),
                None => headers.remove(CONTENT_LENGTH),
            };
        }
        // It has no body, whatever it says; one that is believed would end in the next answer (RFC 9110 section 8.6).
        if status == StatusCode::NO_CONTENT {
            headers.remove(CONTENT_LENGTH);
        }
        let mut doomed = Vec::new();
        let mut announced = false;
        let mut sets_cookies = false;
        for name in headers.keys() {
            sets_cookies |= name == SET_COOKIE;
            match self.response.find(name) {
                Some((Class::Announcement, true)) => announced = true,
                Some((_, true)) => doomed.push(name.clone()),
                _ => {}
            }
        }
        doomed.extend(named_by_connection(headers));
        for name in doomed {
            headers.remove(name);
        }
        if announced {
            match self.announced_trailers(headers) {
                Some(names) => headers.insert(TRAILER, names),
                None => headers.remove(TRAILER),
            };
        }
        if sets_cookies {
            cookie::refuse_set(headers, self.cookie);
        }
        Ok(())
    }
}

/// Whether a request or its answer is part of a scheme that authenticates the connection rather than the request
/// (NTLM, Negotiate). Such a connection must never carry anybody else's request.
pub fn binds_connection(headers: &impl Said, field: &HeaderName) -> bool {
    let schemes = headers.all(field).flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    schemes.map(<[u8]>::trim_ascii).any(|challenge| {
        let scheme = challenge.split(|&byte| byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

fn is_plain_number(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit) && (text == b"0" || !text.starts_with(b"0")) && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, header::AUTHORIZATION};
    use http_body_util::Full;

    use super::*;
    use crate::proxy::headers::Pseudonym;

    fn received(status: u16, lines: &str) -> Result<Vec<String>, BadResponse> {
        let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
        *response.status_mut() = status.try_into().unwrap();
        *response.version_mut() = Version::HTTP_10;
        for line in lines.lines().map(str::trim) {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_str(value.trim()).unwrap();
            response.headers_mut().append(name.parse::<HeaderName>().unwrap(), value);
        }
        HeaderRules::new([], Pseudonym::new(7), "latchgate").receive(&mut response)?;
        assert_eq!(response.version(), Version::HTTP_11);
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        Ok(response.headers().iter().map(text).collect())
    }

    #[test]
    fn what_was_for_the_gateway_stays_here() {
        let lines = "Connection: X-Foo, close\nX-Foo: 1\nKeep-Alive: timeout=5\nProxy-Authenticate: Basic\n\
                     Transfer-Encoding: chunked\nUpgrade: h2c\nProxy-Connection: x\nX-Bar: 2\nSet-Cookie: a\n\
                     Set-Cookie: b\nSet-Cookie: latchgate=lgs_x\nWWW-Authenticate: Basic";
        let left = ["x-bar: 2", "set-cookie: a", "set-cookie: b", "www-authenticate: Basic"];
        let mut received = received(200, lines).unwrap();
        received.sort_by_key(|line| left.iter().position(|kept| kept == line));
        assert_eq!(received, left);
    }

    #[test]
    fn an_answer_has_one_length() {
        assert_eq!(
            received(200, "Transfer-Encoding: chunked\nContent-Length: 5"),
            Err(BadResponse::TwoLengths)
        );
        for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity"] {
            let lines = format!("Transfer-Encoding: {coding}");
            assert_eq!(received(200, &lines), Err(BadResponse::TransferEncoding), "{coding}");
        }
        for lines in ["Content-Length: 5\nContent-Length: 5", "Content-Length: 5, 5", "Content-Length: 005"] {
            assert_eq!(received(200, lines).unwrap(), ["content-length: 5"], "{lines}");
        }
    }

    #[test]
    fn what_has_no_body_has_no_length() {
        assert_eq!(received(204, "Content-Length: 5\nX-A: 1").unwrap(), ["x-a: 1"]);
        assert_eq!(received(304, "Content-Length: 5").unwrap(), ["content-length: 5"]);
    }

    #[test]
    fn schemes_that_bind_a_connection_are_known() {
        let binds = |text: &'static str| {
            let headers = http::HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(text))]);
            binds_connection(&headers, &AUTHORIZATION)
        };
        assert!(["NTLM", "negotiate YII=", "Basic realm=\"x\", NTLM"].into_iter().all(binds));
        assert!(!["Basic bnRsbQ==", "Bearer ntlm", "", "NTLMX"].into_iter().any(binds));
    }

    #[test]
    fn nobody_asked_for_another_protocol() {
        assert_eq!(received(101, "Upgrade: foo\nConnection: upgrade"), Err(BadResponse::Switched));
    }
}
