//! Whose request it is: nobody but a trusted proxy says anything about it (SECURITY 174-184).

use std::net::{IpAddr, Ipv4Addr};

use latchgate::runtime::client_ip::{Connection, Source, client};

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

pub(super) fn run(data: &[u8]) {
    let headers = super::fields(data);
    let trusted = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10);
    let seen = client(Connection::from(STRANGER), &headers, trusted);
    assert_eq!((seen.address, seen.peer_trusted), (Some(STRANGER), false), "a stranger is a stranger");
    let seen = client(Connection::from(PROXY), &headers, trusted);
    assert!(seen.peer_trusted);
    match (seen.source, seen.address) {
        (Source::Peer, address) => assert_eq!(address, Some(PROXY)),
        (Source::Unreadable(_), address) => assert_eq!(address, None, "what cannot be read is nobody"),
        (Source::Nobody, address) => assert_eq!(address, None, "nobody has no address"),
        (_, address) => {
            let address = address.expect("a hop that was read");
            assert_eq!(address, address.to_canonical(), "IPv4 is IPv4, however it is written");
        }
    }
}
