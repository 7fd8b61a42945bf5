//! Signed requests on their way to a permit.
//!
//! What the head tells comes first: whose signature it is, and what they may. Only then is a body read, held against
//! its digest, and the nonce used up; so a stranger occupies no memory, and a request that breaks off can be sent
//! again.

use std::{rc::Rc, sync::Arc};

use http::{HeaderMap, Request};
use http_body::Body as _;

use super::{Admitted, address, permit, refuse};
use crate::{
    domain::access::{Action, CredentialId, Method},
    proxy::{
        body::Inbound,
        credential::Credential,
        headers,
        record::Exchange,
        reject::Refusal,
        signature::{self, Claim, Found, Sent},
    },
};

/// What the request says of signatures.
pub(super) fn find(exchange: &Exchange, request: &Request<Inbound>) -> Found {
    let rules = &exchange.serving.snapshot.rules.profile.keys;
    signature::find(request.headers(), rules, || Sent {
        method: request.method(),
        target: request.uri(),
        headers: request.headers(),
        authority: headers::authority(request).ok().flatten().map(|authority| authority.text),
        secure: exchange.client.peer_trusted && came_by_tls(request.headers()),
        has_body: !request.body().is_end_stream(),
    })
}

/// Judges a request with a signature; none when the signature is not what it is to be judged by.
///
/// A signature and another credential of ours are two callers in one request. A session's cookie is no such: browsers
/// send it without being asked. Signatures by others beside a credential of ours are for the upstream.
pub(super) async fn judge(
    exchange: &mut Exchange,
    action: &Action<'_>,
    request: &mut Request<Inbound>,
    found: Found,
    beside: Option<&Credential>,
) -> Option<Result<Admitted, Refusal>> {
    let explicit = beside.is_some_and(|credential| !credential.by_cookie);
    let gateway = Arc::clone(&exchange.worker.gateway);
    let failure = match found {
        Found::Nothing => return None,
        Found::Foreign | Found::Flawed { keyid: None } if beside.is_some() => return None,
        Found::Several => return Some(Err(Refusal::CredentialConflict)),
        Found::Claim(_) | Found::Flawed { .. } if explicit => return Some(Err(Refusal::CredentialConflict)),
        Found::Claim(claim) => return Some(admit(exchange, action, request, &claim).await),
        Found::Flawed { keyid } => gateway.signatures.refuse(keyid.as_deref(), address(exchange)).await,
        Found::Foreign => gateway.signatures.refuse_foreign(address(exchange)).await,
    };
    exchange.presented(Method::Signed);
    Some(Err(refuse(failure, exchange)))
}

async fn admit(
    exchange: &mut Exchange,
    action: &Action<'_>,
    request: &mut Request<Inbound>,
    claim: &Claim,
) -> Result<Admitted, Refusal> {
    exchange.presented(Method::Signed);
    let (serving, gateway) = (Rc::clone(&exchange.serving), Arc::clone(&exchange.worker.gateway));
    let rules = &serving.snapshot.rules;
    let (client, now) = (address(exchange), exchange.began.wall);
    let proved = gateway.signatures.prove(claim, rules, client, now).await;
    let caller = proved.map_err(|failure| refuse(failure, exchange))?;
    let permit = permit(exchange, action, &caller)?;
    if claim.covers_body() && !claim.is_over(&exchange.hold(request.body_mut()).await?) {
        let failure = gateway.signatures.refuse(Some(&claim.keyid), client).await;
        return Err(refuse(failure, exchange));
    }
    if let CredentialId::Key(key) = caller.id {
        let used = gateway.signatures.use_up(claim, key, client).await;
        used.map_err(|failure| refuse(failure, exchange))?;
    }
    if !rules.identity.forward_credentials {
        claim.remove(request.headers_mut());
    }
    Ok(Admitted { permit, caller: Some(caller) })
}

/// What a trusted proxy says of its side.
fn came_by_tls(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all("x-forwarded-proto").iter();
    said.next().is_some_and(|scheme| scheme == "https") && said.next().is_none()
}
