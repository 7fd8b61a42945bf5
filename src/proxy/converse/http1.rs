//! What is said in HTTP/1: requests and answers, one after the other.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    rc::Rc,
    task::Poll,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONNECTION};
use http_body_util::Full;
use tokio::{sync::watch, time::timeout};

use super::{
    super::{
        body::Inbound,
        headers::X_REQUEST_ID,
        peer::Peer,
        pipeline,
        reject::Refusal,
        response::Response,
        server::Phase,
        turn::Turn,
        wire::{Bounds, Framing, Head, Sending, Stream, Terms, Unreadable, Unsendable, Wire, answer, room},
        worker::Worker,
    },
    LAST_REQUEST,
};

/// Answers the requests of a connection until it ends, beginning with what was said already; an error says that it ended
/// early.
pub(super) async fn serve(
    stream: Box<dyn Stream>,
    said: Bytes,
    peer: Rc<Peer>,
    worker: Rc<Worker>,
    phase: &watch::Receiver<Phase>,
) -> io::Result<()> {
    let turn = Rc::new(Turn::default());
    worker.turns.add(&turn);
    if *phase.borrow() != Phase::Running {
        turn.finish_up();
    }
    let wire = Wire::new(stream, said);
    let talk = Talk { wire, peer, worker, turn };
    tokio::select! {
        biased;
        outcome = talk.go_on() => outcome,
        () = talk.turn.is_cut() => {
            Err(io::Error::other("the credential has ended, or the client said nothing for too long"))
        }
    }
}

/// A conversation.
struct Talk {
    wire: Rc<Wire>,
    peer: Rc<Peer>,
    worker: Rc<Worker>,
    turn: Rc<Turn>,
}

/// Whether there may be another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Goodbye,
}

impl Talk {
    async fn go_on(&self) -> io::Result<()> {
        loop {
            let next = match self.head().await? {
                None => Next::Goodbye,
                // In memory of its own, which a connection that waits for a request does not hold.
                Some(Ok(head)) => match Box::pin(self.answer(head)).await? {
                    Some(next) => next,
                    None => return Ok(()),
                },
                Some(Err(unreadable)) => {
                    Box::pin(self.refuse(unreadable)).await?;
                    Next::Goodbye
                }
            };
            if next == Next::Goodbye {
                self.turn.closes();
                return self.wire.leave().await;
            }
        }
    }

    /// The head of the next request; none: there is none.
    async fn head(&self) -> io::Result<Option<Result<Head, Unreadable>>> {
        let limits = &self.worker.serving().snapshot.limits;
        let bounds =
            Bounds { bytes: limits.header_bytes.as_usize(), fields: usize::from(limits.header_count) };
        let mut head = pin!(self.wire.head(bounds));
        tokio::select! {
            biased;
            head = &mut head => head,
            () = self.turn.is_last() => match timeout(LAST_REQUEST, &mut head).await {
                Ok(head) => head,
                // How long it may still take is watched by the worker.
                Err(_) if self.wire.has_begun() => head.await,
                Err(_) => Ok(None),
            },
        }
    }

    /// Answers a request; none: the connection has become something else, which has ended.
    fn answer(&self, head: Head) -> impl Future<Output = io::Result<Option<Next>>> {
        let Head { request, reading, expects, terms } = head;
        let content = self.wire.begin(reading, expects);
        let mut request = request.map(|()| Inbound::Streaming(content));
        // What goes into a future by itself stays there, whatever becomes of it.
        async move {
            let mut lines = room::text();
            let answered = {
                let mut handling =
                    pin!(pipeline::handle(&self.worker, &self.peer, &self.turn, &mut request, &mut lines));
                poll_fn(|context| match handling.as_mut().poll(context) {
                    Poll::Ready(answered) => Poll::Ready(Some(answered)),
                    Poll::Pending => self.wire.poll_gone(context).map(|()| None),
                })
                .await
            };
            let Some((response, tunnel)) = answered else {
                return Err(io::ErrorKind::ConnectionAborted.into());
            };
            let is_read = self.wire.is_read() || tunnel.is_some();
            let closes = !is_read || self.turn.is_to_finish();
            let saying = self.say(response, &lines, terms, closes);
            room::keep_text(lines);
            let next = saying.await?;
            if let Some(tunnel) = tunnel {
                // In memory of its own: a request has no room for it.
                Box::pin(tunnel.run(&*self.wire)).await;
                return Ok(None);
            }
            Ok(Some(next))
        }
    }

    fn say<B>(
        &self,
        response: Response<B>,
        lines: &[u8],
        terms: Terms,
        closes: bool,
    ) -> impl Future<Output = io::Result<Next>> + use<'_, B>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let (text, framing, keeps) = answer::write(&response, lines, terms, closes, &self.worker.date.get());
        let open_ended = matches!(framing, Framing::Close).then(|| OpenEnded(Some(&self.wire)));
        let Response { fields, body, .. } = response;
        room::keep_fields(fields);
        self.send(Sending::new(text, framing, body, false), open_ended, keeps)
    }

    async fn send<B>(
        &self,
        mut sending: Sending<B>,
        open_ended: Option<OpenEnded<'_>>,
        keeps: bool,
    ) -> io::Result<Next>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let sent = self.wire.send(&mut sending).await;
        // What is counted and logged at its end is, before the next one begins.
        drop(sending);
        match sent {
            Ok(()) => open_ended.map(OpenEnded::has_ended),
            Err(Unsendable::Body) => return Err(io::Error::other("the answer has no end")),
            Err(Unsendable::Connection(error)) => return Err(error),
        };
        self.turn.flushed();
        self.wire.is_let_be().await;
        if !keeps {
            return Ok(Next::Goodbye);
        }
        self.wire.skip();
        Ok(Next::Request)
    }

    /// The documented answer to what is no request, counted and logged as every other.
    async fn refuse(&self, unreadable: Unreadable) -> io::Result<()> {
        self.wire.lose();
        let refusal = match unreadable {
            Unreadable::Malformed => Refusal::Unreadable,
            Unreadable::Version => Refusal::VersionNotSupported,
            Unreadable::HeadTooLarge => Refusal::HeadersTooLarge,
            Unreadable::TargetTooLong => Refusal::UriTooLong,
        };
        let id = self.worker.refused_unread(&self.peer, &refusal);
        let mut response = refusal.response(&self.worker.serving().snapshot.rules.profile, &id);
        last_words(response.headers_mut(), id);
        self.say(response.map(Full::new).into(), b"", Terms::default(), true).await.map(drop)
    }
}

/// An answer that lasts until the connection ends. A client of HTTP/1.0 has to tell half of one from a whole one, whatever
/// it was that ended it.
struct OpenEnded<'a>(Option<&'a Wire>);

impl OpenEnded<'_> {
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for OpenEnded<'_> {
    fn drop(&mut self) {
        if let Some(wire) = self.0 {
            wire.end_in_reset();
        }
    }
}

/// Nothing after what could not be read may be believed.
fn last_words(headers: &mut HeaderMap, request_id: HeaderValue) {
    headers.insert(X_REQUEST_ID, request_id);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}
