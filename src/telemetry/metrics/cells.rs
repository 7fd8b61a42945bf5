//! The numbers themselves: counters, levels and histograms that every core bumps in a cache line of its own.
//!
//! A shared atomic costs a cache miss per request as soon as two cores count in it, so each number is kept
//! [`SHARDS`] times, a thread always uses the same copy, and a scrape adds them up. Each copy alone only
//! grows (a level's may fall below zero when a request ends on another thread), so the sum is exact.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus::proto;

/// Copies of each number; more threads than this share.
pub(in crate::telemetry) const SHARDS: usize = 8;

/// The calling thread's copy, below [`SHARDS`].
pub(in crate::telemetry) fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
        }
        mine.get()
    })
}

/// Two cache lines: the prefetcher of current x86 cores fetches lines in pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Apart<T>(T);

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter([Apart<AtomicU64>; SHARDS]);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0[shard()].0.fetch_add(count, Relaxed);
    }

    /// All shards together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, cell| sum.wrapping_add(cell.0.load(Relaxed)))
    }
}

/// How many of something there are at this moment.
#[derive(Debug, Default)]
pub struct Level([Apart<AtomicI64>; SHARDS]);

impl Level {
    /// One more, until [`leave`](Self::leave). Prefer [`hold`](Self::hold) where a future may be dropped.
    pub fn enter(&self) {
        self.0[shard()].0.fetch_add(1, Relaxed);
    }

    /// One less.
    pub fn leave(&self) {
        self.0[shard()].0.fetch_sub(1, Relaxed);
    }

    /// One more for as long as the returned value lives.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.enter();
        Held(Arc::clone(self))
    }

    /// All shards together.
    pub fn current(&self) -> i64 {
        self.0.iter().map(|cell| cell.0.load(Relaxed)).sum()
    }
}

/// Counts as one in a [`Level`] until it is dropped.
#[derive(Debug)]
pub struct Held(Arc<Level>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// How long something took, in buckets.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [Duration],
    /// The same in nanoseconds.
    nanos: Box<[u64]>,
    shards: [Apart<Buckets>; SHARDS],
}

#[derive(Debug, Default)]
struct Buckets {
    /// By index into the bounds; the one after the last bound takes what is longer.
    counts: [AtomicU64; MOST_BOUNDS + 1],
    sum_nanos: AtomicU64,
}

/// Room for bounds in a histogram.
const MOST_BOUNDS: usize = 16;

impl Histogram {
    /// `bounds` rise; those beyond the sixteenth are not kept.
    pub(super) fn new(bounds: &'static [Duration]) -> Self {
        let bounds = &bounds[..bounds.len().min(MOST_BOUNDS)];
        Self { bounds, nanos: bounds.iter().copied().map(nanos).collect(), shards: Default::default() }
    }

    /// Counts one span.
    pub fn observe(&self, span: Duration) {
        let buckets = &self.shards[shard()].0;
        let span = nanos(span);
        let place = self.nanos.partition_point(|bound| *bound < span);
        buckets.counts[place].fetch_add(1, Relaxed);
        buckets.sum_nanos.fetch_add(span, Relaxed);
    }

    /// How many spans were counted.
    pub fn count(&self) -> u64 {
        self.shards.iter().flat_map(|shard| &shard.0.counts).map(|count| count.load(Relaxed)).sum()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A number that can be read into a scrape.
pub(super) trait Sample: Send + Sync + 'static {
    const KIND: proto::MetricType;

    fn read(&self, into: &mut proto::Metric);
}

impl Sample for Counter {
    const KIND: proto::MetricType = proto::MetricType::COUNTER;

    fn read(&self, into: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(self.total() as f64);
        into.set_counter(counter);
    }
}

impl Sample for Level {
    const KIND: proto::MetricType = proto::MetricType::GAUGE;

    fn read(&self, into: &mut proto::Metric) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.current() as f64);
        into.set_gauge(gauge);
    }
}

impl Sample for Histogram {
    const KIND: proto::MetricType = proto::MetricType::HISTOGRAM;

    fn read(&self, into: &mut proto::Metric) {
        let at = |place: usize| -> u64 {
            self.shards.iter().map(|shard| shard.0.counts[place].load(Relaxed)).sum()
        };
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (place, bound) in self.bounds.iter().enumerate() {
            cumulative += at(place);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound.as_nanos() as f64 / 1e9);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        let nanos =
            self.shards.iter().fold(0u64, |sum, shard| sum.wrapping_add(shard.0.sum_nanos.load(Relaxed)));
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        // Counted from the buckets, so that a scrape in the middle of an observation still adds up.
        histogram.set_sample_count(cumulative + at(self.bounds.len()));
        histogram.set_sample_sum(nanos as f64 / 1e9);
        into.set_histogram(histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_apart_and_add_up() {
        let counter = Counter::default();
        let level = Arc::new(Level::default());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..1000).for_each(|_| counter.inc()));
                scope.spawn(|| level.enter());
            }
        });
        assert_eq!(counter.total(), 16_000);
        assert_eq!(level.current(), 16);
        drop(level.hold());
        assert_eq!(level.current(), 16);
    }

    #[test]
    fn a_span_on_a_bound_belongs_below_it_and_a_longer_one_is_still_counted() {
        static BOUNDS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(10)];
        let histogram = Histogram::new(&BOUNDS);
        for millis in [1, 2, 11] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut metric = proto::Metric::default();
        histogram.read(&mut metric);
        let read = metric.get_histogram();
        let below: Vec<u64> = read.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        assert_eq!((below.as_slice(), read.get_sample_count()), ([1, 2].as_slice(), 3));
        assert!((read.get_sample_sum() - 0.014).abs() < 1e-9);
    }
}
