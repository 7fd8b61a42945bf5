//! The pool against a greedy subject, callers that leave, and jobs that break.

use std::{future::Future, pin::pin, sync::mpsc, task::Poll, time::Duration};

use super::*;
use crate::domain::time::Timestamp;

/// One thread, two waiting per subject, four in all.
const SMALL: HashingLimits = HashingLimits { threads: 1, waiting: 4, waiting_per_subject: 2 };

fn pool(limits: HashingLimits) -> (Hashing, Arc<Metrics>) {
    let metrics = Metrics::new().expect("metrics");
    let clock = Clock::manual(Timestamp::default());
    (Hashing::start(limits, clock, Arc::clone(&metrics)).expect("threads"), metrics)
}

/// Occupies the only thread until the returned sender is dropped.
async fn occupied(pool: &Hashing) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let pool = pool.clone();
    let mut blocker = Box::pin(async move {
        pool.run("blocker", move || {
            let _ = begun.send(());
            let _ = released.recv();
        })
        .await
    });
    assert!(!is_done(blocker.as_mut()).await);
    has_begun.await.expect("the job has begun");
    // Nobody waits for its end: a running job is finished all the same.
    drop(blocker);
    release
}

/// Polls once: afterwards the job stands in the queue, or was refused.
async fn is_done<F: Future + Unpin>(future: F) -> bool {
    let mut future = pin!(future);
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

#[tokio::test]
async fn a_job_gives_its_result_and_is_measured() {
    let (pool, metrics) = pool(HashingLimits::default());
    assert_eq!(pool.run("a", || 6 * 7).await, Ok(42));
    pool.stop();
    assert_eq!(metrics.hashing.duration.count(), 1);
    assert_eq!(pool.run("a", || 1).await, Err(Overloaded), "stopped");
}

/// One prefix tried again and again makes another wait for one computation, not for all of them.
#[tokio::test]
async fn subjects_take_turns() {
    let (pool, metrics) = pool(SMALL);
    let release = occupied(&pool).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let job = |name: &'static str| {
        let order = Arc::clone(&order);
        move || locked(&order).push(name)
    };
    let mut jobs = Vec::new();
    for (subject, name) in [("greedy", "greedy 1"), ("greedy", "greedy 2"), ("modest", "modest 1")] {
        let mut run = Box::pin(pool.run(subject, job(name)));
        assert!(!is_done(run.as_mut()).await);
        jobs.push(run);
    }
    assert_eq!(metrics.hashing.queue.get(), 3);
    drop(release);
    for job in jobs {
        assert_eq!(job.await, Ok(()));
    }
    assert_eq!(*locked(&order), ["greedy 1", "modest 1", "greedy 2"]);
    assert_eq!(metrics.hashing.queue.get(), 0);
}

/// Two idle threads, one subject: it gets one of them.
#[tokio::test]
async fn a_subject_never_holds_two_threads() {
    let (pool, _) = pool(HashingLimits { threads: 2, ..SMALL });
    let release = occupied(&pool).await;
    let mut second = Box::pin(pool.run("blocker", || ()));
    assert!(!is_done(second.as_mut()).await);
    assert_eq!(pool.run("another", || "through").await, Ok("through"));
    assert!(!is_done(second.as_mut()).await, "still waits behind its own subject");
    drop(release);
    assert_eq!(second.await, Ok(()));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_once() {
    let (pool, _) = pool(SMALL);
    let _release = occupied(&pool).await;
    let mut waiting = Vec::new();
    for subject in ["a", "a", "b"] {
        let mut run = Box::pin(pool.run(subject, || ()));
        assert!(!is_done(run.as_mut()).await);
        waiting.push(run);
    }
    assert_eq!(pool.run("a", || ()).await, Err(Overloaded), "two of this subject wait");
    let mut last = Box::pin(pool.run("c", || ()));
    assert!(!is_done(last.as_mut()).await);
    assert_eq!(pool.run("d", || ()).await, Err(Overloaded), "four wait in all");
}

#[tokio::test]
async fn a_caller_who_left_makes_room_and_its_job_is_never_begun() {
    let (pool, _) = pool(SMALL);
    let release = occupied(&pool).await;
    let ran = Arc::new(Mutex::new(Vec::new()));
    for name in ["left 1", "left 2"] {
        let ran = Arc::clone(&ran);
        let mut run = Box::pin(pool.run("a", move || locked(&ran).push(name)));
        assert!(!is_done(run.as_mut()).await);
    }
    let stays = {
        let ran = Arc::clone(&ran);
        let mut run = Box::pin(pool.run("a", move || locked(&ran).push("stays")));
        assert!(!is_done(run.as_mut()).await, "the two who left are forgotten");
        run
    };
    drop(release);
    assert_eq!(stays.await, Ok(()));
    assert_eq!(*locked(&ran), ["stays"]);
}

#[tokio::test]
async fn a_job_that_panics_refuses_its_caller_alone() {
    let (pool, metrics) = pool(SMALL);
    assert_eq!(pool.run("a", || -> u8 { panic!("a bug") }).await, Err(Overloaded));
    assert_eq!(pool.run("a", || 7).await, Ok(7));
    assert_eq!(metrics.panics.total(), 1);
}

#[tokio::test]
async fn stopping_refuses_who_waits_and_finishes_what_runs() {
    let (pool, _) = pool(SMALL);
    let release = occupied(&pool).await;
    let mut waiting = Box::pin(pool.run("a", || ()));
    assert!(!is_done(waiting.as_mut()).await);
    let stopping = thread::spawn({
        let pool = pool.clone();
        move || pool.stop()
    });
    let refused = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(refused, Ok(Err(Overloaded)));
    drop(release);
    stopping.join().expect("stops");
}
