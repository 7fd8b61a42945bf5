//! Why a request is let through, or why not: the decision of the data plane, step by step, without forwarding.
//!
//! Nothing is decided here. Each step asks the same function that the request path asks, so an explanation cannot
//! disagree with what the gateway does.

use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request, Version,
    header::{FORWARDED, HOST},
};
use serde::Serialize;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::directory::StoreDirectory;
use crate::{
    config::{ClientIpHeader, Config, Destination},
    domain::{
        access::{self, Denied, Holder, Principal},
        key::{
            secret::{MacKey, RootSecret},
            token::{Digest, Presented},
        },
        seal::SealKey,
        time::{Clock, Timestamp},
    },
    proxy::{
        authenticate::signed::Signer,
        directory::{Directory, Entry, Lookup, Rules, Unavailable},
        fields::Fields,
        headers, path,
        reject::Refusal,
        route::{Match, Routes},
    },
    runtime::{
        client_ip::{self, Connection, Source, X_FORWARDED_FOR},
        tasks::Tasks,
    },
    store::Store,
    telemetry::metrics::Metrics,
};

/// A request that was not sent.
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its path, as a client would send it; a query is ignored.
    pub path: String,
    /// Its `Host`.
    pub host: Option<String>,
    /// The other end of its connection.
    pub peer: IpAddr,
    /// Its lines of `X-Forwarded-For`.
    pub forwarded_for: Vec<String>,
    /// Its lines of `Forwarded`.
    pub forwarded: Vec<String>,
    /// The key it carries.
    pub key: Option<Zeroizing<String>>,
}

impl Question {
    /// As the gateway would read it; without a host only HTTP/1.0 may come.
    fn request(&self) -> Result<Request<()>, http::Error> {
        let mut request = Request::builder().method(&self.method).uri(&self.path);
        request = match &self.host {
            Some(host) => request.header(HOST, host),
            None => request.version(Version::HTTP_10),
        };
        request.body(())
    }
}

/// What would happen to it.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Whether it would be forwarded.
    pub allowed: bool,
    /// The status that the gateway would answer; none when it would forward.
    pub status: Option<u16>,
    /// `ok`, or the code of the refusal.
    pub code: &'static str,
    /// One after the other, up to the one that decides.
    pub steps: Vec<Step>,
}

/// One step of the way.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

/// Follows a request through the gateway, against a store and a configuration.
pub async fn explain(
    config: &Config,
    store: Store,
    root: &RootSecret,
    clock: &Clock,
    metrics: Arc<Metrics>,
    question: &Question,
) -> Result<Explanation, Unavailable> {
    let (heal, _not_healed) = mpsc::channel(1);
    let seal_key = SealKey::derive(root).map_err(|error| Unavailable(error.to_string()))?;
    let mac_key = MacKey::derive(root);
    let tasks = Tasks::new(&metrics);
    let directory = StoreDirectory::new(store, heal, (mac_key.clone(), seal_key), metrics, &tasks);
    let mut trace = Trace::default();
    let outcome = trace.follow(config, &directory, &mac_key, clock, question).await;
    let refusal = match outcome {
        Ok(()) => None,
        Err(Stop::Refused(refusal)) => Some(refusal),
        Err(Stop::Store(error)) => return Err(error),
    };
    Ok(Explanation {
        allowed: refusal.is_none(),
        status: refusal.as_ref().map(|refusal| refusal.status().as_u16()),
        code: refusal.as_ref().map_or("ok", Refusal::code),
        steps: trace.steps,
    })
}

enum Stop {
    Refused(Refusal),
    Store(Unavailable),
}

#[derive(Default)]
struct Trace {
    steps: Vec<Step>,
}

impl Trace {
    fn pass(&mut self, name: &'static str, found: impl Into<String>) {
        self.steps.push(Step { name, passed: true, found: found.into() });
    }

    fn fail(&mut self, name: &'static str, found: impl Into<String>, refusal: Refusal) -> Stop {
        self.steps.push(Step { name, passed: false, found: found.into() });
        Stop::Refused(refusal)
    }

    /// Whose request it is, and by which hop that is known.
    fn client(&mut self, config: &Config, question: &Question) -> Result<Option<IpAddr>, Stop> {
        let trusted = &config.listen.trusted_proxies;
        let mut headers = HeaderMap::new();
        let lines = question.forwarded_for.iter().map(|line| (X_FORWARDED_FOR, line));
        for (name, line) in lines.chain(question.forwarded.iter().map(|line| (FORWARDED, line))) {
            let value = HeaderValue::from_bytes(line.as_bytes())
                .map_err(|error| self.fail("client", error.to_string(), Refusal::Unreadable))?;
            headers.append(name, value);
        }
        let seen = client_ip::client(Connection::from(question.peer), &headers, trusted.header(), |ip| {
            trusted.contains(ip)
        });
        let (read, other) = match trusted.header() {
            ClientIpHeader::XForwardedFor => ("X-Forwarded-For", "Forwarded"),
            ClientIpHeader::Forwarded => ("Forwarded", "X-Forwarded-For"),
        };
        let peer = question.peer;
        let found = match (seen.source, seen.address) {
            (Source::Hop(hop), Some(address)) if trusted.contains(address) => {
                format!("{address}, entry {hop} from the right of {read}: all of them are trusted proxies")
            }
            (Source::Hop(hop), Some(address)) => {
                format!("{address}, entry {hop} from the right of {read}: the first that is no trusted proxy")
            }
            (Source::Unreadable(hop), _) => {
                format!("nobody: entry {hop} from the right of {read} is no address, and passes no network")
            }
            (Source::Elsewhere, _) => format!(
                "nobody: {peer}, a trusted proxy, sends {other} alone, and listen.client_ip_header says {read}"
            ),
            _ if seen.peer_trusted => format!("{peer}, a trusted proxy that names nobody"),
            _ if headers.is_empty() => format!("{peer}, the other end of the connection"),
            _ => format!(
                "{peer}, the other end of the connection: it is not in listen.trusted_proxies, so what it says of \
                 clients is not believed"
            ),
        };
        self.pass("client", found);
        Ok(seen.address)
    }

    async fn follow(
        &mut self,
        config: &Config,
        directory: &StoreDirectory,
        mac_key: &MacKey,
        clock: &Clock,
        question: &Question,
    ) -> Result<(), Stop> {
        let client = self.client(config, question)?;
        let request = question.request().map_err(|error| {
            let text = format!("{error}: a path begins with `/`, a host is a name with or without a port");
            self.fail("request", text, Refusal::PathAmbiguous)
        })?;
        let host = headers::authority_of(&request)
            .map_err(|error| self.fail("host", error.to_string(), error.into()))?
            .map(|authority| authority.host);
        let path = path::normal_form(request.uri().path())
            .map_err(|error| self.fail("path", error.to_string(), Refusal::PathAmbiguous))?;
        self.pass("path", &*path);

        let routes = Routes::new(&config.routes);
        let matched = routes
            .find(host.as_deref(), &question.method, &path, &Fields::new())
            .map_err(|error| self.fail("route", error.to_string(), error.into()))?;
        self.pass("route", describe_route(config, &matched));

        if matched.route.destination == Destination::Control {
            self.pass("admin API", "it judges the credential and the operation itself");
            return Ok(());
        }

        let now = clock.now();
        if matched.action.public {
            self.pass("credential", "none is needed");
            let _ = access::decide(None, &matched.action, client, now)
                .map_err(|denied| self.fail("decision", denied.to_string(), Refusal::Denied(denied)))?;
            return Ok(());
        }
        let Some(key) = &question.key else {
            let refusal = Refusal::Denied(Denied::Missing);
            return Err(self.fail("credential", "none was given; pass a key with --key-stdin", refusal));
        };
        let rules = Rules::new(config, 0);
        let entry = self.prove(config, &rules, directory, mac_key, key.trim()).await?;
        self.judge(
            config,
            &entry.principal,
            &matched,
            now,
            access::decide(Some(&entry.principal), &matched.action, client, now).map(|_permit| ()),
        )?;
        match entry.rate {
            Some(rate) => self
                .pass("rate limit", format!("{rate} a minute; what is left only the running gateway knows")),
            None => self.pass("rate limit", "none"),
        }
        Ok(())
    }

    async fn prove(
        &mut self,
        config: &Config,
        rules: &Rules,
        directory: &StoreDirectory,
        mac_key: &MacKey,
        key: &str,
    ) -> Result<Entry, Stop> {
        let shape = &config.profile.keys.shape;
        let (presented, lookup) = match shape.parse(key) {
            Ok(presented) => {
                self.pass("shape", format!("a key of this platform, prefix {}", presented.public));
                (presented, Lookup::Public(presented.public.into()))
            }
            Err(_) if config.keys.accept_foreign && !shape.claims(key) => match Presented::foreign(key) {
                Ok(presented) => {
                    self.pass("shape", "not this platform's; looked for among imported keys");
                    (presented, Lookup::foreign(Digest::of(key), key))
                }
                Err(error) => {
                    return Err(self.fail("shape", error.to_string(), Refusal::CredentialMalformed));
                }
            },
            Err(error) => {
                let found = format!("{error}: keys begin with {} and may not be cut", shape.literal());
                return Err(self.fail("shape", found, Refusal::CredentialMalformed));
            }
        };
        let Some(entry) = directory.find(&lookup, rules).await.map_err(Stop::Store)? else {
            return Err(self.fail("key", "nobody holds a key with this prefix", Refusal::CredentialInvalid));
        };
        let (proved, how) = match &entry.proof {
            None => (false, "by nothing"),
            Some(proof) => match proof.quick(&presented, mac_key) {
                Some(proved) if proof.needs_mac() => (proved, "by its SHA-256"),
                Some(proved) => (proved, "by the look-up MAC"),
                None => (proof.slow(&presented), "by bcrypt"),
            },
        };
        if !proved {
            let found = format!("the prefix exists, the secret is wrong ({how})");
            return Err(self.fail("key", found, Refusal::CredentialInvalid));
        }
        self.pass("key", format!("{} is proved {how}", entry.principal.credential));
        if let Some(signer) = &entry.signer {
            let algorithm = match signer {
                Signer::Ready(verifier) => verifier.algorithm().as_str(),
                Signer::Sealed => "and its secret cannot be opened with this store.secret_file",
            };
            let found = format!("needed: this key signs requests ({algorithm}) and is never sent itself");
            return Err(self.fail("signature", found, Refusal::SignatureRequired));
        }
        Ok(entry)
    }

    /// The parts of the decision, in its order, up to the one that it stopped at.
    fn judge(
        &mut self,
        config: &Config,
        principal: &Principal,
        matched: &Match<'_, '_>,
        now: Timestamp,
        decision: Result<(), Denied>,
    ) -> Result<(), Stop> {
        let permissions = &config.profile.permissions;
        let target = matched.action.target;
        let named = |what: Option<&str>| what.unwrap_or("none").to_owned();
        let needed = matched.action.permission.map(|permission| permissions.name(permission));
        let parts = [
            ("state", state(principal, now)),
            ("network", list(&principal.networks.to_strings(), "everywhere")),
            (
                "boundary",
                format!(
                    "{}; the path names team {}, project {}",
                    principal.boundary.kind(),
                    named(target.team),
                    named(target.project)
                ),
            ),
            (
                "permission",
                format!(
                    "needs {}; holds {}",
                    needed.unwrap_or("nothing"),
                    list(&permissions.names(principal.permissions), "nothing")
                ),
            ),
        ];
        let stopped_at = match decision {
            Ok(()) => parts.len(),
            Err(Denied::Missing | Denied::Revoked | Denied::Expired | Denied::SessionEnded) => 0,
            Err(Denied::Address) => 1,
            Err(Denied::Boundary) => 2,
            Err(Denied::Scope(_)) => 3,
        };
        for (at, (name, found)) in parts.into_iter().enumerate() {
            match decision {
                Err(denied) if at == stopped_at => {
                    return Err(self.fail(name, format!("{denied}: {found}"), Refusal::Denied(denied)));
                }
                _ => self.pass(name, found),
            }
        }
        Ok(())
    }
}

fn describe_route(config: &Config, matched: &Match<'_, '_>) -> String {
    let route = matched.route;
    let needs = match matched.action.permission {
        Some(permission) => format!("needs {}", config.profile.permissions.name(permission)),
        None if matched.route.destination == Destination::Control => "what the operation asks for".to_owned(),
        None if matched.action.public => "public".to_owned(),
        None if route.credentials.only_webhooks() => "needs a platform's webhook".to_owned(),
        None => "needs any valid credential".to_owned(),
    };
    format!("{} ({}) to {}: {needs}", route.name, route.path, route.destination.name())
}

fn state(principal: &Principal, now: Timestamp) -> String {
    let end = principal.life.ends_at().map_or_else(|| "never".to_owned(), |end| end.to_string());
    let gone = if principal.holder == Holder::Gone { ", and whoever it belongs to is gone" } else { "" };
    format!("{}, ends {end}{gone}", principal.life.status(now))
}

fn list<T: AsRef<str>>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}
