//! What of a request is sent while its answer comes already.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Waker},
};

use tokio::{
    task::{JoinHandle, spawn_local},
    time::timeout,
};

use super::write::Outgoing;
use crate::{
    proxy::{upstream::BEHIND_THE_ANSWER, wire::Unsendable},
    runtime::dial::Stream,
};

/// The sending of the rest of a request, in a task of its own. It ends when this is dropped.
pub(super) struct Upload {
    told: Rc<Told>,
    task: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    stage: Cell<Stage>,
    /// Who reads the answer.
    reader: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Going,
    Done,
    /// The upstream takes no more. Its answer may be whole nevertheless.
    Refused,
    /// The client broke off.
    Failed,
}

impl Upload {
    /// Takes over what is not sent yet.
    pub(super) fn go_on(stream: &Rc<RefCell<Stream>>, outgoing: &mut Outgoing) -> Self {
        let told = Rc::<Told>::default();
        let (telling, stream, mut rest) = (Rc::clone(&told), Rc::clone(stream), outgoing.take());
        let task = spawn_local(async move {
            let outcome = poll_fn(|context| rest.poll(&stream, context)).await;
            telling.stage.set(match outcome {
                Ok(()) => Stage::Done,
                Err(Unsendable::Connection(_)) => Stage::Refused,
                Err(Unsendable::Body) => Stage::Failed,
            });
            if let Some(reader) = telling.reader.take() {
                reader.wake();
            }
        });
        Self { told, task: Some(task) }
    }

    /// Whether all of it is with the connection.
    pub(super) fn is_done(&self) -> bool {
        self.told.stage.get() == Stage::Done
    }

    /// Whether the request will never be whole. Whoever asks is woken when that is known.
    pub(super) fn has_failed(&self, context: &Context<'_>) -> bool {
        match self.told.stage.get() {
            Stage::Failed => true,
            Stage::Done | Stage::Refused => false,
            Stage::Going => {
                let mut reader = self.told.reader.borrow_mut();
                if !reader.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    *reader = Some(context.waker().clone());
                }
                false
            }
        }
    }

    /// Goes on though the answer is over, for a moment: whoever sent it was judged for an exchange that has ended, and may be
    /// nobody by now. `held` is kept as long, so that it counts as what it is.
    pub(super) fn detach(mut self, held: impl Sized + 'static) {
        let Some(mut task) = self.task.take() else { return };
        spawn_local(async move {
            if timeout(BEHIND_THE_ANSWER, &mut task).await.is_err() {
                task.abort();
            }
            drop(held);
        });
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
