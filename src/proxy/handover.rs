//! What the control plane answers on the gateway's port: its API where a route leads to it, and the gateway's pages.
//!
//! A worker only hands over the request and takes back the answer; the work runs elsewhere, so that a form whose
//! password is being hashed does not delay a request beside it. The credential stays in the request: whoever answers
//! proves it, and counts it, once.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, Uri, header::HOST};
use tokio::sync::oneshot;

use super::{
    body::{Body, Carried, Inbound},
    headers::X_REQUEST_ID,
    path,
    record::Exchange,
    reject::Refusal,
    request::Request,
    snapshot::Label,
};
use crate::{config::Limits, runtime::client_ip::Connection, telemetry::access_log::AccessRecord};

/// Who answers what is handed over.
pub trait Handover: Send + Sync {
    /// Begins to answer on a runtime of its own, and goes on when nobody waits any more: a change that was begun is
    /// finished. None: more is under way than can be done. A sender that is dropped has failed.
    fn begin(&self, handed: Handed) -> Option<oneshot::Receiver<Answered>>;
}

/// A request whose head was checked: its target is a path in normal form, its host one that it may ask for.
pub struct Handed {
    /// As it came, but for its target and its `X-Request-Id`.
    pub request: http::Request<Carried>,
    /// Its target as it came: what is signed is this.
    pub target: Uri,
    /// The connection that it came on.
    pub connection: Connection,
    /// Whose request it is: the peer's, or that of the hop that a trusted proxy names.
    pub client: IpAddr,
    /// The most bytes of a body, and the time that one may take to come.
    pub limits: Limits,
    /// One of the gateway's pages; else the admin API, by a route.
    pub is_page: bool,
}

/// A whole answer.
pub struct Answered {
    /// As it goes out.
    pub response: Response<Bytes>,
    /// What is to be written of the request.
    pub line: Option<AccessRecord>,
}

/// What a request asks for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// As it came.
    pub target: &'a Uri,
    /// The path in its normal form, where it did not come in it.
    pub rewritten: Option<&'a str>,
}

/// Has a request answered. `label` is its route's, if it took one.
pub async fn hand_over(
    exchange: &mut Exchange,
    mut request: Request<Inbound>,
    asked: Asked<'_>,
    label: Option<&Label>,
) -> Result<Response<Body>, Refusal> {
    request.target = path::origin_form(asked.target, asked.rewritten).map_err(|_| Refusal::PathAmbiguous)?;
    // An absolute target outweighs the header, also for whoever reads the header next.
    if let Some(host) = asked.target.authority()
        && let Ok(host) = HeaderValue::try_from(host.as_str())
    {
        request.fields.insert(HOST, host);
    }
    request.fields.insert(X_REQUEST_ID, exchange.name().header());
    let request = request.map(Carried::of).into();
    let limits = exchange.serving.snapshot.limits.clone();
    // Whoever answers has as much for each of its steps: who asks, the body, the work. This is the end of all of them.
    let patience = limits.request_timeout.saturating_mul(4);
    let (target, connection, is_page) = (asked.target.clone(), exchange.peer.connection(), label.is_none());
    let client = exchange.client.address.unwrap_or(connection.ip);
    let handed = Handed { request, target, connection, client, limits, is_page };
    let sent = label.map(|_| exchange.forwarded().1);
    let answering = exchange.worker.handover.begin(handed).ok_or(Refusal::Overloaded)?;
    let Answered { response, line } = within(patience, answering).await?;
    if let Some(sent) = sent {
        exchange.answered_by(sent);
    }
    if let Some(line) = line {
        exchange.told(line);
    }
    Ok(response.map(Body::from))
}

async fn within(patience: Duration, answering: oneshot::Receiver<Answered>) -> Result<Answered, Refusal> {
    match tokio::time::timeout(patience, answering).await {
        Ok(Ok(answered)) => Ok(answered),
        // It panicked, which has been logged and counted.
        Ok(Err(_)) => Err(Refusal::UpstreamProtocol),
        Err(_) => Err(Refusal::UpstreamTimeout),
    }
}
