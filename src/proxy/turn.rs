//! Where an exchange stands on the wire, and for whom it lasts.
//!
//! An answer may go on for hours: events, a tunnel, an upload. Its credential is judged when it begins; what ends the
//! credential later must end it too (SECURITY 227, 262). So every exchange that was let in can be found by its worker, which
//! looks through all of them once a second ([`lasting`](super::lasting)), and cut off from outside. A request that is answered at once pays a few words of memory for it.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::IpAddr,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use super::directory::Record;
use crate::domain::permission::Permission;

/// Of a connection of HTTP/1, whose exchanges come one after the other; of a stream of HTTP/2, which is one.
#[derive(Debug, Default)]
pub struct Turn {
    stage: Cell<Stage>,
    let_in: RefCell<Option<LetIn>>,
    /// How many requests have begun.
    begun: Cell<u64>,
    /// Since when, by a look at the clock, the request after so many has been waited for.
    waits: Cell<Option<(u64, Duration)>>,
    /// Whether its connection is to end when it can.
    last: Cell<bool>,
    /// Why it is to end at once.
    cut: Cell<Option<&'static str>>,
    waiting: RefCell<Option<Waker>>,
    /// Whether its task is to be woken by a look.
    wanted: Cell<Wanted>,
    known: Cell<bool>,
    /// Somebody is asking whether it may go on.
    asked_about: Cell<bool>,
}

/// Whether a connection is answering a request: from the end of its head until the last byte of the answer is
/// written, which is after its body has come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// Nothing is.
    #[default]
    Free,
    Answering,
    /// The answer has ended, some of it may still have to be written.
    Ended,
    /// There will be no other: the connection says goodbye.
    Closing,
}

/// Whether a look at a turn wakes its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Wanted {
    #[default]
    Not,
    /// The look after the next one does.
    Later,
    /// The next one does.
    Next,
}

/// Who was let in, and to what.
#[derive(Debug, Clone)]
pub struct LetIn {
    /// The credential.
    pub caller: Arc<Record>,
    /// What the route asked for.
    pub permission: Option<Permission>,
    /// From where.
    pub client: Option<IpAddr>,
}

impl Turn {
    /// A request is being answered.
    pub(super) fn begin(&self) {
        self.begun.set(self.begun.get() + 1);
        self.stage.set(Stage::Answering);
    }

    /// Its answer has ended. Why it was cut off, if it was.
    pub(super) fn end(&self) -> Option<&'static str> {
        self.stage.set(Stage::Ended);
        self.let_in.take();
        self.cut.get()
    }

    /// Everything that was to be written is written.
    pub fn flushed(&self) {
        if self.stage.get() == Stage::Ended {
            self.stage.set(Stage::Free);
        }
    }

    /// The connection says goodbye.
    pub fn closes(&self) {
        self.stage.set(Stage::Closing);
    }

    /// Whether a request has been waited for since a look that lies so long back, or the end of its head. Looks are
    /// taken once a second ([`lasting`](super::lasting)), so that no request has to set a timer.
    pub(super) fn is_forgotten(&self, uptime: Duration, patience: Duration) -> bool {
        let (waits, begun) = (self.stage.get() == Stage::Free, self.begun.get());
        match self.waits.get() {
            Some((after, since)) if waits && after == begun => uptime.saturating_sub(since) >= patience,
            _ => {
                self.waits.set(waits.then_some((begun, uptime)));
                false
            }
        }
    }

    /// Its task is woken by the second look from now, more than one look later: whoever waits for something that hardly ever
    /// takes so long need not set a timer before.
    pub(super) fn wake_later(&self) {
        self.wanted.set(Wanted::Later);
    }

    /// A look, at steady intervals.
    pub(super) fn look(&self) {
        match self.wanted.get() {
            Wanted::Not => {}
            Wanted::Later => self.wanted.set(Wanted::Next),
            Wanted::Next => {
                self.wanted.set(Wanted::Not);
                self.wake();
            }
        }
    }

    /// Its connection is to end when it can.
    pub(super) fn finish_up(&self) {
        self.last.set(true);
        self.wake();
    }

    /// Who is served at this moment.
    pub(super) fn let_in(&self) -> Option<LetIn> {
        self.let_in.borrow().clone()
    }

    /// Whether what is served at this moment stands as it did by this judgement, which takes no time.
    pub(super) fn is_fine(&self, judge: impl FnOnce(&LetIn) -> bool) -> bool {
        self.let_in.borrow().as_ref().is_none_or(judge)
    }

    /// The credential of what is served was read again, and may go on.
    pub(super) fn goes_on(&self, before: &LetIn, caller: Arc<Record>) {
        if let Some(let_in) = &mut *self.let_in.borrow_mut()
            && Arc::ptr_eq(&let_in.caller, &before.caller)
        {
            let_in.caller = caller;
        }
    }

    /// Ends what is served to this caller, for this reason.
    pub(super) fn cut_off(&self, before: &LetIn, why: &'static str) {
        let same = |now: &LetIn| Arc::ptr_eq(&now.caller, &before.caller);
        if self.let_in.borrow().as_ref().is_some_and(same) {
            self.give_up(why);
        }
    }

    /// Ends what is served, to whomever, for this reason.
    pub(super) fn give_up(&self, why: &'static str) {
        self.cut.set(Some(why));
        self.wake();
    }

    /// One question at a time; whether this is it.
    pub(super) fn ask(&self) -> bool {
        !self.asked_about.replace(true)
    }

    /// It was answered.
    pub(super) fn asked(&self) {
        self.asked_about.set(false);
    }

    /// Whether its connection is to end when it can.
    pub(super) fn is_to_finish(&self) -> bool {
        self.last.get()
    }

    /// Completes when it is to end at once; whoever waits drops what is under way.
    pub async fn is_cut(&self) {
        self.until(|| self.cut.get().is_some()).await;
    }

    /// Completes when its connection is to end when it can.
    pub(super) async fn is_last(&self) {
        self.until(|| self.last.get()).await;
    }

    /// One task waits for all of it.
    async fn until(&self, has_come: impl Fn() -> bool) {
        poll_fn(|context| {
            if has_come() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *waiting = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// The turns of a worker: those of its connections of HTTP/1, and those of streams on which somebody was let in.
#[derive(Debug, Default)]
pub struct Turns(RefCell<Vec<Weak<Turn>>>);

impl Turns {
    /// Somebody is let in on this one.
    pub(super) fn let_in(&self, turn: &Rc<Turn>, who: LetIn) {
        turn.let_in.replace(Some(who));
        self.add(turn);
    }

    /// This one is looked at from now on.
    pub(super) fn add(&self, turn: &Rc<Turn>) {
        if !turn.known.replace(true) {
            self.0.borrow_mut().push(Rc::downgrade(turn));
        }
    }

    /// Those that are still there.
    pub(super) fn all(&self) -> Vec<Rc<Turn>> {
        let mut turns = self.0.borrow_mut();
        let mut there = Vec::with_capacity(turns.len());
        turns.retain(|turn| turn.upgrade().map(|turn| there.push(turn)).is_some());
        there
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Wake},
    };

    use super::*;

    /// A second between looks, a patience of three.
    #[test]
    fn only_a_client_that_is_waited_for_is_forgotten() {
        let (turn, mut clock) = (Turn::default(), Duration::ZERO);
        let mut looks = |turn: &Turn, count: usize| {
            let look = |_| {
                clock += Duration::from_secs(1);
                turn.is_forgotten(clock, Duration::from_secs(3))
            };
            (0..count).map(look).collect::<Vec<_>>()
        };
        assert_eq!(looks(&turn, 4), [false, false, false, true], "it never said anything");
        turn.begin();
        assert_eq!(looks(&turn, 9), [false; 9], "it waits for us");
        turn.end();
        assert_eq!(looks(&turn, 9), [false; 9], "the answer is not out");
        turn.flushed();
        assert_eq!(looks(&turn, 3), [false; 3]);
        turn.begin();
        turn.end();
        turn.flushed();
        assert_eq!(
            looks(&turn, 4),
            [false, false, false, true],
            "another request, seen by no look, begins it anew"
        );
        turn.closes();
        assert_eq!(looks(&turn, 9), [false; 9], "it is leaving");
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_second_look_wakes_once_who_asked_for_it() {
        let (turn, count) = (Turn::default(), Arc::<Count>::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cut = pin!(turn.is_cut());
        let mut looks = || {
            assert!(cut.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let look = |_| {
                turn.look();
                count.0.swap(0, Ordering::Relaxed)
            };
            (0..4).map(look).collect::<Vec<_>>()
        };
        assert_eq!(looks(), [0; 4], "nobody asked");
        turn.wake_later();
        assert_eq!(looks(), [0, 1, 0, 0]);
        turn.wake_later();
        assert_eq!(looks(), [0, 1, 0, 0]);
    }
}
