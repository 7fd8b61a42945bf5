//! A request's whole way through the gateway, on one screen.
//!
//! The order is the security of it. The client's address comes first, because everything after is logged with it.
//! The path is brought into one form before anything is decided by it, and that form is what is forwarded. Without
//! a route nothing else happens. The credential is proved before its state is judged, so that strangers learn
//! nothing about keys; the rate limit comes after the decision, so that refused requests do not spend a key's
//! quota. Headers are edited last, and only a [`Permit`](crate::domain::access::Permit) opens the way upstream.

use std::{borrow::Cow, mem::take, rc::Rc};

use bytes::Bytes;
use http::{Method, StatusCode, Uri, header::CONTENT_LENGTH};
use http_body::Body as _;

use super::{
    admit::{Admitted, admit},
    body::{Body, Inbound},
    decide,
    fields::Fields,
    forward::{self, Asked, BodyLimits, Sent},
    handover::{self, hand_over},
    headers::{self, HeaderRules, Hop, Lines, LoopDetected},
    linger::linger,
    path,
    peer::Peer,
    record::{Exchange, Recorded},
    reject::Refusal,
    request::Request,
    reserved::{self, Reserved},
    response::Response,
    sign_in,
    tunnel::Tunnel,
    turn::Turn,
    wire::room,
    worker::Worker,
};
use crate::{config::Protocol, runtime::patience::Pace};

/// Answers one request; what the gateway says on every answer goes into `lines`, and belongs to its head. With a tunnel,
/// its connection goes on in another protocol once the answer is out.
pub async fn handle(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    turn: &Rc<Turn>,
    request: &mut Request<Inbound>,
    lines: &mut impl Lines,
) -> (Response<Recorded<Body>>, Option<Box<Tunnel>>) {
    let mut exchange = Exchange::begin(worker, peer, turn, request);
    let is_head = request.method == Method::HEAD;
    let outcome = serve(&mut exchange, request).await;
    // Nobody takes what is left of the body: its connection is free to say more. Nor is the head needed, which would keep
    // what others were read into for as long as the answer, or the tunnel, goes on.
    drop(take(request));
    if let Err(refusal) = &outcome {
        linger(&mut exchange, refusal).await;
    }
    let mut response = outcome.unwrap_or_else(|refusal| exchange.refuse(&refusal).map(Body::from).into());
    if is_head {
        without_body(&mut response);
    }
    exchange.answer(response, lines)
}

/// The answer to a HEAD says how long the body would be.
fn without_body(response: &mut Response<Body>) {
    if let Body::Own(body) = &response.body {
        let length = body.size_hint().exact();
        response.body = Body::from(Bytes::new());
        if let Some(length) = length {
            response.fields.insert(CONTENT_LENGTH, length.into());
        }
    }
}

async fn serve(exchange: &mut Exchange, request: &mut Request<Inbound>) -> Result<Response<Body>, Refusal> {
    exchange.enter()?;
    let serving = Rc::clone(&exchange.serving);
    let snapshot = &*serving.snapshot;
    let target = target(request)?;
    let authority = headers::authority(request)?;
    if headers::is_for_the_gateway(request) {
        return Ok(capabilities());
    }
    let path = path::normal_form(target.path()).map_err(|_| Refusal::PathAmbiguous)?;
    let rewritten = matches!(path, Cow::Owned(_)).then_some(&*path);
    let host = authority.as_ref().map(|authority| &*authority.host);
    exchange.peer.may_ask_for(host)?;
    match Reserved::find(&path, &request.method)? {
        Some(Reserved::WhoAmI) => {
            headers::translate(&mut request.fields, &exchange.client, &snapshot.trusted_proxies);
            let admitting = admit(exchange, &reserved::ANYBODY, reserved::ACCEPTED, request);
            let admitted = Box::pin(admitting).await?;
            let caller = admitted.caller.ok_or(Refusal::NotFound)?;
            return Ok(reserved::who_am_i(&caller, &snapshot.rules.profile).into());
        }
        Some(Reserved::KeySet) if snapshot.assertion.is_some() => {
            let ring = exchange.worker.gateway.ring.load();
            return Ok(ring.published(&request.fields).map(Body::from).into());
        }
        Some(Reserved::KeySet) => return Err(Refusal::NotFound),
        Some(Reserved::Decide(form)) => {
            return Ok(Box::pin(decide::answer(exchange, take(request), form)).await.into());
        }
        Some(Reserved::Page) => {
            snapshot.is_asked_for(host)?;
            let asked = handover::Asked { target: &target, rewritten };
            return Box::pin(hand_over(exchange, take(request), asked, None)).await.map(Into::into);
        }
        None => {}
    }
    let matched = snapshot.routes.find(host, &request.method, &path, &request.fields)?;
    let label = &snapshot.labels[matched.index];
    exchange.routed(matched.index);
    let Some(upstream) = serving.upstreams.of(matched.index) else {
        // The route is the admin API's. A host that the configuration gives to the route needs no other leave.
        if matched.route.host.is_none() {
            snapshot.is_asked_for(host)?;
        }
        let asked = handover::Asked { target: &target, rewritten };
        return Box::pin(hand_over(exchange, take(request), asked, Some(label))).await.map(Into::into);
    };

    headers::translate(&mut request.fields, &exchange.client, &snapshot.trusted_proxies);
    let accepted = matched.route.credentials;
    let admitted = admit(exchange, &matched.action, accepted, request).await;
    let Admitted { permit, caller } = admitted.map_err(|refusal| {
        sign_in::instead(&refusal, exchange.kind(), accepted, request, &target).unwrap_or(refusal)
    })?;

    let identity = caller.as_deref().map(|caller| caller.identity.headers()).unwrap_or_default();
    let assertion = exchange.assertion(caller.as_ref(), label)?;
    let protocols = headers::wanted_protocols(request);
    let said = {
        let hop = Hop {
            peer: &exchange.peer.text,
            peer_trusted: exchange.client.peer_trusted,
            tls: exchange.peer.tls,
            client_certificate: exchange.peer.subject.as_ref(),
            request_id: exchange.name().as_bytes(),
            identity,
            assertion: assertion.as_ref(),
            protocols: protocols.as_ref(),
        };
        said(request, &hop, &serving.headers, upstream.config().protocol)?
    };
    request.target = path::origin_form(&target, rewritten).map_err(|_| Refusal::PathAmbiguous)?;

    let limits = BodyLimits {
        most: snapshot.limits.body_bytes,
        pace: Pace { within: snapshot.limits.request_timeout, rate: snapshot.limits.min_rate.0 },
        clock: exchange.worker.gateway.clock.clone(),
    };
    let (on_end, sent) = exchange.forwarded();
    let is_known = caller.is_some();
    exchange.let_in(caller, matched.action.permission);
    let asked = Asked { request, said, protocols, turn: exchange.turn(), sent };
    let answer = forward::send(upstream, permit, asked, limits, &serving.headers, on_end).await?;
    exchange.answered_by(sent);
    Ok(match answer {
        Sent::Answer(mut response) => {
            if is_known {
                headers::keep_private(&mut response.fields);
            }
            response.map(Body::Forwarded)
        }
        Sent::Switched(response, far) => {
            exchange.switched(far);
            response.map(|()| Body::from(Bytes::new()))
        }
    })
}

/// Edits the request's headers; what the gateway says is text where the upstream speaks HTTP/1.1.
fn said(
    request: &mut Request<Inbound>,
    hop: &Hop<'_>,
    rules: &HeaderRules,
    protocol: Protocol,
) -> Result<Vec<u8>, LoopDetected> {
    if protocol == Protocol::H2 {
        let mut said = Fields::new();
        rules.prepare(request, hop, &mut said)?;
        request.fields.extend(said);
        return Ok(Vec::new());
    }
    let mut said = room::text();
    rules.prepare(request, hop, &mut said)?;
    Ok(said)
}

/// Answers a question about the gateway itself (RFC 9110 section 9.3.7): what each path takes, only the path tells.
fn capabilities() -> Response<Body> {
    let body = Body::from(Bytes::new());
    Response { status: StatusCode::NO_CONTENT, reason: None, fields: Fields::new(), body }
}

/// The target, as it came, unless there is too much of it.
fn target(request: &Request<Inbound>) -> Result<Uri, Refusal> {
    let target = &request.target;
    if target.path().len() + target.query().map_or(0, str::len) > path::MAX_TARGET {
        return Err(Refusal::UriTooLong);
    }
    Ok(target.clone())
}
