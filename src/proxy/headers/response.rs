//! The answer's head, from the upstream's to the client's.

use http::{
    HeaderName, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, SET_COOKIE, TRAILER, TRANSFER_ENCODING},
};
use http_body::Body;

use super::{
    super::cookie,
    request::{Named, named_by_connection},
    rules::HeaderRules,
};
use crate::{proxy::response::Response, runtime::said::Said};

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
        let status = response.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(BadResponse::Switched);
        }
        let known = response.body.size_hint().exact();
        let fields = &mut response.fields;
        let (mut codings, mut lengths, mut is_odd) = (0, 0, false);
        let (mut has_trailers, mut is_bound, mut sets_cookies) = (false, false, false);
        for (name, value) in fields.iter() {
            match *name {
                TRANSFER_ENCODING if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => {
                    codings += 1;
                }
                TRANSFER_ENCODING => return Err(BadResponse::TransferEncoding),
                CONTENT_LENGTH => {
                    lengths += 1;
                    is_odd |= !is_plain_number(value.as_bytes());
                }
                CONNECTION => is_bound = true,
                TRAILER => has_trailers = true,
                SET_COOKIE => sets_cookies = true,
                _ => {}
            }
        }
        if codings > 1 {
            return Err(BadResponse::TransferEncoding);
        }
        if codings > 0 && lengths > 0 {
            return Err(BadResponse::TwoLengths);
        }
        // `5, 5` and `005` are five to some; the client gets the one spelling that everybody reads alike.
        if lengths > 1 || is_odd {
            // Answers to HEAD have no body whose length would be known.
            match known.filter(|&length| length > 0) {
                Some(length) => fields.insert(CONTENT_LENGTH, length.into()),
                None => fields.remove(&CONTENT_LENGTH),
            }
        }
        let announced = if has_trailers { self.announced_trailers(fields) } else { None };
        let named = Named::new(if is_bound { named_by_connection(fields) } else { Vec::new() });
        fields.retain(|name, line| {
            // It has no body, whatever it says; one that is believed would end in the next answer (RFC 9110 section 8.6).
            let is_false = status == StatusCode::NO_CONTENT && *name == CONTENT_LENGTH;
            let is_ours = matches!(self.response.find(name), Some((_, true)));
            let is_set = sets_cookies && *name == SET_COOKIE && cookie::would_set(line, self.cookie);
            !is_false && !is_ours && !is_set && !named.contains(name)
        });
        if let Some(announced) = announced
            && !named.contains(&TRAILER)
        {
            fields.append(TRAILER, announced);
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
        let mut response: Response<_> = http::Response::new(Full::new(Bytes::from_static(b"hello"))).into();
        response.status = status.try_into().unwrap();
        for line in lines.lines().map(str::trim) {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_str(value.trim()).unwrap();
            response.fields.append(name.parse::<HeaderName>().unwrap(), value);
        }
        HeaderRules::new([], Pseudonym::new(7), "latchgate").receive(&mut response)?;
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        Ok(response.fields.iter().map(text).collect())
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
