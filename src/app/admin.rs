//! The admin port: the control plane's API on connections of its own, bounded in number, size and time.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Response,
    header::{CACHE_CONTROL, CONNECTION, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS},
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use super::{
    places::Places,
    port::{Guest, Port, accept},
    unread::Taken,
    watched::{Answers, Refusing, Watched, last_words},
};
use crate::{
    config::Limits,
    control::api::{Came, Misframed},
    domain::id::RequestId,
    proxy::{gateway::Gateway, headers::authority_of, reject::Refusal},
    runtime::{
        client_ip::Connection,
        tasks::{Stopped, Tasks},
        tls::{Door, NotMet},
    },
    telemetry::{
        access_log::{AccessRecord, Word},
        metrics::Metrics,
    },
};

/// What the port serves.
pub struct Admin {
    /// The API and the pages.
    pub router: Router,
    /// Knows what it may be called, whom it trusts, the time and the log.
    pub gateway: Arc<Gateway>,
    /// Of the configuration: sizes and times of heads.
    pub limits: Limits,
    /// Where TLS is spoken.
    pub door: Option<Arc<Door>>,
}

/// Serves the port until the group is asked to end; requests under way are answered.
pub fn serve(listener: TcpListener, admin: Admin, metrics: &Metrics, tasks: &Tasks) {
    let places = Places::new(CONNECTIONS, OF_ONE_ADDRESS);
    let port = Port { name: "admin port", places, open: metrics.connections("admin") };
    let admin = Arc::new(admin);
    let gateway = Arc::clone(&admin.gateway);
    let guest = move |ip| Guest::shared(gateway.snapshot().trusted_proxies.contains(ip));
    let serve = move |stream, peer, stopped| connection(stream, peer, Arc::clone(&admin), stopped);
    tasks.spawn("admin listener", accept(listener, port, tasks.clone(), guest, serve));
}

async fn connection(stream: TcpStream, peer: SocketAddr, admin: Arc<Admin>, mut stopped: Stopped) {
    let ip = peer.ip().to_canonical();
    let Some(door) = admin.door.clone() else {
        return converse(stream, Connection::from(ip), admin, stopped).await;
    };
    let counts = Arc::clone(&admin.gateway.metrics.tls);
    let met = tokio::select! {
        met = door.meet(stream, admin.limits.header_timeout) => met,
        () = &mut stopped => return,
    };
    match met {
        Ok((stream, _)) => {
            counts.met.inc();
            converse(stream, Connection { tls: true, ..Connection::from(ip) }, admin, stopped).await;
        }
        Err(NotMet::TimedOut) => counts.timed_out.inc(),
        Err(error) => {
            counts.failed.inc();
            tracing::debug!(%error, client = %ip, "no TLS connection came about on the admin port");
        }
    }
}

/// What is said on a connection once it stands.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Connection,
    admin: Arc<Admin>,
    stopped: Stopped,
) {
    let router = TowerToHyperService::new(admin.router.clone());
    let head_bytes = admin.limits.header_bytes.as_usize();
    // As on the gateway port: what hyper hides or passes on although HTTP forbids it.
    let (wire, watch) = Watched::new(Taken::new(stream, ANSWER_TIME), head_bytes);
    let unread = Unread { gateway: Arc::clone(&admin.gateway), ip: connection.ip, turn: Arc::default() };
    let (turn, watch) = (Arc::clone(&unread.turn), Arc::new(watch));
    let wire = Refusing::new(wire, unread);
    let gateway = Arc::clone(&admin.gateway);
    let service = service_fn(move |mut request: Request<Incoming>| {
        turn.store(ANSWERING, Ordering::Relaxed);
        let (watch, number) = (Arc::clone(&watch), watch.mark(&mut request));
        // Of chunks nobody here sees how many were taken.
        let counts = !request.headers().contains_key(TRANSFER_ENCODING);
        if let Some(refused) = refused(&request, &gateway) {
            request.extensions_mut().insert(refused);
        }
        request.extensions_mut().insert(Came(connection));
        let answering = router.call(request);
        let (gateway, turn) = (Arc::clone(&gateway), Arc::clone(&turn));
        async move {
            let mut response = answering.await?;
            if counts && !watch.is_read(number) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // Answers are whole: with this one hyper has all that it will write.
            turn.store(ENDED, Ordering::Relaxed);
            if let Some(line) = response.extensions_mut().remove::<AccessRecord>() {
                gateway.log.push(line);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(admin.limits.header_timeout)
        .max_headers(usize::from(admin.limits.header_count))
        .max_buf_size(head_bytes)
        .serve_connection(TokioIo::new(wire), service);
    let mut serving = pin!(serving);
    tokio::select! {
        // What went wrong here is the client's connection, and nobody's concern.
        _ = &mut serving => return,
        () = stopped => {}
        () = tokio::time::sleep(LIFETIME) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, serving).await;
}

/// What no request may be, whatever it asks for.
fn refused(request: &Request<Incoming>, gateway: &Gateway) -> Option<Misframed> {
    let (refusal, detail) = match authority_of(request) {
        Err(malformed) => {
            (Refusal::from(malformed), format!("The request breaks a rule of HTTP: {malformed}."))
        }
        Ok(authority) => {
            let host = authority.as_ref().map(|authority| &*authority.host);
            let refusal = gateway.snapshot().is_asked_for(host).err()?;
            (
                refusal,
                "The admin port is not known by this host name; listen.hosts names further ones.".into(),
            )
        }
    };
    Some(Misframed { code: refusal.code(), detail })
}

/// What this port says to what hyper could not read.
struct Unread {
    gateway: Arc<Gateway>,
    ip: IpAddr,
    /// Whether a request is being answered: hyper and its connection are polled by one task.
    turn: Arc<AtomicU8>,
}

impl Answers for Unread {
    fn is_answering(&self) -> bool {
        self.turn.load(Ordering::Relaxed) != FREE
    }

    fn flushed(&self) {
        let _ = self.turn.compare_exchange(ENDED, FREE, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Bytes> {
        let now = self.gateway.clock.now();
        let id = HeaderValue::try_from(RequestId::new(now).to_string());
        let id = id.unwrap_or(HeaderValue::from_static("unknown"));
        // What the method was is part of what could not be read.
        let mut line = AccessRecord::new(now, Method::from_bytes(b"-").unwrap_or_default());
        line.say(Word::Route, "admin");
        line.status = refusal.status();
        line.say(Word::RequestId, &id);
        line.client_ip = Some(self.ip);
        line.outcome = refusal.code();
        self.gateway.log.push(line);
        let mut response = refusal.response(&self.gateway.snapshot().rules.profile, &id);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        last_words(headers, id, now);
        response
    }
}

const FREE: u8 = 0;
const ANSWERING: u8 = 1;
const ENDED: u8 = 2;

/// People and pipelines that manage keys are few.
const CONNECTIONS: usize = 512;
/// Nobody keeps all others out. What comes from a trusted proxy comes from many.
const OF_ONE_ADDRESS: usize = 256;
/// Nobody keeps one of the places for ever.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long a client may take to read an answer.
const ANSWER_TIME: Duration = Duration::from_secs(20);
const LAST_ANSWER: Duration = Duration::from_secs(35);
