//! File and environment -> raw tree -> checked [`Config`].
//!
//! Everything in a [`Config`] has been checked, also across sections: whoever holds one need not look twice.
//! A configuration with a fault gives no `Config` at all but every fault it has, each with its file, dotted key
//! and a valid example. What a version does not do yet is not accepted either: an ignored key would be a promise.

mod acme;
mod audit;
mod auth;
mod credentials;
mod endpoint;
mod environment;
mod error;
mod hosts;
mod identity;
mod invitations;
mod jwt;
mod keys;
mod limits;
mod listen;
mod log;
mod mail;
mod oidc;
mod outbound;
mod path;
mod profile;
mod quantity;
mod rate_limit;
mod raw;
mod require;
mod route;
mod sessions;
mod store;
mod suggest;
#[cfg(test)]
mod tests;
mod tls;
mod upstream;
mod webhook;

use std::{
    fs,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::Table;

use profile::Vocabulary;
use raw::{Findings, Section};

use crate::domain::profile::Profile;

pub use acme::{Acme, Challenge, ExternalAccount};
pub use audit::{AlertAddress, Audit, KeyUseEvents};
pub use auth::{Auth, FailureBudget};
pub use credentials::Credentials;
pub use endpoint::Endpoint;
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors, Warning};
pub use hosts::Hosts;
pub use identity::{Identity, fold};
pub use invitations::Invitations;
pub use jwt::{JwtIssuer, JwtKeys};
pub use keys::Keys;
pub use limits::Limits;
pub use listen::{ClientIpHeader, Listen, TrustedProxies};
pub use log::{Log, LogFormat};
pub use mail::{Login, Mail, MailWay, Sender, Smtp, SmtpTls};
pub use oidc::Oidc;
pub use outbound::Outbound;
pub use path::{PathTemplate, Segment};
pub use quantity::{ByteSize, Humane};
pub use rate_limit::{Backend, RateLimit};
pub use require::{Needed, Require};
pub use route::{Destination, Route};
pub use sessions::Sessions;
pub use store::{Store, StoreUrl};
pub use tls::{CertificateFiles, ClientCertificates, Tls, TlsVersion};
pub use upstream::{Balance, Health, Place, Protocol, Target, Timeouts, Upstream, UpstreamTls};
pub use webhook::{Webhook, Webhooks};

/// A checked configuration. The secrets in it - a mail server's password, where alerts go, those of webhooks - never
/// print; of others it holds the names of files.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that it was read from, for messages.
    pub origin: PathBuf,
    /// The platform's rules, with what `[keys]` changes about them.
    pub profile: Arc<Profile>,
    /// Ports.
    pub listen: Listen,
    /// Certificates; none: plain HTTP.
    pub tls: Option<Tls>,
    /// Where state lives.
    pub store: Store,
    /// Rules for keys: the profile's, with the file's changes.
    pub keys: Keys,
    /// Authentication.
    pub auth: Auth,
    /// How long people stay signed in.
    pub sessions: Sessions,
    /// Bounds of the gateway port.
    pub limits: Limits,
    /// Per-key rates.
    pub rate_limit: RateLimit,
    /// Header names for upstreams.
    pub identity: Identity,
    /// Backends, each under a name of its own.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Routes in the order of the file, no two for the same requests.
    pub routes: Vec<Route>,
    /// Mail; none: none is sent.
    pub mail: Option<Arc<Mail>>,
    /// Rules for invitations.
    pub invitations: Invitations,
    /// Issuers of bearer tokens, no two of one name.
    pub jwt: Vec<JwtIssuer>,
    /// The provider that people sign in by, if one.
    pub oidc: Option<Oidc>,
    /// Calls to other servers.
    pub outbound: Outbound,
    /// Platforms that call, at the places by which routes know them.
    pub webhooks: Vec<Arc<Webhook>>,
    /// Events beside changes, and alerts.
    pub audit: Audit,
    /// What the gateway itself may be called.
    pub hosts: Hosts,
    /// Logging.
    pub log: Log,
}

/// A configuration that may be used, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads a file and lays the environment over it.
    pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, ConfigErrors> {
        let text = read_text(path)
            .map_err(|error| ConfigErrors::whole_file(path, format!("cannot be read: {error}"), ""))?;
        Self::from_toml(&text, path, environment)
    }

    /// The same from text. `origin` is what errors call the file, and what paths in it are relative to.
    pub fn from_toml(text: &str, origin: &Path, environment: &Environment) -> Result<Loaded, ConfigErrors> {
        let mut table: Table = text.parse().map_err(|error| not_toml(text, origin, &error))?;
        let mut findings = Findings::new(origin);
        environment.lay_over(&mut table, &mut findings);
        let config = Section::whole(&findings, table, |whole| Self::read(whole, origin));
        let (faults, warnings) = findings.into_parts();
        match (config, ConfigErrors::new(faults)) {
            (Some(config), None) => Ok(Loaded { config, warnings }),
            (_, Some(errors)) => Err(errors),
            // What makes a part unusable notes why; were that forgotten, it must not pass for a good file.
            (None, None) => Err(ConfigErrors::whole_file(origin, "cannot be used".to_owned(), "")),
        }
    }

    fn read(whole: &mut Section<'_>, origin: &Path) -> Option<Self> {
        let mut profile = profile::read(whole);
        let listen = whole.section("listen", Listen::read);
        let tls = tls::read(whole, &listen);
        let store = whole.section("store", Store::read);
        let keys = whole.section("keys", |section| Keys::read(section, profile.as_mut()));
        let auth = whole.section("auth", Auth::read);
        let sessions = whole.section("sessions", Sessions::read);
        let limits = whole.section("limits", Limits::read);
        let rate_limit = whole.section("rate_limit", RateLimit::read);
        let identity = whole.section("identity", Identity::read);
        if identity.assertion && listen.public_url.is_none() {
            whole.warn(
                "listen.public_url",
                "there is none: the iss of assertions will be the address that listen.gateway names",
            );
        }
        let upstreams = upstream::Upstreams::read(whole, &listen);
        let jwt = jwt::read_all(whole);
        let oidc = oidc::read(whole);
        let outbound = whole.section("outbound", Outbound::read);
        let webhooks = webhook::Known::read(whole, profile.as_ref());
        let around = route::Surroundings {
            upstreams: &upstreams,
            vocabulary: Vocabulary::of(profile.as_ref()),
            issuers: !jwt.is_empty(),
            webhooks: &webhooks,
            received: profile.as_ref().map(Profile::received).unwrap_or_default(),
        };
        let routes = route::read_all(whole, &around);
        let mail = whole.section("mail", Mail::read).map(Arc::new);
        if mail.is_some() && listen.public_url.is_none() && listen.gateway.ip().is_unspecified() {
            whole.warn(
                "listen.public_url",
                "there is none: links in mails will lead to an address that nobody can reach",
            );
        }
        let invitations = whole.section("invitations", Invitations::read);
        let audit = whole.section("audit", Audit::read);
        let log = whole.section("log", Log::read);
        if routes.is_empty() {
            whole.warn("route", "there is none: every request is answered with 404");
        }
        let hosts = Hosts::of(&listen, &routes);
        Some(Self {
            origin: origin.to_owned(),
            profile: Arc::new(profile?),
            listen,
            tls,
            store,
            keys,
            auth,
            sessions,
            limits,
            rate_limit,
            identity,
            upstreams: upstreams.usable,
            routes,
            mail,
            invitations,
            jwt,
            oidc,
            outbound,
            webhooks: webhooks.into_usable(),
            audit,
            hosts,
            log,
        })
    }

    /// Whether the admin port speaks TLS.
    pub fn speaks_tls_to_admins(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.admin)
    }

    /// How people reach the gateway, without a slash at the end; `gateway` is where it listens.
    pub fn reached_at(&self, gateway: SocketAddr) -> String {
        match &self.listen.public_url {
            Some(url) => url.to_string().trim_end_matches('/').to_owned(),
            None if self.tls.is_some() => format!("https://{gateway}"),
            None => format!("http://{gateway}"),
        }
    }

    /// The keys whose new value takes effect only after a restart; empty when a reload is all it takes.
    pub fn differences_needing_restart(&self, new: &Self) -> Vec<&'static str> {
        let differences = [
            ("listen.gateway", self.listen.gateway != new.listen.gateway),
            ("listen.admin", self.listen.admin != new.listen.admin),
            ("listen.ops", self.listen.ops != new.listen.ops),
            ("listen.ext_authz", self.listen.ext_authz != new.listen.ext_authz),
            ("listen.redirect", self.listen.redirect != new.listen.redirect),
            ("listen.workers", self.listen.workers != new.listen.workers),
            ("tls", self.tls.is_some() != new.tls.is_some()),
            ("tls.admin", self.speaks_tls_to_admins() != new.speaks_tls_to_admins()),
            ("store.url", self.store.url != new.store.url),
            ("store.secret_file", self.store.secret_file != new.store.secret_file),
            ("auth", self.auth != new.auth),
            ("keys.accept_foreign", self.keys.accept_foreign != new.keys.accept_foreign),
            ("limits.max_connections", self.limits.max_connections != new.limits.max_connections),
            ("outbound.ca", self.outbound != new.outbound),
            ("log.access", self.log.access != new.log.access),
            ("log.format", self.log.format != new.log.format),
            ("log.level", self.log.level != new.log.level),
            ("log.requests", self.log.requests != new.log.requests),
            ("log.requests_age", self.log.requests_age != new.log.requests_age),
        ];
        differences.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}

/// A text file of a sensible size: a slip such as `/dev/zero` must not fill the memory.
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(io::Error::other(format!("it has more than {LONGEST_FILE} bytes")));
    }
    Ok(text)
}

/// The table or key that is there twice, as it is written, and the line of the first. Names are no secrets.
fn twice(text: &str, error: &toml::de::Error) -> Option<(String, usize)> {
    let span = error.span().filter(|_| error.message().contains("duplicate key"))?;
    let before = text.get(..span.start)?;
    let at = before.matches('\n').count();
    let name = |line: &str| {
        let line = line.trim();
        match line.strip_prefix('[') {
            Some(_) => line.split_once(']').map(|(name, _)| format!("{name}]")),
            None => line.split_once('=').map(|(name, _)| name.trim().to_owned()),
        }
    };
    let lines: Vec<&str> = text.lines().collect();
    let doubled = name(lines.get(at)?)?;
    // A key is doubled within its own table.
    let from = if doubled.starts_with('[') {
        0
    } else {
        lines[..at].iter().rposition(|line| line.trim_start().starts_with('[')).unwrap_or(0)
    };
    let first = (from..at).find(|&line| name(lines[line]).as_ref() == Some(&doubled))?;
    Some((doubled, first + 1))
}

/// In bytes: some ten thousand routes.
const LONGEST_FILE: u64 = 4 << 20;

/// Names the place but does not print the line: it may hold a secret.
fn not_toml(text: &str, origin: &Path, error: &toml::de::Error) -> ConfigErrors {
    let place = error.span().and_then(|span| text.get(..span.start)).map_or_else(String::new, |before| {
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        format!("line {line}, column {column}: ")
    });
    let problem = match twice(text, error) {
        Some((name, first)) => format!("{place}{name} stands here for the second time: see line {first}"),
        None => format!("{place}is not TOML: {}", error.message()),
    };
    ConfigErrors::whole_file(origin, problem, "profile = \"offload\"")
}
