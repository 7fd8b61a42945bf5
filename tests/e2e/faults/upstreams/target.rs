//! A backend that fails in every way it is told to. What it answers in between can be checked to the last byte, and it
//! knows how often it has seen each request.

use std::{
    collections::HashMap,
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::support::{
    http::{Body, Framing, Head, Reader},
    rawup,
};

/// How a target fares for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Nobody listens, and what was connected is reset.
    Killed,
    /// Connections are taken by the kernel, and nobody says anything.
    Frozen,
    Slow,
    Garbage,
    /// Answers break off, at every place.
    Cut,
    /// Answers before it has read what it is sent.
    Hasty,
    /// Closes as soon as somebody is there.
    Curt,
}

pub(super) const MOODS: [Mood; 8] =
    [Mood::Well, Mood::Killed, Mood::Frozen, Mood::Slow, Mood::Garbage, Mood::Cut, Mood::Hasty, Mood::Curt];

/// One way of not answering as one should.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Late(Duration),
    /// The body in small pieces.
    Trickle,
    /// Stops in the middle of the body, or of the head.
    StallInBody,
    StallInHead,
    /// These bytes, and the end.
    Say(&'static str),
    ManyHeaders,
    ManyInterims,
    /// A second answer behind the right one.
    Twice,
    /// More bytes than were announced.
    Surplus,
    BadChunk,
    CutLength(bool),
    CutChunked(bool),
    /// Reset in a body that lasts until the end of the connection.
    CutToTheEnd,
    /// The request is read, nothing is said.
    Gone(bool),
    /// The answer, then the body is read to its end.
    Early,
    /// The answer, then the end.
    EarlyAndGone,
}

const SLOW: &[Fault] = &[
    Fault::Late(Duration::from_millis(250)),
    Fault::Late(Duration::from_millis(1_500)),
    Fault::Trickle,
    Fault::Trickle,
    Fault::StallInBody,
    Fault::StallInHead,
];
const GARBAGE: &[Fault] = &[
    Fault::Say("HTTP/1.1 abc OK\r\n\r\n"),
    Fault::Say("SSH-2.0-OpenSSH_9.2\r\n"),
    Fault::Say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    Fault::Say(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    Fault::Say("HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n"),
    Fault::Say("\x15\x03\x01\0\x02\x02\x46"),
    Fault::ManyHeaders,
    Fault::ManyInterims,
    Fault::Twice,
    Fault::Surplus,
    Fault::BadChunk,
];
const CUT: &[Fault] = &[
    Fault::CutLength(false),
    Fault::CutLength(true),
    Fault::CutChunked(false),
    Fault::CutChunked(true),
    Fault::CutToTheEnd,
    Fault::Gone(false),
    Fault::Gone(true),
    Fault::Say("HTTP/1.1 200 OK\r\nContent-Le"),
];
const HASTY: &[Fault] = &[Fault::Early, Fault::EarlyAndGone];

/// How often each request was seen, by all targets together.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger(Arc<Mutex<HashMap<u64, usize>>>);

impl Ledger {
    pub(super) fn note(&self, id: u64) {
        *lock(&self.0).entry(id).or_default() += 1;
    }

    pub(super) fn seen(&self) -> HashMap<u64, usize> {
        lock(&self.0).clone()
    }
}

/// The target; its connections end with it.
pub(super) struct Target {
    address: SocketAddr,
    /// Keeps the port while nobody listens on it.
    place: Socket,
    stage: Arc<Stage>,
}

struct Stage {
    number: u64,
    mood: Mutex<Mood>,
    changed: Condvar,
    ledger: Ledger,
    listener: Mutex<Option<TcpListener>>,
    streams: Mutex<HashMap<u64, TcpStream>>,
}

impl Target {
    pub(super) fn start(number: u64, ledger: &Ledger) -> Self {
        let place = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = place.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let stage = Arc::new(Stage {
            number,
            mood: Mutex::new(Mood::Well),
            changed: Condvar::new(),
            ledger: ledger.clone(),
            listener: Mutex::default(),
            streams: Mutex::default(),
        });
        let target = Self { address, place, stage };
        target.listen();
        target
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn fares(&self, mood: Mood) {
        let before = std::mem::replace(&mut *lock(&self.stage.mood), mood);
        self.stage.changed.notify_all();
        if mood == Mood::Killed && before != Mood::Killed {
            self.close();
        } else if before == Mood::Killed && mood != Mood::Killed {
            self.listen();
        }
    }

    fn listen(&self) {
        let socket = socket(self.address);
        socket.listen(128).expect("listen");
        let listener: TcpListener = socket.into();
        let kept = listener.try_clone().expect("a handle");
        *lock(&self.stage.listener) = Some(kept);
        let stage = Arc::clone(&self.stage);
        thread::spawn(move || stage.accept(&listener));
    }

    fn close(&self) {
        if let Some(listener) = lock(&self.stage.listener).take() {
            // Wakes whoever accepts.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
        for (_, stream) in lock(&self.stage.streams).drain() {
            reset(&stream);
            // Wakes whoever reads; its handle, the last, sends the RST when it goes.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.fares(Mood::Killed);
        let _ = self.place.shutdown(Shutdown::Both);
    }
}

impl Stage {
    fn mood(&self) -> Mood {
        *lock(&self.mood)
    }

    fn thaw(&self) {
        let frozen = |mood: &mut Mood| *mood == Mood::Frozen;
        drop(self.changed.wait_while(lock(&self.mood), frozen));
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            self.thaw();
            let Ok((stream, _)) = listener.accept() else { return };
            let Ok(kept) = stream.try_clone() else { continue };
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            lock(&self.streams).insert(number, kept);
            let stage = Arc::clone(&self);
            thread::spawn(move || {
                // What becomes of a connection is what the clients tell.
                let _ = stage.serve(stream);
                lock(&stage.streams).remove(&number);
            });
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(STUCK))?;
        let mut reader = Reader::new(stream);
        self.thaw();
        if self.mood() == Mood::Curt {
            return Ok(());
        }
        loop {
            let Some(head) = reader.head()? else { return Ok(()) };
            self.thaw();
            let mut words = head.first.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if target == "/healthz" {
                // Whatever its requests meet, it says that it is well: it is there.
                reader.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            let id =
                target.rsplit('/').next().and_then(|id| id.parse().ok()).expect("a request of this test");
            self.ledger.note(id);
            if head.fields.one("upgrade").is_some() && !matches!(self.mood(), Mood::Killed | Mood::Curt) {
                return self.echo(&mut reader);
            }
            if target.contains("/events/") && matches!(self.mood(), Mood::Well | Mood::Frozen) {
                self.trickle(&mut reader.stream, id)?;
                reader.record.clear();
                continue;
            }
            let faults = match self.mood() {
                Mood::Slow => SLOW,
                Mood::Garbage => GARBAGE,
                Mood::Cut => CUT,
                Mood::Hasty => HASTY,
                Mood::Killed | Mood::Curt => return Ok(()),
                Mood::Well | Mood::Frozen => &[Fault::None],
            };
            let chosen = mix(id.wrapping_add(self.number << 40)) % faults.len() as u64;
            let goes_on =
                respond(&mut reader, &head, method, id, faults[usize::try_from(chosen).unwrap_or(0)])?;
            if !goes_on {
                return Ok(());
            }
            reader.record.clear();
        }
    }
}

impl Stage {
    /// Goes on in another protocol: what is said comes back.
    fn echo(&self, reader: &mut Reader<TcpStream>) -> io::Result<()> {
        reader.stream.write_all(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")?;
        loop {
            let said = reader.take_surplus();
            self.thaw();
            reader.stream.write_all(&said)?;
            if reader.fill()? == 0 {
                return Ok(());
            }
        }
    }

    /// A right answer that takes its time.
    fn trickle(&self, out: &mut TcpStream, id: u64) -> io::Result<()> {
        let answer = content(id);
        write!(out, "HTTP/1.1 200 OK\r\nX-Tag: {id}\r\nX-Mark: whole\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for piece in answer.chunks(answer.len() / 20 + 1) {
            self.thaw();
            out.write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())?;
            thread::sleep(Duration::from_millis(50));
        }
        out.write_all(b"0\r\n\r\n")
    }
}

/// Whether the connection goes on.
fn respond(
    reader: &mut Reader<TcpStream>,
    head: &Head,
    method: &str,
    id: u64,
    fault: Fault,
) -> io::Result<bool> {
    let early = format!("HTTP/1.1 200 OK\r\nX-Tag: {id}\r\nX-Mark: early\r\nContent-Length: 5\r\n\r\nearly");
    match fault {
        Fault::Early => reader.stream.write_all(early.as_bytes())?,
        Fault::EarlyAndGone => {
            reader.stream.write_all(early.as_bytes())?;
            return Ok(false);
        }
        _ => {}
    }
    if head.fields.one("expect").is_some() {
        reader.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Body::default();
    reader.body(Framing::of(&head.fields, Framing::None)?, &mut body)?;
    let out = &mut reader.stream;
    let answer = if method == "POST" {
        format!("{} {}", body.length, body.sum.finalize()).into_bytes()
    } else {
        content(id)
    };
    let marked =
        |mark: &str, more: &str| format!("HTTP/1.1 200 OK\r\nX-Tag: {id}\r\nX-Mark: {mark}\r\n{more}\r\n");
    let with_length = |mark: &str, length: usize| marked(mark, &format!("Content-Length: {length}\r\n"));
    let half = answer.len() / 2;
    match fault {
        Fault::Early => return Ok(true),
        Fault::EarlyAndGone => {}
        Fault::None | Fault::Late(_) => {
            if let Fault::Late(late) = fault {
                thread::sleep(late);
            }
            return whole(out, id, &answer).map(|()| id % 10 != 9);
        }
        Fault::Trickle => {
            out.write_all(with_length("whole", answer.len()).as_bytes())?;
            for piece in answer.chunks(answer.len() / 8 + 1) {
                out.write_all(piece)?;
                thread::sleep(Duration::from_millis(40));
            }
            return Ok(true);
        }
        Fault::StallInBody | Fault::StallInHead => {
            let head = with_length("whole", answer.len() + 1);
            let head = if matches!(fault, Fault::StallInHead) { &head[..30] } else { &head };
            out.write_all(head.as_bytes())?;
            if matches!(fault, Fault::StallInBody) {
                out.write_all(&answer)?;
            }
            while reader.fill()? > 0 {}
        }
        Fault::Say(words) => out.write_all(words.as_bytes())?,
        Fault::ManyHeaders => out.write_all(marked("whole", &"X-A: 1\r\n".repeat(100_000)).as_bytes())?,
        Fault::ManyInterims => {
            out.write_all("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(50_000).as_bytes())?;
        }
        Fault::Twice => {
            let poison =
                "HTTP/1.1 200 OK\r\nX-Tag: poison\r\nX-Mark: whole\r\nContent-Length: 6\r\n\r\npoison";
            let first = [with_length("whole", answer.len()).as_bytes(), &answer, poison.as_bytes()].concat();
            out.write_all(&first)?;
            return Ok(true);
        }
        Fault::Surplus => {
            out.write_all(&[with_length("half", half).as_bytes(), &answer].concat())?;
            return Ok(true);
        }
        Fault::BadChunk => {
            out.write_all(marked("whole", "Transfer-Encoding: chunked\r\n").as_bytes())?;
            out.write_all(b"3\r\nabc\r\nzz\r\nabc\r\n0\r\n\r\n")?;
        }
        Fault::CutLength(hard) => {
            out.write_all(&[with_length("whole", answer.len() + 1).as_bytes(), &answer[..half]].concat())?;
            end(out, hard);
        }
        Fault::CutChunked(hard) => {
            let head = marked("whole", "Transfer-Encoding: chunked\r\n");
            let size = format!("{:x}\r\n", answer.len() + 1);
            out.write_all(&[head.as_bytes(), size.as_bytes(), &answer[..half]].concat())?;
            end(out, hard);
        }
        Fault::CutToTheEnd => {
            out.write_all(&[marked("whole", "Connection: close\r\n").as_bytes(), &answer[..half]].concat())?;
            // What is in flight is not to overtake the answer, or the client has nothing to be misled by.
            thread::sleep(Duration::from_millis(5));
            end(out, true);
        }
        Fault::Gone(hard) => end(out, hard),
    }
    Ok(false)
}

/// A right answer, framed in one of the three ways.
fn whole(out: &mut TcpStream, id: u64, answer: &[u8]) -> io::Result<()> {
    write!(out, "HTTP/1.1 200 OK\r\nX-Tag: {id}\r\nX-Mark: whole\r\n")?;
    match id % 10 {
        9 => {
            out.write_all(b"Connection: close\r\n\r\n")?;
            out.write_all(answer)
        }
        5..9 => {
            out.write_all(b"Transfer-Encoding: chunked\r\n\r\n")?;
            for piece in answer.chunks(10_007) {
                write!(out, "{:x}\r\n", piece.len())?;
                out.write_all(piece)?;
                out.write_all(b"\r\n")?;
            }
            out.write_all(b"0\r\n\r\n")
        }
        _ => {
            write!(out, "Content-Length: {}\r\n\r\n", answer.len())?;
            out.write_all(answer)
        }
    }
}

/// It ends behind what was said: in peace, or not.
fn end(stream: &TcpStream, hard: bool) {
    if hard {
        reset(stream);
    }
}

/// What a request with this number is answered, or carries: seldom more than some kilobytes.
pub(super) fn content(id: u64) -> Vec<u8> {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(rawup::pattern);
    let most = match id % 16 {
        0 => 1,
        1..11 => 1_500,
        11..15 => 40_000,
        _ => 300_000,
    };
    let from = usize::try_from(mix(id) % pattern.len() as u64).unwrap_or(0);
    let length = usize::try_from(mix(!id) % most).unwrap_or(0);
    pattern.iter().cycle().skip(from).take(length).copied().collect()
}

/// A number that looks like chance and is the same each time.
pub(super) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("the address again");
    socket.set_reuse_port(true).expect("the port twice");
    socket.bind(&SockAddr::from(address)).expect("a port for the target");
    socket
}

fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a write may take to somebody who does not read.
const STUCK: Duration = Duration::from_secs(20);
