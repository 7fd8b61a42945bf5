//! What goes out on a stream behind its head, and whether the other side takes it.
//!
//! Each stream has a window of its own (RFC 9113 section 5.2): a client that reads its connection and answers every
//! ping may still leave an answer where it is, and hold an upstream by it. So a body is handed over in pieces, and
//! it is known of each stream since when a piece, or the first, has been waiting.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

/// As much as is handed over at a time; a frame of HTTP/2 holds no more.
const PIECE: usize = 16 << 10;
/// Looks that a piece may wait; the first one may come at once.
const LOOKS: u32 = 3;

/// Since when what was offered on a stream waits.
#[derive(Debug, Default)]
pub struct Offer {
    looks: Cell<u32>,
    /// Whether it is the other side that is waited for.
    waits: Cell<bool>,
}

impl Offer {
    /// Called at steady intervals; whether nothing was taken for at least two of them.
    pub fn is_forgotten(&self) -> bool {
        self.looks.set(self.looks.get().saturating_add(1));
        self.waits.get() && self.looks.get() >= LOOKS
    }

    fn waits(&self, waits: bool) {
        self.looks.set(0);
        self.waits.set(waits);
    }
}

/// A body on its way out.
#[derive(Debug)]
pub struct Pipe<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// What came of the body and is not handed over.
    rest: Bytes,
    offer: Rc<Offer>,
}

/// A body of which not all was handed over. The stream is reset.
#[derive(Debug, thiserror::Error)]
pub enum Unsent<E> {
    /// It ended early.
    #[error("the body broke off")]
    Body(E),
    /// The other side wants no more of it, or is gone.
    #[error("nobody takes the body")]
    Stream,
}

impl<B: Body<Data = Bytes> + Unpin> Pipe<B> {
    /// Its head is on its way.
    pub fn new(body: B, stream: SendStream<Bytes>, offer: Rc<Offer>) -> Self {
        offer.waits(true);
        Self { body, stream, rest: Bytes::new(), offer }
    }

    /// Hands over what there is, as far as it is taken; completes when that was all.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unsent<B::Error>>> {
        loop {
            let polled = if self.rest.is_empty() { self.poll_body(context) } else { self.poll_rest(context) };
            match polled {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(why)) => return Poll::Ready(Err(why)),
                // Who waits is to hear that the other side has given up.
                Poll::Pending => return self.stream.poll_reset(context).map(|_| Err(Unsent::Stream)),
            }
        }
    }

    /// Takes more of the body; whether there is no more.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Unsent<B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.offer.waits(polled.is_ready());
        Poll::Ready(match ready!(polled) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => Ok(self.body.is_end_stream() && self.end()?),
                Ok(data) => {
                    self.rest = data;
                    // As little as possible: what one stream holds of the connection's window, others wait for.
                    self.stream.reserve_capacity(1);
                    Ok(false)
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => {
                        self.stream.send_trailers(trailers).map(|()| true).map_err(|_| Unsent::Stream)
                    }
                    Err(_) => Ok(false),
                },
            },
            Some(Err(why)) => {
                self.stream.send_reset(Reason::INTERNAL_ERROR);
                Err(Unsent::Body(why))
            }
            None => self.end(),
        })
    }

    /// Hands over a piece when there is room for a byte of it; whether it was the last one.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Unsent<B::Error>>> {
        while self.stream.capacity() == 0 {
            let Some(Ok(_)) = ready!(self.stream.poll_capacity(context)) else {
                return Poll::Ready(Err(Unsent::Stream));
            };
        }
        self.offer.waits(true);
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        let is_last = self.rest.is_empty() && self.body.is_end_stream();
        if self.stream.send_data(piece, is_last).is_err() {
            return Poll::Ready(Err(Unsent::Stream));
        }
        if !self.rest.is_empty() {
            self.stream.reserve_capacity(1);
        }
        Poll::Ready(Ok(is_last))
    }

    fn end(&mut self) -> Result<bool, Unsent<B::Error>> {
        self.stream.send_data(Bytes::new(), true).map(|()| true).map_err(|_| Unsent::Stream)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use h2::{RecvStream, client, server};
    use http::{Request, Response};
    use http_body_util::Full;

    use super::*;

    /// What a client receives of an answer with this body, and what became of it here.
    async fn piped<B, E>(body: B) -> (RecvStream, Result<(), Unsent<E>>)
    where
        B: Body<Data = Bytes, Error = E> + Unpin,
    {
        let (near, far) = tokio::io::duplex(1 << 20);
        let serving = async {
            let mut connection = server::handshake(near).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let stream = respond.send_response(Response::new(()), false).unwrap();
            let mut pipe = Pipe::new(body, stream, Rc::default());
            let outcome = poll_fn(|context| {
                let _ = connection.poll_closed(context);
                pipe.poll(context)
            })
            .await;
            connection.graceful_shutdown();
            let _ = poll_fn(|context| connection.poll_closed(context)).await;
            outcome
        };
        let asking = async {
            let (mut sender, connection) = client::handshake(far).await.unwrap();
            let (answer, _) = sender.send_request(Request::new(()), true).unwrap();
            drop(sender);
            let (_, answer) = tokio::join!(connection, answer);
            answer.unwrap().into_body()
        };
        let (outcome, received) = tokio::join!(serving, asking);
        (received, outcome)
    }

    /// The sizes of its frames and their bytes; the error that ended it, if one did.
    async fn read(mut received: RecvStream) -> (Vec<usize>, Vec<u8>, Option<Reason>) {
        let (mut sizes, mut seen) = (Vec::new(), Vec::new());
        while let Some(data) = received.data().await {
            match data {
                Ok(data) => {
                    sizes.push(data.len());
                    seen.extend_from_slice(&data);
                }
                Err(error) => return (sizes, seen, error.reason()),
            }
        }
        (sizes, seen, None)
    }

    #[tokio::test]
    async fn a_body_goes_in_pieces_and_whole() {
        let all: Vec<u8> = (0..50_000_u32).map(|n| n.to_be_bytes()[3]).collect();
        let (received, outcome) = piped(Full::new(Bytes::from(all.clone()))).await;
        outcome.unwrap();
        let (sizes, seen, error) = read(received).await;
        assert_eq!((seen, error), (all, None));
        assert_eq!(sizes, [PIECE, PIECE, PIECE, 50_000 - 3 * PIECE]);
    }

    #[test]
    fn what_nobody_takes_is_forgotten_and_an_upstream_s_silence_is_not() {
        let offer = Offer::default();
        let looks = |offer: &Offer| (0..4).map(|_| offer.is_forgotten()).collect::<Vec<_>>();
        assert_eq!(looks(&offer), [false; 4]);
        offer.waits(true);
        assert_eq!(looks(&offer), [false, false, true, true]);
        offer.waits(false);
        assert_eq!(looks(&offer), [false; 4]);
    }
}
