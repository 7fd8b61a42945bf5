//! Signed requests on their way to a permit.
//!
//! What the head tells comes first: whose signature it is, and what they may. Only then is a body read, held against
//! its digest, and the nonce used up; so a stranger occupies no memory, and a request that breaks off can be sent
//! again.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http_body::Body as _;

use super::{Admitted, address, permit, refuse};
use crate::{
    domain::access::{Action, Method},
    proxy::{
        body::Inbound,
        headers,
        record::Exchange,
        reject::Refusal,
        request::Request,
        signature::{self, Found, Sent},
    },
};

/// What the request says of signatures.
pub(super) fn find(exchange: &Exchange, request: &Request<Inbound>) -> Found {
    let rules = &exchange.serving.snapshot.rules.profile.keys;
    signature::find(&request.fields, rules, || Sent {
        method: &request.method,
        target: &request.target,
        fields: &request.fields,
        authority: headers::authority(request).ok().flatten().map(|authority| authority.text),
        secure: signature::came_by_tls(&request.fields, exchange.peer.tls, exchange.client.peer_trusted),
        has_body: !request.body.is_end_stream(),
    })
}

/// Judges a request by its signature.
pub(super) async fn judge(
    exchange: &mut Exchange,
    action: &Action<'_>,
    request: &mut Request<Inbound>,
    found: &Found,
) -> Result<Admitted, Refusal> {
    exchange.presented(Method::Signed);
    let (serving, gateway) = (Rc::clone(&exchange.serving), Arc::clone(&exchange.worker.gateway));
    let rules = &serving.snapshot.rules;
    let (client, now) = (address(exchange), exchange.began.wall);
    let proved = gateway.signatures.prove(found, rules, client, now).await;
    let caller = proved.map_err(|failure| refuse(failure, exchange))?;
    let permit = permit(exchange, action, &caller)?;
    if let Some(claim) = found.claim() {
        let covers = claim.covers_body();
        let body = if covers { exchange.hold(&mut request.body).await? } else { Bytes::new() };
        let completed = gateway.signatures.complete(claim, caller.id, &body, client).await;
        completed.map_err(|failure| refuse(failure, exchange))?;
        if !rules.identity.forward_credentials {
            claim.remove(&mut request.fields);
        }
    }
    Ok(Admitted { permit, caller: Some(caller) })
}
