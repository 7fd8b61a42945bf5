//! What of a request is sent while its answer comes already.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{
    task::{JoinHandle, spawn_local},
    time::sleep,
};

use super::write::{Outgoing, Unsendable};
use crate::runtime::dial::Stream;

/// The sending of the rest of a request, in a task of its own. It ends when this is dropped.
pub(super) struct Upload {
    told: Rc<Told>,
    task: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    stage: Cell<Stage>,
    /// Counts what woke the task.
    turns: Cell<u32>,
    /// Whether it is the other side that is waited for.
    stuck: Cell<bool>,
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
        let (telling, stream, mut outgoing) = (Rc::clone(&told), Rc::clone(stream), outgoing.take());
        let task = spawn_local(async move {
            let outcome = poll_fn(|context| {
                let polled = outgoing.poll(&stream, context);
                telling.turns.set(telling.turns.get().wrapping_add(1));
                telling.stuck.set(!outgoing.waits_for_body());
                polled
            })
            .await;
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

    /// Goes on to its end, though nobody waits for it; given up when the other side takes nothing for `patience`. It would
    /// keep the body, and the client that sends it, for as long as it likes.
    pub(super) fn detach(mut self, patience: Duration) {
        let (Some(task), told) = (self.task.take(), Rc::clone(&self.told)) else { return };
        // Ends soon after the upload.
        spawn_local(async move {
            while !task.is_finished() {
                let before = told.turns.get();
                sleep(patience).await;
                if told.stuck.get() && told.turns.get() == before {
                    task.abort();
                }
            }
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
