//! What one worker has for itself.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method};

use super::{
    assertion,
    body::Places,
    fields::Fields,
    gateway::Gateway,
    handover::Handover,
    headers::{HeaderRules, RequestIds},
    known::Known,
    linger::Lane,
    peer::Peer,
    reject::Refusal,
    snapshot::Snapshot,
    turn::Turns,
    upstream::{self, Upstreams},
    usage::{Deliver, Usage},
    wire::answer::HttpDate,
};
use crate::{
    domain::time::Timestamp,
    telemetry::access_log::{AccessRecord, Word},
};

/// One thread's share of the data plane.
pub struct Worker {
    /// What it shares with the others.
    pub gateway: Arc<Gateway>,
    /// Credentials that it has seen.
    pub known: Known,
    /// Assertions that it has made.
    pub assertions: assertion::Tokens,
    /// Uses of keys that it has counted.
    pub usage: Usage,
    /// Who answers what no upstream does.
    pub handover: Arc<dyn Handover>,
    /// Names for requests.
    pub request_ids: RequestIds,
    /// Those who are served at this moment.
    pub turns: Turns,
    /// Whose answers others go before.
    pub lane: Lane,
    /// Room for bodies that are read whole.
    pub places: Places,
    /// For answers.
    pub date: Cell<HttpDate>,
    /// Counted up once a second, for whoever wants to know that this thread turns.
    pulse: Arc<AtomicU64>,
    place: upstream::Worker,
    serving: RefCell<Rc<Serving>>,
    /// The configuration, and how often records had ended, when those that it knows were last looked at.
    tidied: Cell<(u64, u64)>,
}

/// A configuration with what this worker has made of it.
pub struct Serving {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// How headers are edited.
    pub headers: Rc<HeaderRules>,
    /// This worker's own connections to the upstreams.
    pub upstreams: Upstreams,
}

impl Worker {
    /// A worker of this gateway. `seed` is random. Call it on the worker's thread.
    pub fn new(
        gateway: Arc<Gateway>,
        place: upstream::Worker,
        usage: Deliver,
        handover: Arc<dyn Handover>,
        pulse: Arc<AtomicU64>,
        seed: u64,
    ) -> Self {
        let serving = Serving::new(gateway.snapshot(), place, None);
        let date = http_date(gateway.clock.now());
        Self {
            gateway,
            known: Known::default(),
            assertions: assertion::Tokens::default(),
            usage: Usage::new(usage),
            handover,
            request_ids: RequestIds::new(seed),
            turns: Turns::default(),
            lane: Lane::default(),
            places: Places::default(),
            date: Cell::new(date),
            pulse,
            place,
            serving: RefCell::new(Rc::new(serving)),
            tidied: Cell::default(),
        }
    }

    /// The configuration in force, for as long as a request needs it. After a reload, connections to upstreams
    /// that did not change are kept.
    #[inline]
    pub fn serving(&self) -> Rc<Serving> {
        let serving = Rc::clone(&self.serving.borrow());
        if serving.snapshot.rules.generation == self.gateway.generation() {
            serving
        } else {
            self.renew(&serving)
        }
    }

    /// Counts and logs what was refused before it was a request; returns the name it is given.
    pub fn refused_unread(&self, peer: &Peer, refusal: &Refusal) -> HeaderValue {
        let now = self.gateway.clock.now();
        let id = self.request_ids.of(&Fields::new(), now);
        self.gateway.snapshot().nowhere.answered(refusal.status().as_u16(), Duration::ZERO);
        // What the method was is part of what could not be read.
        let mut line = AccessRecord::new(now, Method::from_bytes(b"-").unwrap_or_default());
        line.status = refusal.status();
        line.say(Word::RequestId, id.as_bytes());
        line.client_ip = peer.name();
        line.outcome = refusal.code();
        self.gateway.log.push(line);
        id.header()
    }

    /// Once a second: hands over what was counted, lets go of what has ended.
    pub fn tick(&self) {
        self.pulse.fetch_add(1, Ordering::Relaxed);
        self.date.set(http_date(self.gateway.clock.now()));
        self.usage.flush();
        self.tidy();
        self.assertions.tidy(self.gateway.generation(), self.gateway.clock.now());
    }

    /// A look at each of thousands of records, so not without a cause.
    fn tidy(&self) {
        let state = (self.gateway.generation(), self.gateway.cache.endings());
        if self.tidied.replace(state) != state {
            self.known.tidy(self.gateway.generation());
        }
    }

    #[cold]
    fn renew(&self, old: &Serving) -> Rc<Serving> {
        let new = Rc::new(Serving::new(self.gateway.snapshot(), self.place, Some(&old.upstreams)));
        self.serving.replace(Rc::clone(&new));
        new
    }
}

/// Beyond the years that it can write it is the first of them.
fn http_date(now: Timestamp) -> HttpDate {
    let text = now.http_date().and_then(|date| date.as_bytes().try_into().ok());
    text.unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

impl Serving {
    fn new(snapshot: Arc<Snapshot>, place: upstream::Worker, previous: Option<&Upstreams>) -> Self {
        let (rules, pseudonym) = (&snapshot.rules, snapshot.pseudonym.clone());
        Self {
            headers: Rc::new(HeaderRules::new(rules.identity.names(), pseudonym, rules.sessions.cookie())),
            upstreams: Upstreams::new(&snapshot.routes, &snapshot.fleets, place, previous),
            snapshot,
        }
    }
}
