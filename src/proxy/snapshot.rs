//! The configuration as the request path reads it: replaced as a whole on reload, never changed.

use std::sync::Arc;

use http::Uri;

use super::{
    authenticate::jwt::Tokens, directory::Rules, headers::Pseudonym, reject::Refusal, route::Routes,
    upstream::Fleets,
};
use crate::{
    config::{Config, Hosts, KeyUseEvents, Limits, TrustedProxies, Webhook},
    telemetry::metrics::{Metrics, RouteMetrics, UpstreamMetrics},
};

/// One configuration, prepared.
#[derive(Debug)]
pub struct Snapshot {
    /// What records are made under.
    pub rules: Arc<Rules>,
    /// Which route a request takes.
    pub routes: Routes,
    /// Where they lead.
    pub fleets: Fleets,
    /// How each route is called and counted, by its index.
    pub labels: Box<[Label]>,
    /// The name by which this process knows itself.
    pub pseudonym: Pseudonym,
    /// Proves tokens of identity providers.
    pub tokens: Arc<Tokens>,
    /// Bounds on a request.
    pub limits: Limits,
    /// Whose word about client addresses is believed.
    pub trusted_proxies: TrustedProxies,
    /// Connections begin with a PROXY header.
    pub proxy_protocol: bool,
    /// What the gateway itself may be called.
    pub hosts: Hosts,
    /// How clients reach it, where that is known.
    pub public_url: Option<Uri>,
    /// Platforms that call, at the places by which routes know them.
    pub webhooks: Box<[Arc<Webhook>]>,
    /// In whose name assertions are signed; none: upstreams get none.
    pub assertion: Option<Box<str>>,
    /// Whether each use of a key is to be an event of the audit trail.
    pub notes_uses: bool,
    /// For requests that no route takes.
    pub nowhere: Arc<RouteMetrics>,
}

impl Snapshot {
    /// Prepares a configuration.
    pub fn new(
        config: &Config,
        generation: u64,
        pseudonym: Pseudonym,
        tokens: Arc<Tokens>,
        fleets: Fleets,
        metrics: &Metrics,
    ) -> Self {
        Self {
            rules: Arc::new(Rules::new(config, generation)),
            routes: Routes::new(&config.routes),
            fleets,
            labels: config
                .routes
                .iter()
                .map(|route| Label::new(&route.name, route.destination.name(), metrics))
                .collect(),
            pseudonym,
            tokens,
            limits: config.limits.clone(),
            trusted_proxies: config.listen.trusted_proxies.clone(),
            proxy_protocol: config.listen.proxy_protocol,
            hosts: config.hosts.clone(),
            public_url: config.listen.public_url.clone(),
            webhooks: config.webhooks.clone().into(),
            assertion: config.identity.assertion.then(|| issuer(config).into()),
            notes_uses: config.audit.api_key_use == KeyUseEvents::All,
            nowhere: metrics.route("none"),
        }
    }

    /// Refuses a request for the gateway itself under a name that is not the gateway's. Without a name it comes from
    /// an HTTP/1.0 client, which is no browser.
    pub fn is_asked_for(&self, host: Option<&str>) -> Result<(), Refusal> {
        if host.is_none_or(|host| self.hosts.contains(host)) { Ok(()) } else { Err(Refusal::Misdirected) }
    }
}

/// The gateway, by the address that it is known by.
fn issuer(config: &Config) -> String {
    match &config.listen.public_url {
        Some(url) => url.to_string().trim_end_matches('/').to_owned(),
        None => format!("http://{}", config.listen.gateway),
    }
}

/// What is written about requests that take one route; made once, so that writing it costs no text.
#[derive(Debug)]
pub struct Label {
    /// The route's name.
    pub route: Arc<str>,
    /// Its upstream's.
    pub upstream: Arc<str>,
    /// Its counters.
    pub metrics: Arc<RouteMetrics>,
    /// Its upstream's.
    pub upstream_metrics: Arc<UpstreamMetrics>,
}

impl Label {
    fn new(route: &str, upstream: &str, metrics: &Metrics) -> Self {
        Self {
            route: route.into(),
            upstream: upstream.into(),
            metrics: metrics.route(route),
            upstream_metrics: metrics.upstream(upstream),
        }
    }
}
