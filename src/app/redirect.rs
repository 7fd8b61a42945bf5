//! `listen.redirect`: a port without TLS that sends every client to where there is TLS (308, RFC 9110 section 15.4.9).
//!
//! Where to is the operator's to say (`listen.public_url`), else the client's own `Host`, which has passed the gateway's
//! narrow reading of hosts: without its port, because that is this one. What is asked for goes along byte for byte, if
//! it is a path that all programs read alike; nothing else of the request is looked at. Each connection has one answer,
//! and its number, size and time are bounded.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::{
    places::Places,
    port::{Guest, Port, accept},
    unread::Taken,
    watched::{Answers, Refusing, Watched, last_words},
};
use crate::{
    domain::{id::RequestId, time::Timestamp},
    proxy::{
        gateway::Gateway,
        headers::{Malformed, X_REQUEST_ID, authority_of},
        path::{MAX_TARGET, normal_form},
        reject::Refusal,
    },
    runtime::{
        tasks::{Stopped, Tasks},
        tls::Challenges,
    },
    telemetry::access_log::{AccessRecord, Word},
};

/// Serves the port, where there is one, until the group is asked to end.
pub(super) fn begin(
    socket: Option<(TcpListener, SocketAddr)>,
    gateway: &Arc<Gateway>,
    challenges: &Arc<Challenges>,
    tasks: &Tasks,
) {
    let Some((listener, address)) = socket else { return };
    let open = gateway.metrics.connections("redirect");
    let desk = Desk { gateway: Arc::clone(gateway), challenges: Arc::clone(challenges) };
    let places = Places::new(CONNECTIONS, OF_ONE_ADDRESS);
    let port = Port { name: "redirect port", places, open };
    let gateway = Arc::clone(gateway);
    let guest = move |ip| Guest::shared(gateway.snapshot().trusted_proxies.contains(ip));
    let serve = move |stream, peer: SocketAddr, stopped| {
        connection(stream, peer.ip().to_canonical(), desk.clone(), stopped)
    };
    tasks.spawn("redirect listener", accept(listener, port, tasks.clone(), guest, serve));
    tracing::info!(listener = "redirect", %address, "listening");
}

/// What every connection needs.
#[derive(Clone)]
struct Desk {
    gateway: Arc<Gateway>,
    challenges: Arc<Challenges>,
}

async fn connection(stream: TcpStream, ip: IpAddr, desk: Desk, stopped: Stopped) {
    let limits = desk.gateway.snapshot().limits.clone();
    let head_bytes = limits.header_bytes.as_usize();
    let (wire, watch) = Watched::new(Taken::new(stream, ANSWER_TIME), head_bytes);
    let unread = Unread { gateway: Arc::clone(&desk.gateway), ip, answered: Arc::default() };
    let answered = Arc::clone(&unread.answered);
    let wire = Refusing::new(wire, unread);
    let service = service_fn(move |mut request: Request<Incoming>| {
        answered.store(true, Ordering::Relaxed);
        watch.mark(&mut request);
        let answer = answer(&request, ip, &desk);
        async move { Ok::<_, Infallible>(answer.map(Full::new)) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(usize::from(limits.header_count))
        .max_buf_size(head_bytes)
        // Whoever follows has no further use for this connection.
        .keep_alive(false)
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

/// What this port says to what hyper could not read.
struct Unread {
    gateway: Arc<Gateway>,
    ip: IpAddr,
    /// The connection's one request is being answered: hyper and its connection are polled by one task.
    answered: Arc<AtomicBool>,
}

impl Answers for Unread {
    fn is_answering(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    fn flushed(&self) {}

    fn refuse(&self, refusal: &Refusal) -> Response<Bytes> {
        let (now, snapshot) = (self.gateway.clock.now(), self.gateway.snapshot());
        let id = request_id(now);
        // What the method was is part of what could not be read.
        let mut line = AccessRecord::new(now, Method::from_bytes(b"-").unwrap_or_default());
        line.say(Word::Route, "redirect");
        line.say(Word::RequestId, &id);
        (line.status, line.client_ip) = (refusal.status(), Some(self.ip));
        line.outcome = refusal.code();
        self.gateway.log.push(line);
        let mut response = refusal.response(&snapshot.rules.profile, &id);
        last_words(response.headers_mut(), id, now);
        response
    }
}

fn request_id(now: Timestamp) -> HeaderValue {
    HeaderValue::try_from(RequestId::new(now).to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The answer, written down as every other is.
fn answer<B>(request: &Request<B>, ip: IpAddr, Desk { gateway, challenges }: &Desk) -> Response<Bytes> {
    let (now, snapshot) = (gateway.clock.now(), gateway.snapshot());
    let id = request_id(now);
    let mut line = AccessRecord::new(now, request.method().clone());
    line.asked_for(request.uri());
    line.say(Word::Route, "redirect");
    line.client_ip = Some(ip);
    let place = place(request, snapshot.public_url.as_ref());
    // An authority asks here whether a name is ours (RFC 8555 section 8.3).
    let token = request.uri().path().strip_prefix(CHALLENGES);
    let owed =
        token.filter(|_| request.method() == Method::GET).and_then(|token| challenges.answer_to(token));
    let mut response = if let Some(authorization) = owed {
        line.say(Word::Route, "acme");
        let mut response = Response::new(Bytes::copy_from_slice(authorization.as_bytes()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    } else {
        place.map_or_else(
            |refusal| {
                line.outcome = refusal.code();
                refusal.response(&snapshot.rules.profile, &id)
            },
            |place| {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(LOCATION, place);
                // Browsers keep a 308 for as long as they like, a mistaken one too.
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
                response
            },
        )
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    line.say(Word::RequestId, &id);
    headers.insert(X_REQUEST_ID, id);
    line.status = response.status();
    gateway.log.push(line);
    response
}

/// Where the same thing is to be had over TLS.
fn place<B>(request: &Request<B>, public_url: Option<&Uri>) -> Result<HeaderValue, Refusal> {
    let own = authority_of(request)?;
    let asked = request.uri().path_and_query().ok_or(Refusal::PathAmbiguous)?;
    if asked.as_str().len() > MAX_TARGET {
        return Err(Refusal::UriTooLong);
    }
    normal_form(asked.path()).map_err(|_| Refusal::PathAmbiguous)?;
    if !asked.as_str().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::PathAmbiguous);
    }
    let host = match (public_url.and_then(Uri::authority), &own) {
        (Some(public), _) => public.as_str(),
        (None, Some(own)) => &own.host,
        (None, None) => return Err(Malformed::HostMissing.into()),
    };
    HeaderValue::try_from(format!("https://{host}{asked}")).map_err(|_| Refusal::PathAmbiguous)
}

/// Below it lie the tokens of challenges.
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// Each is there for one answer.
const CONNECTIONS: usize = 512;
/// Nobody keeps all others out. What comes from a trusted proxy comes from many.
const OF_ONE_ADDRESS: usize = 64;
const LIFETIME: Duration = Duration::from_secs(30);
/// How long a client may take to read an answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
const LAST_ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn told(target: &str, host: Option<&str>, public_url: Option<&str>) -> Result<String, &'static str> {
        let mut request = Request::builder().uri(target);
        request = match host {
            Some(host) => request.header("host", host),
            None => request.version(http::Version::HTTP_10),
        };
        let public_url = public_url.map(|url| url.parse().unwrap());
        let place = place(&request.body(()).unwrap(), public_url.as_ref());
        place.map(|place| place.to_str().unwrap().to_owned()).map_err(|refusal| refusal.code())
    }

    #[test]
    fn the_same_thing_is_to_be_had_over_tls() {
        for (target, host, expected) in [
            ("/", "gw.example", "https://gw.example/"),
            (
                "/a%41/%7e;x?q=%2F&&'//evil.example",
                "gw.example",
                "https://gw.example/a%41/%7e;x?q=%2F&&'//evil.example",
            ),
            ("/x", "GW.example.:8080", "https://gw.example/x"),
            ("/x", "[2001:DB8::1]:80", "https://[2001:db8::1]/x"),
            ("http://other.example?x", "gw.example", "https://other.example/?x"),
        ] {
            assert_eq!(told(target, Some(host), None).as_deref(), Ok(expected), "{target} {host}");
        }
        let public = Some("https://gate.example.com:8443");
        for host in [Some("evil.example"), None] {
            assert_eq!(told("/x?y", host, public).as_deref(), Ok("https://gate.example.com:8443/x?y"));
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_goes_nowhere() {
        for target in ["//evil.example/", "/a/../b", "/%2e%2e/x", "/a\\b", "/a%0d%0aSet-Cookie:x", "*"] {
            assert_eq!(told(target, Some("gw"), None), Err("path_ambiguous"), "{target}");
        }
        for host in ["evil.example/x", "a@evil.example", "a b", "evil.example,b", "gw:x", ""] {
            assert_eq!(told("/x", Some(host), None), Err("request_malformed"), "{host}");
        }
        assert_eq!(told("/x", None, None), Err("request_malformed"));
        assert_eq!(told(&format!("/{}", "x".repeat(MAX_TARGET)), Some("gw"), None), Err("uri_too_long"));
    }
}
