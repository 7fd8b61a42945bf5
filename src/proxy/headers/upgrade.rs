//! Connections that go on in another protocol (RFC 9110 section 7.8): who asks for it, and who agrees.
//!
//! What a client asks for is forwarded only as far as it can be a question for the upstream: one that is in HTTP/1.1, says
//! in `Connection` that it means it, and has no body, behind which a second request could hide. Another version of HTTP is
//! spoken with the gateway or not at all, so it is never passed on.

use http::{
    HeaderValue, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, UPGRADE},
};
use http_body::Body;

use super::{response::BadResponse, rules::HeaderRules};
use crate::proxy::{request::Request, response::Response};

pub(super) const ASKED: HeaderValue = HeaderValue::from_static("upgrade");

/// The protocols that a request asks to go on in, if it does. Ask before its headers are prepared.
pub fn wanted_protocols<B: Body>(request: &Request<B>) -> Option<HeaderValue> {
    let mut lines = request.fields.get_all(&UPGRADE);
    let line = lines.next()?;
    let mut tokens = request.fields.get_all(&CONNECTION).flat_map(tokens);
    let asks = request.version == Version::HTTP_11
        && request.body.is_end_stream()
        && lines.next().is_none()
        && tokens.any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    if !asks {
        return None;
    }
    let wanted: Vec<&[u8]> = self::tokens(line).filter(|name| is_other(name)).collect();
    HeaderValue::from_bytes(&wanted.join(&b", "[..])).ok().filter(|wanted| !wanted.is_empty())
}

impl HeaderRules {
    /// Checks that an upstream agreed to what it was asked for, and edits its answer for the client.
    pub fn receive_switch<B: Body>(
        &self,
        response: &mut Response<B>,
        wanted: &HeaderValue,
    ) -> Result<(), BadResponse> {
        let agreed = {
            let mut lines = response.fields.get_all(&UPGRADE);
            match (lines.next(), lines.next()) {
                (Some(one), None) if names(wanted, one) => one.clone(),
                _ => return Err(BadResponse::Switched),
            }
        };
        // The status alone is what an ordinary answer may not have.
        response.status = StatusCode::OK;
        let received = self.receive(response);
        response.status = StatusCode::SWITCHING_PROTOCOLS;
        received?;
        let fields = &mut response.fields;
        fields.remove(&CONTENT_LENGTH);
        fields.insert(CONNECTION, ASKED);
        fields.insert(UPGRADE, agreed);
        Ok(())
    }
}

fn names(wanted: &HeaderValue, agreed: &HeaderValue) -> bool {
    tokens(wanted).any(|name| name.eq_ignore_ascii_case(agreed.as_bytes().trim_ascii()))
}

fn tokens(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// A name of another protocol than HTTP, with or without a version.
fn is_other(name: &[u8]) -> bool {
    let plain = name.split(|&byte| byte == b'/').next().unwrap_or_default();
    !plain.is_empty() && ![&b"h2c"[..], b"h2", b"http"].iter().any(|http| plain.eq_ignore_ascii_case(http))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;
    use crate::proxy::headers::Pseudonym;

    fn request(lines: &[(&'static str, &'static str)]) -> Request<Empty<Bytes>> {
        let mut request = Request::default();
        for (name, value) in lines {
            request.fields.append(http::HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn who_asks_means_it_and_asks_for_something_else_than_http() {
        let asked = ("connection", "keep-alive, Upgrade");
        for (lines, expected) in [
            (&[asked, ("upgrade", "websocket")][..], Some("websocket")),
            (&[("connection", "x"), ("connection", "UPGRADE"), ("upgrade", "foo/2")], Some("foo/2")),
            (&[asked, ("upgrade", "h2c, websocket ,HTTP/2.0,")], Some("websocket")),
            (&[asked, ("upgrade", "h2c")], None),
            (&[asked, ("upgrade", "HTTP/3.0")], None),
            (&[asked, ("upgrade", "websocket"), ("upgrade", "websocket")], None),
            (&[("connection", "keep-alive"), ("upgrade", "websocket")], None),
            (&[("upgrade", "websocket")], None),
            (&[asked], None),
        ] {
            let wanted = wanted_protocols(&request(lines));
            assert_eq!(wanted.as_ref().map(|wanted| wanted.to_str().unwrap()), expected, "{lines:?}");
        }
        let mut old = request(&[asked, ("upgrade", "websocket")]);
        old.version = Version::HTTP_10;
        assert_eq!(wanted_protocols(&old), None);
        let with_body =
            request(&[asked, ("upgrade", "websocket")]).map(|_| Full::new(Bytes::from_static(b"x")));
        assert_eq!(wanted_protocols(&with_body), None);
    }

    #[test]
    fn an_upstream_agrees_to_what_it_was_asked_for_or_to_nothing() {
        const KEEP_ALIVE: http::HeaderName = http::HeaderName::from_static("keep-alive");
        let rules = HeaderRules::new([], Pseudonym::new(7), "latchgate");
        for (agreed, fine) in [
            (&["WebSocket"][..], true),
            (&["foo"], true),
            (&["bar"], false),
            (&["websocket, foo"], false),
            (&[], false),
            (&["foo", "foo"], false),
        ] {
            let mut response: Response<_> = http::Response::new(Empty::<Bytes>::new()).into();
            response.status = StatusCode::SWITCHING_PROTOCOLS;
            for token in agreed {
                response.fields.append(UPGRADE, HeaderValue::from_static(token));
            }
            response.fields.insert(KEEP_ALIVE, HeaderValue::from_static("5"));
            let received = rules.receive_switch(&mut response, &HeaderValue::from_static("websocket, foo"));
            assert_eq!(received.is_ok(), fine, "{agreed:?}");
            if fine {
                assert_eq!(response.status, StatusCode::SWITCHING_PROTOCOLS);
                assert_eq!(response.fields.get(&CONNECTION), Some(&ASKED));
                assert_eq!(response.fields.get(&UPGRADE).unwrap(), agreed[0]);
                assert!(!response.fields.contains(&KEEP_ALIVE));
            }
        }
    }
}
