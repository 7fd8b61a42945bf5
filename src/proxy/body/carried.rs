//! A request's body on its way to another thread.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::{Broken, Inbound};

/// A body that a worker takes from its client, piece by piece, as somebody elsewhere asks for it.
#[derive(Debug)]
pub struct Carried {
    /// None: it has ended.
    pieces: Option<mpsc::Receiver<Result<Frame<Bytes>, Broken>>>,
    left: SizeHint,
}

impl Carried {
    /// Takes this one, until it ends or nobody asks any more. Call it on the worker's thread.
    pub fn of(inbound: Inbound) -> Self {
        let left = inbound.size_hint();
        if inbound.is_end_stream() {
            return Self { pieces: None, left };
        }
        let (carrying, pieces) = mpsc::channel(1);
        tokio::task::spawn_local(carry(inbound, carrying));
        Self { pieces: Some(pieces), left }
    }
}

async fn carry(inbound: Inbound, carrying: mpsc::Sender<Result<Frame<Bytes>, Broken>>) {
    let mut inbound = pin!(inbound);
    loop {
        let next = tokio::select! {
            next = poll_fn(|context| inbound.as_mut().poll_frame(context)) => next,
            () = carrying.closed() => return,
        };
        let Some(piece) = next else { return };
        if carrying.send(piece).await.is_err() || inbound.is_end_stream() {
            return;
        }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let Some(pieces) = &mut this.pieces else { return Poll::Ready(None) };
        let next = ready!(pieces.poll_recv(context));
        match (&next, this.left.exact()) {
            (Some(Ok(piece)), Some(left)) => {
                let length = piece.data_ref().map_or(0, |data| data.len() as u64);
                this.left = SizeHint::with_exact(left.saturating_sub(length));
            }
            (Some(Ok(_)), None) => {}
            // Half a body is none: a worker that ends takes its bodies with it.
            (None, Some(1..)) => {
                this.pieces = None;
                return Poll::Ready(Some(Err(Broken)));
            }
            (None | Some(Err(_)), _) => this.pieces = None,
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
    }
}
