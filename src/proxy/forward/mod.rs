//! The last step: the request goes to the upstream, the answer comes back, nothing is held in memory.
//!
//! Both bodies stream. What one side does not take, the other is not asked for: a slow client slows the upstream
//! down and the reverse, at the price of some kilobytes in between.
//!
//! When a request may be tried again (RFC 9110 section 9.2.2): always while no byte of it has left, which hyper
//! tells by giving it back; afterwards only when its method is idempotent and it has no body. A body that was
//! begun is gone and is never sent twice. Targets that refuse a connection cost nothing but that: each is passed
//! over once, whatever `retries` says.

mod error;
mod request_body;
mod response_body;
mod switch;
#[cfg(test)]
mod tests;

use std::{
    future::{Future, poll_fn},
    num::NonZeroU64,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, HOST, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE},
};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::sleep;

use self::request_body::Progress;
pub use self::{
    error::{Fault, ForwardError, Late},
    request_body::RequestBody,
    response_body::{BrokenAnswer, End, Ended, ForwardedBody},
    switch::Far,
};
use super::{
    body::Inbound,
    headers::{HeaderRules, binds_connection},
    upstream::{ConnectError, Connection, Kind, Tried, Upstream, is_unprocessed},
};
use crate::{
    config::Protocol,
    domain::{access::Permit, time::Clock},
    runtime::patience::Pace,
};

/// What a client's body may be.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// The most bytes; none: no bound.
    pub most: Option<NonZeroU64>,
    /// The longest silence in the middle of it, and the least rate until the answer begins.
    pub pace: Pace,
    /// Measures both.
    pub clock: Clock,
}

/// What an upstream answers.
pub enum Sent<F: FnOnce(Ended)> {
    /// An answer, its body still to come.
    Answer(Response<ForwardedBody<F>>),
    /// It goes on in the protocol that the request asked for.
    Switched(Response<()>, Far<F>),
}

/// Sends a request that was permitted, and gives the head of the answer with its body still to come.
///
/// One that has an `Upgrade` header asks for another protocol: with
/// [`ask_for_protocols`](super::headers::ask_for_protocols) alone, since preparing takes the client's own out.
///
/// The request's headers have been [prepared](HeaderRules::prepare) and its target is in
/// [origin form](super::path::origin_form). The permit has done its work by being there. `on_end` is told once when
/// the answer has ended; when there is none, it is dropped unused.
pub async fn send<F: FnOnce(Ended)>(
    upstream: &Upstream,
    _permit: Permit,
    request: Request<Inbound>,
    limits: BodyLimits,
    rules: &Rc<HeaderRules>,
    on_end: F,
) -> Result<Sent<F>, ForwardError> {
    let most = limits.most.map_or(u64::MAX, NonZeroU64::get);
    if request.body().size_hint().lower() > most {
        return Err(ForwardError::BodyTooLarge);
    }
    let mut request = request.map(|body| RequestBody::new(body, most, limits, rules));
    frame(&mut request);
    let wanted = request.headers().get(UPGRADE).cloned();
    let progress = request.body().progress();
    // NTLM and its kin authenticate a connection; whoever came next on it would be taken for somebody else.
    let mut single_use = binds_connection(request.headers(), AUTHORIZATION);
    let (mut connection, mut response) = answer(upstream, request, progress.as_deref()).await?;
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(wanted)) = (response.status(), wanted) {
        rules.receive_switch(&mut response, &wanted)?;
        connection.use_no_more();
        let switching = hyper::upgrade::on(&mut response);
        let far = Far::new(switching, connection, upstream.config().timeouts.idle, on_end);
        return Ok(Sent::Switched(response.map(drop), far));
    }
    let by_stream = response.version() == Version::HTTP_2;
    rules.receive(&mut response)?;
    single_use |= response.status() == StatusCode::UNAUTHORIZED
        && binds_connection(response.headers(), WWW_AUTHENTICATE);
    if single_use {
        connection.use_no_more();
    }
    let patience = upstream.config().timeouts.response;
    Ok(Sent::Answer(response.map(|body| {
        ForwardedBody::new(body, connection, progress, Rc::clone(rules), patience, on_end)
            .by_stream(by_stream)
    })))
}

/// The length of the body, as the upstream is told. hyper would send a GET with a body of unknown length without
/// its body.
fn frame(request: &mut Request<RequestBody>) {
    request.extensions_mut().clear();
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Tries one target after the other, as long as that is allowed.
async fn answer(
    upstream: &Upstream,
    mut request: Request<RequestBody>,
    progress: Option<&Progress>,
) -> Result<(Connection, Response<Incoming>), ForwardError> {
    let patience = upstream.config().timeouts.response;
    let mut retries = upstream.config().retries;
    let idempotent = request.method().is_idempotent();
    // Over HTTP/2 whatever was not looked at may be sent again.
    let may_repeat = retries > 0 && (idempotent || upstream.config().protocol == Protocol::H2);
    let again = if may_repeat { copy(&request) } else { None };
    let mut tried = Tried::default();
    let mut failure = ForwardError::Unreachable(ConnectError::Nowhere);
    let usual = if again.is_some() && idempotent { Kind::Any } else { Kind::Certain };
    let mut kind = usual;
    upstream.earn_retry();
    upstream.known().await;
    while let Some((target, pool)) = upstream.choose(tried) {
        let mut connection = match upstream.connection(&pool, kind).await {
            Ok(connection) => connection,
            Err(error) => {
                tried.add(target);
                kind = usual;
                let slow = error.is_slow();
                failure = error.into();
                if slow {
                    let Some(left) = retries.checked_sub(1).filter(|_| upstream.spend_retry()) else { break };
                    retries = left;
                }
                continue;
            }
        };
        if !request.headers().contains_key(HOST) {
            let authority = connection.member().authority().as_str();
            request.headers_mut().extend(HeaderValue::try_from(authority).ok().map(|host| (HOST, host)));
        }
        let (next, error) = match exchange(&mut connection, request, progress, patience).await {
            Ok(response) => {
                if let Some(progress) = progress {
                    progress.answered();
                }
                connection.member().succeeded();
                return Ok((connection, response));
            }
            // Closed while it was idle: the next one, or a new one, of the same target. There are only so many.
            Err(Failed::Unsent(unsent, _)) if connection.is_reused() => {
                request = *unsent;
                continue;
            }
            Err(Failed::Unsent(unsent, error)) => (Some(*unsent), error),
            Err(Failed::Sent(error)) => (again.as_ref().filter(|_| idempotent).and_then(copy), error),
            Err(Failed::Refused(error)) => (again.as_ref().and_then(copy), error),
            Err(Failed::Late) => {
                connection.is_late();
                upstream.failed_by(&connection);
                return Err(ForwardError::Timeout(Late::Answer));
            }
        };
        // What the client did wrong says nothing about the upstream.
        if matches!(error, ForwardError::Protocol(_)) {
            upstream.failed_by(&connection);
        }
        // It may have been closing as we wrote, and others with it: another target is sure not to be restarting at the
        // same moment; where there is none, a new connection tells.
        kind = if connection.is_reused() && !upstream.has_another(tried, target) { Kind::New } else { usual };
        if kind != Kind::New {
            tried.add(target);
        }
        let Some((next, left)) = next.zip(retries.checked_sub(1)).filter(|_| upstream.spend_retry()) else {
            return Err(error);
        };
        (request, retries, failure) = (next, left, error);
    }
    Err(failure)
}

/// A second copy of a request whose body is not gone.
fn copy(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let mut copy = Request::new(request.body().again()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

enum Failed {
    /// Given back whole: no byte of it has left.
    Unsent(Box<Request<RequestBody>>, ForwardError),
    /// The upstream may have seen it.
    Sent(ForwardError),
    /// The upstream has seen it and says that it did nothing with it.
    Refused(ForwardError),
    /// No answer in time. Asking somebody else would double the wait, and the load on what is slow already.
    Late,
}

/// Sends a request on a connection and waits for the head of the answer.
///
/// The upstream has `patience` from the moment in which it has all of the request. Before that it has as long as
/// the client takes to send, while it takes what is there.
async fn exchange(
    connection: &mut Connection,
    request: Request<RequestBody>,
    progress: Option<&Progress>,
    patience: Duration,
) -> Result<Response<Incoming>, Failed> {
    let mut answer = pin!(connection.send(request));
    let mut timer = pin!(sleep(patience));
    let outcome = poll_fn(|context| {
        if let Poll::Ready(answered) = answer.as_mut().poll(context) {
            return Poll::Ready(Some(answered));
        }
        if progress.is_some_and(|progress| progress.just_finished(context)) {
            timer.set(sleep(patience));
        }
        while timer.as_mut().poll(context).is_ready() {
            if !progress.is_some_and(Progress::excuses) {
                return Poll::Ready(None);
            }
            timer.set(sleep(patience));
        }
        Poll::Pending
    });
    match outcome.await {
        Some(Ok(response)) => Ok(response),
        None => Err(Failed::Late),
        Some(Err(mut failed)) => {
            let unsent = failed.take_message();
            let cause = failed.into_error();
            let refused = is_unprocessed(&cause);
            let error = match progress.and_then(Progress::fault) {
                Some(fault) => fault.into(),
                None => ForwardError::Protocol(cause.into()),
            };
            Err(match unsent {
                Some(request) => Failed::Unsent(Box::new(request), error),
                None if refused => Failed::Refused(error),
                None => Failed::Sent(error),
            })
        }
    }
}
