//! The ops port: `/metrics`, `/livez`, `/readyz`.
//!
//! Small on purpose and on no framework: it must answer while everything else is in trouble. It has its own
//! connections, its own limits and no way into the planes but the two values in [`Ops`].

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    fmt::Write as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::{
    places::Places,
    port::{Guest, Port, accept},
};
use crate::{
    proxy::directory::Cache,
    runtime::tasks::{Stopped, Tasks},
    telemetry::metrics::Metrics,
};

/// What the port can show.
#[derive(Debug)]
pub struct Ops {
    /// Behind `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Behind `/readyz`.
    pub readiness: Arc<Readiness>,
}

/// Whether the gateway can decide requests: what a load balancer asks.
#[derive(Default)]
pub struct Readiness {
    draining: AtomicBool,
    checks: Vec<(&'static str, Check)>,
}

type Check = Box<dyn Fn() -> Result<(), Cow<'static, str>> + Send + Sync>;

impl Readiness {
    /// Ready, until a check says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check. It answers from what is known, without waiting; its error is one line that operators read.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), Cow<'static, str>> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name, Box::new(check)));
        self
    }

    /// Not ready from now on: the program is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// The first reason against it.
    pub fn check(&self) -> Result<(), String> {
        match self.all().find_map(|(name, result)| result.err().map(|reason| (name, reason))) {
            None => Ok(()),
            Some((name, reason)) => Err(format!("{name}: {reason}")),
        }
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, Result<(), Cow<'static, str>>)> {
        let draining =
            if self.draining.load(Ordering::SeqCst) { Err("shutting down".into()) } else { Ok(()) };
        let checks = self.checks.iter().map(|(name, check)| (*name, check()));
        std::iter::once(("drain", draining)).chain(checks)
    }

    fn answer(&self, verbose: bool) -> Response<Full<Bytes>> {
        let verdict = self.check();
        let mut text = String::new();
        if verbose {
            for (name, result) in self.all() {
                let _ = match result {
                    Ok(()) => writeln!(text, "[+] {name}"),
                    Err(reason) => writeln!(text, "[-] {name}: {reason}"),
                };
            }
        }
        let status = match verdict {
            Ok(()) => {
                text.push_str("ready\n");
                StatusCode::OK
            }
            Err(reason) => {
                let _ = writeln!(text, "not ready: {reason}");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        plain(status, text)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("verdict", &self.check()).finish()
    }
}

/// Serves the port until the group is asked to end. Give it a group that ends last: `/readyz` must say 503, and
/// the last scrape must be answered, while the gateway drains.
pub fn serve(listener: TcpListener, ops: Arc<Ops>, tasks: &Tasks) {
    let places = Places::new(CONNECTIONS, CONNECTIONS);
    let port = Port { name: "ops port", places, open: ops.metrics.connections("ops") };
    let serve = move |stream, _, stopped| connection(stream, Arc::clone(&ops), stopped);
    tasks.spawn("ops listener", accept(listener, port, tasks.clone(), |_| Guest::Many, serve));
}

async fn connection(stream: TcpStream, ops: Arc<Ops>, stopped: Stopped) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&ops, request.method(), request.uri());
        async move { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
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

fn answer(ops: &Ops, method: &Method, target: &http::Uri) -> Response<Full<Bytes>> {
    let known = matches!(target.path(), "/metrics" | "/livez" | "/healthz" | "/readyz");
    if !known {
        return plain(StatusCode::NOT_FOUND, "not found\n");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match target.path() {
        "/metrics" => metrics(&ops.metrics),
        "/readyz" => ops.readiness.answer(is_verbose(target.query())),
        _ => plain(StatusCode::OK, "alive\n"),
    }
}

fn metrics(metrics: &Metrics) -> Response<Full<Bytes>> {
    match metrics.encode() {
        Ok(text) => {
            let mut answer = plain(StatusCode::OK, text);
            answer.headers_mut().insert(header::CONTENT_TYPE, EXPOSITION);
            answer
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
        }
    }
}

fn is_verbose(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const CONNECTIONS: usize = 64;
const HEADERS: usize = 64;
const BUFFER: usize = 16 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Nobody keeps one of the few places for ever.
const LIFETIME: Duration = Duration::from_secs(300);
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Serves the port with what this memory can tell.
pub(super) fn begin(
    listener: TcpListener,
    cache: &Cache,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) -> Arc<Readiness> {
    let readiness = Arc::new(readiness(cache));
    scrape(metrics, cache);
    let ops = Arc::new(Ops { metrics: Arc::clone(metrics), readiness: Arc::clone(&readiness) });
    serve(listener, ops, tasks);
    readiness
}

/// Ready means: can decide. A store outage alone is no reason against it while known keys can be served.
fn readiness(cache: &Cache) -> Readiness {
    let cache = cache.clone();
    Readiness::new().with("change feed", move || {
        if cache.may_serve() {
            Ok(())
        } else {
            Err("nothing was heard from the store for longer than auth.max_staleness".into())
        }
    })
}

/// Gauges that are read off when somebody asks.
fn scrape(metrics: &Arc<Metrics>, cache: &Cache) {
    let cache = cache.clone();
    let caches = ["keys", "sessions", "proofs"].map(|name| metrics.cache(name));
    metrics.on_scrape(move |metrics| {
        for (counted, held) in caches.iter().zip(cache.len()) {
            counted.entries.set(i64::try_from(held).unwrap_or(i64::MAX));
        }
        metrics.store.up.set(i64::from(cache.store_is_up()));
        metrics.store.staleness_seconds.set(cache.staleness().as_secs_f64());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(readiness: Readiness) -> Ops {
        Ops { metrics: Metrics::new().expect("metrics"), readiness: Arc::new(readiness) }
    }

    fn ask(ops: &Ops, method: &Method, target: &str) -> (u16, String) {
        let answer = answer(ops, method, &target.parse().expect("a target"));
        let status = answer.status().as_u16();
        // A `Full` body is there at once.
        let body = http_body_util::BodyExt::collect(answer.into_body());
        let waker = std::task::Waker::noop();
        match Future::poll(pin!(body), &mut std::task::Context::from_waker(waker)) {
            std::task::Poll::Ready(Ok(body)) => {
                (status, String::from_utf8_lossy(&body.to_bytes()).into_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn readiness_names_the_first_reason_and_verbose_all_of_them() {
        let store_out = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&store_out);
        let ops = ops(Readiness::new().with("store", move || {
            if seen.load(Ordering::SeqCst) { Err("not confirmed for 61 s".into()) } else { Ok(()) }
        }));
        assert_eq!(ask(&ops, &Method::GET, "/readyz"), (200, "ready\n".into()));
        store_out.store(true, Ordering::SeqCst);
        assert_eq!(
            ask(&ops, &Method::GET, "/readyz"),
            (503, "not ready: store: not confirmed for 61 s\n".into())
        );
        ops.readiness.drain();
        let (status, text) = ask(&ops, &Method::GET, "/readyz?verbose");
        assert_eq!(status, 503);
        assert_eq!(
            text,
            "[-] drain: shutting down\n[-] store: not confirmed for 61 s\nnot ready: drain: shutting down\n"
        );
        assert_eq!(ask(&ops, &Method::GET, "/livez").0, 200, "alive while it drains");
    }

    #[test]
    fn only_the_documented_paths_and_methods_exist() {
        let ops = ops(Readiness::new());
        for path in ["/metrics", "/livez", "/healthz", "/readyz"] {
            assert_eq!(ask(&ops, &Method::HEAD, path).0, 200, "{path}");
            assert_eq!(ask(&ops, &Method::POST, path).0, 405, "{path}");
        }
        for path in ["/", "/metrics/", "/debug/pprof", "/readyz/store"] {
            assert_eq!(ask(&ops, &Method::GET, path).0, 404, "{path}");
        }
        assert!(ask(&ops, &Method::GET, "/metrics").1.contains("latchgate_build_info{version="));
    }
}
