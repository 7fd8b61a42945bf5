//! What is said in HTTP/1: requests and answers, one after the other.

use std::{cell::Cell, convert::Infallible, error::Error, io, rc::Rc};

use bytes::Bytes;
use http::{HeaderValue, Response, Version, header::CONNECTION};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1::{self, Parts},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{
    super::{
        body::Inbound,
        peer::Peer,
        pipeline,
        reject::Refusal,
        server::Phase,
        turn::Turn,
        wire::{Answers, Refusing, Watched, last_words},
        worker::Worker,
    },
    LAST_REQUEST,
    first::Reread,
};
use crate::config::Limits;

/// hyper's own default; keeping it keeps the header table off the heap.
const DEFAULT_HEADER_COUNT: usize = 100;
/// The smallest head buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8192;
/// Answers the requests of a connection until it ends; an error says that it ended early, with the kind
/// `ConnectionAborted` when that may be all that tells half an answer from a whole one: a client of HTTP/1.0 reads
/// until the end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Rc<Peer>,
    worker: Rc<Worker>,
    phase: &watch::Receiver<Phase>,
) -> io::Result<()> {
    let limits = worker.serving().snapshot.limits.clone();
    let turn = Rc::new(Turn::default());
    worker.turns.add(&turn);
    if *phase.borrow() != Phase::Running {
        turn.finish_up();
    }
    let (wire, watch) = Watched::new(stream, limits.header_bytes.as_usize());
    let watch = Rc::new(watch);
    let unread = Unread { turn: Rc::clone(&turn), worker: Rc::clone(&worker), peer: Rc::clone(&peer) };
    let wire = Refusing::new(wire, unread);
    let its_turn = Rc::clone(&turn);
    let closing = Rc::new(Cell::new(false));
    let is_closing = Rc::clone(&closing);
    let old = Rc::new(Cell::new(false));
    let is_old = Rc::clone(&old);
    let hatch = Rc::new(Cell::new(None));
    let its_hatch = Rc::clone(&hatch);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (watch, number) = (Rc::clone(&watch), watch.mark(&mut request));
        is_old.set(request.version() < Version::HTTP_11);
        let (worker, peer, turn) = (Rc::clone(&worker), Rc::clone(&peer), Rc::clone(&its_turn));
        let (is_closing, hatch) = (Rc::clone(&is_closing), Rc::clone(&its_hatch));
        // In memory of its own, which a connection that waits for a request does not hold.
        Box::pin(async move {
            let request = request.map(|body| Inbound::in_turn(body, &watch, number));
            let (mut response, tunnel) = pipeline::handle(&worker, &peer, &turn, request).await;
            if let Some(tunnel) = tunnel {
                hatch.set(Some(tunnel));
            } else if is_closing.get() || !watch.is_read(number) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut serving = http(&limits).serve_connection(TokioIo::new(wire), service);
    let ended = |why: Box<dyn Error + Send + Sync>| {
        let open_ended = old.get() && turn.is_taken();
        io::Error::new(if open_ended { io::ErrorKind::ConnectionAborted } else { io::ErrorKind::Other }, why)
    };
    let talking = async {
        tokio::select! {
            biased;
            outcome = &mut serving => outcome,
            () = turn.is_last() => {
                closing.set(true);
                if let Ok(outcome) = tokio::time::timeout(LAST_REQUEST, &mut serving).await {
                    outcome
                } else {
                    std::pin::Pin::new(&mut serving).graceful_shutdown();
                    (&mut serving).await
                }
            }
        }
    };
    tokio::select! {
        biased;
        outcome = talking => outcome.map_err(|error| ended(Box::new(error)))?,
        () = turn.is_cut() => return Err(ended("the credential has ended".into())),
    }
    if let Some(tunnel) = hatch.take() {
        // What came behind the request was meant for whoever is there now.
        let Parts { io, read_buf, .. } = serving.into_parts();
        // In memory of its own: a connection that waits for a request has no room for it.
        Box::pin(tunnel.run(Reread::new(read_buf, io.into_inner().into_inner()))).await;
    }
    Ok(())
}

/// What a connection says to what hyper could not read.
struct Unread {
    turn: Rc<Turn>,
    worker: Rc<Worker>,
    peer: Rc<Peer>,
}

impl Answers for Unread {
    fn is_answering(&self) -> bool {
        self.turn.is_taken()
    }

    fn flushed(&self) {
        self.turn.flushed();
    }

    fn closes(&self) {
        self.turn.closes();
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Bytes> {
        let id = self.worker.refused_unread(&self.peer, refusal);
        let mut response = refusal.response(&self.worker.serving().snapshot.rules.profile, &id);
        last_words(response.headers_mut(), id, self.worker.gateway.clock.now());
        response
    }
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // How long a head may take is watched by the worker, for all of its connections at once.
    http.header_read_timeout(None).max_buf_size(limits.header_bytes.as_usize().max(SMALLEST_BUFFER));
    if usize::from(limits.header_count) != DEFAULT_HEADER_COUNT {
        http.max_headers(usize::from(limits.header_count));
    }
    http
}
