//! Whose request this is: the address that networks, budgets and log lines are judged by.
//!
//! It is the peer's address, and nothing that the peer says can change that, unless the peer is one of
//! `listen.trusted_proxies`: then it is the right-most hop that is not itself a trusted proxy, because each proxy
//! appends whom it saw, and everything left of the last trusted one is hearsay. The hops are in `X-Forwarded-For`, or
//! in `Forwarded` where `listen.client_ip_header` says so. `X-Real-IP` and its kin are never asked: one source, so that
//! two cannot disagree. Where only the other of the two is there, the proxy may mean to name somebody, or its client
//! wrote it: then nobody knows.
//!
//! A hop that cannot be read ends the search with no address at all, which passes no network check
//! ([`Networks::admit`](crate::domain::access::Networks::admit) of `None`), rather than falling back to the
//! trusted proxy's own address, which may well be on the list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderName, HeaderValue, header::FORWARDED};

use super::{forwarded, said::Said};
use crate::config::ClientIpHeader;

/// The hops before a proxy, the nearest last.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How the client came to a proxy.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A connection as the gateway took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Its other end; where `nameless`, only the proxy in front.
    pub ip: IpAddr,
    /// The proxy in front does not know whose connection it is.
    pub nameless: bool,
    /// Whether it is encrypted, and ends here.
    pub tls: bool,
}

impl Connection {
    /// One from this address.
    pub const fn from(ip: IpAddr) -> Self {
        Self { ip, nameless: false, tls: false }
    }
}

/// The client as far as the gateway can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address, IPv4-mapped IPv6 written as IPv4; none when a trusted proxy named no readable one.
    pub address: Option<IpAddr>,
    /// How that was found.
    pub source: Source,
    /// Whether the peer is a trusted proxy, so that what it says about the request is believed.
    pub peer_trusted: bool,
}

/// Which hop gave the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The connection's other end.
    Peer,
    /// Nobody knows: the PROXY header named no address.
    Nobody,
    /// Nobody knows: a trusted proxy sent the other header than the one that is read.
    Elsewhere,
    /// An entry of the header that is read, counted from the right, from 1.
    Hop(usize),
    /// That entry is no address.
    Unreadable(usize),
}

/// The client behind a connection on which these headers were sent.
///
/// `trusted` says whether an address is one of `listen.trusted_proxies`, `header` where those name their clients. The work is bounded by
/// the size of the head: every entry is read at most once, from the right, and reading stops at the first that is
/// not a trusted proxy.
pub fn client(
    connection: Connection,
    headers: &impl Said,
    header: ClientIpHeader,
    trusted: impl Fn(IpAddr) -> bool,
) -> Client {
    if connection.nameless {
        // Not the proxy's own address, and not what the unknown one says of itself.
        return Client { address: None, source: Source::Nobody, peer_trusted: false };
    }
    let peer = connection.ip.to_canonical();
    if !trusted(peer) {
        return Client { address: Some(peer), source: Source::Peer, peer_trusted: false };
    }
    let ((address, source), other) = match header {
        ClientIpHeader::XForwardedFor => {
            // Several lines are one list, in the order in which they came (RFC 9110 section 5.3).
            let name = X_FORWARDED_FOR;
            let entries = headers.all(&name).rev().flat_map(entries_from_the_right);
            (walk(peer, entries.map(address_of), trusted), FORWARDED)
        }
        ClientIpHeader::Forwarded => {
            let hops = forwarded::hops(headers).map(|hop| hop.address);
            (walk(peer, hops, trusted), X_FORWARDED_FOR)
        }
    };
    if source == Source::Peer && headers.says(&other) {
        return Client { address: None, source: Source::Elsewhere, peer_trusted: true };
    }
    Client { address, source, peer_trusted: true }
}

/// The first of these hops, the nearest first, that is no trusted proxy.
fn walk(
    peer: IpAddr,
    hops: impl Iterator<Item = Option<IpAddr>>,
    trusted: impl Fn(IpAddr) -> bool,
) -> (Option<IpAddr>, Source) {
    let mut outermost = (Some(peer), Source::Peer);
    for (at, address) in hops.enumerate() {
        let hop = at + 1;
        let Some(address) = address else { return (None, Source::Unreadable(hop)) };
        outermost = (Some(address), Source::Hop(hop));
        if !trusted(address) {
            break;
        }
    }
    // Nobody but trusted proxies: the request began at the one furthest away.
    outermost
}

fn entries_from_the_right(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// An address as proxies write it: bare, or with a port, IPv6 then in brackets. IPv4 must be four decimal numbers
/// without leading zeros: `010.0.0.1` is eight to some programs and ten to others. A zone (`fe80::1%eth0`) means
/// nothing to anybody but the host that wrote it.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    let address = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']')?;
            if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
                return None;
            }
            IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
        }
        None => match text.split_once(':') {
            Some((address, port)) if is_port(port) => IpAddr::V4(address.parse::<Ipv4Addr>().ok()?),
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

pub(super) fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";
    const HEADER: ClientIpHeader = ClientIpHeader::XForwardedFor;

    fn seen(peer: &str, lines: &[impl AsRef<[u8]>]) -> Client {
        let proxies: [ipnet::IpNet; 2] =
            ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_ref()).unwrap());
        }
        client(Connection::from(peer.parse().unwrap()), &headers, HEADER, |address| {
            proxies.iter().any(|proxy| proxy.contains(&address))
        })
    }

    fn address(lines: &[impl AsRef<[u8]>]) -> Option<String> {
        seen(PROXY, lines).address.map(|address| address.to_string())
    }

    #[test]
    fn nobody_is_believed_unless_named() {
        let spoofed = seen("198.51.100.9", &["203.0.113.5"]);
        assert_eq!(spoofed.address, Some([198, 51, 100, 9].into()));
        assert!(!spoofed.peer_trusted);
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.5"))]);
        for peer in ["127.0.0.1", "::1", "10.0.0.1"] {
            let peer = peer.parse().unwrap();
            assert_eq!(
                client(Connection::from(peer), &headers, HEADER, |_| false).address,
                Some(peer),
                "no trust is implied"
            );
        }
    }

    #[test]
    fn who_is_not_known_cannot_name_itself() {
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.5"))]);
        let connection = Connection { nameless: true, ..Connection::from(PROXY.parse().unwrap()) };
        let client = client(connection, &headers, HEADER, |_| true);
        assert_eq!((client.address, client.peer_trusted), (None, false));
    }

    #[test]
    fn the_right_most_stranger_is_the_client() {
        for (lines, expected, source) in [
            (&["203.0.113.5, 198.51.100.7"] as &[_], "198.51.100.7", Source::Hop(1)),
            (&["203.0.113.5, 198.51.100.7, 10.9.9.9"], "198.51.100.7", Source::Hop(2)),
            (&["garbage, 198.51.100.7"], "198.51.100.7", Source::Hop(1)),
            (&["203.0.113.5", "198.51.100.7,10.0.0.2"], "198.51.100.7", Source::Hop(2)),
            (&["203.0.113.5\t,\t10.0.0.2 "], "203.0.113.5", Source::Hop(2)),
            (&["10.1.1.1, 10.0.0.2"], "10.1.1.1", Source::Hop(2)),
            (&[], PROXY, Source::Peer),
        ] {
            let client = seen(PROXY, lines);
            assert_eq!(client.address.map(|a| a.to_string()).as_deref(), Some(expected));
            assert_eq!(client.source, source);
        }
    }

    #[test]
    fn one_client_has_one_address_however_it_is_written() {
        for (entry, expected) in [
            ("203.0.113.5", "203.0.113.5"),
            ("203.0.113.5:4711", "203.0.113.5"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
            ("::ffff:cb00:7105", "203.0.113.5"),
            ("[::ffff:203.0.113.5]:80", "203.0.113.5"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            // Not the mapped form: no IPv4 address.
            ("::203.0.113.5", "::cb00:7105"),
            ("64:ff9b::cb00:7105", "64:ff9b::cb00:7105"),
        ] {
            assert_eq!(address(&[entry.as_bytes()]).as_deref(), Some(expected), "{entry}");
        }
        // A v4-mapped peer is the proxy that the list names.
        assert!(seen("::ffff:10.0.0.1", &[""; 0]).peer_trusted);
    }

    #[test]
    fn an_unreadable_hop_is_nobody() {
        for entry in [
            "a",
            "",
            ",",
            "unknown",
            "_x",
            "1.2.3.4.5",
            "127.0.0.1%00",
            "010.0.0.1",
            "0xcb.0.113.5",
            "3405803781",
            "203.0.113",
            "fe80::1%eth0",
            "203.0.113.5:",
            "203.0.113.5:99999",
            "203.0.113.5:+80",
            "[203.0.113.5]:80",
            "[2001:db8::1",
            "[2001:db8::1]80",
            "2001:db8::1]",
            "\"203.0.113.5\"",
            "203.0.113.5, ",
            "203.0.113.5 1",
        ] {
            let client = seen(PROXY, &[entry.as_bytes()]);
            assert_eq!(client.address, None, "{entry}");
            assert_eq!(client.source, Source::Unreadable(1), "{entry}");
        }
        assert_eq!(address(&[b"\xff"]), None);
        // Also behind a trusted hop: what stands left of it is not skipped.
        assert_eq!(seen(PROXY, &["203.0.113.5, unknown, 10.0.0.2"]).source, Source::Unreadable(2));
    }

    #[test]
    fn ten_thousand_entries_are_read_from_the_right() {
        let line = format!("{}198.51.100.7", "203.0.113.5, ".repeat(10_000));
        assert_eq!(address(&[line.as_bytes()]).as_deref(), Some("198.51.100.7"));
    }

    proptest! {
        #[test]
        fn a_stranger_in_front_of_the_proxy_is_never_hidden(
            hearsay in "[ -~]{0,40}", v4 in any::<[u8; 4]>().prop_filter("not a proxy", |v4| v4[0] != 10),
        ) {
            let stranger = Ipv4Addr::from(v4);
            let line = format!("{hearsay},{stranger}");
            prop_assert_eq!(seen(PROXY, &[line.as_bytes()]).address, Some(stranger.into()));
        }
    }
}
