//! `[listen]`: the three ports, and whose word about client addresses is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{Uri, uri::Scheme};
use ipnet::{IpNet, Ipv4Net};

use super::{
    raw::{Item, Problem, Section},
    route::host,
};

/// Where the gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The data plane: what clients speak to.
    pub gateway: SocketAddr,
    /// The admin API.
    pub admin: SocketAddr,
    /// `/metrics`, `/livez`, `/readyz`.
    pub ops: SocketAddr,
    /// gRPC for proxies that ask for decisions; none: nobody asks so.
    pub ext_authz: Option<SocketAddr>,
    /// Without TLS, for clients to be sent to where there is; none: no such port.
    pub redirect: Option<SocketAddr>,
    /// Worker threads of the gateway port; 0: one per core.
    pub workers: usize,
    /// Whose word about client addresses is believed; empty: nobody's.
    pub trusted_proxies: TrustedProxies,
    /// Every connection to the gateway port begins with a PROXY header, and comes from a trusted proxy.
    pub proxy_protocol: bool,
    /// How clients reach the gateway; none: by the gateway's own address. A scheme and an authority, no path.
    pub public_url: Option<Uri>,
    /// Further names of the admin port and of the gateway's own pages, in lower case.
    pub hosts: Vec<String>,
}

/// Networks of proxies in front of the gateway, and where they say for whom they ask. Unlike a key's networks, an empty
/// list admits nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: ClientIpHeader,
}

/// The one header in which trusted proxies name their clients. Never both: a proxy lets the other pass as the client
/// wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientIpHeader {
    /// What almost all proxies send.
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl TrustedProxies {
    /// Where they name their clients.
    pub const fn header(&self) -> ClientIpHeader {
        self.header
    }

    /// Whether this peer may speak for its clients. An IPv4-mapped address counts as the IPv4 one.
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// Whether it names no network.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}

impl Listen {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let [gateway, admin, ops] = DEFAULTS;
        let listen = Self {
            gateway: section.read("gateway", r#""127.0.0.1:8080""#, address).unwrap_or(gateway),
            admin: section.read("admin", r#""127.0.0.1:8081""#, address).unwrap_or(admin),
            ops: section.read("ops", r#""127.0.0.1:8082""#, address).unwrap_or(ops),
            ext_authz: section.read("ext_authz", r#""127.0.0.1:8083""#, optional_address).flatten(),
            redirect: section.read("redirect", r#""0.0.0.0:80""#, optional_address).flatten(),
            workers: section.read("workers", "0", |item| item.number(0..=1024)).unwrap_or(0),
            trusted_proxies: TrustedProxies {
                networks: section
                    .list("trusted_proxies", r#"["10.0.0.0/8", "fd00::/8"]"#, network)
                    .unwrap_or_default(),
                header: section
                    .read("client_ip_header", r#""forwarded""#, client_ip_header)
                    .unwrap_or_default(),
            },
            proxy_protocol: section.read("proxy_protocol", "true", Item::boolean).unwrap_or(false),
            public_url: section.read("public_url", r#""https://gate.example.com""#, public_url),
            hosts: section.list("hosts", r#"["gate.internal"]"#, host).unwrap_or_default(),
        };
        if listen.trusted_proxies.networks.iter().any(|network| network.prefix_len() == 0) {
            section.warn(
                "trusted_proxies",
                "trusts every address: any client can then forge its own and pass a key's network list",
            );
        }
        if listen.proxy_protocol && listen.trusted_proxies.is_empty() {
            section.refuse(
                "proxy_protocol",
                "needs trusted_proxies: from nobody else is such a header taken, so every connection would be closed",
                "true\ntrusted_proxies = [\"10.0.0.0/8\"]",
            );
        }
        let is_plain = |url: &Uri| url.scheme() == Some(&Scheme::HTTP);
        if listen.redirect.is_some() && listen.public_url.as_ref().is_some_and(is_plain) {
            section.refuse(
                "redirect",
                "leads to https, and listen.public_url begins with http://",
                "\"0.0.0.0:80\"\npublic_url = \"https://gate.example.com\"",
            );
        }
        listen.refuse_collisions(section);
        listen
    }

    /// Each listening address with the key that sets it.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let always =
            [("listen.gateway", self.gateway), ("listen.admin", self.admin), ("listen.ops", self.ops)];
        let ext_authz = self.ext_authz.map(|address| ("listen.ext_authz", address));
        let redirect = self.redirect.map(|address| ("listen.redirect", address));
        always.into_iter().chain(ext_authz).chain(redirect).collect()
    }

    /// Two listeners on one port would share its connections (`SO_REUSEPORT`), admin API and gateway alike.
    fn refuse_collisions(&self, section: &Section<'_>) {
        let always = [("gateway", self.gateway), ("admin", self.admin), ("ops", self.ops)];
        let ext_authz = self.ext_authz.map(|address| ("ext_authz", address));
        for (key, address, example) in [
            ("ext_authz", self.ext_authz, "\"127.0.0.1:8083\""),
            ("redirect", self.redirect, "\"0.0.0.0:80\""),
        ] {
            let Some(address) = address else { continue };
            let others = always.into_iter().chain(ext_authz).filter(|(other, _)| *other != key);
            for (other_key, other) in others {
                if collide(address, other) {
                    let problem = format!("{address} collides with listen.{other_key} ({other})");
                    section.refuse(key, problem, example);
                }
            }
        }
        for (key, address, other_key, other) in [
            ("admin", self.admin, "gateway", self.gateway),
            ("ops", self.ops, "gateway", self.gateway),
            ("ops", self.ops, "admin", self.admin),
        ] {
            if collide(address, other) {
                let example = format!("\"{}\"", DEFAULTS[if key == "admin" { 1 } else { 2 }]);
                section.refuse(
                    key,
                    format!("{address} collides with listen.{other_key} ({other})"),
                    &example,
                );
            }
        }
    }
}

/// Whether one socket could take what is meant for the other. Port 0 is any free port and collides with nothing.
fn collide(left: SocketAddr, right: SocketAddr) -> bool {
    left.port() != 0
        && left.port() == right.port()
        && (left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified())
}

fn address(item: &Item) -> Result<SocketAddr, Problem> {
    let text = item.text()?;
    text.parse()
        .map_err(|_| format!("{text:?} is not an address and port (a host name is not looked up here)"))
}

fn optional_address(item: &Item) -> Result<Option<SocketAddr>, Problem> {
    if item.text()?.is_empty() { Ok(None) } else { address(item).map(Some) }
}

fn client_ip_header(item: &Item) -> Result<ClientIpHeader, Problem> {
    match item.text()?.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(ClientIpHeader::XForwardedFor),
        "forwarded" => Ok(ClientIpHeader::Forwarded),
        other => Err(format!("{other:?} is not x-forwarded-for or forwarded")),
    }
}

/// A network, or one address.
fn network(item: &Item) -> Result<IpNet, Problem> {
    let text = item.text()?;
    let wrong = || format!("{text:?} is not a network");
    let network: IpNet = if text.contains('/') {
        text.parse().map_err(|_| wrong())?
    } else {
        text.parse::<IpAddr>().map_err(|_| wrong())?.into()
    };
    if network.trunc() != network {
        return Err(format!("{text:?} has bits beyond its prefix; did you mean \"{}\"?", network.trunc()));
    }
    Ok(unmapped(network))
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.prefix_len().checked_sub(96).zip(v6.addr().to_ipv4_mapped());
    let v4 = mapped.and_then(|(prefix, address)| Ipv4Net::new(address, prefix).ok());
    v4.map_or(network, IpNet::V4)
}

fn public_url(item: &Item) -> Result<Uri, Problem> {
    let text = item.text()?;
    let wrong = |why: &str| format!("{text:?} {why}");
    // `Uri` drops a fragment without a word.
    if text.contains(['#', '?', '@']) {
        return Err(wrong("must be a scheme and a host alone"));
    }
    let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => {}
        _ => return Err(wrong("must begin with https:// or http:// and name a host")),
    }
    if uri.path() != "/" {
        return Err(wrong("must not have a path"));
    }
    Ok(uri)
}

const DEFAULTS: [SocketAddr; 3] = [local(8080), local(8081), local(8082)];

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The address at which a client on this machine reaches a listener.
pub(super) fn reaches(listener: SocketAddr, target: IpAddr, port: u16) -> bool {
    let target = target.to_canonical();
    let any = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let same = listener.ip().to_canonical() == target
        // Connecting to 0.0.0.0 or [::] reaches this machine, and a listener there hears every local address.
        || (listener.ip().is_unspecified() && any(target))
        || (target.is_unspecified() && any(listener.ip()));
    listener.port() == port && port != 0 && same
}

/// What `localhost` stands for.
pub(super) const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
