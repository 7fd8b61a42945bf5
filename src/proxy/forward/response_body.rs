//! The upstream's body on its way to the client.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::request_body::Progress;
use crate::proxy::{headers::HeaderRules, upstream::Answer};

/// An answer's body that is being forwarded. It ends cleanly only where the upstream's did: everything else is an
/// error, by which the client's connection is broken off, so that half an answer never looks like a whole one.
///
/// When it ends, one way or the other, it says so once.
pub struct ForwardedBody {
    inner: Answer,
    progress: Option<Rc<Progress>>,
    rules: Rc<HeaderRules>,
    bytes: u64,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    timer_runs: bool,
    /// Why it ended early, until whoever writes is told.
    broken: Option<(End, BrokenAnswer)>,
    on_end: Option<OnEnd>,
}

/// Where it is told how an exchange ended whose answer had begun.
pub type OnEnd = Rc<Cell<Option<Ended>>>;

/// How an exchange ended whose answer had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Of the request's body, as far as it was read.
    pub bytes_in: u64,
    /// Of the answer's body.
    pub bytes_out: u64,
    /// In which way.
    pub how: End,
}

/// In which way an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it was passed on.
    Complete,
    /// The upstream broke off; the client's connection was broken off as well.
    UpstreamBroke,
    /// The upstream was silent for `timeouts.response`; likewise.
    UpstreamStalled,
    /// The client went away.
    ClientLeft,
    /// Nothing went through a tunnel for `timeouts.idle`.
    Idle,
}

/// Why an answer is broken off.
#[derive(Debug, thiserror::Error)]
pub enum BrokenAnswer {
    /// The upstream broke off. With which code, where it speaks HTTP/2, is not for the client: REFUSED_STREAM, of all, says
    /// that nobody has looked at the request and that it may be sent again (RFC 9113 section 8.7).
    #[error("the upstream broke off its answer: {0:?}")]
    Broke(Box<dyn std::error::Error + Send + Sync>),
    /// The upstream was silent for `timeouts.response`.
    #[error("the upstream stopped in the middle of its answer")]
    Stalled,
}

impl ForwardedBody {
    pub(super) fn new(
        inner: Answer,
        progress: Option<Rc<Progress>>,
        rules: Rc<HeaderRules>,
        patience: Duration,
        on_end: OnEnd,
    ) -> Self {
        let mut body = Self {
            inner,
            progress,
            rules,
            bytes: 0,
            patience,
            timer: None,
            timer_runs: false,
            broken: None,
            on_end: Some(on_end),
        };
        // The connection is free again; the end is told when the head is on its way.
        if body.inner.is_end_stream() {
            body.inner.release();
        }
        body
    }

    fn end(&mut self, how: End) {
        let bytes_in = self.progress.as_ref().map_or(0, |progress| progress.bytes());
        if how == End::Complete {
            self.inner.release();
        } else {
            self.inner.break_off();
        }
        if let Some(on_end) = self.on_end.take() {
            on_end.set(Some(Ended { bytes_in, bytes_out: self.bytes, how }));
        }
    }

    /// Ends early. Whoever writes is told when it asks next: of a stream that is reset nothing more is written, and a client that
    /// is sent nothing at all takes its request for one that was not read, and may send it again.
    fn break_off(&mut self, how: End, why: BrokenAnswer, context: &Context<'_>) {
        self.inner.break_off();
        self.broken = Some((how, why));
        context.waker().wake_by_ref();
    }

    /// Waits for the upstream, as long as its silence may last.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        if !self.timer_runs {
            timer.set(sleep(self.patience));
            self.timer_runs = true;
        }
        timer.as_mut().poll(context)
    }
}

// Nothing in it is pinned in place.
impl Unpin for ForwardedBody {}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let body = self.get_mut();
        if let Some((how, why)) = body.broken.take() {
            body.end(how);
            return Poll::Ready(Some(Err(why)));
        }
        match Pin::new(&mut body.inner).poll_frame(context) {
            Poll::Pending => {
                if body.wait(context).is_ready() {
                    body.break_off(End::UpstreamStalled, BrokenAnswer::Stalled, context);
                }
                Poll::Pending
            }
            Poll::Ready(None) => {
                body.end(End::Complete);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                body.break_off(End::UpstreamBroke, BrokenAnswer::Broke(error), context);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                body.timer_runs = false;
                if let Some(data) = frame.data_ref() {
                    body.bytes += u64::try_from(data.len()).unwrap_or(0);
                } else if let Some(trailers) = frame.trailers_mut() {
                    body.rules.clean_trailers(trailers);
                }
                // Nobody asks again behind the last frame of a known length.
                if body.inner.is_end_stream() {
                    body.end(End::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ForwardedBody {
    fn drop(&mut self) {
        if self.on_end.is_some() {
            let how = match self.broken.take() {
                Some((how, _)) => how,
                // An answer without a body is never polled at all.
                None if self.inner.is_end_stream() => End::Complete,
                None => End::ClientLeft,
            };
            self.end(how);
        }
    }
}

impl fmt::Debug for ForwardedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardedBody").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
