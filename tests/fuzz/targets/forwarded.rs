//! Whose request it is: nobody but a trusted proxy says anything about it (SECURITY 174-184).

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use latchgate::{
    config::ClientIpHeader,
    runtime::client_ip::{Connection, Source, client},
};

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

pub(super) fn run(data: &[u8]) {
    let headers = super::fields(data);
    for (header, name, hop) in [
        (ClientIpHeader::XForwardedFor, "x-forwarded-for", "203.0.113.9"),
        (ClientIpHeader::Forwarded, "forwarded", "for=\"203.0.113.9:80\";proto=https"),
    ] {
        let seen = client(Connection::from(STRANGER), &headers, header, is_trusted);
        assert_eq!((seen.address, seen.peer_trusted), (Some(STRANGER), false), "a stranger is a stranger");
        let seen = client(Connection::from(PROXY), &headers, header, is_trusted);
        assert!(seen.peer_trusted);
        match (seen.source, seen.address) {
            (Source::Peer, address) => assert_eq!(address, Some(PROXY)),
            (Source::Unreadable(_), address) => assert_eq!(address, None, "what cannot be read is nobody"),
            (Source::Nobody | Source::Elsewhere, address) => {
                assert_eq!(address, None, "nobody has no address");
            }
            (Source::Hop(_), address) => {
                let address = address.expect("a hop that was read");
                assert_eq!(address, address.to_canonical(), "IPv4 is IPv4, however it is written");
            }
        }
        let seen = client(Connection::from(PROXY), &appended(&headers, name, hop), header, is_trusted);
        assert_eq!(seen.address, Some(STRANGER), "whatever a client sent, its proxy wrote after it");
    }
}

fn is_trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10)
}

/// The same with a hop at the end of the last line.
fn appended(headers: &HeaderMap, name: &'static str, hop: &str) -> HeaderMap {
    let mut lines: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    let last = lines.pop().map_or_else(Vec::new, |line| [line.as_bytes(), b", "].concat());
    lines.push(HeaderValue::from_bytes(&[&last, hop.as_bytes()].concat()).expect("a line"));
    let (mut headers, name) = (headers.clone(), HeaderName::from_static(name));
    headers.remove(&name);
    for line in lines {
        headers.append(&name, line);
    }
    headers
}
