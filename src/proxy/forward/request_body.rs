//! The client's body on its way to the upstream: counted, bounded, and broken off rather than ended early.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{BodyLimits, error::Fault};
use crate::{
    domain::time::Clock,
    proxy::{body::Inbound, headers::HeaderRules},
    runtime::patience::{Pace, Waits},
};

/// A request body that is being forwarded; none for a request without one. It is asked for more only when the
/// upstream takes more.
#[derive(Default)]
pub struct RequestBody(Option<Box<Upload>>);

struct Upload {
    inner: Inbound,
    progress: Rc<Progress>,
    /// How much may still come.
    allowed: u64,
    pace: Pace,
    clock: Clock,
    waits: Waits,
    timer: Option<Pin<Box<Sleep>>>,
    rules: Rc<HeaderRules>,
}

/// How far a body has come; shared with whoever waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: Cell<u64>,
    stage: Cell<Stage>,
    fault: Cell<Option<Fault>>,
    /// How many bytes there were when somebody last asked.
    seen: Cell<u64>,
    /// Whether the head of the answer has come.
    answered: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// The upstream has what there is; if it does not ask for more, it is the one that is slow.
    #[default]
    Flowing,
    /// The client has nothing more at the moment.
    Dry,
    /// All of it was taken; whoever waits has not noticed yet.
    JustFinished,
    Finished,
}

impl RequestBody {
    /// At most `most` bytes of a body, not slower than the limits' pace.
    pub(super) fn new(inner: Inbound, most: u64, limits: BodyLimits, rules: &Rc<HeaderRules>) -> Self {
        let upload = |inner| Upload {
            inner,
            progress: Rc::default(),
            allowed: most,
            pace: limits.pace,
            clock: limits.clock,
            waits: Waits::default(),
            timer: None,
            rules: Rc::clone(rules),
        };
        Self((!inner.is_end_stream()).then(|| Box::new(upload(inner))))
    }

    /// None when there is no body.
    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        self.0.as_ref().map(|upload| Rc::clone(&upload.progress))
    }

    /// Whether there is no body.
    pub(in crate::proxy) const fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Self(Some(upload)) = self.get_mut() else { return Poll::Ready(None) };
        let outcome = match Pin::new(&mut upload.inner).poll_frame(context) {
            Poll::Pending => match upload.wait(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(fault) => Some(Err(fault)),
            },
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(_))) => Some(Err(Fault::Broken)),
            Poll::Ready(Some(Ok(frame))) => Some(upload.take(frame)),
        };
        match &outcome {
            Some(Err(fault)) => upload.progress.fault.set(Some(*fault)),
            Some(Ok(_)) if !upload.inner.is_end_stream() => {}
            Some(Ok(_)) | None => upload.progress.finish(),
        }
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |upload| upload.inner.size_hint())
    }
}

impl Upload {
    /// Counts a frame, and takes out of trailers what does not belong there.
    fn take(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        self.progress.stage.set(Stage::Flowing);
        if let Some(data) = frame.data_ref() {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            if !self.waits.moved(data.len(), self.pace, &self.clock) && !self.progress.answered.get() {
                return Err(Fault::Stalled);
            }
            self.allowed = self.allowed.checked_sub(length).ok_or(Fault::TooLarge)?;
            self.progress.bytes.set(self.progress.bytes.get() + length);
        } else if let Some(trailers) = frame.trailers_mut() {
            self.rules.clean_trailers(trailers);
        }
        Ok(frame)
    }

    /// Waits for the client, as long as its silence may last. The timer is made for the first silence only: a
    /// body that comes with its head costs none.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        self.progress.stage.set(Stage::Dry);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.pace.within)));
        if self.waits.begin(&self.clock) {
            timer.set(sleep(self.pace.within));
        }
        timer.as_mut().poll(context).map(|()| Fault::Stalled)
    }
}

impl Progress {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.stage.get(), Stage::JustFinished | Stage::Finished)
    }

    /// The head of the answer has come: from now on the upstream listens to a dialogue.
    pub(super) fn answered(&self) {
        self.answered.set(true);
    }

    fn finish(&self) {
        if !self.is_finished() {
            self.stage.set(Stage::JustFinished);
            if let Some(waker) = self.waiting.take() {
                waker.wake();
            }
        }
    }

    /// Whether the body ended since this was last asked; if not, whoever asks is woken when it does.
    pub(super) fn just_finished(&self, context: &Context<'_>) -> bool {
        match self.stage.get() {
            Stage::JustFinished => {
                self.stage.set(Stage::Finished);
                true
            }
            Stage::Finished => false,
            Stage::Flowing | Stage::Dry => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    *waiting = Some(context.waker().clone());
                }
                false
            }
        }
    }

    /// Whether the upstream is not to blame for the time since this was last asked: it took some of the body, or
    /// there was none to take.
    pub(super) fn excuses(&self) -> bool {
        let moved = self.seen.replace(self.bytes.get()) != self.bytes.get();
        !self.is_finished() && (moved || self.stage.get() == Stage::Dry)
    }
}
