//! Whether the client of a stream of HTTP/2 takes its answer.
//!
//! Each stream has a window of its own (RFC 9113 section 5.2): a client that reads its connection and answers every
//! ping may still leave an answer where it is, and hold an upstream by it. So an answer is handed over in pieces, and
//! it is known of each stream since when a piece, or the first, has been waiting.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// As much as is handed over at a time; a frame of HTTP/2 holds no more.
const PIECE: usize = 16 << 10;
/// Looks that a piece may wait; the first one may come at once.
const LOOKS: u32 = 3;

/// Since when what was offered on a stream waits.
#[derive(Debug, Default)]
pub(super) struct Offer {
    looks: Cell<u32>,
    /// Whether it is the client that is waited for.
    waits: Cell<bool>,
}

impl Offer {
    /// Called at steady intervals; whether nothing was taken for at least two of them.
    pub(super) fn is_forgotten(&self) -> bool {
        self.looks.set(self.looks.get().saturating_add(1));
        self.waits.get() && self.looks.get() >= LOOKS
    }

    fn waits(&self, waits: bool) {
        self.looks.set(0);
        self.waits.set(waits);
    }
}

/// An answer's body that tells when it is taken.
#[derive(Debug)]
pub(super) struct Taken<B> {
    body: B,
    rest: Bytes,
    offer: Rc<Offer>,
}

impl<B> Taken<B> {
    /// Its head is offered now.
    pub(super) fn new(body: B, offer: Rc<Offer>) -> Self {
        offer.waits(true);
        Self { body, rest: Bytes::new(), offer }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Taken<B> {
    type Data = Bytes;
    type Error = B::Error;

    /// hyper asks as soon as the client has room for a byte.
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let polled = Pin::new(&mut this.body).poll_frame(context);
            this.offer.waits(polled.is_ready());
            match polled {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.len() > PIECE => this.rest = data,
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return other,
            }
        }
        this.offer.waits(true);
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole.set_lower(hint.lower().saturating_add(rest));
        whole
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn an_answer_comes_in_pieces_and_whole() {
        let all: Vec<u8> = (0..50_000_u32).map(|n| n.to_be_bytes()[3]).collect();
        let mut body = Taken::new(Full::new(Bytes::from(all.clone())), Rc::default());
        assert_eq!(body.size_hint().exact(), Some(50_000));
        let (mut seen, mut sizes) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            sizes.push(data.len());
            seen.extend_from_slice(&data);
            assert_eq!(body.size_hint().exact(), Some(50_000 - seen.len() as u64));
            assert_eq!(body.is_end_stream(), seen.len() == all.len());
        }
        assert_eq!((seen, sizes), (all, vec![PIECE, PIECE, PIECE, 50_000 - 3 * PIECE]));
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
