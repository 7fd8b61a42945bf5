//! An upstream that records every byte of every connection, and answers as its script says.
//!
//! It is the witness for "nothing was forwarded" and "this header did not pass".

use std::{
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;

use super::{
    http::{Body, Fields, Framing, Reader},
    wait,
};

/// A request as the upstream saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The number of the connection it came on, from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
    pub body: Body,
    pub trailers: Fields,
    /// Whether its body came to its proper end.
    pub complete: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }
}

/// What the upstream does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200 with the request as JSON.
    Echo,
    /// These bytes, once the request is complete.
    Bytes(Vec<u8>),
    /// These bytes as soon as the head is there; the body is read afterwards.
    Early(Vec<u8>),
    /// These bytes, then the connection is closed.
    Close(Vec<u8>),
    /// These bytes, then the connection is reset.
    Reset(Vec<u8>),
    /// These bytes, then nothing at all: the connection stays open.
    Stall(Vec<u8>),
    /// These bytes, then everything that comes goes back as it is, until the other side has said all.
    Mirror(Vec<u8>),
    /// The answer, once the gate is opened.
    Held(Gate, Box<Answer>),
    /// 200 with this many bytes of [`pattern`].
    Large(u64),
}

impl Answer {
    /// 200 with this text.
    pub fn ok(text: &str) -> Self {
        Self::status("200 OK", text)
    }

    pub fn status(status: &str, text: &str) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes())
    }

    pub fn bytes(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

/// Holds answers back until it is opened.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().expect("gate") = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let closed = |open: &mut bool| !*open;
        drop(
            self.0
                .1
                .wait_timeout_while(self.0.0.lock().expect("gate"), wait::PATIENCE, closed)
                .expect("gate"),
        );
    }
}

/// A block that repeats in large bodies; its length is prime, so that a lost or doubled buffer changes the sum.
pub fn pattern() -> Vec<u8> {
    (0_u32..65_521).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// Writes `length` bytes of the pattern.
pub fn write_pattern(out: &mut impl Write, mut length: u64) -> io::Result<()> {
    let block = pattern();
    while length > 0 {
        let count = usize::try_from(length).unwrap_or(usize::MAX).min(block.len());
        out.write_all(&block[..count])?;
        length -= count as u64;
    }
    Ok(())
}

/// The CRC-32 of `length` bytes of the pattern.
pub fn pattern_sum(length: u64) -> u32 {
    struct Sum(crc32fast::Hasher);
    impl Write for Sum {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sum = Sum(crc32fast::Hasher::new());
    write_pattern(&mut sum, length).expect("a sum takes everything");
    sum.0.finalize()
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

/// The upstream; it stops when dropped.
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    script: Box<Script>,
    state: Mutex<State>,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// The bytes of each connection, once it has ended or a request on it is complete.
    records: Vec<Vec<u8>>,
    /// A second handle on each, to end it from outside; none once the connection is to be reset.
    streams: Vec<Option<TcpStream>>,
}

impl Upstream {
    /// Answers every request with itself.
    pub fn echo() -> Self {
        Self::start(|_| Answer::Echo)
    }

    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port for the upstream"), script)
    }

    /// At this address, which has to be free.
    pub fn at(address: SocketAddr, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind(address).expect("the upstream's port"), script)
    }

    fn on(listener: TcpListener, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("the upstream's address");
        let seen = Arc::new(Seen {
            script: Box::new(script),
            state: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&seen);
        thread::spawn(move || accepting.accept(&listener));
        Self { address, seen }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn end(&self) {
        if self.seen.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        for stream in self.seen.state().streams.iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }

    /// Every request whose head has arrived, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.state().requests.clone()
    }

    /// The last request; fails the test when there was none.
    pub fn last(&self) -> Request {
        self.requests().pop().expect("a request reached the upstream")
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.seen.state().requests.len()
    }

    /// Waits until so many requests have arrived.
    pub fn wait_for(&self, count: usize) -> Vec<Request> {
        wait::until(&format!("{count} requests at the upstream"), || self.count() >= count);
        self.requests()
    }

    /// Connections ever accepted.
    pub fn connections(&self) -> usize {
        self.seen.state().streams.len()
    }

    /// Connections that have not ended.
    pub fn open_connections(&self) -> usize {
        self.seen.state().streams.iter().flatten().count()
    }

    /// All that came, on all connections.
    pub fn record(&self) -> String {
        let state = self.seen.state();
        state.records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect()
    }

    /// Forgets what it has seen.
    pub fn forget(&self) {
        let mut state = self.seen.state();
        state.requests.clear();
        state.records.iter_mut().for_each(Vec::clear);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end();
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let _ = stream.set_nodelay(true);
            let Ok(kept) = stream.try_clone() else { continue };
            let number = {
                let mut state = self.state();
                state.streams.push(Some(kept));
                state.records.push(Vec::new());
                state.streams.len() - 1
            };
            let seen = Arc::clone(&self);
            thread::spawn(move || {
                let mut reader = Reader::new(stream);
                // How a connection ends is the test's business: what arrived is on record.
                let _ = seen.serve(&mut reader, number);
                let mut state = seen.state();
                state.records[number] = reader.record;
                state.streams[number] = None;
            });
        }
    }

    fn serve(&self, reader: &mut Reader<TcpStream>, connection: usize) -> io::Result<()> {
        while let Some(head) = reader.head()? {
            let mut words = head.first.split(' ').map(ToOwned::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let mut request = Request {
                connection,
                method: word(),
                target: word(),
                version: word(),
                fields: head.fields,
                body: Body::default(),
                trailers: Fields::default(),
                complete: false,
            };
            let index = {
                let mut state = self.state();
                state.requests.push(request.clone());
                state.requests.len() - 1
            };
            let answer = (self.script)(&request);
            if let Answer::Early(bytes) = &answer {
                reader.stream.write_all(bytes)?;
            }
            let framing = Framing::of(&request.fields, Framing::None)?;
            let read = reader.body(framing, &mut request.body);
            request.complete = read.is_ok();
            request.trailers = read.as_ref().ok().cloned().unwrap_or_default();
            {
                let mut state = self.state();
                state.records[connection].clone_from(&reader.record);
                if let Some(seen) = state.requests.get_mut(index) {
                    *seen = request.clone();
                }
            }
            read?;
            if !self.respond(reader, &request, answer)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    fn respond(&self, reader: &mut Reader<TcpStream>, request: &Request, answer: Answer) -> io::Result<bool> {
        match answer {
            Answer::Early(_) => {}
            Answer::Bytes(bytes) => reader.stream.write_all(&bytes)?,
            Answer::Echo => {
                let text = echo(request);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                reader.stream.write_all(head.as_bytes())?;
                if request.method != "HEAD" {
                    reader.stream.write_all(text.as_bytes())?;
                }
            }
            Answer::Large(length) => {
                write!(reader.stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
                write_pattern(&mut reader.stream, length)?;
            }
            Answer::Close(bytes) => {
                reader.stream.write_all(&bytes)?;
                reader.stream.shutdown(Shutdown::Both)?;
                return Ok(false);
            }
            Answer::Reset(bytes) => {
                reader.stream.write_all(&bytes)?;
                socket2::SockRef::from(&reader.stream).set_linger(Some(Duration::ZERO))?;
                // The last handle sends the RST when it goes.
                self.state().streams[request.connection] = None;
                return Ok(false);
            }
            Answer::Stall(bytes) => {
                reader.stream.write_all(&bytes)?;
                while reader.fill()? > 0 {}
                return Ok(false);
            }
            Answer::Mirror(bytes) => {
                reader.stream.write_all(&bytes)?;
                loop {
                    let said = reader.take_surplus();
                    reader.stream.write_all(&said)?;
                    if reader.fill()? == 0 {
                        reader.stream.shutdown(Shutdown::Write)?;
                        return Ok(false);
                    }
                }
            }
            Answer::Held(gate, answer) => {
                gate.pass();
                return self.respond(reader, request, *answer);
            }
        }
        Ok(true)
    }
}

fn echo(request: &Request) -> String {
    json!({
        "method": request.method,
        "target": request.target,
        "fields": request.fields.0,
        "trailers": request.trailers.0,
        "length": request.body.length,
    })
    .to_string()
}
