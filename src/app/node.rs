//! The node as the admin API sees it: the data plane's way of proving keys, and the use cases, joined.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::{
    control::{
        api::{Node, Pending, Proved, Unproved},
        service::Control,
    },
    domain::{
        access::{Method, Principal},
        id::KeyId,
        key::token::Digest,
        time::Timestamp,
    },
    proxy::{authenticate::key::Failure, credential, directory::Record, gateway::Gateway, usage::Use},
    runtime::client_ip::{self, Client},
    telemetry::{access_log::AccessRecord, metrics::Outcome},
};

/// What the API is served from.
pub struct ControlNode {
    /// Under the configuration in force.
    pub control: Arc<ArcSwap<Control>>,
    /// Proves keys, remembers them, counts.
    pub gateway: Arc<Gateway>,
    /// Uses of keys are written down with those of the gateway port.
    pub usage: mpsc::UnboundedSender<Vec<Use>>,
}

impl Node for ControlNode {
    fn control(&self) -> Control {
        (**self.control.load()).clone()
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let snapshot = self.gateway.snapshot();
        client_ip::client(peer, headers, |ip| snapshot.trusted_proxies.contains(ip))
    }

    fn credential(&self, headers: &mut HeaderMap) -> Result<Option<Zeroizing<String>>, Unproved> {
        let snapshot = self.gateway.snapshot();
        let found = credential::take(headers, &snapshot.rules.profile.keys, false);
        let found = found.map_err(|credential::Conflict| Unproved::Conflict)?;
        Ok(found.map(|credential| Zeroizing::new(credential.text().to_owned())))
    }

    fn prove<'a>(&'a self, key: &'a str, client: IpAddr) -> Pending<'a, Result<Arc<dyn Proved>, Unproved>> {
        Box::pin(async move {
            let snapshot = self.gateway.snapshot();
            match self.gateway.keys.prove(key, Digest::of(key), &snapshot.rules, client).await {
                Ok(record) => {
                    let proved = ProvedKey { record, usage: self.usage.clone() };
                    Ok(Arc::new(proved) as Arc<dyn Proved>)
                }
                Err(failure) => Err(match failure {
                    Failure::Malformed => Unproved::Malformed,
                    Failure::Invalid { .. } => Unproved::Invalid,
                    Failure::TooMany { .. } => Unproved::TooMany,
                    Failure::Overloaded => Unproved::Overloaded,
                    Failure::Store(error) => {
                        tracing::debug!(%error, "a key could not be looked up");
                        Unproved::StoreUnavailable
                    }
                }),
            }
        })
    }

    fn decided(&self, outcome: &str) {
        let method = (outcome != "credential_missing").then_some(Method::ApiKey);
        self.gateway.metrics.auth.count(method, Outcome::of(outcome));
    }

    fn log(&self, line: AccessRecord) {
        self.gateway.log.push(line);
    }
}

struct ProvedKey {
    record: Arc<Record>,
    usage: mpsc::UnboundedSender<Vec<Use>>,
}

impl Proved for ProvedKey {
    fn id(&self) -> KeyId {
        self.record.id
    }

    fn principal(&self) -> &Principal {
        &self.record.principal
    }

    fn enter(&self, client: Option<IpAddr>, now: Timestamp, headers: &mut HeaderMap) -> bool {
        if let Some(sunset) = &self.record.sunset {
            sunset.announce(headers);
        }
        if let Some(limiter) = &self.record.limiter {
            let left = limiter.take();
            limiter.describe(left, headers);
            if left.retry_after.is_some() {
                return false;
            }
        }
        // Nobody listens any more only at the very end of a shutdown.
        let _ = self.usage.send(vec![Use { key: self.record.id, client, count: 1, last: now }]);
        true
    }
}
