//! The decision for another proxy: the same path without the forwarding.
//!
//! nginx (`auth_request`), Traefik and Caddy (forward auth) and Envoy (`ext_authz`) ask before they forward a request
//! themselves. What they ask about is brought into the form of a request to this gateway (`question`) and goes the
//! way of one: normal form, route, credential, decision, limits, with the same refusals. Let in, the answer says who it
//! is in the headers that an upstream would have got; a configured name that is not there has no value, and the proxy
//! has to remove what the client sent under it.
//!
//! Absent on purpose: what only the gateway itself answers (its pages, the admin API), and whatever is proved by a
//! body, which the asking proxy keeps to itself.

mod ask;
mod question;

use std::{net::IpAddr, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};

pub use self::{
    ask::{Question, Verdict, ask},
    question::Unclear,
};
use super::{
    admit::admit,
    assertion::X_LATCHGATE_ASSERTION,
    body::{Body, Inbound},
    directory::Record,
    fields::Fields,
    headers::{self, Authority},
    path,
    record::Exchange,
    reject::Refusal,
    request::Request,
    reserved::Reserved,
    sign_in,
    snapshot::Snapshot,
};
use crate::runtime::{client_ip::X_FORWARDED_PROTO, said::Said as _};

/// How the asking proxy asks, and how it wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By header, answered as the gateway would answer the request itself.
    Plain,
    /// By header, answered with the few statuses that `auth_request` knows.
    Nginx,
    /// By method, `Host` and the path behind a prefix, as Envoy's HTTP service does.
    Envoy,
}

/// Answers a proxy that asks about a request.
pub async fn answer(exchange: &mut Exchange, request: Request<Inbound>, form: Form) -> Response<Body> {
    let outcome = match may_ask(exchange.peer.ip, exchange.client.peer_trusted)
        .and_then(|()| question::read(request, form))
    {
        Ok(original) => decide(exchange, original).await,
        Err(refusal) => Err(refusal),
    };
    let (code, response) = match outcome {
        Ok(allowed) => ("ok", allowed.response()),
        Err(refusal) => (refusal.code(), exchange.refuse(&refusal)),
    };
    let response = if form == Form::Nginx { narrowed(response, code) } else { response };
    response.map(Body::from)
}

/// A request that its proxy may forward, and who asks; nobody on a public route.
struct Allowed {
    caller: Option<Arc<Record>>,
    assertion: Option<HeaderValue>,
    /// The request's headers without the credential.
    left: Fields,
}

impl Allowed {
    fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers());
        response
    }

    /// Who it is.
    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let identity = self.caller.as_deref().map(|caller| caller.identity.headers()).unwrap_or_default();
        let assertion = self.assertion.iter().map(|token| (X_LATCHGATE_ASSERTION, token.clone()));
        identity.iter().map(|(name, value)| (name.clone(), value.clone())).chain(assertion)
    }
}

/// Anybody else could try credentials in a stranger's name, or learn how a key of their own would be judged elsewhere.
fn may_ask(asker: IpAddr, is_trusted: bool) -> Result<(), Refusal> {
    let may = is_trusted || asker.is_loopback();
    if may { Ok(()) } else { Err(Refusal::NoProxy) }
}

/// Decides about a request as if it had come to this gateway.
async fn decide(exchange: &mut Exchange, mut request: Request<Inbound>) -> Result<Allowed, Refusal> {
    exchange.is_about(&request);
    let serving = Rc::clone(&exchange.serving);
    let snapshot = &*serving.snapshot;
    let target = request.target.clone();
    if target.path().len() + target.query().map_or(0, str::len) > path::MAX_TARGET {
        return Err(Refusal::UriTooLong);
    }
    let authority = headers::authority(&request)?;
    let path = path::normal_form(target.path()).map_err(|_| Refusal::PathAmbiguous)?;
    let host = authority.as_ref().map(|authority| &*authority.host);
    let is_reserved = !matches!(Reserved::find(&path, &request.method), Ok(None));
    let matched = snapshot.routes.find(host, &request.method, &path, &request.fields)?;
    // What the gateway answers itself is asked of the gateway itself.
    if is_reserved || serving.upstreams.of(matched.index).is_none() {
        return Err(Refusal::NotFound);
    }
    let label = &snapshot.labels[matched.index];
    exchange.routed(matched.index);
    let pages = authority.as_ref().and_then(|authority| pages(authority, &request.fields, snapshot));
    let accepted = matched.route.credentials;
    let admitted = admit(exchange, &matched.action, accepted, &mut request).await.map_err(|refusal| {
        let Some(origin) = pages else { return refusal };
        let sent_on = sign_in::instead(&refusal, exchange.kind(), accepted, &request, &target);
        sent_on.map_or(refusal, |refusal| at(refusal, &origin))
    })?;
    let assertion = exchange.assertion(admitted.caller.as_ref(), label)?;
    Ok(Allowed { caller: admitted.caller, assertion, left: request.fields })
}

/// Where the gateway's pages are for whoever sent the request, as a URL without its path; empty where the scheme is
/// unknown. None: the pages are not known by the request's host, and the cookie that one gets there is for that host.
fn pages(authority: &Authority<'_>, fields: &Fields, snapshot: &Snapshot) -> Option<String> {
    snapshot.is_asked_for(Some(&authority.host)).ok()?;
    Some(match fields.single(&X_FORWARDED_PROTO).map(HeaderValue::as_bytes) {
        Some(b"https") => format!("https://{}", authority.text),
        Some(b"http") => format!("http://{}", authority.text),
        _ => String::new(),
    })
}

/// A whole URL: some proxies read a path as one of the server that they asked.
fn at(refusal: Refusal, origin: &str) -> Refusal {
    let Refusal::SignIn { code, place } = refusal else { return refusal };
    let whole = HeaderValue::try_from([origin, place.to_str().unwrap_or_default()].concat());
    Refusal::SignIn { code, place: whole.unwrap_or(place) }
}

/// The answer as `auth_request` can understand it: 200, 401, 403, and 503 where nothing could be decided. What it
/// would have been is in two headers.
fn narrowed(response: Response<Bytes>, code: &'static str) -> Response<Bytes> {
    let (mut parts, _) = response.into_parts();
    let status = parts.status;
    parts.status = match status {
        StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE => status,
        StatusCode::SEE_OTHER => StatusCode::UNAUTHORIZED,
        _ => StatusCode::FORBIDDEN,
    };
    parts.headers.insert(X_LATCHGATE_STATUS, status.as_u16().into());
    parts.headers.insert(X_LATCHGATE_CODE, HeaderValue::from_static(code));
    // nginx reads no body of such an answer, and the problem's would name the other status.
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Bytes::new())
}

const X_LATCHGATE_STATUS: HeaderName = HeaderName::from_static("x-latchgate-status");
const X_LATCHGATE_CODE: HeaderName = HeaderName::from_static("x-latchgate-code");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_may_not_ask() {
        for (asker, is_trusted, may) in [
            ("127.0.0.1", false, true),
            ("127.8.9.10", false, true),
            ("::1", false, true),
            ("10.0.0.1", true, true),
            ("10.0.0.1", false, false),
            ("0.0.0.0", false, false),
            ("2001:db8::1", false, false),
        ] {
            let expected = if may { Ok(()) } else { Err(Refusal::NoProxy) };
            assert_eq!(may_ask(asker.parse().unwrap(), is_trusted), expected, "{asker}");
        }
    }
}
