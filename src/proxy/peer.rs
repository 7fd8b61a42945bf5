//! The other end of a connection: what is known about a client before its first request.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use super::reject::Refusal;
use crate::runtime::{client_ip::Connection, tls::Met};

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its address; that of the proxy in front where that does not know it.
    pub ip: IpAddr,
    /// Whether nobody knows whose connection it is.
    pub nameless: bool,
    /// Its address as a header, made once for each connection.
    pub text: HeaderValue,
    /// Whether its connection is encrypted, and ends here.
    pub tls: bool,
    /// Whose certificate it has proved to be its own (RFC 4514).
    pub subject: Option<HeaderValue>,
    met: Option<Met>,
}

impl Peer {
    /// A client without TLS. An IPv4 address stays one, also on a socket that is IPv6 to the program.
    pub fn new(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        let text = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { ip, nameless: false, text, tls: false, subject: None, met: None }
    }

    /// The same where only the proxy in front has an address.
    #[must_use]
    pub fn nameless(self) -> Self {
        Self { nameless: true, text: HeaderValue::from_static("unknown"), ..self }
    }

    /// The same after a handshake.
    #[must_use]
    pub fn over_tls(self, met: Met) -> Self {
        let subject = met.subject.as_deref().and_then(|subject| HeaderValue::from_str(subject).ok());
        Self { tls: true, subject, met: Some(met), ..self }
    }

    /// What its requests are judged by.
    pub const fn connection(&self) -> Connection {
        Connection { ip: self.ip, nameless: self.nameless, tls: self.tls }
    }

    /// Its address, if it is known.
    pub fn name(&self) -> Option<IpAddr> {
        (!self.nameless).then_some(self.ip)
    }

    /// Refuses a request for a host of another certificate than the client was shown: what was agreed in the handshake
    /// was agreed with somebody else (RFC 9110 section 7.4).
    pub fn may_ask_for(&self, host: Option<&str>) -> Result<(), Refusal> {
        match (&self.met, host) {
            (Some(met), Some(host)) if !met.certificates.may_ask(met.shown, host) => {
                Err(Refusal::AnotherCertificate)
            }
            _ => Ok(()),
        }
    }
}
