//! The other end of a connection: what is known about a client before its first request.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// Its address as a header, made once for each connection.
    pub text: HeaderValue,
    /// Whether its connection is encrypted, and ends here.
    pub tls: bool,
}

impl Peer {
    /// An IPv4 address stays one, also on a socket that is IPv6 to the program.
    pub fn new(address: SocketAddr, tls: bool) -> Self {
        let ip = address.ip().to_canonical();
        let text = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { ip, text, tls }
    }
}
