//! The names by which the gateway itself may be asked for.
//!
//! A page of a stranger's can have its own name point at this machine (DNS rebinding) and then speak to the admin port
//! or to the gateway's pages as if they were its own. What gives it away is the name in `Host`: so only names that the
//! configuration knows are answered there. An address is no name, and `localhost` is nobody else's.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{Listen, Route};

/// Names that the configuration knows, in lower case and without ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    /// `listen.hosts`, `listen.public_url` and the hosts of routes.
    pub(super) fn of(listen: &Listen, routes: &[Route]) -> Self {
        let public = listen.public_url.as_ref().and_then(http::Uri::host).map(str::to_ascii_lowercase);
        let of_routes = routes.iter().filter_map(|route| route.host.clone());
        Self(listen.hosts.iter().cloned().chain(public).chain(of_routes).collect())
    }

    /// Whether a request for this host is for the gateway itself. `host` is in lower case, without port and trailing dot,
    /// an IPv6 address in brackets.
    pub fn contains(&self, host: &str) -> bool {
        host == "localhost" || is_address(host) || self.0.contains(host)
    }
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_known_names_alone_are_answered() {
        let hosts = Hosts(["gate.example.com".to_owned()].into());
        for known in ["localhost", "127.0.0.1", "192.0.2.7", "[::1]", "[2001:db8::1]", "gate.example.com"] {
            assert!(hosts.contains(known), "{known}");
        }
        for stranger in [
            "evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "127.0.0.1.nip.io",
            "127.1",
            "0x7f000001",
            "2130706433",
            "sub.gate.example.com",
            "[::1",
            "",
        ] {
            assert!(!hosts.contains(stranger), "{stranger}");
        }
    }
}
