//! One line per request, written by a thread of its own.
//!
//! A worker builds an [`AccessRecord`] of numbers and copied words (no formatting, nothing that cores share) and
//! [pushes](AccessLog::push) it into a bounded queue; the writer thread turns records into lines and writes
//! them in batches. The same thread hands the requests of known tenants to whoever keeps them (`kept`). A worker never
//! waits: when standard output does not take the lines (a full disk, a pipe that nobody reads), the queue fills, further
//! records are dropped and counted, and proxying goes on.

mod kept;
mod line;
mod record;

use std::{
    fmt,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering, fence},
    },
    thread::{self, Thread},
    time::Duration,
};

use crossbeam_queue::ArrayQueue;

use tokio::sync::mpsc;

use self::kept::Keeper;
pub use self::{
    kept::KeptRequest,
    record::{AccessRecord, AuthFailure, Word},
};
use super::{
    line::{LineFormat, Second},
    metrics::{
        Counter, Metrics,
        cells::{SHARDS, shard},
    },
    redact::Redactor,
};

/// The way into the access log. Cheap to clone; clones write to one sink.
#[derive(Clone)]
pub struct AccessLog(Option<Arc<Shared>>);

/// Where requests go.
#[derive(Default)]
pub struct Outlets {
    /// As lines, in this form.
    pub lines: Option<Lines>,
    /// Those of a known tenant, a bounded number of them, to whoever keeps them.
    pub kept: Option<mpsc::Sender<KeptRequest>>,
}

type Lines = (Box<dyn Write + Send>, LineFormat);

struct Shared {
    /// One queue per group of threads, so that cores don't fight for one tail. A reader sorts by `ts`.
    /// Made when the first of its group writes: it takes its room at once.
    queues: [OnceLock<ArrayQueue<Box<AccessRecord>>>; SHARDS],
    room: usize,
    /// The writer found nothing to do and parks.
    asleep: AtomicBool,
    closing: AtomicBool,
    writer: Mutex<Option<Thread>>,
    done: Mutex<bool>,
    finished: Condvar,
    dropped: Arc<Counter>,
}

impl AccessLog {
    /// A log that takes nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Starts the writer thread with lines to this sink alone. Errors when the machine gives no thread.
    pub fn start(
        sink: impl Write + Send + 'static,
        format: LineFormat,
        redactor: Redactor,
        metrics: &Metrics,
    ) -> io::Result<Self> {
        let outlets = Outlets { lines: Some((Box::new(sink), format)), kept: None };
        Self::with_room(ROOM, outlets, redactor, metrics)
    }

    /// Starts the writer thread with these outlets; without any it takes nothing.
    pub fn to(outlets: Outlets, redactor: Redactor, metrics: &Metrics) -> io::Result<Self> {
        if outlets.lines.is_none() && outlets.kept.is_none() {
            return Ok(Self::off());
        }
        Self::with_room(ROOM, outlets, redactor, metrics)
    }

    /// The sink of a real gateway. Not `io::stdout()`, whose lock a blocked write would hold against
    /// everybody else who prints.
    pub fn stdout() -> Box<dyn Write + Send> {
        use std::os::fd::AsFd;
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
            Err(_) => Box::new(io::stdout()),
        }
    }

    /// Whether records are written: what costs something to find out need not be found out for a log that is off.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands over the record of one finished request. Never waits, never fails.
    pub fn push(&self, record: impl Into<Box<AccessRecord>>) {
        let Some(shared) = &self.0 else { return };
        let queue = shared.queues[shard()].get_or_init(|| ArrayQueue::new(shared.room));
        if shared.closing.load(Ordering::Relaxed) || queue.push(record.into()).is_err() {
            shared.dropped.inc();
            return;
        }
        // Pairs with the fence in `Shared::rest`: either the writer sees the record or this sees it asleep.
        fence(Ordering::SeqCst);
        if shared.asleep.load(Ordering::Relaxed) {
            shared.wake();
        }
    }

    /// Writes what is queued and stops the writer. False when the sink did not take it all in time; the thread
    /// is then left to end with the process.
    pub fn close(&self, deadline: Duration) -> bool {
        let Some(shared) = &self.0 else { return true };
        shared.closing.store(true, Ordering::SeqCst);
        shared.wake();
        let done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, _) = shared
            .finished
            .wait_timeout_while(done, deadline, |done| !*done)
            .unwrap_or_else(PoisonError::into_inner);
        *done
    }

    fn with_room(room: usize, outlets: Outlets, redactor: Redactor, metrics: &Metrics) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queues: std::array::from_fn(|_| OnceLock::new()),
            room,
            asleep: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            writer: Mutex::default(),
            done: Mutex::new(false),
            finished: Condvar::new(),
            dropped: Arc::clone(&metrics.access_log_dropped),
        });
        let keeper = outlets.kept.map(|out| Keeper::new(out, Arc::clone(&metrics.request_log_dropped)));
        let (lines, shared_too) = (outlets.lines, Arc::clone(&shared));
        let writer =
            Writer { lines, keeper, redactor, second: Second::default(), shared: shared_too, broken: false };
        let thread = thread::Builder::new().name("access-log".into()).spawn(|| writer.run())?;
        *shared.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
        Ok(Self(Some(shared)))
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("on", &self.is_on()).finish()
    }
}

impl Shared {
    /// Only the first who finds the writer asleep pays for waking it.
    fn wake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        if let Some(writer) = &*self.writer.lock().unwrap_or_else(PoisonError::into_inner) {
            writer.unpark();
        }
    }

    fn is_empty(&self) -> bool {
        self.queues.iter().filter_map(OnceLock::get).all(ArrayQueue::is_empty)
    }

    /// Parks until there is something to do. A wake-up that comes before the park ends it at once.
    fn rest(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_empty() && !self.closing.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

struct Writer {
    lines: Option<Lines>,
    keeper: Option<Keeper>,
    redactor: Redactor,
    second: Second,
    shared: Arc<Shared>,
    /// The last write failed: said once, not per batch.
    broken: bool,
}

impl Writer {
    fn run(mut self) {
        let mut buffer = Vec::with_capacity(BATCH_BYTES + 4096);
        loop {
            // Read before the queues are: what was pushed before the closing is then certainly seen.
            let closing = self.shared.closing.load(Ordering::SeqCst);
            let found = self.drain(&mut buffer);
            if closing {
                break;
            }
            // Records gather for a moment. Who wakes a thread pays for it: as long as they come it wakes by itself.
            if !found {
                self.shared.rest();
            }
            if !self.shared.closing.load(Ordering::SeqCst) {
                thread::sleep(GATHER);
            }
        }
        *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.finished.notify_all();
    }

    /// Writes what is queued; false: nothing was.
    fn drain(&mut self, buffer: &mut Vec<u8>) -> bool {
        let (mut lines, mut found) = (0, false);
        let shared = Arc::clone(&self.shared);
        for queue in shared.queues.iter().filter_map(OnceLock::get) {
            while let Some(record) = queue.pop() {
                found = true;
                if let Some(keeper) = &mut self.keeper {
                    keeper.offer(&record, &self.redactor);
                }
                let Some((_, format)) = &self.lines else { continue };
                lines += line::write(buffer, &record, *format, &self.redactor, &mut self.second);
                if buffer.len() >= BATCH_BYTES {
                    self.flush(buffer, &mut lines);
                }
            }
        }
        self.flush(buffer, &mut lines);
        found
    }

    fn flush(&mut self, buffer: &mut Vec<u8>, lines: &mut u64) {
        if let Some((sink, _)) = self.lines.as_mut().filter(|_| !buffer.is_empty()) {
            match sink.write_all(buffer).and_then(|()| sink.flush()) {
                Ok(()) => self.broken = false,
                Err(error) => {
                    self.shared.dropped.add(*lines);
                    if !self.broken {
                        tracing::error!(%error, "the access log cannot be written; lines are dropped");
                    }
                    self.broken = true;
                }
            }
        }
        buffer.clear();
        *lines = 0;
    }
}

/// Records per queue: a sixth of a second at 50,000 requests a second and core.
const ROOM: usize = 8192;
const BATCH_BYTES: usize = 64 * 1024;
/// A tenth of the time in which a queue fills at most.
const GATHER: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
