//! What is said in HTTP/2: many requests at a time, each a stream of its own, each judged as if it were alone.
//!
//! What one connection may hold in memory, with the default of 100 streams: 1 MiB of bodies that nobody has read yet,
//! and for each stream 32 KiB of headers (`limits.header_bytes`) and 64 KiB of an answer that the client has not taken;
//! 11 MiB in all, of a client that does its worst. An idle connection holds some 20 KiB.

mod streams;

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason,
    server::{Builder, Connection},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};

use self::streams::Streams;
use super::{
    super::{peer::Peer, server::Phase, stream::Pulse, wire::Frames, worker::Worker},
    LAST_REQUEST, draining,
};
use crate::{
    config::Limits,
    runtime::gather::{Gathering, Outlet},
};

/// Of a request's body, what may be on its way unread: for each stream, and for all of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Of an answer, what waits in memory for a client that does not take it.
const SEND_BUFFER: usize = 64 << 10;
/// The least that HTTP/2 allows: a larger frame is only held longer before anybody sees it.
const FRAME: u32 = 16 << 10;
/// Streams that a client has opened and reset before we saw them; more end the connection.
const UNSEEN_RESETS: usize = 20;
/// Streams that we had to reset because of what the client sent on them; more end the connection.
const OUR_RESETS: usize = 100;
/// A connection on which nothing comes for so many looks is asked whether it is still there, and has until the next one.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const QUIET_LOOKS: u32 = 3;

/// Answers the requests of a connection until it ends; an error says that it ended early.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Rc<Peer>,
    worker: Rc<Worker>,
    phase: &mut watch::Receiver<Phase>,
) -> io::Result<()> {
    let limits = worker.serving().snapshot.limits.clone();
    let (frames, heard) = Frames::new(stream, limits.header_timeout);
    let (wire, outlet) = Gathering::new(frames);
    // In memory of its own, which nobody holds who was greeted.
    let mut connection = Box::pin(greet(&limits, wire, &outlet, phase)).await?;
    let mut pulse = Pulse::new(connection.ping_pong(), LOOK_EVERY, QUIET_LOOKS);
    let streams = Streams::new(peer, worker, usize::from(limits.header_count));
    let mut looks = interval(limits.header_timeout / 2);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    let mut gleaning = interval(limits.send_timeout / 2);
    gleaning.set_missed_tick_behavior(MissedTickBehavior::Delay);
    gleaning.tick().await;
    let (mut last, mut quiet, mut ending) = (heard.count(), 0, false);
    loop {
        tokio::select! {
            outcome = poll_fn(|context| turn(&mut connection, &streams, &outlet, context)) => return outcome,
            () = draining(phase), if !ending => {
                connection.graceful_shutdown();
                (ending, quiet) = (true, 0);
            }
            _ = gleaning.tick() => streams.give_up_forgotten(),
            () = pulse.is_lost(|| outlet.heard(), || true) => connection.abrupt_shutdown(Reason::NO_ERROR),
            _ = looks.tick() => {
                let moved = last != heard.count();
                last = heard.count();
                // Whoever takes an answer slowly, all of which the library has, says nothing meanwhile. How slowly, is the
                // socket's affair.
                quiet = if moved || streams.are_open() || outlet.is_stuck() { 0 } else { quiet + 1 };
                match quiet {
                    // It was told to go, and does not even say that it heard.
                    1.. if ending => return Ok(()),
                    2.. => {
                        connection.graceful_shutdown();
                        (ending, quiet) = (true, 0);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Exchanges first words. How long the client may take for its own is watched below.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    limits: &Limits,
    wire: Gathering<Frames<S>>,
    outlet: &Outlet<Frames<S>>,
    phase: &mut watch::Receiver<Phase>,
) -> io::Result<Connection<Gathering<Frames<S>>, Bytes>> {
    let mut greeting = Builder::new()
        .max_concurrent_streams(limits.h2_streams.get())
        .max_header_list_size(u32::try_from(limits.header_bytes.0).unwrap_or(u32::MAX))
        .max_frame_size(FRAME)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(Some(OUR_RESETS))
        .handshake(wire);
    let mut greeted = pin!(poll_fn(|context| {
        let outcome = Pin::new(&mut greeting).poll(context).map_err(io::Error::other);
        outlet.poll_turn(outcome, context)
    }));
    tokio::select! {
        greeted = &mut greeted => greeted,
        // As for a first request: it may be on its way.
        () = draining(phase) => timeout(LAST_REQUEST, greeted).await?,
    }
}

/// Lets a connection do all that it can, and sends what that has brought in one piece.
fn turn<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<Gathering<Frames<S>>, Bytes>,
    streams: &Rc<Streams>,
    outlet: &Outlet<Frames<S>>,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let outcome = loop {
        match connection.poll_accept(context) {
            Poll::Ready(Some(Ok((request, respond)))) => streams.begin(request, respond),
            Poll::Ready(Some(Err(error))) => break Poll::Ready(Err(io::Error::other(error))),
            Poll::Ready(None) => break Poll::Ready(Ok(())),
            Poll::Pending => break Poll::Pending,
        }
    };
    outlet.poll_turn(outcome, context)
}
