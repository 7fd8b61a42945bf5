//! One connection of a client, and what comes on it.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use crate::{head, tls};

/// Where to, from where, and how.
pub struct Dial {
    pub address: SocketAddr,
    pub source: Option<IpAddr>,
    pub tls: Option<Arc<ClientConfig>>,
}

/// As far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: usize,
}

pub struct Connection {
    pub stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// A head of which the end has not come yet.
    head: Vec<u8>,
    state: State,
    received: u64,
    pub started: Instant,
}

#[derive(Clone, Copy)]
enum State {
    Idle,
    Head,
    /// So much of the body is still to come.
    Body(Answer, usize),
}

impl Connection {
    /// Connects and shakes hands, and waits for it.
    pub fn dial(dial: &Dial) -> io::Result<Self> {
        let mut stream = connect(dial.address, dial.source)?;
        let tls = match &dial.tls {
            None => None,
            Some(config) => {
                let mut session =
                    ClientConnection::new(Arc::clone(config), tls::name()).map_err(io::Error::other)?;
                while session.is_handshaking() {
                    session.complete_io(&mut stream)?;
                }
                Some(Box::new(session))
            }
        };
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        Ok(Self { stream, tls, head: Vec::new(), state: State::Idle, received: 0, started: Instant::now() })
    }

    /// Whether a request has no answer yet.
    pub fn waits(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Sends a request; it fits into the socket's buffer, because there is none before it.
    pub fn send(&mut self, request: &[u8], started: Instant) -> io::Result<()> {
        (self.state, self.started, self.received) = (State::Head, started, 0);
        match &mut self.tls {
            None => self.stream.write_all(request),
            Some(tls) => {
                tls.writer().write_all(request)?;
                while tls.wants_write() {
                    tls.write_tls(&mut self.stream)?;
                }
                Ok(())
            }
        }
    }

    /// Takes what has come: an answer once it is whole, with all its bytes.
    pub fn take(&mut self, scratch: &mut [u8]) -> io::Result<Option<(Answer, u64)>> {
        if self.tls.is_some() {
            return self.take_sealed(scratch);
        }
        loop {
            let read = match self.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            let whole = self.process(&scratch[..read])?;
            // A read that leaves room has taken everything; the next bytes are a new event.
            if whole.is_some() || read < scratch.len() {
                return Ok(whole);
            }
        }
    }

    fn take_sealed(&mut self, scratch: &mut [u8]) -> io::Result<Option<(Answer, u64)>> {
        let mut whole = None;
        while let Some(tls) = &mut self.tls {
            match tls.read_tls(&mut self.stream) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(whole),
                Err(error) => return Err(error),
            }
            let mut ready = tls.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
            while ready > 0 {
                let Some(tls) = &mut self.tls else { break };
                let read = tls.reader().read(scratch)?;
                ready -= read;
                whole = self.process(&scratch[..read])?.or(whole);
            }
        }
        Ok(whole)
    }

    fn process(&mut self, bytes: &[u8]) -> io::Result<Option<(Answer, u64)>> {
        self.received += bytes.len() as u64;
        match self.state {
            State::Idle => return Err(io::Error::other("bytes that nobody asked for")),
            State::Head if self.head.is_empty() => match head::length(bytes) {
                Some(end) => self.begin(&bytes[..end], bytes.len() - end)?,
                None => self.head.extend_from_slice(bytes),
            },
            State::Head => {
                self.head.extend_from_slice(bytes);
                if let Some(end) = head::length(&self.head) {
                    let head = std::mem::take(&mut self.head);
                    self.begin(&head[..end], head.len() - end)?;
                }
            }
            State::Body(answer, rest) => {
                let rest =
                    rest.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("too long a body"))?;
                self.state = State::Body(answer, rest);
            }
        }
        Ok(match self.state {
            State::Body(answer, 0) => {
                self.state = State::Idle;
                Some((answer, self.received))
            }
            _ => None,
        })
    }

    fn begin(&mut self, head: &[u8], follows: usize) -> io::Result<()> {
        let (status, length) = head::response(head);
        let body = length.ok_or_else(|| {
            io::Error::other(format!("an answer without a length: {}", String::from_utf8_lossy(head)))
        })?;
        let rest = body.checked_sub(follows).ok_or_else(|| io::Error::other("too long a body"))?;
        self.state = State::Body(Answer { status, body }, rest);
        Ok(())
    }
}

/// Connects and waits for it, from another address than the machine would choose where one is named.
pub fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&address.into(), Duration::from_secs(5))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
