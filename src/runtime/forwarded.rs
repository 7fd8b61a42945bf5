//! `Forwarded` (RFC 7239), hop by hop.
//!
//! It is read from the right, as [`client_ip`](super::client_ip) walks: each proxy appends a well-formed element, and
//! whatever stands left of it may have been written by a client. Read from the left, a quote that a client opens and never
//! closes would swallow what the proxies wrote.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderValue, header::FORWARDED};

use super::{client_ip::is_port, said::Said};

/// What one proxy says of whoever sent it the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hop<'a> {
    /// Their address (`for`); none where it is hidden or unknown, or nothing that the standard knows.
    pub address: Option<IpAddr>,
    /// How they came (`proto`).
    pub proto: Option<&'a [u8]>,
    /// Whom they asked for (`host`).
    pub host: Option<&'a [u8]>,
}

/// The hops of all lines, the nearest first. The last may be one that cannot be read.
pub fn hops(headers: &impl Said) -> impl Iterator<Item = Hop<'_>> {
    // Several lines are one list, in the order in which they came (RFC 9110 section 5.3).
    headers.all(&FORWARDED).rev().flat_map(elements).map(|element| read(element).unwrap_or_default())
}

/// The elements of a line, the last first.
fn elements(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line.as_bytes());
    std::iter::from_fn(move || {
        let line = rest?;
        let comma = last_comma(line);
        rest = comma.map(|at| &line[..at]);
        Some(&line[comma.map_or(0, |at| at + 1)..])
    })
}

/// The last comma that stands in no quoted string.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b',' if !quoted => return Some(at),
            // From the right the closing quote comes first; an escaped one is part of the text.
            b'"' if !(quoted && is_escaped(&line[..at])) => quoted = !quoted,
            _ => {}
        }
    }
    None
}

fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// `for=192.0.2.43;proto=https`, read; nothing unless all of it is as the standard has it (section 4).
fn read(element: &[u8]) -> Option<Hop<'_>> {
    let (mut name, mut proto, mut host) = (None, None, None);
    let mut rest = element.trim_ascii();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b";") {
            rest = after.trim_ascii_start();
            continue;
        }
        let (parameter, after) = token(rest)?;
        let after = after.strip_prefix(b"=")?;
        let (value, after) = match after.strip_prefix(b"\"") {
            Some(text) => quoted(text)?,
            None => token(after)?,
        };
        let known = [(&b"for"[..], &mut name), (b"proto", &mut proto), (b"host", &mut host)];
        for (known, said) in known {
            // Each at most once.
            if parameter.eq_ignore_ascii_case(known) && said.replace(value).is_some() {
                return None;
            }
        }
        rest = after.trim_ascii_start();
        if !(rest.is_empty() || rest.starts_with(b";")) {
            return None;
        }
    }
    Some(Hop { address: name.and_then(address), proto, host })
}

/// A token, and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// What stands in quotes, and what follows them. Escapes stay as they are: nothing that is read here needs one.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().enumerate().position(|(at, &byte)| byte == b'"' && !is_escaped(&text[..at]))?;
    Some((&text[..end], &text[end + 1..]))
}

/// A node (section 6): an IPv4 address, or an IPv6 one in brackets, with or without a port, which may be hidden.
fn address(node: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(node).ok()?;
    let (address, port): (IpAddr, &str) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        (address.parse::<Ipv6Addr>().ok()?.into(), port)
    } else {
        let (address, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (address.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    let is_fine = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| is_port(port) || port.strip_prefix('_').is_some_and(is_obscure));
    is_fine.then(|| address.to_canonical())
}

fn is_obscure(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    fn all(lines: &[&str]) -> Vec<Option<String>> {
        let lines = lines.iter().map(|line| (FORWARDED, HeaderValue::from_str(line).unwrap()));
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, value)| {
            headers.append(name, value);
        });
        hops(&headers).map(|hop| hop.address.map(|address| address.to_string())).collect()
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(all(&["for=\"_gazonk\""]), [None]);
        assert_eq!(all(&["For=\"[2001:db8:cafe::17]:4711\""]), [some("2001:db8:cafe::17")]);
        assert_eq!(all(&["for=192.0.2.60;proto=http;by=203.0.113.43"]), [some("192.0.2.60")]);
        assert_eq!(all(&["for=192.0.2.43, for=198.51.100.17"]), [some("198.51.100.17"), some("192.0.2.43")]);
        assert_eq!(
            all(&["for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown"]),
            [None, some("2001:db8:cafe::17"), some("192.0.2.43")]
        );
        assert_eq!(all(&["for=_hidden, for=_SEVKISEK"]), [None, None]);
    }

    #[test]
    fn an_element_ends_where_its_proxy_ended_it() {
        for (element, host) in [
            ("for=192.0.2.1;host=\"a,b;for=1\"", "a,b;for=1"),
            ("for=192.0.2.1;host=\"a\\\",b\\\\\"", "a\\\",b\\\\"),
        ] {
            let line = HeaderValue::try_from(format!("for=1.1.1.1, {element}")).unwrap();
            let headers = HeaderMap::from_iter([(FORWARDED, line)]);
            let hops: Vec<Hop<'_>> = hops(&headers).collect();
            assert_eq!(hops.len(), 2, "{element}");
            assert_eq!(hops[0].address, Some([192, 0, 2, 1].into()), "{element}");
            assert_eq!(hops[0].host, Some(host.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn what_a_client_wrote_hides_nobody(hearsay in "[ -~]{0,40}", v4 in any::<[u8; 4]>()) {
            let stranger = Ipv4Addr::from(v4);
            for element in [format!("for={stranger}"), format!("host=\"x,\\\"y\";for=\"{stranger}:1\"")] {
                prop_assert_eq!(&all(&[&format!("{hearsay}, {element}")])[0], &Some(stranger.to_string()));
            }
        }
    }
}
