//! Trailers, both ways: fields that come after the body, when every check is long past.

use http::{HeaderMap, HeaderValue, header::TRAILER};

use super::rules::HeaderRules;
use crate::runtime::said::Said;

impl HeaderRules {
    /// Takes out of trailers what a recipient could merge into the headers and believe: the gateway's names,
    /// framing, credentials, routing (RFC 9110 section 6.5.1).
    pub fn clean_trailers(&self, trailers: &mut HeaderMap) {
        let doomed: Vec<_> =
            trailers.keys().filter(|name| self.trailers.find(name).is_some()).cloned().collect();
        for name in doomed {
            trailers.remove(name);
        }
    }

    /// What is left of the `Trailer` header without the same names; none: nothing. Only trailers that it announces are sent.
    pub(super) fn announced_trailers(&self, headers: &impl Said) -> Option<HeaderValue> {
        let mut kept = Vec::new();
        for line in headers.all(&TRAILER) {
            for token in line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                let name = http::HeaderName::from_bytes(token);
                if let Ok(name) = name
                    && self.trailers.find(&name).is_none()
                {
                    if !kept.is_empty() {
                        kept.extend_from_slice(b", ");
                    }
                    kept.extend_from_slice(name.as_str().as_bytes());
                }
            }
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok().filter(|names| !names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::proxy::headers::Pseudonym;

    fn rules() -> HeaderRules {
        HeaderRules::new([&HeaderName::from_static("x-corp-org")], Pseudonym::new(7), "latchgate")
    }

    #[test]
    fn trailers_bring_no_identity_framing_or_credential() {
        let mut trailers = HeaderMap::new();
        for name in [
            "X-Corp-Org",
            "x_corp_org",
            "Content-Length",
            "Transfer-Encoding",
            "Host",
            "Authorization",
            "X-API-Key",
            "X.Api.Key",
            "Cookie",
            "Set-Cookie",
            "X-Forwarded-For",
            "Forwarded",
            "Connection",
            "X-Latchgate-Code",
            "Content-Type",
            "Trailer",
            "X-Original-URL",
        ] {
            trailers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("evil"));
        }
        for name in ["grpc-status", "grpc-message", "etag", "content-digest", "x-checksum"] {
            trailers.append(name, HeaderValue::from_static("1"));
        }
        rules().clean_trailers(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-digest", "etag", "grpc-message", "grpc-status", "x-checksum"]);
    }

    #[test]
    fn the_announcement_names_what_may_come() {
        for (lines, expected) in [
            (&["X-Corp-Org, X-Checksum", "host, , grpc-status"] as &[&str], Some("x-checksum, grpc-status")),
            (&["X_Corp_Org"], None),
            (&["ETag"], Some("etag")),
            (&["a b, /"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(TRAILER, line.parse().unwrap());
            }
            let announced = rules().announced_trailers(&headers);
            assert_eq!(announced.as_ref().map(|names| names.to_str().unwrap()), expected);
        }
    }
}
