//! `listen.ext_authz`: the decision for Envoy, over gRPC (ext_authz v3).
//!
//! A port of its own, for proxies alone: whoever is neither on this machine nor in `listen.trusted_proxies` is not
//! spoken to. Connections, calls on each and the size of a call are bounded. The decisions themselves are made where all
//! are, by a worker (`desk`); this file only speaks gRPC. Everything that is no clear yes is an answer of its own
//! with a status, never an error of the call: what an Envoy makes of those is its own configuration
//! (`failure_mode_allow`).

mod check;
mod desk;

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use envoy_types::ext_authz::v3::pb::{Authorization, AuthorizationServer, CheckRequest, CheckResponse};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Request, Response, Status};

use self::desk::{Asking, Desk};
use super::{
    places::Places,
    start_error::{StartError, machine},
};
use crate::{
    proxy::{gateway::Gateway, handover::Handover, usage::Deliver},
    runtime::tasks::{Stopped, Tasks},
    telemetry::metrics::Level,
};

/// What the port serves.
#[derive(Clone)]
struct Port {
    asking: Asking,
    gateway: Arc<Gateway>,
    open: Arc<Level>,
}

/// The port at work.
pub struct ExtAuthz {
    /// Where it listens.
    pub address: SocketAddr,
    desk: Desk,
}

impl ExtAuthz {
    /// Serves the port until the group is asked to end; calls under way are answered.
    pub fn begin(
        (listener, address): (TcpListener, SocketAddr),
        (gateway, usage, handover): (&Arc<Gateway>, &Deliver, &Arc<dyn Handover>),
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let desk = Desk::start(gateway, usage, handover).map_err(machine("the thread for decisions"))?;
        let open = gateway.metrics.connections("ext_authz");
        let port = Port { asking: desk.asking(), gateway: Arc::clone(gateway), open };
        tasks.spawn("ext_authz listener", accept(listener, port, tasks.clone()));
        Ok(Self { address, desk })
    }

    /// Whether decisions are made: a thread that has ended has panicked.
    pub fn is_alive(&self) -> bool {
        self.desk.is_alive()
    }
}

async fn accept(listener: TcpListener, port: Port, tasks: Tasks) {
    let places = Places::new(CONNECTIONS, CONNECTIONS);
    let mut stopped = tasks.stopped();
    loop {
        let next = async {
            let one = places.free().await;
            (listener.accept().await, one)
        };
        let (accepted, one) = tokio::select! {
            next = next => next,
            () = &mut stopped => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let ip = peer.ip().to_canonical();
                if !(ip.is_loopback() || port.gateway.snapshot().trusted_proxies.contains(ip)) {
                    tracing::warn!(address = %ip, "listen.ext_authz is for proxies in listen.trusted_proxies");
                    continue;
                }
                let Some(place) = one.and_then(|one| places.give(one, ip, true)) else { continue };
                let served = connection(stream, peer, port.clone(), tasks.stopped());
                tasks.spawn("ext_authz connection", async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the port of ext_authz cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, port: Port, stopped: Stopped) {
    let _open = port.open.hold();
    let _ = stream.set_nodelay(true);
    let authorizer = Authorizer { asking: port.asking.clone(), peer };
    let service = AuthorizationServer::new(authorizer).max_decoding_message_size(LARGEST_CALL);
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS)
        .max_header_list_size(HEAD_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(QUIET)
        .keep_alive_timeout(QUIET)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = pin!(serving);
    tokio::select! {
        outcome = &mut serving => {
            if let Err(error) = outcome {
                tracing::debug!(%error, client = %peer, "a connection of ext_authz ended early");
            }
            return;
        }
        () = stopped => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, serving).await;
}

/// The service.
struct Authorizer {
    asking: Asking,
    peer: SocketAddr,
}

#[tonic::async_trait]
impl Authorization for Authorizer {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let Self { asking, peer } = self;
        let question = check::question(request.into_inner());
        let verdict = tokio::time::timeout(PATIENCE, asking.ask(*peer, question)).await;
        match verdict {
            Ok(Some(verdict)) => Ok(Response::new(check::answer(verdict))),
            // More is asked than can be decided, or nothing is any more.
            Ok(None) | Err(_) => Err(Status::new(Code::Unavailable, "no decision could be made")),
        }
    }
}

/// An Envoy has one connection for each of its threads.
const CONNECTIONS: usize = 512;
/// Calls at a time on one connection.
const CALLS: u32 = 1024;
/// A call holds the headers of the request that it is about, and by configuration the beginning of its body.
const LARGEST_CALL: usize = 1 << 20;
const HEAD_BYTES: u32 = 16 << 10;
const PENDING_RESETS: usize = 64;
/// A connection that has said nothing for so long is asked whether it is there.
const QUIET: Duration = Duration::from_secs(20);
/// How long a decision may take.
const PATIENCE: Duration = Duration::from_secs(10);
const LAST_ANSWER: Duration = Duration::from_secs(15);
/// Out of file descriptors: others must close some first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
