//! The last step: the request goes to the upstream, the answer comes back, nothing is held in memory.
//!
//! Both bodies stream. What one side does not take, the other is not asked for: a slow client slows the upstream
//! down and the reverse, at the price of some kilobytes in between.
//!
//! When a request may be tried again (RFC 9110 section 9.2.2): always while no byte of it has left;
//! afterwards only when its method is idempotent and it has no body. A body that was
//! begun is gone and is never sent twice. Targets that refuse a connection cost nothing but that: each is passed
//! over once, whatever `retries` says.

mod error;
mod request_body;
mod response_body;
mod switch;
#[cfg(test)]
mod tests;
mod waiting;

use std::{
    future::{Future, poll_fn},
    num::NonZeroU64,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body::Body;

pub use self::{
    error::{Fault, ForwardError, Late},
    request_body::RequestBody,
    response_body::{BrokenAnswer, End, Ended, ForwardedBody, OnEnd},
    switch::Far,
};
use self::{request_body::Progress, waiting::Waiting};
use super::{
    body::Inbound,
    headers::{HeaderRules, binds_connection},
    request::Request,
    response::Response,
    turn::Turn,
    upstream::{Answer, ConnectError, Connection, Kind, Message, NoAnswer, Reached, Rest, Tried, Upstream},
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
pub enum Sent {
    /// An answer, its body still to come.
    Answer(Response<Box<ForwardedBody>>),
    /// It goes on in the protocol that the request asked for.
    Switched(Response<()>, Box<Far>),
}

/// A request as its upstream is to get it.
pub struct Asked<'a> {
    /// What the client said, as far as it may.
    pub request: &'a mut Request<Inbound>,
    /// What the gateway says beside it, as lines of HTTP/1.1; towards HTTP/2 that is among the headers.
    pub said: Vec<u8>,
    /// The protocols that it asks to go on in.
    pub protocols: Option<HeaderValue>,
    /// Where it stands on the wire; it is looked at once a second.
    pub turn: &'a Turn,
    /// Now, by the clock's uptime.
    pub sent: Duration,
}

/// Sends a request that was permitted, and gives the head of the answer with its body still to come.
///
/// The request's headers have been [prepared](HeaderRules::prepare) and its target is in
/// [origin form](super::path::origin_form). The permit has done its work by being there. `on_end` is told once when
/// the answer has ended; when there is none, it is told nothing.
pub fn send<'a>(
    upstream: &'a Upstream,
    _permit: Permit,
    asked: Asked<'a>,
    limits: BodyLimits,
    rules: &'a Rc<HeaderRules>,
    on_end: OnEnd,
) -> impl Future<Output = Result<Sent, ForwardError>> + 'a {
    let Asked { request, said, protocols, turn, sent } = asked;
    let mut waiting = Waiting::new(turn, limits.clock.clone(), sent, upstream.config().timeouts.response);
    let most = limits.most.map_or(u64::MAX, NonZeroU64::get);
    let is_too_large = request.body.size_hint().lower() > most;
    let body = RequestBody::new(std::mem::take(&mut request.body), most, limits, rules);
    // What goes into a future by itself stays there, whatever becomes of it.
    async move {
        if is_too_large {
            return Err(ForwardError::BodyTooLarge);
        }
        let progress = body.progress();
        // NTLM and its kin authenticate a connection; whoever came next on it would be taken for somebody else.
        let mut single_use = binds_connection(&request.fields, &AUTHORIZATION);
        let mut response = answer(upstream, request, body, said, progress.as_deref(), &mut waiting).await?;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(wanted)) = (response.status, protocols) {
            rules.receive_switch(&mut response, &wanted)?;
            let mut connection = None;
            let response = response.map(|answer| connection = answer.into_connection());
            let far = Far::new(connection, upstream.config().timeouts.idle, on_end);
            return Ok(Sent::Switched(response, Box::new(far)));
        }
        rules.receive(&mut response)?;
        single_use |= response.status == StatusCode::UNAUTHORIZED
            && binds_connection(&response.fields, &WWW_AUTHENTICATE);
        if single_use {
            response.body.use_no_more();
        }
        let patience = upstream.config().timeouts.response;
        let body = |body| ForwardedBody::new(body, progress, Rc::clone(rules), patience, on_end);
        Ok(Sent::Answer(response.map(|answer| Box::new(body(answer)))))
    }
}

/// Tries one target after the other, as long as that is allowed.
async fn answer(
    upstream: &Upstream,
    request: &mut Request<Inbound>,
    body: RequestBody,
    said: Vec<u8>,
    progress: Option<&Progress>,
    waiting: &mut Waiting<'_>,
) -> Result<Response<Answer>, ForwardError> {
    let mut retries = upstream.config().retries;
    let idempotent = request.method.is_idempotent();
    let mut message = match upstream.config().protocol {
        Protocol::H2 => Message::whole(request, body),
        Protocol::Http1 => Message::Head(request, body, said),
    };
    // Over HTTP/2 whatever was not looked at may be sent again, and a stream keeps what it was given.
    let copy = if retries > 0 { message.copy() } else { None };
    let usual = if retries > 0 && idempotent && message.may_repeat() { Kind::Any } else { Kind::Certain };
    let mut kind = usual;
    let mut tried = Tried::default();
    let mut failure = ForwardError::Unreachable(ConnectError::Nowhere);
    upstream.earn_retry();
    upstream.known().await;
    while let Some((target, pool)) = upstream.choose(tried) {
        let at_once = if kind == Kind::Any { pool.idle() } else { None };
        let connection = if let Some(connection) = at_once {
            Ok(connection)
        } else {
            // In memory of its own: nearly every request takes one that is there.
            let connection = Box::pin(upstream.connection(&pool, kind)).await;
            // Nobody was asked before.
            waiting.begin();
            connection
        };
        let mut connection = match connection {
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
        let Failed { reached, error } = match exchange(&mut connection, &mut message, progress, waiting).await
        {
            Ok(response) => {
                if let Some(progress) = progress {
                    progress.answered();
                }
                connection.member().succeeded();
                return Ok(response.map(|rest| Answer::new(rest, connection)));
            }
            // Closed while it was idle: the next one, or a new one, of the same target. There are only so many.
            Err(Some(Failed { reached: Reached::Nobody, .. })) if connection.is_reused() => continue,
            Err(Some(failed)) => failed,
            Err(None) => {
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
        let whole = match reached {
            Reached::Nobody => true,
            Reached::Perhaps => idempotent && message.again(copy.as_deref()),
            Reached::Refused => message.again(copy.as_deref()),
        };
        let Some(left) = retries.checked_sub(1).filter(|_| whole && upstream.spend_retry()) else {
            return Err(error);
        };
        (retries, failure) = (left, error);
        waiting.begin();
    }
    Err(failure)
}

/// An attempt that brought no answer.
struct Failed {
    reached: Reached,
    error: ForwardError,
}

/// Sends a request on a connection and waits for the head of the answer. The error is none when it did not come in time:
/// asking somebody else would double the wait, and the load on what is slow already.
///
/// The upstream has time from the moment in which it has all of the request. Before that it has as long as
/// the client takes to send, while it takes what is there.
async fn exchange(
    connection: &mut Connection,
    message: &mut Message<'_>,
    progress: Option<&Progress>,
    waiting: &mut Waiting<'_>,
) -> Result<Response<Rest>, Option<Failed>> {
    let mut answer = pin!(connection.send(message));
    let outcome = poll_fn(|context| {
        if let Poll::Ready(answered) = answer.as_mut().poll(context) {
            return Poll::Ready(Some(answered));
        }
        if progress.is_some_and(|progress| progress.just_finished(context)) {
            waiting.begin();
        }
        while waiting.poll(context).is_ready() {
            if !progress.is_some_and(Progress::excuses) {
                return Poll::Ready(None);
            }
            waiting.begin();
        }
        Poll::Pending
    });
    let NoAnswer { reached, cause } = match outcome.await {
        Some(Ok(response)) => return Ok(response),
        Some(Err(failed)) => failed,
        None => return Err(None),
    };
    let error = match progress.and_then(Progress::fault) {
        Some(fault) => fault.into(),
        None => ForwardError::Protocol(cause),
    };
    Err(Some(Failed { reached, error }))
}
