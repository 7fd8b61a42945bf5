//! New TLS 1.3 connections, as many as a server takes: connect, shake hands, take leave, wait for the server's end.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;

use crate::{
    Outcome, cpu,
    options::Options,
    report::{Shared, Window, nanos},
    serve::patiently,
    tls,
};

/// `--address A --cores 2,3 --connections 64 --warm S --seconds S --processes 1,2`, and `--hybrid yes`: X25519MLKEM768.
pub fn run(options: &Options) -> Outcome {
    let cores: Vec<usize> = options.list("cores")?;
    let address: SocketAddr = options.needed("address")?;
    let slots = options.value("connections", 64)? / cores.len().max(1);
    let config = tls::config(&["http/1.1"], options.given("hybrid").is_some())?;
    let window = Window {
        warm: Duration::from_secs_f64(options.value("warm", 0.5)?),
        length: Duration::from_secs_f64(options.value("seconds", 2.0)?),
        processes: options.list("processes")?,
        threads: 0,
    };
    let shared = Arc::new(Shared::default());
    let threads: Vec<_> = cores
        .into_iter()
        .map(|core| {
            let (shared, config) = (Arc::clone(&shared), Arc::clone(&config));
            thread::spawn(move || {
                cpu::pin(core);
                shake(address, slots, &config, &shared).map_err(|error| error.to_string())
            })
        })
        .collect();
    let counted = window.watch(&shared);
    let mut latencies = Vec::new();
    for thread in threads {
        latencies.extend(thread.join().map_err(|_| "a thread panicked")??);
    }
    counted.print(latencies);
    Ok(())
}

fn shake(
    address: SocketAddr,
    slots: usize,
    config: &Arc<ClientConfig>,
    shared: &Shared,
) -> io::Result<Vec<u32>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut latencies = Vec::new();
    let mut hands = Vec::new();
    for token in 0..slots {
        hands.push(Hand::reach(address, config, &poll, token)?);
    }
    while !shared.is_over() {
        patiently(poll.poll(&mut events, Some(Duration::ZERO)))?;
        for event in &events {
            let at = event.token().0;
            match hands[at].turn() {
                Ok(false) => continue,
                Ok(true) => {
                    shared.requests.add(1);
                    if shared.is_measuring() {
                        latencies.push(nanos(hands[at].started.elapsed()));
                    }
                }
                Err(error) => shared.fail(|| error.to_string()),
            }
            hands[at] = Hand::reach(address, config, &poll, at)?;
        }
    }
    Ok(latencies)
}

struct Hand {
    stream: TcpStream,
    tls: ClientConnection,
    leaving: bool,
    started: Instant,
}

impl Hand {
    fn reach(address: SocketAddr, config: &Arc<ClientConfig>, poll: &Poll, token: usize) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        // Neither side shall remember ten thousand connections a second.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        poll.registry().register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        let tls = ClientConnection::new(Arc::clone(config), tls::name()).map_err(io::Error::other)?;
        Ok(Self { stream, tls, leaving: false, started: Instant::now() })
    }

    /// True once the server has ended the connection after a whole handshake.
    fn turn(&mut self) -> io::Result<bool> {
        loop {
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if is_early(&error) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if !self.tls.is_handshaking() && !self.leaving {
                self.leaving = true;
                self.tls.send_close_notify();
                continue;
            }
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) if self.leaving => return Ok(true),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    self.tls.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) if is_early(&error) => return Ok(false),
                Err(error) if self.leaving && error.kind() == ErrorKind::ConnectionReset => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
