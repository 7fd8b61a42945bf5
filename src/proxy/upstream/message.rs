//! A request on its way to a backend and the answer on its way back, whichever version of HTTP is spoken there.

use std::{
    error::Error,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    http1::{self, AnswerError, Outgoing},
    http2,
    pool::{Connection, Line},
};
use crate::proxy::{
    body::Inbound, forward::RequestBody, request::Request, response::Response, wire::Reading,
};

/// A request that is to be answered.
pub(in crate::proxy) enum Message<'a> {
    /// Not written yet: a head, the body behind it, and further lines of the head.
    Head(&'a mut Request<Inbound>, RequestBody, Vec<u8>),
    /// As it goes out as a stream.
    Whole(Box<Request<RequestBody>>),
    /// As bytes.
    Written(Outgoing),
    /// With somebody who did not give it back.
    Gone,
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::proxy) struct NoAnswer {
    /// How far the request has come.
    pub reached: Reached,
    pub cause: Box<dyn Error + Send + Sync>,
}

/// How far a request has come that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Reached {
    /// No byte of it has left; the message is whole.
    Nobody,
    /// The upstream may have seen it.
    Perhaps,
    /// The upstream has seen it and says that it did nothing with it.
    Refused,
}

/// The body of an answer, as it comes, and the connection that it comes on.
pub(in crate::proxy) struct Answer {
    rest: Rest,
    /// None: it is somebody else's again.
    connection: Option<Connection>,
}

/// What is left to read.
pub(in crate::proxy) enum Rest {
    /// On the connection, by this framing.
    Http1(Reading),
    /// A stream.
    Http2(http2::Incoming),
}

impl<'a> Message<'a> {
    /// As a stream has it.
    pub(in crate::proxy) fn whole(head: &'a mut Request<Inbound>, body: RequestBody) -> Self {
        Self::Whole(Box::new(std::mem::take(head).map(|_| body)))
    }

    /// Whether it can be sent again after it was sent, by [`again`](Self::again).
    pub(in crate::proxy) fn may_repeat(&self) -> bool {
        match self {
            Self::Head(_, body, _) => body.is_none(),
            Self::Whole(request) => request.body.is_none(),
            Self::Written(outgoing) => outgoing.may_repeat(),
            Self::Gone => false,
        }
    }

    /// Makes ready to send it once more. False: it is gone.
    pub(in crate::proxy) fn again(&mut self, copy: Option<&Request<RequestBody>>) -> bool {
        match (&mut *self, copy) {
            (Self::Written(outgoing), _) => outgoing.again(),
            (_, Some(request)) => {
                *self = copy_of(request).map_or(Self::Gone, Self::Whole);
                matches!(self, Self::Whole(_))
            }
            (_, None) => false,
        }
    }

    /// A second copy of what a stream will not give back.
    pub(in crate::proxy) fn copy(&self) -> Option<Box<Request<RequestBody>>> {
        match self {
            Self::Whole(request) => copy_of(request),
            _ => None,
        }
    }
}

/// A second copy of a request whose body is not gone.
fn copy_of(request: &Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
    let Request { method, target, version, fields, flaw: _, body } = request;
    let copy = || Request {
        method: method.clone(),
        target: target.clone(),
        version: *version,
        fields: fields.clone(),
        flaw: None,
        body: RequestBody::default(),
    };
    body.is_none().then(|| Box::new(copy()))
}

impl Connection {
    /// Sends a request, and completes with the head of the answer.
    pub(in crate::proxy) async fn send(
        &mut self,
        message: &mut Message<'_>,
    ) -> Result<Response<Rest>, NoAnswer> {
        let authority = self.pool.member().authority();
        match &mut self.line {
            Line::Alone(line) => {
                if let Message::Head(request, body, lines) = message {
                    let outgoing =
                        Outgoing::new(request, std::mem::take(body), std::mem::take(lines), authority);
                    *message = Message::Written(outgoing);
                }
                let Message::Written(outgoing) = message else { return Err(NoAnswer::gone()) };
                let answered = poll_fn(|context| line.poll_answer(outgoing, context)).await;
                answered.map(|response| response.map(Rest::Http1)).map_err(NoAnswer::from)
            }
            Line::Shared(stream) => {
                let sender = match stream.sender() {
                    Ok(sender) => sender,
                    Err(error) => return Err(NoAnswer { reached: Reached::Nobody, cause: error.into() }),
                };
                let Message::Whole(mut request) = std::mem::replace(message, Message::Gone) else {
                    return Err(NoAnswer::gone());
                };
                http2::translate(&mut request, self.pool.member());
                match Box::pin(http2::ask(sender, *request)).await {
                    Ok(response) => Ok(response.map(Rest::Http2)),
                    Err(error) => {
                        let is_new = http2::is_unprocessed(&error);
                        let reached = if is_new { Reached::Refused } else { Reached::Perhaps };
                        Err(NoAnswer { reached, cause: error.into() })
                    }
                }
            }
        }
    }
}

impl NoAnswer {
    fn gone() -> Self {
        Self { reached: Reached::Perhaps, cause: "the request is gone".into() }
    }
}

impl From<http1::NoAnswer> for NoAnswer {
    fn from(why: http1::NoAnswer) -> Self {
        let (reached, cause) = match why {
            http1::NoAnswer::Unsent(error) => (Reached::Nobody, AnswerError::Io(error)),
            http1::NoAnswer::Body => (Reached::Perhaps, AnswerError::Unsent),
            http1::NoAnswer::Bad(error) => (Reached::Perhaps, error),
        };
        Self { reached, cause: cause.into() }
    }
}

impl Answer {
    pub(in crate::proxy) const fn new(rest: Rest, connection: Connection) -> Self {
        Self { rest, connection: Some(connection) }
    }

    /// Whatever happens, nobody may have its connection after it.
    pub(in crate::proxy) fn use_no_more(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.use_no_more();
        }
    }

    /// It was read to its end: the connection is free for the next request, or has a moment to finish what it still sends,
    /// and closes.
    pub(in crate::proxy) fn release(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match &mut self.rest {
            Rest::Http1(_) => connection.keep(),
            Rest::Http2(incoming) => incoming.release(connection),
        }
    }

    /// Nobody reads it to its end: the connection is closed.
    pub(in crate::proxy) fn break_off(&mut self) {
        self.connection = None;
    }

    /// The connection itself, when it goes on in another protocol.
    pub(in crate::proxy) fn into_connection(self) -> Option<Connection> {
        self.connection
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        match (&mut this.rest, this.connection.as_mut().map(|connection| &mut connection.line)) {
            (Rest::Http1(reading), Some(Line::Alone(line))) => {
                line.poll_frame(reading, context).map_err(Into::into)
            }
            (Rest::Http1(_), _) => Poll::Ready(None),
            (Rest::Http2(incoming), _) => Pin::new(incoming).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.rest {
            Rest::Http1(reading) => reading.is_done(),
            Rest::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::Http1(reading) => reading.size_hint(),
            Rest::Http2(incoming) => incoming.size_hint(),
        }
    }
}
