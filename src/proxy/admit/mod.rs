//! From a credential to a permit: who it is, whether they may, and whether not too often.

mod signed;
mod webhook;

use std::{net::IpAddr, rc::Rc, sync::Arc};

use super::{
    authenticate::key::Failure,
    body::Inbound,
    credential::{self, Credential, Kind},
    directory::Record,
    record::Exchange,
    reject::{Refusal, Unproved},
    request::Request,
    signature::{self, Found},
};
use crate::{
    config::Credentials,
    domain::{
        access::{self, Action, Denied, Method, Permit},
        key::token::Digest,
    },
    runtime::origin,
    telemetry::metrics::Outcome,
};

/// A request that may be forwarded, and who asks; nobody on a public route.
pub struct Admitted {
    /// Opens the way to the upstream.
    pub permit: Permit,
    /// The key or the person that asks.
    pub caller: Option<Arc<Record>>,
}

/// Decides a request, the rate limit included, and counts the decision as one.
pub async fn admit(
    exchange: &mut Exchange,
    action: &Action<'_>,
    accepted: Credentials,
    request: &mut Request<Inbound>,
) -> Result<Admitted, Refusal> {
    let mut decision = decide(exchange, action, accepted, request).await;
    let now = exchange.worker.gateway.clock.uptime();
    if let Ok(Admitted { caller: Some(caller), .. }) = &decision {
        match exchange.standing.enter(caller, now) {
            Ok(()) => exchange.used(caller),
            Err(refusal) => decision = Err(refusal),
        }
    }
    let outcome = decision.as_ref().map_or_else(|refusal| Outcome::of(refusal.code()), |_| Outcome::OK);
    exchange.decided(outcome, now);
    decision
}

/// Takes the credential out of the request, proves it, and judges what it may.
async fn decide(
    exchange: &mut Exchange,
    action: &Action<'_>,
    accepted: Credentials,
    request: &mut Request<Inbound>,
) -> Result<Admitted, Refusal> {
    let serving = Rc::clone(&exchange.serving);
    let rules = &serving.snapshot.rules;
    let keep = rules.identity.forward_credentials;
    let (client, now) = (exchange.client.address, exchange.began.wall);
    if action.public {
        if !keep {
            credential::discard(&mut request.fields, rules);
        }
        let permit = access::decide(None, action, client, now).map_err(Refusal::Denied)?;
        return Ok(Admitted { permit, caller: None });
    }
    // Read before anything is taken out: what is signed is the request as it was sent.
    let signature = if accepted.accept_keys() { signed::find(exchange, request) } else { Found::Nothing };
    if !accepted.webhooks().is_empty()
        && let Some(sent) = webhook::take(exchange, accepted.webhooks(), request)?
    {
        if matches!(signature, Found::Claim(_) | Found::Flawed { keyid: Some(_) } | Found::Several) {
            return Err(Refusal::CredentialConflict);
        }
        return Box::pin(webhook::judge(exchange, action, accepted, request, sent)).await;
    }
    let credential =
        credential::take(&mut request.fields, rules, keep).map_err(|_| Refusal::CredentialConflict)?;
    let signature =
        signature.beside(credential.as_ref()).map_err(|signature::Conflict| Refusal::CredentialConflict)?;
    if let Some(signature) = signature {
        return Box::pin(signed::judge(exchange, action, request, &signature)).await;
    }
    let missing = if accepted.only_webhooks() {
        Refusal::Webhook(Unproved::Missing)
    } else {
        Refusal::Denied(Denied::Missing)
    };
    let (method, is_taken) = match credential.as_ref().map(|credential| credential.kind) {
        Some(Kind::Key) => (Method::ApiKey, accepted.accept_keys()),
        Some(Kind::Session) => (Method::Session, accepted.accept_sessions()),
        Some(Kind::Token) => (Method::Jwt, accepted.accept_tokens()),
        None => return Err(missing),
    };
    // What the route does not take is as good as nothing, and is not even looked at.
    let Some(credential) = credential.filter(|_| is_taken) else { return Err(missing) };
    exchange.presented(method);
    if credential.by_cookie
        && !origin::is_own(&request.method, &request.fields, serving.snapshot.public_url.as_ref())
    {
        return Err(Refusal::CrossSite);
    }
    let caller = authenticate(exchange, &credential).await?;
    let permit = permit(exchange, action, &caller)?;
    Ok(Admitted { permit, caller: Some(caller) })
}

/// Judges what a proved caller may.
fn permit(exchange: &mut Exchange, action: &Action<'_>, caller: &Record) -> Result<Permit, Refusal> {
    exchange.proved(caller);
    let (client, now) = (exchange.client.address, exchange.began.wall);
    access::decide(Some(&caller.principal), action, client, now).map_err(|denied| {
        let refusal = Refusal::Denied(denied);
        if matches!(denied, Denied::Revoked | Denied::Expired | Denied::SessionEnded) {
            exchange.failed(&caller.principal.credential, &refusal);
        }
        refusal
    })
}

/// Most requests end here at the first line: a credential that this worker has seen, and nothing has changed.
async fn authenticate(exchange: &mut Exchange, credential: &Credential) -> Result<Arc<Record>, Refusal> {
    let text = credential.text();
    let digest = Digest::of(text);
    let rules = &exchange.serving.snapshot.rules;
    let (worker, gateway) = (&exchange.worker, &exchange.worker.gateway);
    if gateway.cache.is_fresh(exchange.began.uptime)
        && let Some(record) = worker.known.find(&digest, rules.generation)
        && !record.principal.is_idle(exchange.began.wall)
    {
        gateway.cache.count_hit(&record);
        return Ok(record);
    }
    let address = address(exchange);
    // In memory of their own: nearly every request has no room for them.
    let proved = match credential.kind {
        Kind::Key => Box::pin(gateway.keys.prove(text, digest, rules, address)).await,
        Kind::Session => Box::pin(gateway.sessions.prove(text, rules, address, exchange.began.wall)).await,
        Kind::Token => Box::pin(exchange.serving.snapshot.tokens.prove(text, digest, rules, address)).await,
    };
    match proved {
        Ok(record) => {
            // One that has ended meanwhile would be let go by no later ending.
            if record.is_live(rules.generation) {
                worker.known.remember(digest, &record);
            }
            Ok(record)
        }
        Err(failure) => Err(refuse(failure, exchange)),
    }
}

/// Whose failures are counted.
fn address(exchange: &Exchange) -> IpAddr {
    exchange.client.address.unwrap_or(exchange.peer.ip)
}

fn refuse(failure: Failure, exchange: &mut Exchange) -> Refusal {
    let (refusal, prefix) = match failure {
        Failure::Malformed => (Refusal::CredentialMalformed, "".into()),
        Failure::Invalid { prefix } => (Refusal::CredentialInvalid, prefix),
        Failure::TooMany { prefix } => (Refusal::TooManyFailures, prefix),
        Failure::SignatureRequired { prefix } => (Refusal::SignatureRequired, prefix),
        Failure::SignatureInvalid { prefix } => (Refusal::SignatureInvalid, prefix),
        Failure::Replayed { prefix } => (Refusal::Replayed, prefix),
        Failure::Expired => (Refusal::Denied(Denied::Expired), "".into()),
        Failure::NoAccount { prefix } => (Refusal::NoAccount, prefix),
        Failure::Issuer(error) => {
            tracing::debug!(%error, "a token could not be proved");
            return Refusal::IssuerUnavailable;
        }
        Failure::Overloaded => return Refusal::Overloaded,
        Failure::Store(error) => {
            tracing::debug!(%error, "a credential could not be looked up");
            return Refusal::StoreUnavailable;
        }
    };
    exchange.failed(&prefix, &refusal);
    refusal
}
