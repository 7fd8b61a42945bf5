//! What a request leaves behind: a log line, counters, a use of its key. Written when the answer has ended, so it
//! never delays it.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::HOST};
use http_body::{Body, Frame, SizeHint};

use super::{
    body::{Hold, Inbound},
    directory::Record,
    forward::{End, Ended, Far},
    headers::{Lines, X_REQUEST_ID},
    peer::Peer,
    reject::Refusal,
    request::Request,
    response::Response,
    snapshot::Label,
    throttle::Standing,
    tunnel::Tunnel,
    turn::{LetIn, Turn},
    turnstile::Inside,
    usage::KeyUse,
    worker::{Serving, Worker},
};
use crate::{
    domain::{
        access::{CredentialId, Method},
        permission::Permission,
        time::Moment,
    },
    runtime::client_ip::{self, Client},
    telemetry::{
        access_log::{AccessRecord, AuthFailure},
        metrics::{Held, Outcome, RouteMetrics},
    },
};

/// One request under way: where it comes from, what it is served by, and everything that will be said of it.
pub struct Exchange {
    /// Who serves it.
    pub worker: Rc<Worker>,
    /// By which configuration, to its end.
    pub serving: Rc<Serving>,
    /// The other end of its connection.
    pub peer: Rc<Peer>,
    /// Whose request it is.
    pub client: Client,
    /// When it began.
    pub began: Moment,
    /// Where its key stands, once it has one.
    pub standing: Standing,
    line: AccessRecord,
    route: Arc<RouteMetrics>,
    in_flight: Option<Held>,
    inside: Option<Inside>,
    ended: Rc<Cell<Option<Ended>>>,
    turn: Rc<Turn>,
    far: Option<Far<OnEnd>>,
    answered: bool,
    /// When it was decided, by the clock's uptime; what follows until it is sent takes no time worth another look.
    decided: Cell<Duration>,
}

impl Exchange {
    /// A request whose head was just read.
    pub fn begin<B>(worker: &Rc<Worker>, peer: &Rc<Peer>, turn: &Rc<Turn>, request: &Request<B>) -> Self {
        turn.begin();
        let serving = worker.serving();
        let trusted = &serving.snapshot.trusted_proxies;
        let client = client_ip::client(peer.connection(), &request.fields, trusted.header(), |ip| {
            trusted.contains(ip)
        });
        let began = worker.gateway.clock.read();
        let mut line = AccessRecord::new(began.wall, request.method.clone());
        line.request_id = Some(worker.request_ids.of(&request.fields, began.wall));
        if worker.gateway.log.is_on() {
            line.host = request.fields.get(&HOST).and_then(own_value);
            line.asked_for(&request.target);
        }
        line.client_ip = client.address;
        Self {
            route: Arc::clone(&serving.snapshot.nowhere),
            worker: Rc::clone(worker),
            peer: Rc::clone(peer),
            turn: Rc::clone(turn),
            serving,
            client,
            began,
            standing: Standing::default(),
            line,
            in_flight: None,
            inside: None,
            ended: Rc::default(),
            far: None,
            answered: false,
            decided: Cell::new(began.uptime),
        }
    }

    /// Counts it among those that are under way, to its end; refused where there are as many as may be.
    pub fn enter(&mut self) -> Result<(), Refusal> {
        if let Some(most) = self.serving.snapshot.limits.max_requests {
            let inside = self.worker.gateway.turnstile.enter(most);
            self.inside = Some(inside.ok_or(Refusal::Overloaded)?);
        }
        Ok(())
    }

    /// It is not under way any more, though its answer is still to come.
    pub fn leave(&mut self) {
        self.inside = None;
    }

    /// Its name.
    pub fn request_id(&self) -> HeaderValue {
        self.line.request_id.clone().unwrap_or(HeaderValue::from_static(""))
    }

    /// Reads its body whole, before anything of it is forwarded.
    pub async fn hold(&self, body: &mut Inbound) -> Result<Bytes, Refusal> {
        let limits = &self.serving.snapshot.limits;
        let (most, patience) = (limits.body_bytes, limits.request_timeout);
        Ok(body.hold(Hold { places: &self.worker.places, most, patience }).await?)
    }

    /// It is the question of a proxy about this request, which is what is written of it.
    pub fn is_about<B>(&mut self, original: &Request<B>) {
        self.line.method = original.method.clone();
        if self.worker.gateway.log.is_on() {
            self.line.host = original.fields.get(&HOST).and_then(own_value);
            self.line.asked_for(&original.target);
        }
    }

    /// What its upstream is told of the caller in a signed token; none where upstreams get none.
    #[inline]
    pub fn assertion(
        &self,
        caller: Option<&Arc<Record>>,
        label: &Label,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let Some(caller) = caller else { return Ok(None) };
        let ring = || self.worker.gateway.ring.load_full();
        let (snapshot, now) = (&self.serving.snapshot, self.began.wall);
        self.worker.assertions.of(caller, &label.upstream, snapshot, ring, now).map_err(|error| {
            tracing::error!(%error, "see the lines above about keys for assertions");
            Refusal::StoreUnavailable
        })
    }

    /// It takes this route.
    pub fn routed(&mut self, label: &Label) {
        self.line.route = Some(Arc::clone(&label.route));
        self.route = Arc::clone(&label.metrics);
    }

    /// It brought a credential of this kind.
    pub fn presented(&mut self, method: Method) {
        self.line.auth_method = Some(method);
    }

    /// The kind of credential that it brought.
    pub const fn kind(&self) -> Option<Method> {
        self.line.auth_method
    }

    /// It comes from this key.
    pub fn proved(&mut self, record: &Record) {
        self.line.credential = Some(record.identity.credential.clone());
        self.line.tenant = Some(record.identity.shared.tenant.clone());
        self.line.team.clone_from(&record.identity.shared.team);
    }

    /// Its credential is nobody's (R002_14).
    pub fn failed(&mut self, prefix: &str, refusal: &Refusal) {
        let prefix: Option<Box<str>> = Some(prefix).filter(|prefix| !prefix.is_empty()).map(Into::into);
        self.line.credential = prefix.as_deref().and_then(|prefix| HeaderValue::from_str(prefix).ok());
        self.line.auth_failure = Some(AuthFailure { prefix, reason: refusal.code() });
    }

    /// The decision was made, at this uptime.
    pub fn decided(&self, outcome: Outcome, now: Duration) {
        self.decided.set(now);
        let took = now.saturating_sub(self.began.uptime);
        self.worker.gateway.metrics.auth.decided(self.line.auth_method, outcome, took);
    }

    /// It was let through and counts as a use of the key, or keeps the session awake.
    pub fn used(&self, record: &Arc<Record>) {
        let (client, at) = (self.line.client_ip, self.began.wall);
        if let CredentialId::Key(key) = record.id {
            self.worker.usage.count(key, client, at);
            if self.serving.snapshot.notes_uses {
                let (request_id, key) = (self.line.request_id.clone(), Arc::clone(record));
                self.worker.usage.note(KeyUse { at, client, request_id, key });
            }
        }
        if let Some(activity) = &record.principal.activity {
            activity.last.raise(at);
        }
    }

    /// Where it stands on the wire.
    pub const fn turn(&self) -> &Rc<Turn> {
        &self.turn
    }

    /// It may do this, as long as its credential may. Nobody is let in on a public route.
    pub fn let_in(&self, caller: Option<Arc<Record>>, permission: Option<Permission>) {
        if let Some(caller) = caller {
            let who = LetIn { caller, permission, client: self.client.address };
            self.worker.turns.let_in(&self.turn, who);
        }
    }

    /// Its upstream goes on in another protocol.
    pub fn switched(&mut self, far: Far<OnEnd>) {
        self.far = Some(far);
    }

    /// It goes to this route's upstream, at this uptime. The first is to be told when the answer has ended.
    pub fn forwarded(&mut self, label: &Label) -> (OnEnd, Duration) {
        // Whoever waits for the answer relies on being looked at.
        self.worker.turns.add(&self.turn);
        self.line.upstream = Some(Arc::clone(&label.upstream));
        self.in_flight = Some(label.upstream_metrics.in_flight.hold());
        let ended = Rc::clone(&self.ended);
        (Box::new(move |end| ended.set(Some(end))), self.decided.get())
    }

    /// Its upstream, to which it was sent at this uptime, has begun to answer.
    pub fn answered_by(&self, label: &Label, sent: Duration) {
        let took = self.worker.gateway.clock.uptime().saturating_sub(sent);
        label.upstream_metrics.duration.observe(took);
    }

    /// The control plane answered it, and this is what it found out about the caller.
    pub fn told(&mut self, found: AccessRecord) {
        if found.outcome == "rate_limited" {
            self.route.limited();
        }
        let line = &mut self.line;
        (line.auth_method, line.auth_failure) = (found.auth_method, found.auth_failure);
        (line.credential, line.tenant, line.team) = (found.credential, found.tenant, found.team);
        (line.outcome, line.bytes_in) = (found.outcome, found.bytes_in);
    }

    /// It is not answered by an upstream.
    pub fn refuse(&mut self, refusal: &Refusal) -> http::Response<Bytes> {
        self.line.outcome = refusal.code();
        if matches!(refusal, Refusal::RateLimited) {
            self.route.limited();
        }
        refusal.response(&self.serving.snapshot.rules.profile, &self.request_id())
    }

    /// It is answered; what remains is to see the answer out, or the tunnel that it opens. What is said on every answer goes
    /// into `lines`, and nothing under the same names is left on this one.
    pub fn answer<B: Body>(
        mut self: Box<Self>,
        mut response: Response<B>,
        lines: &mut impl Lines,
    ) -> (Response<Recorded<B>>, Option<Tunnel>) {
        response.fields.retain(|name, _| *name != X_REQUEST_ID && !self.standing.tells(name));
        self.standing.describe(lines);
        if let Some(id) = &self.line.request_id {
            lines.say(&X_REQUEST_ID, id);
        }
        self.answered = true;
        self.line.status = response.status;
        self.line.bytes_out = response.body.size_hint().exact().unwrap_or_default();
        match self.far.take() {
            Some(far) => {
                let tunnel = Tunnel::new(far, self);
                (response.map(|body| Recorded { body, _exchange: None }), Some(tunnel))
            }
            None => (response.map(|body| Recorded { body, _exchange: Some(self) }), None),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let cut = self.turn.end();
        if !self.answered && !std::thread::panicking() {
            let (status, outcome) = match cut {
                Some(why) => (StatusCode::UNAUTHORIZED, why),
                None => (client_closed_request(), End::ClientLeft.outcome()),
            };
            (self.line.status, self.line.outcome) = (status, outcome);
        }
        let gateway = &self.worker.gateway;
        let took: Duration = gateway.clock.uptime().saturating_sub(self.began.uptime);
        self.route.answered(self.line.status.as_u16(), took);
        if gateway.log.is_on() {
            self.line.duration = took;
            if let Some(ended) = self.ended.take() {
                self.line.bytes_in = ended.bytes_in;
                self.line.bytes_out = ended.bytes_out;
                self.line.outcome = cut.unwrap_or(ended.how.outcome());
            }
            let nothing = AccessRecord::new(self.began.wall, http::Method::GET);
            gateway.log.push(std::mem::replace(&mut self.line, nothing));
        }
    }
}

/// A header in memory of its own. What was read are parts of the memory that it was read into, and a record
/// waits for the log's thread: the whole buffer, 8 KiB and more, would stay in memory with it.
fn own_value(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

/// What is written of a request whose client left before it was answered: no fault of the gateway or of an
/// upstream, so no 500. nginx made this number known; it is never sent.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// How an exchange whose answer had begun ended, as told by whoever forwarded it.
pub type OnEnd = Box<dyn FnOnce(Ended)>;

impl End {
    /// For the log: an answer that broke off was not `ok`, though its status had gone out.
    const fn outcome(self) -> &'static str {
        match self {
            Self::Complete => "ok",
            Self::UpstreamBroke => "upstream_protocol",
            Self::UpstreamStalled => "upstream_timeout",
            Self::ClientLeft => "client_left",
            Self::Idle => "idle_timeout",
        }
    }
}

pin_project_lite::pin_project! {
    /// The body of an answer; when it is dropped, at its end or before, its request is over.
    pub struct Recorded<B> {
        // Dropped first: it tells how it ended.
        #[pin]
        body: B,
        _exchange: Option<Box<Exchange>>,
    }
}

impl<B: Body> Body for Recorded<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
