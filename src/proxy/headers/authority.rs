//! What can be read and is forbidden nevertheless: whom a request is for, and how long it is.
//!
//! - Refused before, because it cannot be read: see [`Unreadable`](super::super::wire::Unreadable).
//! - Seen before and refused here, a [`Flaw`]: `Content-Length` beside `Transfer-Encoding`, and a `#` in the target, which
//!   [`Uri`] cuts off with what follows it.
//! - Refused here: a missing, repeated or malformed `Host`, user information in a target, `Transfer-Encoding: gzip, chunked`
//!   or two such lines, `Content-Length: 010`. Repeated equal lines of it are one in HTTP/1.

use std::{borrow::Cow, net::Ipv6Addr};

use http::{
    HeaderValue, Uri, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    uri::Scheme,
};

use crate::{
    proxy::{request::Request, wire::Flaw},
    runtime::said::Said,
};

/// Whom a request is for: the authority of its target in absolute form, else its `Host` (RFC 9112 section 3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority<'a> {
    /// As it was sent, with its port.
    pub text: &'a str,
    /// What routes are chosen by: lower case, without port and trailing dot.
    pub host: Cow<'a, str>,
}

/// A request that breaks a rule of HTTP; all of them are 400 `request_malformed`, and the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// HTTP/1.1 without `Host`.
    #[error("the Host header is missing")]
    HostMissing,
    /// More than one line of it.
    #[error("there is more than one Host header")]
    HostRepeated,
    /// Not a host name, address or port.
    #[error("the Host header or the target's authority is not a host with an optional port")]
    HostInvalid,
    /// A target that is no path and no `http` URL.
    #[error("the request target is neither a path nor an http URL")]
    Target,
    /// A transfer coding other than exactly `chunked`.
    #[error("the transfer coding is not exactly chunked")]
    TransferEncoding,
    /// A length with leading zeros, which some programs read as octal, or none, or more than one line of it.
    #[error("the Content-Length is not a plain number")]
    ContentLength,
    /// What was seen in the bytes; [`Flaw::Fragment`] is `path_ambiguous`.
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

/// Checks the rules above, and says whom the request is for; none only in HTTP/1.0.
///
/// Call it before anything else looks at the request. `CONNECT` and `OPTIONS *` are the caller's to answer: their
/// targets have no path.
pub fn authority<B>(request: &Request<B>) -> Result<Option<Authority<'_>>, Malformed> {
    judge(request.flaw, request.version, &request.target, &request.fields)
}

/// The same of one that a library has read; its flaw, if it has one, is among the extensions.
pub fn authority_of<B>(request: &http::Request<B>) -> Result<Option<Authority<'_>>, Malformed> {
    let flaw = request.extensions().get::<Flaw>().copied();
    judge(flaw, request.version(), request.uri(), request.headers())
}

fn judge<'a>(
    flaw: Option<Flaw>,
    version: Version,
    target: &'a Uri,
    headers: &'a impl Said,
) -> Result<Option<Authority<'a>>, Malformed> {
    if let Some(flaw) = flaw {
        return Err(flaw.into());
    }
    let (mut coding, mut length, mut host) = <(Lines<'_>, Lines<'_>, Lines<'_>)>::default();
    for (name, value) in headers.each() {
        match *name {
            TRANSFER_ENCODING => coding.add(value),
            CONTENT_LENGTH => length.add(value),
            HOST => host.add(value),
            _ => {}
        }
    }
    // A body that some other server on the way would measure differently is a second request in disguise.
    if let Some(first) = coding.first
        && (coding.several || !first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Malformed::TransferEncoding);
    }
    if let Some(first) = length.first
        && (length.several || first.is_empty() || (first.len() > 1 && first.as_bytes().starts_with(b"0")))
    {
        return Err(Malformed::ContentLength);
    }
    let from_header = match (host.first, host.several) {
        (_, true) => return Err(Malformed::HostRepeated),
        (Some(host), false) => Some(parse(text(host)?)?),
        (None, false) if version == Version::HTTP_10 => None,
        (None, false) => return Err(Malformed::HostMissing),
    };
    match (target.scheme(), target.authority()) {
        (None, None) => Ok(from_header),
        (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {
            parse(authority.as_str()).map(Some)
        }
        _ => Err(Malformed::Target),
    }
}

/// The lines of one name.
#[derive(Default)]
struct Lines<'a> {
    first: Option<&'a HeaderValue>,
    several: bool,
}

impl<'a> Lines<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        self.several |= self.first.is_some();
        self.first = self.first.or(Some(value));
    }
}

/// Whether a target in absolute form and the `Host` beside it name different hosts or ports, or one of them names none.
/// In HTTP/1 the target outweighs the header; in HTTP/2 such a request is malformed.
pub fn names_two_hosts<B>(request: &Request<B>) -> bool {
    let (Some(authority), Some(host)) = (request.target.authority(), request.fields.get(&HOST)) else {
        return false;
    };
    if host == authority.as_str() {
        return false;
    }
    let (Ok(authority), Ok(host)) = (parse(authority.as_str()), text(host).and_then(parse)) else {
        return true;
    };
    authority.host != host.host || port(authority.text) != port(host.text)
}

/// The port that is written, if one is.
fn port(authority: &str) -> Option<&str> {
    let (_, port) = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?;
    Some(port).filter(|port| !port.is_empty())
}

fn text(value: &HeaderValue) -> Result<&str, Malformed> {
    value.to_str().map_err(|_| Malformed::HostInvalid)
}

/// A host with an optional port, narrower than RFC 3986 would have it: names of letters, digits, `-`, `_` and
/// `.`, addresses, nothing that a backend might take for a path, a list or user information.
fn parse(text: &str) -> Result<Authority<'_>, Malformed> {
    let wrong = Malformed::HostInvalid;
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, behind) = bracketed.split_once(']').ok_or(wrong)?;
        let address: Ipv6Addr = address.parse().map_err(|_| wrong)?;
        let port = behind.strip_prefix(':').or(behind.is_empty().then_some("")).ok_or(wrong)?;
        (Cow::Owned(format!("[{address}]")), port)
    } else {
        let (host, behind) = name(text).ok_or(wrong)?;
        (host, behind.strip_prefix(':').unwrap_or_default())
    };
    // An empty port (`gw:`) means the default one.
    if !port.is_empty() && (!port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err()) {
        return Err(wrong);
    }
    Ok(Authority { text, host })
}

/// The name at the start, in its one spelling (lower case, without a trailing dot), and what follows it: nothing, or a
/// colon and more.
fn name(text: &str) -> Option<(Cow<'_, str>, &str)> {
    const LONGEST: usize = 255;
    let (mut last, mut upper) = (b'.', false);
    let mut end = text.len();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'A'..=b'Z' => upper = true,
            b'.' if last != b'.' => {}
            b':' => {
                end = at;
                break;
            }
            // No label is empty.
            _ => return None,
        }
        last = byte;
    }
    let (host, behind) = text.split_at(end);
    if host.is_empty() || host.len() > LONGEST {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = if upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
    Some((host, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, headers: &[(&str, &[u8])]) -> Request<()> {
        let mut request = Request { target: target.parse().unwrap(), ..Request::default() };
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.fields.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        request
    }

    fn host(value: &str) -> Result<String, Malformed> {
        let request = request("/", &[("host", value.as_bytes())]);
        authority(&request).map(|authority| authority.unwrap().host.into_owned())
    }

    #[test]
    fn one_host_has_one_spelling() {
        for spelling in ["gw.example", "GW.Example.", "gw.example:80", "gw.example:", "Gw.example.:65535"] {
            assert_eq!(host(spelling).as_deref(), Ok("gw.example"), "{spelling}");
        }
        assert_eq!(host("[2001:DB8:0::1]:8080").as_deref(), Ok("[2001:db8::1]"));
        assert_eq!(host("127.0.0.1:8080").as_deref(), Ok("127.0.0.1"));
        assert_eq!(host("xn--bcher-kva_x.example").as_deref(), Ok("xn--bcher-kva_x.example"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for value in [
            "",
            ".",
            "a, b",
            "a,b",
            "a b",
            "gw:99999",
            "gw:-1",
            "gw:+80",
            "gw:8o",
            "gw:80:80",
            "[::1",
            "[::1]80",
            "[::g]",
            "[127.0.0.1]",
            "::1",
            "gw/..",
            "gw#",
            "gw?x",
            "user@gw",
            "gw\\x",
            "gw%2e",
            "a..b",
            ".gw",
            "gw..",
            "{gw}",
            "gw;x",
            "gw\tx",
        ] {
            assert_eq!(host(value), Err(Malformed::HostInvalid), "{value}");
        }
        assert!(host(&"a".repeat(256)).is_err());
        let bytes = request("/", &[("host", b"gw\xff")]);
        assert_eq!(authority(&bytes), Err(Malformed::HostInvalid));
    }

    #[test]
    fn there_is_exactly_one_host() {
        assert_eq!(authority(&request("/", &[])), Err(Malformed::HostMissing));
        assert_eq!(
            authority(&request("/", &[("host", b"gw"), ("host", b"gw")])),
            Err(Malformed::HostRepeated)
        );
        let mut old = request("/", &[]);
        old.version = Version::HTTP_10;
        assert_eq!(authority(&old), Ok(None));
    }

    #[test]
    fn an_absolute_target_outweighs_the_host() {
        let asked = request("http://GW:8080/x", &[("host", b"evil")]);
        let found = authority(&asked).unwrap().unwrap();
        assert_eq!((found.text, &*found.host), ("GW:8080", "gw"));
        for target in ["http://u:p@gw/", "http://gw@evil/", "ftp://gw/", "gw:443", "foo"] {
            assert!(authority(&request(target, &[("host", b"gw")])).is_err(), "{target}");
        }
        // The header must be right nevertheless.
        assert_eq!(authority(&request("http://gw/", &[])), Err(Malformed::HostMissing));
    }

    #[test]
    fn a_body_has_one_length() {
        for (name, values, expected) in [
            ("transfer-encoding", &["chunked"] as &[&str], None),
            ("transfer-encoding", &["Chunked"], None),
            ("transfer-encoding", &["gzip, chunked"], Some(Malformed::TransferEncoding)),
            ("transfer-encoding", &["chunked, chunked"], Some(Malformed::TransferEncoding)),
            ("transfer-encoding", &["chunked", "chunked"], Some(Malformed::TransferEncoding)),
            ("transfer-encoding", &["identity", "chunked"], Some(Malformed::TransferEncoding)),
            ("transfer-encoding", &["chunked;q=1"], Some(Malformed::TransferEncoding)),
            ("content-length", &["0"], None),
            ("content-length", &["10"], None),
            ("content-length", &["010"], Some(Malformed::ContentLength)),
            ("content-length", &["00"], Some(Malformed::ContentLength)),
            ("content-length", &[""], Some(Malformed::ContentLength)),
            ("content-length", &["5", "5"], Some(Malformed::ContentLength)),
            ("content-length", &["8", "010"], Some(Malformed::ContentLength)),
        ] {
            let mut headers = vec![("host", b"gw" as &[u8])];
            headers.extend(values.iter().map(|value| (name, value.as_bytes())));
            let request = request("/", &headers);
            assert_eq!(authority(&request).err(), expected, "{name} {values:?}");
        }
    }
}
