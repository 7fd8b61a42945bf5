//! The body of a client's request in HTTP/1, as it comes.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Wire;

/// The rest of a request's body. Whoever has it takes it off the connection; when it is dropped, the conversation has the
/// connection for itself again.
#[derive(Debug)]
pub struct Content {
    /// None: there is nothing of it, or nothing left.
    wire: Option<Rc<Wire>>,
}

/// A body that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is incomplete or malformed")]
pub struct Broken;

impl Content {
    pub(super) fn new(wire: &Rc<Wire>) -> Self {
        let has_one = !wire.reading.borrow().is_done();
        wire.is_taken.set(has_one);
        Self { wire: has_one.then(|| Rc::clone(wire)) }
    }

    fn let_go(&mut self) {
        if let Some(wire) = self.wire.take() {
            wire.is_taken.set(false);
            if let Some(waiting) = wire.waiting.take() {
                waiting.wake();
            }
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let Some(wire) = &this.wire else { return Poll::Ready(None) };
        let polled = wire.poll_content(context);
        if wire.reading.borrow().is_done() {
            this.let_go();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.wire.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.wire.as_ref().map_or(SizeHint::with_exact(0), |wire| wire.reading.borrow().size_hint())
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.let_go();
    }
}
