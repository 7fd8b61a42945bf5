//! Background tasks that end with the program: asked first, then made to.
//!
//! The only place that spawns. A [`Tasks`] is one group with one end; a gateway has several, so that it can
//! drain its connections while the store's jobs still run. A task that panics takes nobody with it: the panic
//! is logged, counted, and left to be [seen](Tasks::failures).

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, futures::OwnedNotified, oneshot},
    task::AbortHandle,
};

use crate::telemetry::{
    logging::panic_text,
    metrics::{Counter, Metrics},
};

/// A group of tasks. Cheap to clone; clones are the same group.
#[derive(Clone)]
pub struct Tasks(Arc<Group>);

struct Group {
    running: Mutex<Running>,
    stopping: AtomicBool,
    stop: Arc<Notify>,
    emptied: Notify,
    failures: AtomicU64,
    panics: Arc<Counter>,
}

#[derive(Default)]
struct Running {
    last: u64,
    tasks: HashMap<u64, Option<AbortHandle>>,
}

/// How a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Tasks that did not end when asked and were aborted.
    pub aborted: usize,
}

impl Tasks {
    /// An empty group; its panics are counted in `metrics` too.
    pub fn new(metrics: &Metrics) -> Self {
        Self(Arc::new(Group {
            running: Mutex::default(),
            stopping: AtomicBool::new(false),
            stop: Arc::default(),
            emptied: Notify::new(),
            failures: AtomicU64::new(0),
            panics: Arc::clone(&metrics.panics),
        }))
    }

    /// Starts a task on the runtime of the caller. `name` appears in the log when it panics.
    ///
    /// Outside any runtime nothing can run: that is logged and counted as a failure.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        match Handle::try_current() {
            Ok(runtime) => self.spawn_on(&runtime, name, work),
            Err(error) => {
                tracing::error!(task = name, %error, "a task could not be started");
                self.0.failures.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Starts a task on this runtime.
    pub fn spawn_on(
        &self,
        runtime: &Handle,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let place = self.0.enter();
        let id = place.id;
        let task = runtime.spawn(async move {
            let outcome = {
                let mut work = pin!(work);
                poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                    Ok(poll) => poll.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic)),
                })
                .await
            };
            if let Err(panic) = outcome {
                place.group.failed(name, panic.as_ref());
            }
            drop(place);
        });
        // Where the task has ended already, its place is gone and there is nothing to abort.
        if let Some(handle) = self.0.running().tasks.get_mut(&id) {
            *handle = Some(task.abort_handle());
        }
    }

    /// What `work` comes to, done by a thread of the caller's runtime even where the caller is none of them; none when it
    /// panicked. What it starts inherits that thread's [priority](super::priority).
    pub async fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.spawn(name, async move {
            // Nobody waits any more: then nobody wants it.
            let _ = answer.send(work.await);
        });
        answered.await.ok()
    }

    /// Asks every task to end. Those that go on are ended by [`end`](Self::end).
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        self.0.stop.notify_waiters();
    }

    /// Completes when the group is asked to end.
    pub fn stopped(&self) -> Stopped {
        Stopped {
            // Made before the flag is read: a stop between the two is seen by one of them.
            asked: Box::pin(Arc::clone(&self.0.stop).notified_owned()),
            group: Arc::clone(&self.0),
            registered: None,
        }
    }

    /// Whether the group was asked to end.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::SeqCst)
    }

    /// Asks every task to end, waits for them, and aborts those that have not ended after `patience`.
    pub async fn end(&self, patience: Duration) -> Ended {
        self.stop();
        if tokio::time::timeout(patience, self.0.wait_until_empty()).await.is_ok() {
            return Ended { aborted: 0 };
        }
        let handles: Vec<AbortHandle> = self.0.running().tasks.values().flatten().cloned().collect();
        for handle in &handles {
            handle.abort();
        }
        // An aborted task ends at its next await; one that never awaits cannot be ended by anybody.
        let _ = tokio::time::timeout(ABORTION, self.0.wait_until_empty()).await;
        Ended { aborted: handles.len() }
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.0.running().tasks.len()
    }

    /// How many tasks panicked so far. A test ends by asserting that this is zero.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("running", &self.running())
            .field("stopping", &self.is_stopping())
            .field("failures", &self.failures())
            .finish()
    }
}

impl Group {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>) -> Place {
        let mut running = self.running();
        running.last += 1;
        let id = running.last;
        running.tasks.insert(id, None);
        Place { group: Arc::clone(self), id }
    }

    async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.running().tasks.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn failed(&self, task: &'static str, panic: &(dyn Any + Send)) {
        tracing::error!(task, panic = panic_text(panic), "a task panicked");
        self.failures.fetch_add(1, Ordering::SeqCst);
        self.panics.inc();
    }
}

/// A task's place in its group, left when its future is dropped for whatever reason.
struct Place {
    group: Arc<Group>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.group.running();
        running.tasks.remove(&self.id);
        if running.tasks.is_empty() {
            self.group.emptied.notify_waiters();
        }
    }
}

/// The wish that a task may end, as a future. Polled beside the real work at every turn of a connection, so it
/// registers once and then costs one load.
pub struct Stopped {
    group: Arc<Group>,
    asked: Pin<Box<OwnedNotified>>,
    registered: Option<Waker>,
}

impl Future for Stopped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.group.stopping.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if self.registered.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        let poll = self.asked.as_mut().poll(context);
        self.registered = poll.is_pending().then(|| context.waker().clone());
        poll
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped").finish_non_exhaustive()
    }
}

/// How long an aborted task gets to notice.
const ABORTION: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn group() -> Tasks {
        Tasks::new(&Metrics::new().expect("metrics"))
    }

    #[tokio::test]
    async fn a_task_that_listens_ends_by_itself() {
        let tasks = group();
        for _ in 0..3 {
            let stopped = tasks.stopped();
            tasks.spawn("polite", stopped);
        }
        assert_eq!(tasks.running(), 3);
        assert_eq!(tasks.end(Duration::from_secs(10)).await, Ended { aborted: 0 });
        assert_eq!(tasks.running(), 0);
        tasks.stopped().await;
    }

    #[tokio::test]
    async fn a_deaf_task_is_aborted_after_the_patience() {
        let tasks = group();
        tasks.spawn("deaf", pending());
        assert_eq!(tasks.end(Duration::ZERO).await, Ended { aborted: 1 });
        assert_eq!((tasks.running(), tasks.failures()), (0, 0));
    }

    /// The process lives, the counter rises.
    #[tokio::test]
    async fn a_panic_is_contained_and_seen() {
        let metrics = Metrics::new().expect("metrics");
        let tasks = Tasks::new(&metrics);
        tasks.spawn("broken", async { panic!("a bug") });
        tasks.spawn("fine", async {});
        tasks.end(Duration::from_secs(10)).await;
        assert_eq!((tasks.failures(), metrics.panics.total()), (1, 1));
    }

    #[test]
    fn without_a_runtime_nothing_is_lost_silently() {
        let tasks = group();
        tasks.spawn("homeless", async {});
        assert_eq!((tasks.failures(), tasks.running()), (1, 0));
    }
}
