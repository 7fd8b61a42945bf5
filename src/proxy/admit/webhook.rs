//! Requests of a platform that calls: the webhook is proved by the whole body or by its secret, then judged like every
//! caller. What is wrong counts against the address alone; whoever has the secret is never kept out by it.

use std::sync::Arc;

use super::{Admitted, address, permit};
use crate::{
    config::{Credentials, Webhook, Webhooks},
    domain::{
        access::{Action, Method},
        webhook::HubSignature,
    },
    proxy::{
        authenticate::webhook::{self, Sent},
        body::Inbound,
        credential::{self, Credential, Kind},
        directory::Lookup,
        record::Exchange,
        reject::{Refusal, Unproved},
        request::Request,
    },
};

/// What a request brought for one of the webhooks that its route takes.
pub(super) fn take(
    exchange: &Exchange,
    webhooks: Webhooks,
    request: &mut Request<Inbound>,
) -> Result<Option<Sent>, Refusal> {
    let snapshot = &exchange.serving.snapshot;
    let keep = snapshot.rules.identity.forward_credentials;
    let taken = webhook::take(&mut request.fields, &of(webhooks, &snapshot.webhooks), keep);
    taken.map_err(|credential::Conflict| Refusal::CredentialConflict)
}

/// Proves it and judges what it may. A credential beside it that the route takes too is one too many.
pub(super) async fn judge(
    exchange: &mut Exchange,
    action: &Action<'_>,
    accepted: Credentials,
    request: &mut Request<Inbound>,
    sent: Sent,
) -> Result<Admitted, Refusal> {
    let serving = Arc::clone(&exchange.serving.snapshot);
    let rules = &serving.rules;
    let beside = credential::take(&mut request.fields, rules, rules.identity.forward_credentials);
    if beside.map_err(|_| Refusal::CredentialConflict)?.is_some_and(|beside| is_meant(&beside, accepted)) {
        return Err(Refusal::CredentialConflict);
    }
    exchange.presented(Method::Webhook);
    let among = of(accepted.webhooks(), &serving.webhooks);
    let proved = match sent {
        Sent::Token(token) => webhook::holder(among.clone(), &token),
        Sent::Signature(signature) => {
            let Some(signature) = HubSignature::parse(signature.as_bytes()) else {
                return Err(wrong(exchange, among, Refusal::Webhook(Unproved::Malformed)));
            };
            let body = exchange.hold(&mut request.body).await?;
            webhook::signer(among.clone(), &body, &signature)
        }
    };
    let Some(proved) = proved else {
        return Err(wrong(exchange, among, Refusal::Webhook(Unproved::Invalid)));
    };
    let lookup = Lookup::webhook(&proved.name, &proved.org);
    let found = exchange.worker.gateway.cache.find(&lookup, rules).await;
    let found = found.map_err(|error| {
        tracing::debug!(%error, "a webhook's organization could not be looked up");
        Refusal::StoreUnavailable
    })?;
    let Some(caller) = found else {
        let refusal = Refusal::Webhook(Unproved::Gone);
        exchange.failed(&proved.name, &refusal);
        return Err(refusal);
    };
    let permit = permit(exchange, action, &caller)?;
    Ok(Admitted { permit, caller: Some(caller) })
}

/// A cookie is sent without being asked for, so nobody means anything by it.
fn is_meant(credential: &Credential, accepted: Credentials) -> bool {
    !credential.by_cookie
        && match credential.kind {
            Kind::Key => accepted.accept_keys(),
            Kind::Session => accepted.accept_sessions(),
            Kind::Token => accepted.accept_tokens(),
        }
}

/// Which webhook was meant is known only where the route has one.
fn wrong<'a>(
    exchange: &mut Exchange,
    mut among: impl Iterator<Item = &'a Arc<Webhook>>,
    refusal: Refusal,
) -> Refusal {
    let name = match (among.next(), among.next()) {
        (Some(only), None) => &*only.name,
        _ => "",
    };
    let failures = exchange.worker.gateway.keys.failures();
    let refusal = if failures.allow(address(exchange), None) { refusal } else { Refusal::TooManyFailures };
    exchange.failed(name, &refusal);
    refusal
}

fn of(places: Webhooks, all: &[Arc<Webhook>]) -> impl Iterator<Item = &Arc<Webhook>> + Clone {
    all.iter().enumerate().filter(move |(place, _)| places.contains(*place)).map(|(_, webhook)| webhook)
}
