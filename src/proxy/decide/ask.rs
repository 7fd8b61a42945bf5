//! The same decision for who asks in other words than HTTP's: a question as values, and a verdict as values.

use std::{net::SocketAddr, rc::Rc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, Version,
    header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING},
};

use super::{Allowed, Unclear, decide, question};
use crate::proxy::{
    body::{Body, Inbound},
    fields::Fields,
    peer::Peer,
    record::Exchange,
    reject::Refusal,
    request::Request,
    turn::Turn,
    worker::Worker,
};

/// A request that a proxy asks about; everything as the proxy says it.
#[derive(Debug)]
pub struct Question {
    /// Who sent it to the proxy. What its headers say of clients before that is believed of `listen.trusted_proxies`
    /// alone, as of everybody who connects here.
    pub client: SocketAddr,
    /// Whether it came to the proxy by TLS.
    pub tls: bool,
    /// Its method.
    pub method: Bytes,
    /// Its target.
    pub target: Bytes,
    /// Whom it is for.
    pub host: Bytes,
    /// Its headers.
    pub headers: HeaderMap,
}

/// What a proxy is told.
#[derive(Debug)]
pub enum Verdict {
    /// It may forward the request.
    Allowed {
        /// Headers of the request to set, in the place of what is there.
        set: Vec<(HeaderName, HeaderValue)>,
        /// Headers of the request to take out: the credential, and names that nobody but the gateway says.
        remove: Vec<HeaderName>,
        /// Headers of the answer to set.
        answer: HeaderMap,
    },
    /// It is to answer this.
    Refused(Response<Bytes>),
}

/// Decides about a request; `asker` is who asks, to be named where the question names nobody.
pub async fn ask(worker: &Rc<Worker>, asker: SocketAddr, question: Result<Question, Unclear>) -> Verdict {
    let client = question.as_ref().map_or(asker, |question| question.client);
    let mut peer = Peer::new(client);
    peer.tls = question.as_ref().is_ok_and(|question| question.tls);
    let peer = Rc::new(peer);
    let request = match question.map_err(Refusal::from).and_then(request) {
        Ok(request) => request,
        Err(refusal) => {
            let id = worker.refused_unread(&peer, &refusal);
            return Verdict::Refused(refusal.response(&worker.serving().snapshot.rules.profile, &id));
        }
    };
    let came: Vec<HeaderName> = request.fields.iter().map(|(name, _)| name.clone()).collect();
    let cookie = request.fields.get(&COOKIE).cloned();
    let mut exchange = Exchange::begin(worker, &peer, &Rc::<Turn>::default(), &request);
    match decide(&mut exchange, request).await {
        Ok(mut allowed) => {
            // For each that came it is asked whether it is left.
            let left = HeaderMap::from(std::mem::take(&mut allowed.left));
            let (set, remove) = edits(&exchange, &allowed, &left, &came, cookie.as_ref());
            // Written down when it is dropped: the answer has ended.
            let mut answer = HeaderMap::new();
            drop(exchange.answer(Response::new(Body::from(Bytes::new())).into(), &mut answer));
            Verdict::Allowed { set, remove, answer }
        }
        Err(refusal) => {
            let response = exchange.refuse(&refusal);
            let body = response.body().clone();
            let mut said = HeaderMap::new();
            let answered = exchange.answer(response.map(Body::from).into(), &mut said).0;
            let mut response = Response::from(answered.map(|_| body));
            response.headers_mut().extend(said);
            Verdict::Refused(response)
        }
    }
}

fn request(question: Question) -> Result<Request<Inbound>, Refusal> {
    let method = Method::from_bytes(&question.method).map_err(|_| Unclear::Unreadable)?;
    let (target, named) = question::target(&question.target)?;
    let host = HeaderValue::from_maybe_shared(question.host).map_err(|_| Unclear::Unreadable)?;
    if named.is_some_and(|named| !named.as_bytes().eq_ignore_ascii_case(host.as_bytes())) {
        return Err(Unclear::Disagree.into());
    }
    let length = question.headers.get(CONTENT_LENGTH);
    let shows_none =
        length.is_none_or(|length| length == "0") && !question.headers.contains_key(TRANSFER_ENCODING);
    let body = question::body(&method, shows_none);
    let mut fields = Fields::from(question.headers);
    if !host.is_empty() {
        fields.insert(HOST, host);
    }
    Ok(Request { method, target, version: Version::HTTP_11, fields, flaw: None, body })
}

/// What becomes of the request's headers: as if the gateway had forwarded it.
fn edits(
    exchange: &Exchange,
    allowed: &Allowed,
    left: &HeaderMap,
    came: &[HeaderName],
    cookie: Option<&HeaderValue>,
) -> (Vec<(HeaderName, HeaderValue)>, Vec<HeaderName>) {
    let serving = &exchange.serving;
    // An empty value cannot be set everywhere: the name is taken out instead.
    let mut set: Vec<_> = allowed.headers().filter(|(_, value)| !value.is_empty()).collect();
    let is_set = |name: &HeaderName| set.iter().any(|(given, _)| given == name);
    let names = serving.snapshot.rules.identity.names();
    let ours = names.into_iter().cloned().chain([super::X_LATCHGATE_ASSERTION]);
    // A proxy may be configured not to say what the client sent under these.
    let mut remove: Vec<_> = ours.filter(|name| !is_set(name)).collect();
    for name in came {
        let goes = !left.contains_key(name) || serving.headers.is_ours_to_say(name);
        if goes && !is_set(name) && !remove.contains(name) {
            remove.push(name.clone());
        }
    }
    if let Some(left) = left.get(COOKIE).filter(|left| Some(*left) != cookie) {
        set.push((COOKIE, left.clone()));
    }
    (set, remove)
}
