//! An HTTP/1.1 server for requests without bodies: one thread, one answer for each head.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use slab::Slab;
use socket2::{Domain, Socket, Type};

use crate::head;

/// What a server says.
pub trait Service {
    /// The whole answer, head and body.
    fn answer(&self, head: &[u8]) -> Cow<'_, [u8]>;
}

/// Whether an event loop rests while there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    Spinning,
    Sleeping,
}

impl Waiting {
    /// How long to wait for events.
    pub fn timeout(self) -> Option<Duration> {
        (self == Self::Spinning).then_some(Duration::ZERO)
    }
}

/// Serves until the process is ended.
pub fn serve(address: SocketAddr, service: &impl Service, waiting: Waiting) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = listen(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection<'_>> = Slab::new();
    loop {
        patiently(poll.poll(&mut events, waiting.timeout()))?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = connections.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(entry.key()), interest)?;
                    entry.insert(Connection::new(stream));
                }
            } else if let Some(connection) = connections.get_mut(event.token().0)
                && connection.turn(service).is_err()
            {
                connections.remove(event.token().0);
            }
        }
    }
}

/// A listener with a backlog that ten thousand clients fit into.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(16 * 1024)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A signal is no reason to end.
pub fn patiently(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        other => other,
    }
}

struct Connection<'s> {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    /// An answer, and how much of it is sent.
    pending: Option<(Cow<'s, [u8]>, usize)>,
}

impl<'s> Connection<'s> {
    fn new(stream: TcpStream) -> Self {
        Self { stream, input: vec![0; INPUT], filled: 0, pending: None }
    }

    /// Does what can be done now. An error is the connection's end.
    fn turn(&mut self, service: &'s impl Service) -> io::Result<()> {
        // A read that leaves room has taken everything; the next bytes are a new event.
        let mut drained = false;
        loop {
            if let Some((answer, sent)) = &mut self.pending {
                match self.stream.write(&answer[*sent..]) {
                    Ok(written) => *sent += written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
                if *sent < answer.len() {
                    continue;
                }
                self.pending = None;
            }
            if let Some(length) = head::length(&self.input[..self.filled]) {
                self.pending = Some((service.answer(&self.input[..length]), 0));
                self.input.copy_within(length..self.filled, 0);
                self.filled -= length;
                continue;
            }
            if drained {
                return Ok(());
            }
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.filled += read;
                    drained = self.filled < self.input.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

const LISTENER: Token = Token(usize::MAX);
/// Longer than any head here.
const INPUT: usize = 8 * 1024;
