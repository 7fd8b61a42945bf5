//! `[[upstream]]`: the backends behind the gateway.

mod health;
mod target;

use std::{net::IpAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

pub(super) use self::target::host_name;
pub use self::{
    health::Health,
    target::{Place, Target},
};
use super::{
    jwt::word,
    listen::Listen,
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
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Connections per target; none: no bound.
    pub max_connections: Option<NonZeroU32>,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// Further attempts, only when no byte reached the upstream or the method is idempotent.
    pub retries: u32,
    /// How `https://` targets are known.
    pub tls: UpstreamTls,
    /// How targets are asked whether they are well; none: they are not.
    pub health: Option<Health>,
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

/// What is spoken with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: a request at a time on each connection.
    Http1,
    /// HTTP/2: by agreement in TLS (ALPN), without asking elsewhere.
    H2,
}

/// How `https://` targets are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The authorities that are believed, and no others; none: the platform's.
    pub ca: Option<PathBuf>,
    /// The name, or the address, that the certificate must be for; none: the target's own.
    pub server_name: Option<String>,
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
        let targets =
            section.need_list("targets", TARGETS, |item| target::target(item, listen)).unwrap_or_default();
        if let Some(double) = targets.iter().enumerate().find(|(index, one)| targets[..*index].contains(one))
        {
            section.refuse("targets", format!("{} stands there twice", double.1), TARGETS);
        }
        let has_tls = section.has("tls");
        if has_tls && !targets.iter().any(|target| target.tls) {
            section.warn("tls", "is for https:// targets, and there is none");
        }
        let has_health = section.has("health");
        let upstream = Upstream {
            name: name.clone().unwrap_or_default(),
            targets,
            balance: section.read("balance", r#""least_request""#, balance).unwrap_or(Balance::LeastRequest),
            protocol: section.read("protocol", r#""http1""#, protocol).unwrap_or(Protocol::Http1),
            max_connections: section
                .read("max_connections", "0", |item| item.number(0..=10_000_000))
                .and_then(NonZeroU32::new),
            timeouts: section.section("timeouts", Timeouts::read),
            retries: section.read("retries", "1", |item| item.number(0..=10)).unwrap_or(1),
            tls: section.section("tls", UpstreamTls::read),
            health: has_health.then(|| section.section("health", Health::read)).flatten(),
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

impl UpstreamTls {
    fn read(section: &mut Section<'_>) -> Self {
        let findings = section.findings();
        Self {
            ca: section.read("ca", r#""upstream-ca.pem""#, |item| Ok(findings.resolve(&word(item)?))),
            server_name: section.read("server_name", r#""backend.internal""#, server_name),
        }
    }
}

fn server_name(item: &Item) -> Result<String, Problem> {
    let text = item.text()?;
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => host_name(text).ok_or_else(|| format!("{text:?} is no host name and no address")),
    }
}

fn protocol(item: &Item) -> Result<Protocol, Problem> {
    match item.text()? {
        "http1" => Ok(Protocol::Http1),
        "h2" => Ok(Protocol::H2),
        other => {
            let hint = suggest::did_you_mean(other, ["http1", "h2"]);
            Err(format!("{other:?} is not http1 or h2{hint}"))
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

const TARGETS: &str = r#"["http://127.0.0.1:9000"]"#;

/// In characters.
const LONGEST_NAME: usize = 64;
