//! `[[upstream]]`: the backends behind the gateway.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use http::uri::Authority;

use super::{
    listen::{LOOPBACKS, Listen, reaches},
    quantity::timeout,
    raw::{Item, Problem, Section},
    suggest,
};

/// One backend: interchangeable targets under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// How routes, logs and metrics call it.
    pub name: String,
    /// At least one, each different.
    pub targets: Vec<Target>,
    /// How a target is chosen.
    pub balance: Balance,
    /// Connections per target; none: no bound.
    pub max_connections: Option<NonZeroU32>,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// Further attempts, only when no byte reached the upstream or the method is idempotent.
    pub retries: u32,
}

/// Where one copy of the backend listens. Plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// As it stands in `Host` when the client sent none, and in metrics: without the port 80.
    pub authority: Authority,
    /// A name to look up, or an address.
    pub host: TargetHost,
    /// Never 0.
    pub port: u16,
}

/// The host of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetHost {
    /// Looked up when a connection is made; lower case.
    Name(String),
    /// Connected to as it is.
    Address(IpAddr),
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests in flight.
    LeastRequest,
    /// Each in turn.
    RoundRobin,
}

/// How long each step towards an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub response: Duration,
    /// How long a connection is kept that nobody uses.
    pub idle: Duration,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// The upstreams of a file while it is read.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    /// Those that may be used.
    pub(super) usable: Vec<Arc<Upstream>>,
    /// Names of those that were refused: a route that means one of them is not at fault.
    refused: Vec<String>,
}

impl Upstreams {
    pub(super) fn read(whole: &mut Section<'_>, listen: &Listen) -> Self {
        let mut upstreams = Self::default();
        whole.sections("upstream", |section| upstreams.read_one(section, listen));
        upstreams
    }

    /// The upstream that a route names; none when it exists but was refused, which has been noted.
    pub(super) fn find(&self, name: &str) -> Result<Option<Arc<Upstream>>, Problem> {
        if let Some(usable) = self.usable.iter().find(|upstream| upstream.name == name) {
            return Ok(Some(Arc::clone(usable)));
        }
        if self.refused.iter().any(|refused| refused == name) {
            return Ok(None);
        }
        let hint = suggest::did_you_mean(name, self.names());
        Err(format!("there is no [[upstream]] named {name:?}{hint}"))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.usable
            .iter()
            .map(|upstream| upstream.name.as_str())
            .chain(self.refused.iter().map(String::as_str))
    }

    fn read_one(&mut self, section: &mut Section<'_>, listen: &Listen) {
        let name = section.need("name", r#""scanner""#, name);
        if let Some(name) = name.as_deref().filter(|name| self.names().any(|taken| taken == *name)) {
            section.refuse("name", format!("{name:?} is the name of an earlier upstream"), r#""scanner-2""#);
        }
        let targets = section.need_list("targets", TARGETS, |item| target(item, listen)).unwrap_or_default();
        if let Some(double) = targets.iter().enumerate().find(|(index, one)| targets[..*index].contains(one))
        {
            section.refuse("targets", format!("{} stands there twice", double.1), TARGETS);
        }
        let upstream = Upstream {
            name: name.clone().unwrap_or_default(),
            targets,
            balance: section.read("balance", r#""least_request""#, balance).unwrap_or(Balance::LeastRequest),
            max_connections: section
                .read("max_connections", "0", |item| item.number(0..=10_000_000))
                .and_then(NonZeroU32::new),
            timeouts: section.section("timeouts", Timeouts::read),
            retries: section.read("retries", "1", |item| item.number(0..=10)).unwrap_or(1),
        };
        match name {
            Some(_) if !upstream.targets.is_empty() => self.usable.push(Arc::new(upstream)),
            Some(name) => self.refused.push(name),
            None => {}
        }
    }
}

impl Timeouts {
    fn read(section: &mut Section<'_>) -> Self {
        let mut span = |key, example, default| {
            section.read(key, example, timeout).unwrap_or(Duration::from_secs(default))
        };
        Self {
            connect: span("connect", r#""2s""#, 2),
            response: span("response", r#""60s""#, 60),
            idle: span("idle", r#""90s""#, 90),
        }
    }
}

/// Names of upstreams and routes are labels of metrics and words of the log: short and plain.
pub(super) fn name(item: &Item) -> Result<String, Problem> {
    let text = item.text()?;
    if text.starts_with('@') {
        return Err(format!("{text:?}: names with @ are the gateway's own"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > LONGEST_NAME || !text.chars().all(plain) {
        return Err(format!("{text:?} is not a name: 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`"));
    }
    Ok(text.to_owned())
}

fn balance(item: &Item) -> Result<Balance, Problem> {
    match item.text()? {
        "least_request" => Ok(Balance::LeastRequest),
        "round_robin" => Ok(Balance::RoundRobin),
        other => {
            let known = ["least_request", "round_robin"];
            let hint = suggest::did_you_mean(other, known);
            Err(format!("{other:?} is not least_request or round_robin{hint}"))
        }
    }
}

/// `http://host[:port]`. The refusals do not print user names: a password stands beside them.
fn target(item: &Item, listen: &Listen) -> Result<Target, Problem> {
    let text = item.text()?;
    if text.starts_with("https://") || text.starts_with("unix:") {
        return Err(format!("{text:?}: only http:// targets are supported in this version"));
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return Err(format!("{text:?} does not begin with http://"));
    };
    if rest.contains('@') {
        return Err("must not hold a user name".to_owned());
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '\\']) {
        return Err(format!(
            "{text:?} is more than a host and a port: the path of a request is passed on as it came"
        ));
    }
    let authority: Authority = authority.parse().map_err(|_| format!("{text:?} names no host"))?;
    let target = Target::new(&authority).ok_or_else(|| format!("{text:?} is not a host and a port"))?;
    if let Some((key, address)) = listen.addresses().into_iter().find(|(_, address)| target.reaches(*address))
    {
        return Err(format!("{text:?} is the gateway itself ({key} = \"{address}\")"));
    }
    Ok(target)
}

impl Target {
    fn new(given: &Authority) -> Option<Self> {
        let port = match given.as_str().strip_prefix(given.host())? {
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?,
        };
        let host = TargetHost::parse(given.host())?;
        let shown = match &host {
            TargetHost::Name(name) => name.clone(),
            TargetHost::Address(IpAddr::V4(ip)) => ip.to_string(),
            TargetHost::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        let shown = if port == 80 { shown } else { format!("{shown}:{port}") };
        Some(Self { authority: shown.parse().ok()?, host, port })
    }

    /// Whether a connection to it arrives at this listener of ours.
    fn reaches(&self, listener: SocketAddr) -> bool {
        match &self.host {
            TargetHost::Address(ip) => reaches(listener, *ip, self.port),
            TargetHost::Name(name) if name == "localhost" => {
                LOOPBACKS.into_iter().any(|ip| reaches(listener, ip, self.port))
            }
            TargetHost::Name(_) => false,
        }
    }
}

impl TargetHost {
    fn parse(text: &str) -> Option<Self> {
        if let Some(v6) = text.strip_prefix('[') {
            return v6.strip_suffix(']')?.parse().ok().map(|ip| Self::Address(IpAddr::V6(ip)));
        }
        if let Ok(v4) = text.parse() {
            return Some(Self::Address(IpAddr::V4(v4)));
        }
        host_name(text).map(Self::Name)
    }
}

/// A host name as DNS knows it, in lower case; underscores as container networks have them.
pub(super) fn host_name(text: &str) -> Option<String> {
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

const TARGETS: &str = r#"["http://127.0.0.1:9000"]"#;

/// In characters.
const LONGEST_NAME: usize = 64;
