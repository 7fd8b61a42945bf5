//! Where questions of other runtimes are decided: one more worker, with questions in the place of connections.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
};

use crate::proxy::{
    decide::{self, Question, Unclear, Verdict},
    gateway::Gateway,
    handover::Handover,
    upstream,
    usage::Deliver,
    worker::Worker,
};

/// Questions that may wait to be looked at; more are refused.
const WAITING: usize = 4096;
/// How often counts are handed over.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The thread that decides. It ends when nobody is left to ask.
pub(super) struct Desk {
    asking: Asking,
    thread: JoinHandle<()>,
}

/// Asks it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Asking(mpsc::Sender<Asked>);

/// One who waits.
struct Asked {
    asker: SocketAddr,
    question: Result<Question, Unclear>,
    answer: oneshot::Sender<Verdict>,
}

impl Desk {
    /// Starts the thread.
    pub(super) fn start(
        gateway: &Arc<Gateway>,
        usage: &Deliver,
        handover: &Arc<dyn Handover>,
    ) -> io::Result<Self> {
        let (asking, asked) = mpsc::channel(WAITING);
        let seed = getrandom::u64().map_err(io::Error::other)?;
        let (gateway, usage, handover) = (Arc::clone(gateway), usage.clone(), Arc::clone(handover));
        let thread = thread::Builder::new().name("decisions".into()).spawn(move || {
            let place = upstream::Worker { index: 0, of: NonZeroUsize::MIN };
            let outcome = runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
                LocalSet::new().block_on(&runtime, async {
                    let worker = Worker::new(gateway, place, usage, handover, Arc::default(), seed);
                    decide_all(Rc::new(worker), asked).await;
                });
            });
            if let Err(error) = outcome {
                tracing::error!(%error, "the thread for decisions could not start");
            }
        })?;
        Ok(Self { asking: Asking(asking), thread })
    }

    /// Whether the thread still runs: one that does not has panicked.
    pub(super) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    pub(super) fn asking(&self) -> Asking {
        self.asking.clone()
    }
}

impl Asking {
    /// None: there are more questions than can be decided, or the thread has ended.
    pub(super) async fn ask(
        &self,
        asker: SocketAddr,
        question: Result<Question, Unclear>,
    ) -> Option<Verdict> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Asked { asker, question, answer }).ok()?;
        answered.await.ok()
    }
}

async fn decide_all(worker: Rc<Worker>, mut asked: mpsc::Receiver<Asked>) {
    let mut flush = tokio::time::interval(FLUSH_EVERY);
    let mut deciding = JoinSet::new();
    loop {
        tokio::select! {
            next = asked.recv() => {
                let Some(Asked { asker, question, answer }) = next else { break };
                let worker = Rc::clone(&worker);
                deciding.spawn_local(async move {
                    // Whoever asked may have given up; what was decided is written down all the same.
                    let _ = answer.send(decide::ask(&worker, asker, question).await);
                });
            }
            Some(_) = deciding.join_next() => {}
            _ = flush.tick() => worker.tick(),
        }
    }
    while deciding.join_next().await.is_some() {}
    worker.tick();
}
