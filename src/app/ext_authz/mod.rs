//! `listen.ext_authz`: the decision for Envoy, over gRPC (ext_authz v3).
//!
//! A port of its own, for proxies alone: whoever is neither on this machine nor in `listen.trusted_proxies` is not
//! spoken to. Connections, calls on each and the size of a call are bounded. The decisions themselves are made where all
//! are, by a worker (`desk`); this file only speaks gRPC. Everything that is no clear yes is an answer of its own
//! with a status, never an error of the call: what an Envoy makes of those is its own configuration
//! (`failure_mode_allow`).

mod check;
mod desk;

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

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
    port::{Guest, Port, accept},
    start_error::{StartError, machine},
};
use crate::{
    proxy::{gateway::Gateway, handover::Handover, usage::Deliver},
    runtime::tasks::{Stopped, Tasks},
};

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
        let port = Port { name: "ext_authz port", places: Places::new(CONNECTIONS, CONNECTIONS), open };
        let (asking, gateway) = (desk.asking(), Arc::clone(gateway));
        let guest = move |ip: IpAddr| {
            if ip.is_loopback() || gateway.snapshot().trusted_proxies.contains(ip) {
                return Guest::Many;
            }
            tracing::warn!(address = %ip, "listen.ext_authz is for proxies in listen.trusted_proxies");
            Guest::Nobody
        };
        let serve = move |stream, peer, stopped| connection(stream, peer, asking.clone(), stopped);
        tasks.spawn("ext_authz listener", accept(listener, port, tasks.clone(), guest, serve));
        Ok(Self { address, desk })
    }

    /// Whether decisions are made: a thread that has ended has panicked.
    pub fn is_alive(&self) -> bool {
        self.desk.is_alive()
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, asking: Asking, stopped: Stopped) {
    let authorizer = Authorizer { asking, peer };
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
