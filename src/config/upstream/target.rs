//! Where one copy of a backend listens: `http://host:port`, `https://host:port` or `unix:/path`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use http::uri::Authority;

use super::super::{
    listen::{LOOPBACKS, Listen, reaches},
    raw::{Item, Problem},
};

/// Where one copy of the backend listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// As it stands in `Host` when the client sent none, without the scheme's own port; `localhost` for a socket in
    /// the file system.
    pub authority: Authority,
    /// Where it is.
    pub place: Place,
    /// Whether TLS is spoken there.
    pub tls: bool,
}

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A name, looked up again and again, and a port, never 0.
    Name(String, u16),
    /// An address, connected to as it is.
    Address(SocketAddr),
    /// A socket in the file system.
    Socket(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Socket(path) => write!(f, "unix:{}", path.display()),
            _ if self.tls => write!(f, "https://{}", self.authority),
            _ => write!(f, "http://{}", self.authority),
        }
    }
}

/// The refusals do not print user names: a password stands beside them.
pub(super) fn target(item: &Item, listen: &Listen) -> Result<Target, Problem> {
    let text = item.text()?;
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(text, path);
    }
    let (rest, tls) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Err(format!("{text:?} does not begin with http://, https:// or unix:/")),
    };
    if rest.contains('@') {
        return Err("must not hold a user name: credentials for a backend belong to the clients".to_owned());
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '\\']) {
        return Err(format!(
            "{text:?} is more than a host and a port: the path of a request is passed on as it came"
        ));
    }
    let authority: Authority = authority.parse().map_err(|_| format!("{text:?} names no host"))?;
    let target = Target::new(&authority, tls).ok_or_else(|| format!("{text:?} is not a host and a port"))?;
    if let Some((key, address)) = listen.addresses().into_iter().find(|(_, address)| target.reaches(*address))
    {
        return Err(format!("{text:?} is the gateway itself ({key} = \"{address}\")"));
    }
    Ok(target)
}

/// The kernel takes 107 bytes, and cuts no path short in silence.
fn socket(text: &str, path: &str) -> Result<Target, Problem> {
    if !Path::new(path).is_absolute() || path.contains('\0') {
        return Err(format!("{text:?} is not unix: and the whole path of a socket"));
    }
    if path.len() > LONGEST_SOCKET {
        return Err(format!("{text:?} is longer than a socket's path can be, {LONGEST_SOCKET} bytes"));
    }
    let authority = Authority::from_static("localhost");
    Ok(Target { authority, place: Place::Socket(path.into()), tls: false })
}

impl Target {
    fn new(given: &Authority, tls: bool) -> Option<Self> {
        let usual = if tls { 443 } else { 80 };
        let port = match given.as_str().strip_prefix(given.host())? {
            "" => usual,
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?,
        };
        let place = place(given.host(), port)?;
        let shown = match &place {
            Place::Address(SocketAddr::V6(address)) => format!("[{}]", address.ip()),
            Place::Address(SocketAddr::V4(address)) => address.ip().to_string(),
            Place::Name(name, _) => name.clone(),
            Place::Socket(_) => return None,
        };
        let shown = if port == usual { shown } else { format!("{shown}:{port}") };
        Some(Self { authority: shown.parse().ok()?, place, tls })
    }

    /// Whether a connection to it arrives at this listener of ours.
    fn reaches(&self, listener: SocketAddr) -> bool {
        match &self.place {
            Place::Address(address) => reaches(listener, address.ip(), address.port()),
            Place::Name(name, port) if name == "localhost" => {
                LOOPBACKS.into_iter().any(|ip| reaches(listener, ip, *port))
            }
            Place::Name(..) | Place::Socket(_) => false,
        }
    }
}

fn place(host: &str, port: u16) -> Option<Place> {
    let address = |ip| Place::Address(SocketAddr::new(ip, port));
    if let Some(v6) = host.strip_prefix('[') {
        return v6.strip_suffix(']')?.parse().ok().map(|ip| address(IpAddr::V6(ip)));
    }
    match host.parse() {
        Ok(v4) => Some(address(IpAddr::V4(v4))),
        Err(_) => host_name(host).map(|name| Place::Name(name, port)),
    }
}

/// A host name as DNS knows it, in lower case; underscores as container networks have them.
pub(in crate::config) fn host_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    // What ends in a number is an address that did not parse, such as 127.1.
    let numeric = text.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    (text.len() <= 253 && !numeric && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

/// In bytes: `sun_path` without its last, which is zero.
const LONGEST_SOCKET: usize = 107;
