//! Connections to backends: over TCP, TCP and TLS, or a socket in the file system.

use std::{
    future::{Future as _, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    path::PathBuf,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    task::coop::unconstrained,
};

use super::tls::client::{HandshakeError, Secured, Server};

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// Over the network.
    Tcp(SocketAddr),
    /// Within the machine.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Tcp(TcpStream),
    /// Within the machine.
    Unix(UnixStream),
    /// Encrypted, to a server that proved who it is. Its state is large, and the others would carry its size.
    Tls(Box<Secured>),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It was refused, or there is no way.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// It stood, and the other side was not who it should be.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// Connects; `server` is who has to be there, for TLS.
pub async fn dial(address: &Address, server: Option<&Server>) -> Result<Stream, DialError> {
    let stream = match address {
        Address::Unix(path) => return Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Address::Tcp(address) => TcpStream::connect(address).await?,
    };
    // Heads and bodies are written whole; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    match server {
        None => Ok(Stream::Tcp(stream)),
        Some(server) => Ok(Stream::Tls(Box::new(server.prove(stream).await?))),
    }
}

/// Does the same with whichever it is.
macro_rules! each {
    ($stream:expr, $one:ident => $what:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($one) => $what,
            Stream::Unix($one) => $what,
            Stream::Tls($one) => $what,
        }
    };
}

impl Stream {
    /// Whether it is open and has nothing to say; nobody is told when that changes. What it has said is lost.
    pub fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tls(stream) => {
                let reading = poll_fn(|context| {
                    Pin::new(&mut **stream).poll_read(context, &mut ReadBuf::new(&mut byte))
                });
                // A task that has done its share for now would be told that nothing has come, whatever has.
                let looked = pin!(unconstrained(reading)).poll(&mut Context::from_waker(Waker::noop()));
                return looked.is_pending();
            }
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
