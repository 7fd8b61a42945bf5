//! The bcrypt pool: hashing that an attacker can ask for, kept from costing others anything.
//!
//! bcrypt is slow on purpose, so it runs on a few threads of its own: one core is always left to proxying. A
//! job names its subject - the public prefix, or the account, whose secret is tried. Subjects take turns, each
//! has at most one job running and a few waiting: whoever hammers one prefix gets one thread and makes nobody
//! else wait longer than for one computation. What does not fit is refused at once.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::oneshot;

use crate::{
    domain::time::Clock,
    telemetry::{logging::panic_text, metrics::Metrics},
};

/// The pool does not take the job (or its computation broke): say "try again later", never "wrong secret".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many secrets wait to be checked")]
pub struct Overloaded;

/// How much the pool takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingLimits {
    /// Threads that compute.
    pub threads: usize,
    /// Jobs that may wait, all together.
    pub waiting: usize,
    /// Jobs that may wait for one subject.
    pub waiting_per_subject: usize,
}

impl Default for HashingLimits {
    /// All cores but one. At bcrypt cost 10 (54 ms) a full queue on three threads is nine seconds of work, a
    /// full subject one second.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { threads: cores.saturating_sub(1).max(1), waiting: 512, waiting_per_subject: 16 }
    }
}

/// The pool. Cheap to clone; when the last clone is gone its threads end.
#[derive(Clone)]
pub struct Hashing(Arc<Owner>);

struct Owner {
    pool: Arc<Pool>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

struct Pool {
    queue: Mutex<Queue>,
    filled: Condvar,
    limits: HashingLimits,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Hashing {
    /// Starts the threads. Errors when the machine gives none.
    pub fn start(limits: HashingLimits, clock: Clock, metrics: Arc<Metrics>) -> io::Result<Self> {
        let pool = Arc::new(Pool { queue: Mutex::default(), filled: Condvar::new(), limits, clock, metrics });
        // Made first: should a thread fail to start, dropping it ends those that did.
        let owner = Owner { pool, threads: Mutex::default() };
        for number in 0..limits.threads.max(1) {
            let pool = Arc::clone(&owner.pool);
            let thread =
                thread::Builder::new().name(format!("hashing-{number}")).spawn(move || pool.work())?;
            locked(&owner.threads).push(thread);
        }
        Ok(Self(Arc::new(owner)))
    }

    /// Runs `job` on the pool when it is the subject's turn, and gives back what it returned. A job whose
    /// caller no longer waits is never begun.
    pub async fn run<T: Send + 'static>(
        &self,
        subject: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let (answer, answered) = oneshot::channel();
        self.0.pool.submit(subject, Box::new(Asked { job, answer }))?;
        answered.await.map_err(|_| Overloaded)
    }

    /// Refuses what waits, lets what runs finish, and waits for it: at most one computation long.
    pub fn stop(&self) {
        self.0.pool.close();
        for thread in std::mem::take(&mut *locked(&self.0.threads)) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = locked(&self.0.pool.queue).waiting;
        f.debug_struct("Hashing").field("limits", &self.0.pool.limits).field("waiting", &waiting).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl Pool {
    fn submit(&self, subject: &str, job: Box<dyn Job>) -> Result<(), Overloaded> {
        let mut queue = locked(&self.queue);
        let accepted = queue.push(subject, job, self.limits);
        self.report(&queue);
        drop(queue);
        if accepted.is_ok() {
            self.filled.notify_one();
        }
        accepted
    }

    fn close(&self) {
        let left = {
            let mut queue = locked(&self.queue);
            let left = std::mem::take(&mut *queue);
            queue.closed = true;
            self.report(&queue);
            left
        };
        self.filled.notify_all();
        // Their callers hear of it here, outside the lock.
        drop(left);
    }

    fn work(&self) {
        let mut queue = locked(&self.queue);
        while !queue.closed {
            let Some((subject, job)) = queue.pop() else {
                self.report(&queue);
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            self.report(&queue);
            drop(queue);
            self.compute(job);
            queue = locked(&self.queue);
            queue.finished(&subject);
        }
    }

    fn compute(&self, job: Box<dyn Job>) {
        let begun = self.clock.read().uptime;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.run())) {
            let panic: &(dyn Any + Send) = panic.as_ref();
            tracing::error!(panic = panic_text(panic), "a hashing job panicked");
            self.metrics.panics.inc();
        }
        let took = self.clock.read().uptime.saturating_sub(begun);
        self.metrics.hashing.duration.observe(took);
    }

    fn report(&self, queue: &Queue) {
        self.metrics.hashing.queue.set(i64::try_from(queue.waiting).unwrap_or(i64::MAX));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

trait Job: Send {
    /// Nobody waits for it any more.
    fn abandoned(&self) -> bool;

    fn run(self: Box<Self>);
}

struct Asked<F, T> {
    job: F,
    answer: oneshot::Sender<T>,
}

impl<T: Send, F: FnOnce() -> T + Send> Job for Asked<F, T> {
    fn abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(self: Box<Self>) {
        let Self { job, answer } = *self;
        let _ = answer.send(job());
    }
}

/// Who is next. A subject stands in `turns` exactly when it has jobs and none of them runs.
#[derive(Default)]
struct Queue {
    lanes: HashMap<Arc<str>, Lane>,
    turns: VecDeque<Arc<str>>,
    waiting: usize,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Box<dyn Job>>,
    running: bool,
}

impl Queue {
    fn push(&mut self, subject: &str, job: Box<dyn Job>, limits: HashingLimits) -> Result<(), Overloaded> {
        let full = |queue: &Self| {
            let lane = queue.lanes.get(subject).map_or(0, |lane| lane.jobs.len());
            queue.waiting >= limits.waiting || lane >= limits.waiting_per_subject
        };
        if full(self) {
            self.forget_abandoned();
        }
        if self.closed || full(self) {
            return Err(Overloaded);
        }
        let subject: Arc<str> = subject.into();
        let lane = self.lanes.entry(Arc::clone(&subject)).or_default();
        lane.jobs.push_back(job);
        self.waiting += 1;
        if lane.jobs.len() == 1 && !lane.running {
            self.turns.push_back(subject);
        }
        Ok(())
    }

    /// The next subject's oldest job that somebody still waits for.
    fn pop(&mut self) -> Option<(Arc<str>, Box<dyn Job>)> {
        while let Some(subject) = self.turns.pop_front() {
            let Some(lane) = self.lanes.get_mut(&subject) else { continue };
            while let Some(job) = lane.jobs.pop_front() {
                self.waiting -= 1;
                if !job.abandoned() {
                    lane.running = true;
                    return Some((subject, job));
                }
            }
            self.lanes.remove(&subject);
        }
        None
    }

    /// The subject's job is done: its next one queues up behind the other subjects.
    fn finished(&mut self, subject: &Arc<str>) {
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        lane.running = false;
        if lane.jobs.is_empty() {
            self.lanes.remove(subject);
        } else {
            self.turns.push_back(Arc::clone(subject));
        }
    }

    fn forget_abandoned(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.jobs.retain(|job| !job.abandoned());
        }
        self.lanes.retain(|_, lane| lane.running || !lane.jobs.is_empty());
        let lanes = &self.lanes;
        self.turns.retain(|subject| lanes.contains_key(subject));
        self.waiting = self.lanes.values().map(|lane| lane.jobs.len()).sum();
    }
}

#[cfg(test)]
mod tests;
