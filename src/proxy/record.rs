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
    forward::{End, Far, OnEnd},
    headers::{Lines, RequestName, X_REQUEST_ID},
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
        access_log::{AccessRecord, AuthFailure, Word},
        metrics::{Outcome, RouteMetrics},
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
    name: RequestName,
    /// The kind of credential that it brought.
    kind: Option<Method>,
    /// Where it is in the configuration's labels: the route that it takes.
    route: Option<usize>,
    /// Whether it goes, or went, to that route's upstream.
    is_forwarded: bool,
    /// None: nobody wants to read it.
    line: Option<Box<AccessRecord>>,
    outcome: &'static str,
    /// None: it is not answered.
    status: Option<StatusCode>,
    bytes_out: u64,
    inside: Option<Inside>,
    ended: OnEnd,
    turn: Rc<Turn>,
    far: Option<Box<Far>>,
    /// When it was decided, by the clock's uptime; what follows until it is sent takes no time worth another look.
    decided: Cell<Duration>,
}

impl Exchange {
    /// A request whose head was just read.
    pub fn begin<B>(
        worker: &Rc<Worker>,
        peer: &Rc<Peer>,
        turn: &Rc<Turn>,
        request: &Request<B>,
    ) -> Box<Self> {
        turn.begin();
        let serving = worker.serving();
        let trusted = &serving.snapshot.trusted_proxies;
        let client = client_ip::client(peer.connection(), &request.fields, trusted.header(), |ip| {
            trusted.contains(ip)
        });
        let began = worker.gateway.clock.read();
        let name = worker.request_ids.of(&request.fields, began.wall);
        // It goes a long way, and would be moved at each step.
        let mut exchange = Box::new(Self {
            worker: Rc::clone(worker),
            peer: Rc::clone(peer),
            turn: Rc::clone(turn),
            serving,
            client,
            began,
            standing: Standing::default(),
            name,
            kind: None,
            route: None,
            is_forwarded: false,
            line: None,
            outcome: "ok",
            status: None,
            bytes_out: 0,
            inside: None,
            ended: Rc::default(),
            far: None,
            decided: Cell::new(began.uptime),
        });
        exchange.is_about(request);
        exchange
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
    pub const fn name(&self) -> &RequestName {
        &self.name
    }

    /// Reads its body whole, before anything of it is forwarded.
    pub async fn hold(&self, body: &mut Inbound) -> Result<Bytes, Refusal> {
        let limits = &self.serving.snapshot.limits;
        let (most, patience) = (limits.body_bytes, limits.request_timeout);
        Ok(body.hold(Hold { places: &self.worker.places, most, patience }).await?)
    }

    /// This is what is written of it; of the question of a proxy it is the request that it is about.
    pub fn is_about<B>(&mut self, request: &Request<B>) {
        if self.worker.gateway.log.is_on() {
            let mut line = Box::new(AccessRecord::new(self.began.wall, request.method.clone()));
            line.say(Word::RequestId, self.name.as_bytes());
            line.note(Word::Host, request.fields.get(&HOST).map(HeaderValue::as_bytes));
            line.asked_for(&request.target);
            line.client_ip = self.client.address;
            self.line = Some(line);
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

    /// It takes this route, by its index.
    pub const fn routed(&mut self, route: usize) {
        self.route = Some(route);
    }

    /// It brought a credential of this kind.
    pub const fn presented(&mut self, method: Method) {
        self.kind = Some(method);
    }

    /// The kind of credential that it brought.
    pub const fn kind(&self) -> Option<Method> {
        self.kind
    }

    /// It comes from this key.
    pub fn proved(&mut self, record: &Record) {
        let Some(line) = &mut self.line else { return };
        let boundary = &record.principal.boundary;
        line.say(Word::Credential, record.identity.credential.as_bytes());
        (line.tenant, line.team) = (Some(boundary.org()), boundary.team());
    }

    /// Its credential is nobody's (R002_14).
    pub fn failed(&mut self, prefix: &str, refusal: &Refusal) {
        let Some(line) = &mut self.line else { return };
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        line.note(Word::Credential, prefix.map(str::as_bytes));
        line.auth_failure = Some(AuthFailure { prefix: prefix.map(Into::into), reason: refusal.code() });
    }

    /// The decision was made, at this uptime.
    pub fn decided(&self, outcome: Outcome, now: Duration) {
        self.decided.set(now);
        let took = now.saturating_sub(self.began.uptime);
        self.worker.gateway.metrics.auth.decided(self.kind, outcome, took);
    }

    /// It was let through and counts as a use of the key, or keeps the session awake.
    pub fn used(&self, record: &Arc<Record>) {
        let (client, at) = (self.client.address, self.began.wall);
        if let CredentialId::Key(key) = record.id {
            self.worker.usage.count(key, client, at);
            if self.serving.snapshot.notes_uses {
                let (request_id, key) = (Some(self.name.header()), Arc::clone(record));
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
    pub fn switched(&mut self, far: Box<Far>) {
        self.far = Some(far);
    }

    /// It goes to its route's upstream, at this uptime. The first is to be told when the answer has ended.
    pub fn forwarded(&mut self) -> (OnEnd, Duration) {
        // Whoever waits for the answer relies on being looked at.
        self.worker.turns.add(&self.turn);
        self.is_forwarded = true;
        if let Some(label) = self.label() {
            label.upstream_metrics.in_flight.enter();
        }
        (Rc::clone(&self.ended), self.decided.get())
    }

    /// Its upstream, to which it was sent at this uptime, has begun to answer.
    pub fn answered_by(&self, sent: Duration) {
        let took = self.worker.gateway.clock.uptime().saturating_sub(sent);
        if let Some(label) = self.label() {
            label.upstream_metrics.duration.observe(took);
        }
    }

    /// The control plane answered it, and this is what it found out about the caller.
    pub fn told(&mut self, found: AccessRecord) {
        if found.outcome == "rate_limited" {
            self.limited();
        }
        (self.kind, self.outcome) = (found.auth_method, found.outcome);
        let Some(line) = &mut self.line else { return };
        line.note(Word::Credential, found.said(Word::Credential));
        (line.tenant, line.team) = (found.tenant, found.team);
        (line.auth_failure, line.bytes_in) = (found.auth_failure, found.bytes_in);
    }

    /// It is not answered by an upstream.
    pub fn refuse(&mut self, refusal: &Refusal) -> http::Response<Bytes> {
        self.outcome = refusal.code();
        if matches!(refusal, Refusal::RateLimited) {
            self.limited();
        }
        refusal.response(&self.serving.snapshot.rules.profile, &self.name.header())
    }

    fn label(&self) -> Option<&Label> {
        self.serving.snapshot.labels.get(self.route?)
    }

    /// What counts it.
    fn counters(&self) -> &RouteMetrics {
        self.label().map_or(&self.serving.snapshot.nowhere, |label| &label.metrics)
    }

    fn limited(&self) {
        self.counters().limited();
    }

    /// It is answered; what remains is to see the answer out, or the tunnel that it opens. What is said on every answer goes
    /// into `lines`, and nothing under the same names is left on this one.
    pub fn answer<B: Body>(
        mut self: Box<Self>,
        mut response: Response<B>,
        lines: &mut impl Lines,
    ) -> (Response<Recorded<B>>, Option<Box<Tunnel>>) {
        response.fields.retain(|name, _| *name != X_REQUEST_ID && !self.standing.tells(name));
        self.standing.describe(lines);
        lines.say_text(&X_REQUEST_ID, self.name.as_bytes());
        self.status = Some(response.status);
        self.bytes_out = response.body.size_hint().exact().unwrap_or_default();
        match self.far.take() {
            Some(far) => {
                let tunnel = Box::new(Tunnel::new(*far, self));
                (response.map(|body| Recorded { body, _exchange: None }), Some(tunnel))
            }
            None => (response.map(|body| Recorded { body, _exchange: Some(self) }), None),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (cut, line) = (self.turn.end(), self.line.take());
        let (status, outcome) = match (self.status, cut) {
            (Some(status), _) => (status, self.outcome),
            (None, _) if std::thread::panicking() => (StatusCode::INTERNAL_SERVER_ERROR, self.outcome),
            (None, Some(why)) => (StatusCode::UNAUTHORIZED, why),
            (None, None) => (client_closed_request(), End::ClientLeft.outcome()),
        };
        let gateway = &self.worker.gateway;
        let took: Duration = gateway.clock.uptime().saturating_sub(self.began.uptime);
        self.counters().answered(status.as_u16(), took);
        let upstream = self.label().filter(|_| self.is_forwarded);
        if let Some(label) = upstream {
            label.upstream_metrics.in_flight.leave();
        }
        let Some(mut line) = line else { return };
        (line.status, line.duration, line.auth_method) = (status, took, self.kind);
        (line.outcome, line.bytes_out) = (outcome, self.bytes_out);
        if let Some(ended) = self.ended.take() {
            (line.bytes_in, line.bytes_out) = (ended.bytes_in, ended.bytes_out);
            line.outcome = cut.unwrap_or(ended.how.outcome());
        }
        line.note(Word::Route, self.label().map(|label| label.route.as_bytes()));
        line.note(Word::Upstream, upstream.map(|label| label.upstream.as_bytes()));
        gateway.log.push(line);
    }
}

/// What is written of a request whose client left before it was answered: no fault of the gateway or of an
/// upstream, so no 500. nginx made this number known; it is never sent.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

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
