//! The admin port: the control plane's API on connections of its own, bounded in number, size and time.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::unread::Taken;
use crate::{
    config::Limits,
    control::api::{Misframed, Peer},
    proxy::{
        headers::{Malformed, authority},
        reject::Refusal,
        wire::Watched,
    },
    runtime::tasks::{Stopped, Tasks},
    telemetry::metrics::{Level, Metrics},
};

/// What the port serves.
pub struct Admin {
    /// The API.
    pub router: Router,
    /// Of the configuration: sizes and times of heads.
    pub limits: Limits,
}

/// Serves the port until the group is asked to end; requests under way are answered.
pub fn serve(listener: TcpListener, admin: Admin, metrics: &Metrics, tasks: &Tasks) {
    let open = metrics.connections("admin");
    tasks.spawn("admin listener", accept(listener, Arc::new(admin), open, tasks.clone()));
}

async fn accept(listener: TcpListener, admin: Arc<Admin>, level: Arc<Level>, tasks: Tasks) {
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stopped = tasks.stopped();
    loop {
        let next = async {
            // Beyond the limit the kernel's backlog waits, not our memory.
            let permit = Arc::clone(&open).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            () = &mut stopped => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let served =
                    connection(stream, peer, Arc::clone(&admin), tasks.stopped(), Arc::clone(&level));
                tasks.spawn("admin connection", async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    admin: Arc<Admin>,
    stopped: Stopped,
    level: Arc<Level>,
) {
    let _open = level.hold();
    // Answers are small and whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(admin.router.clone());
    let head_bytes = admin.limits.header_bytes.as_usize();
    // As on the gateway port: what hyper hides or passes on although HTTP forbids it.
    let (wire, watch) = Watched::new(Taken::new(stream, ANSWER_TIME), head_bytes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        watch.mark(&mut request);
        let misframed = authority(&request).err().map(misframed);
        if let Some(misframed) = misframed {
            request.extensions_mut().insert(misframed);
        }
        request.extensions_mut().insert(Peer(peer.ip().to_canonical()));
        hyper::service::Service::call(&router, request)
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

fn misframed(malformed: Malformed) -> Misframed {
    let code = Refusal::from(malformed).code();
    Misframed { code, detail: format!("The request breaks a rule of HTTP: {malformed}.") }
}

/// People and pipelines that manage keys are few.
const CONNECTIONS: usize = 512;
/// Nobody keeps one of the places for ever.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long a client may take to read an answer.
const ANSWER_TIME: Duration = Duration::from_secs(20);
const LAST_ANSWER: Duration = Duration::from_secs(35);
/// Out of file descriptors: others must close some first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
