//! The node as the admin API sees it: the data plane's way of proving keys, and the use cases, joined.

use std::{net::IpAddr, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::{HeaderMap, HeaderValue, Uri};
use zeroize::Zeroizing;

use super::signed::{self, Signed};
use crate::{
    control::{
        api::{Head, Node, Pending, Presented, PresentedAs, Proved, Unproved},
        oidc::Oidc,
        service::Control,
    },
    domain::{
        access::{CredentialId, Method, Principal},
        key::token::Digest,
        time::Timestamp,
    },
    proxy::{
        authenticate::key::Failure,
        credential::{self, Kind},
        directory::Record,
        fields::Fields,
        gateway::Gateway,
        headers, signature,
        usage::{Deliver, KeyUse, Use, Uses},
    },
    runtime::client_ip::{self, Client, Connection},
    telemetry::{
        access_log::{AccessRecord, Word},
        metrics::Outcome,
    },
};

/// What the API is served from.
pub struct ControlNode {
    /// Under the configuration in force.
    pub control: Arc<ArcSwap<Control>>,
    /// Signs people in by an identity provider.
    pub oidc: Arc<ArcSwapOption<Oidc>>,
    /// Proves keys, remembers them, counts.
    pub gateway: Arc<Gateway>,
    /// Uses of keys are written down with those of the gateway port.
    pub usage: Deliver,
}

impl Node for ControlNode {
    fn control(&self) -> Control {
        (**self.control.load()).clone()
    }

    fn client(&self, connection: Connection, headers: &HeaderMap) -> Client {
        let snapshot = self.gateway.snapshot();
        let trusted = &snapshot.trusted_proxies;
        client_ip::client(connection, headers, trusted.header(), |ip| trusted.contains(ip))
    }

    fn credential(&self, head: &mut Head<'_>) -> Result<Option<Presented>, Unproved> {
        let snapshot = self.gateway.snapshot();
        let mut fields = Fields::from(std::mem::take(head.headers));
        headers::translate(&mut fields, head.client, &snapshot.trusted_proxies);
        let signature = signed::find(head, &fields, &snapshot.rules.profile.keys);
        let found = credential::take(&mut fields, &snapshot.rules, false);
        *head.headers = fields.into();
        let found = found.map_err(|credential::Conflict| Unproved::Conflict)?;
        let signature = signature.beside(found.as_ref());
        if let Some(found) = signature.map_err(|signature::Conflict| Unproved::Conflict)? {
            let (gateway, usage) = (Arc::clone(&self.gateway), self.usage.clone());
            return Ok(Some(Presented {
                kind: PresentedAs::Signature,
                text: Zeroizing::default(),
                by_cookie: false,
                signature: Some(Box::new(Signed { found, gateway, usage })),
            }));
        }
        Ok(found.map(|credential| Presented {
            kind: match credential.kind {
                Kind::Key => PresentedAs::Key,
                Kind::Session => PresentedAs::Session,
                Kind::Token => PresentedAs::Token,
            },
            text: Zeroizing::new(credential.text().to_owned()),
            by_cookie: credential.by_cookie,
            signature: None,
        }))
    }

    fn prove<'a>(
        &'a self,
        presented: &'a Presented,
        client: IpAddr,
    ) -> Pending<'a, Result<Arc<dyn Proved>, Unproved>> {
        Box::pin(async move {
            let (snapshot, text) = (self.gateway.snapshot(), presented.text.as_str());
            let proved = match presented.kind {
                PresentedAs::Key => {
                    self.gateway.keys.prove(text, Digest::of(text), &snapshot.rules, client).await
                }
                PresentedAs::Session => {
                    let now = self.gateway.clock.now();
                    self.gateway.sessions.prove(text, &snapshot.rules, client, now).await
                }
                PresentedAs::Token => {
                    snapshot.tokens.prove(text, Digest::of(text), &snapshot.rules, client).await
                }
                // It has no text: it proves itself.
                PresentedAs::Signature => Err(Failure::Malformed),
            };
            let (usage, noted) = (self.usage.clone(), snapshot.notes_uses);
            match proved {
                Ok(record) => Ok(Arc::new(ProvedCredential { record, usage, noted }) as Arc<dyn Proved>),
                Err(failure) => Err(unproved(failure)),
            }
        })
    }

    fn public_url(&self) -> Option<Uri> {
        self.gateway.snapshot().public_url.clone()
    }

    fn oidc(&self) -> Option<Arc<Oidc>> {
        self.oidc.load_full()
    }

    fn patience(&self) -> Duration {
        self.gateway.snapshot().limits.request_timeout
    }

    fn decided(&self, method: Option<Method>, outcome: &str) {
        self.gateway.metrics.auth.count(method, Outcome::of(outcome));
    }
}

/// A failure in the API's words.
pub(super) fn unproved(failure: Failure) -> Unproved {
    match failure {
        Failure::Malformed => Unproved::Malformed,
        Failure::SignatureRequired { .. } => Unproved::SignatureRequired,
        Failure::SignatureInvalid { .. } => Unproved::SignatureInvalid,
        Failure::Replayed { .. } => Unproved::Replayed,
        Failure::Invalid { .. } => Unproved::Invalid,
        Failure::TooMany { .. } => Unproved::TooMany,
        Failure::Expired => Unproved::Expired,
        Failure::NoAccount { .. } => Unproved::NoAccount,
        Failure::Overloaded => Unproved::Overloaded,
        Failure::Issuer(error) => {
            tracing::debug!(%error, "a token could not be proved");
            Unproved::IssuerUnavailable
        }
        Failure::Store(error) => {
            tracing::debug!(%error, "a credential could not be looked up");
            Unproved::StoreUnavailable
        }
    }
}

/// A credential that the data plane proved.
pub(super) struct ProvedCredential {
    pub(super) record: Arc<Record>,
    pub(super) usage: Deliver,
    /// Whether each use is to be an event.
    pub(super) noted: bool,
}

impl Proved for ProvedCredential {
    fn id(&self) -> CredentialId {
        self.record.id
    }

    fn principal(&self) -> &Principal {
        &self.record.principal
    }

    fn enter(&self, line: &AccessRecord, now: Timestamp, headers: &mut HeaderMap) -> bool {
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
        if let CredentialId::Key(id) = self.record.id {
            let client = line.client_ip;
            let counts = vec![Use { key: id, client, count: 1, last: now }];
            let request_id = line.said(Word::RequestId).and_then(|id| HeaderValue::from_bytes(id).ok());
            let key = Arc::clone(&self.record);
            let each = self.noted.then_some(KeyUse { at: now, client, request_id, key });
            // Nobody listens any more only at the very end of a shutdown.
            let _ = self.usage.send(Uses { counts, each: each.into_iter().collect(), ..Uses::default() });
        }
        if let Some(activity) = &self.record.principal.activity {
            activity.last.raise(now);
        }
        true
    }
}
