//! The floor: bytes are passed on and not looked at, which no proxy on this machine can do for less.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::SocketAddr,
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use slab::Slab;

use crate::{
    Outcome,
    options::Options,
    serve::{Waiting, listen, patiently},
};

/// `--listen ADDRESS --upstream ADDRESS`
pub fn run(options: &Options) -> Outcome {
    Ok(relay(options.needed("listen")?, options.needed("upstream")?)?)
}

fn relay(address: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = listen(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut pairs: Slab<Pair> = Slab::new();
    loop {
        patiently(poll.poll(&mut events, Waiting::Sleeping.timeout()))?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let mut ends = [client, TcpStream::connect(upstream)?];
                    let entry = pairs.vacant_entry();
                    for (side, end) in ends.iter_mut().enumerate() {
                        end.set_nodelay(true)?;
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(end, Token(2 * entry.key() + side), interest)?;
                    }
                    entry.insert(Pair { ends, flows: [Flow::default(), Flow::default()] });
                }
                continue;
            }
            let (at, side) = (event.token().0 / 2, event.token().0 % 2);
            let Some(pair) = pairs.get_mut(at) else { continue };
            let mut outcome = Ok(());
            if event.is_readable() {
                outcome = pair.pass(side);
            }
            if event.is_writable() && pair.flows[1 - side].waits() {
                outcome = outcome.and(pair.pass(1 - side));
            }
            if outcome.is_err() {
                pairs.remove(at);
            }
        }
    }
}

struct Pair {
    ends: [TcpStream; 2],
    /// What came from the end of the same number.
    flows: [Flow; 2],
}

impl Pair {
    /// Passes on what comes from one side, as long as there is some and the other takes it.
    fn pass(&mut self, from: usize) -> io::Result<()> {
        let flow = &mut self.flows[from];
        let mut drained = false;
        loop {
            let step = if flow.waits() {
                self.ends[1 - from]
                    .write(&flow.bytes[flow.sent..flow.filled])
                    .map(|written| flow.sent += written)
            } else if drained {
                return Ok(());
            } else {
                self.ends[from].read(&mut flow.bytes).and_then(|read| {
                    (flow.sent, flow.filled) = (0, read);
                    drained = read < flow.bytes.len();
                    if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
                })
            };
            match step {
                Ok(()) => {}
                // The upstream's connection may still be on its way.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

struct Flow {
    bytes: Vec<u8>,
    sent: usize,
    filled: usize,
}

impl Default for Flow {
    fn default() -> Self {
        Self { bytes: vec![0; 32 * 1024], sent: 0, filled: 0 }
    }
}

impl Flow {
    fn waits(&self) -> bool {
        self.sent < self.filled
    }
}

const LISTENER: Token = Token(usize::MAX);
