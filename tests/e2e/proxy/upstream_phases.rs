//! How a target dies, in each phase of a request and over each transport: what the client is told, whether another
//! target is asked, and that the next request is served.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use toml::Value;

use crate::support::{
    frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Wire},
    front::{self, Authority, Terms},
    program::{Program, Site},
    rawup::{Answer, Upstream},
    setup::Setup,
    wrong::Wrong,
};

const PATIENCE: &str = "400ms";
/// The patience, and what a busy machine adds.
const SOON: Duration = Duration::from_secs(5);

fn upstream(setup: Setup, name: &str, targets: &[&str]) -> Setup {
    let list: Vec<_> = targets.iter().map(|target| Value::from(*target)).collect();
    setup
        .upstream(name, targets[0])
        .set("upstream.targets", list)
        .set("upstream.balance", "round_robin")
        .set("upstream.timeouts.connect", PATIENCE)
        .set("upstream.timeouts.response", PATIENCE)
        // What may be tried again is soon there again.
        .set("upstream.timeouts.idle", "800ms")
        .route(&format!(
            "name = \"{name}\"\npath = \"/{name}/{{*rest}}\"\nupstream = \"{name}\"\ncredentials = [\"none\"]"
        ))
}

/// In one word: `200 good`, `502 upstream_protocol`, or `cut` for an answer that visibly has no end.
fn outcome(program: &Program, method: &str, target: &str, body: &str) -> String {
    let mut client = program.gateway().connect();
    client.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    match client.try_receive(method) {
        Ok(Some(answer)) if answer.status == 200 => format!("200 {}", answer.text()),
        Ok(Some(answer)) => answer.verdict(),
        Ok(None) | Err(_) => "cut".to_owned(),
    }
}

/// Asks until it is the first one's turn, which has served by then.
fn first_is_next(program: &Program) {
    let ask = || outcome(program, "GET", "/app/ok", "");
    while ask() != "200 dying" {}
    while ask() != "200 good" {}
}

struct Row {
    phase: &'static str,
    answer: fn() -> Answer,
    get: &'static str,
    post: &'static str,
}

const ROWS: [Row; 12] = [
    Row {
        phase: "gone",
        answer: || Answer::Close(Vec::new()),
        get: "200 good",
        post: "502 upstream_protocol",
    },
    Row {
        phase: "reset",
        answer: || Answer::Reset(Vec::new()),
        get: "200 good",
        post: "502 upstream_protocol",
    },
    Row {
        phase: "in-head",
        answer: || Answer::Close(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        get: "200 good",
        post: "502 upstream_protocol",
    },
    Row {
        phase: "silent",
        answer: || Answer::Stall(Vec::new()),
        get: "504 upstream_timeout",
        post: "504 upstream_timeout",
    },
    Row {
        phase: "silent-in-head",
        answer: || Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        get: "504 upstream_timeout",
        post: "504 upstream_timeout",
    },
    Row { phase: "in-body", answer: || Answer::Close(half()), get: "cut", post: "cut" },
    Row { phase: "reset-in-body", answer: || Answer::Reset(half()), get: "cut", post: "cut" },
    Row { phase: "silent-in-body", answer: || Answer::Stall(half()), get: "cut", post: "cut" },
    Row { phase: "in-chunk", answer: || Answer::Close(chunks("5\r\nhel")), get: "cut", post: "cut" },
    Row {
        phase: "between-chunks",
        answer: || Answer::Close(chunks("5\r\nhello\r\n")),
        get: "cut",
        post: "cut",
    },
    Row {
        phase: "surplus",
        answer: || {
            Answer::bytes(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ndyingHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
            )
        },
        get: "200 dying",
        post: "200 dying",
    },
    Row {
        phase: "slow",
        answer: || {
            thread::sleep(Duration::from_millis(150));
            Answer::ok("dying")
        },
        get: "200 dying",
        post: "200 dying",
    },
];

fn half() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()
}

fn chunks(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}").into_bytes()
}

/// The same over plain connections, TLS and sockets in the file system.
#[test]
fn a_target_that_dies_in_any_phase_costs_one_request_at_most() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new("Backends");
    let ca = authority.write(&folder.path().join("ca.pem"));
    let mut wrong = Wrong::default();
    for transport in ["plain", "TLS", "socket"] {
        let dying = Upstream::start(|request| {
            let phase = request.target.rsplit('/').next().unwrap_or_default();
            let row = ROWS.iter().find(|row| row.phase == phase);
            row.map_or_else(|| Answer::ok("dying"), |row| (row.answer)())
        });
        let good = Upstream::start(|_| Answer::ok("good"));
        let place = |upstream: &Upstream, number: usize| match transport {
            "plain" => upstream.url(),
            "TLS" => {
                let terms = Terms::usual(authority.certify(&["127.0.0.1"], 2099));
                format!("https://{}", front::tls(upstream.address(), terms).0)
            }
            _ => {
                let path = folder.path().join(format!("{number}.sock"));
                front::socket(&path, upstream.address());
                format!("unix:{}", path.display())
            }
        };
        let targets = [place(&dying, 0), place(&good, 1)];
        let setup = Setup::bare("offload").set("listen.workers", 1);
        let setup = upstream(setup, "app", &[&targets[0], &targets[1]]);
        let setup = if transport == "TLS" { trusting(setup, &ca) } else { setup };
        let program = Site::new(setup).serve();
        for row in &ROWS {
            for (method, body, expected) in [("GET", "", row.get), ("POST", "body", row.post)] {
                first_is_next(&program);
                dying.forget();
                good.forget();
                let started = Instant::now();
                let target = format!("/app/{}", row.phase);
                let got = outcome(&program, method, &target, body);
                let time = started.elapsed();
                let attempts = [&dying, &good]
                    .map(|upstream| upstream.requests().iter().filter(|seen| seen.target == target).count());
                let sent = [1, usize::from(expected == "200 good")];
                wrong.unless(got == expected && attempts == sent && time < SOON, || {
                    format!("{transport}, {method} {}: {got}, attempts {attempts:?}, {time:?}", row.phase)
                });
                for _ in 0..2 {
                    let next = outcome(&program, "POST", "/app/ok", "body");
                    wrong.unless(next == "200 dying" || next == "200 good", || {
                        format!("{transport}, after {method} {}: {next}", row.phase)
                    });
                }
            }
        }
    }
    wrong.none("a phase");
}

fn trusting(setup: Setup, ca: &Path) -> Setup {
    setup.set("upstream.tls.ca", ca.to_str().expect("a plain path"))
}

/// Somebody who accepts no connection: the few that its queue takes are there.
fn black_hole() -> (socket2::Socket, Vec<std::net::TcpStream>, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    socket.listen(0).expect("a queue");
    let address = socket.local_addr().expect("its address").as_socket().expect("an address");
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
    }
    (socket, queued, address)
}

/// Accepts, and does this with each connection.
fn accepting(what: impl Fn(std::net::TcpStream) + Send + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || what(stream));
        }
    });
    address
}

/// Nobody there, nobody who answers, and nobody who can prove anything: nothing has left, so that another target takes
/// over whatever the method is; alone, it is told apart.
#[test]
fn a_target_that_cannot_be_connected_to_is_passed_over() {
    let folder = TempDir::new().expect("a folder");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let stale = folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
    let (_socket, _queued, hole) = black_hole();
    let closing = accepting(drop);
    let silent = accepting(|mut stream| while stream.read(&mut [0; 512]).is_ok_and(|count| count > 0) {});
    let talking = accepting(|mut stream| {
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        while stream.read(&mut [0; 512]).is_ok_and(|count| count > 0) {}
    });
    let (unreachable, timeout) = ("502 upstream_unreachable", "504 upstream_timeout");
    let cases = [
        ("refused", format!("http://{gone}"), unreachable),
        ("stale", format!("unix:{}", stale.display()), unreachable),
        ("hole", format!("http://{hole}"), timeout),
        ("closing", format!("https://{closing}"), unreachable),
        ("silent", format!("https://{silent}"), timeout),
        ("talking", format!("https://{talking}"), unreachable),
    ];
    let good = Upstream::start(|_| Answer::ok("good"));
    let mut setup = Setup::bare("offload").set("listen.workers", 1);
    for (name, target, _) in &cases {
        setup = upstream(setup, &format!("{name}-alone"), &[target]);
        for method in ["get", "post"] {
            setup = upstream(setup, &format!("{name}-{method}"), &[target, &good.url()]);
        }
    }
    let program = Site::new(setup).serve();
    let mut wrong = Wrong::default();
    for (name, _, alone) in &cases {
        for (method, which, expected) in
            [("POST", "alone", *alone), ("GET", "get", "200 good"), ("POST", "post", "200 good")]
        {
            good.forget();
            let started = Instant::now();
            let got = outcome(&program, method, &format!("/{name}-{which}/x"), "body");
            let time = started.elapsed();
            let asked = good.count() == usize::from(expected == "200 good");
            wrong.unless(got == expected && asked && time < SOON, || {
                format!("{name}, {method} {which}: {got} after {time:?}")
            });
            let next = outcome(&program, "POST", &format!("/{name}-post/x"), "body");
            wrong.unless(next == "200 good", || format!("{name}, the next: {next}"));
        }
    }
    wrong.none("a way not to connect");
}

/// What a server of HTTP/2 does when a request is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Answer,
    /// GOAWAY that says that nothing was looked at, and the end.
    GoAwayBefore,
    /// GOAWAY in good order after it: this one is answered.
    GoAwayBehind,
    /// GOAWAY with an error, the request among what was looked at, and the end.
    GoAwayFailed,
    Close,
    Reset(u32),
    Silence,
    /// A head, half of a body, and that.
    CutBy(u32),
    CutByTheEnd,
    /// Data behind the end of the answer.
    Surplus,
}

/// A server that is told what to do, frame by frame; counts requests.
struct Frames {
    address: SocketAddr,
    then: Arc<Mutex<(Then, usize)>>,
}

impl Frames {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let then = Arc::new(Mutex::new((Then::Answer, 0)));
        let told = Arc::clone(&then);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                thread::spawn(move || serve(stream, name, &told));
            }
        });
        Self { address, then }
    }

    fn set(&self, then: Then) {
        *self.then.lock().expect("orders") = (then, 0);
    }

    fn count(&self) -> usize {
        self.then.lock().expect("orders").1
    }
}

fn serve(mut stream: std::net::TcpStream, name: &str, told: &Mutex<(Then, usize)>) {
    if stream.read_exact(&mut [0; 24]).is_err() {
        return;
    }
    let mut wire = Wire::accepted(stream);
    while let Ok(Some(frame)) = wire.next() {
        if !matches!(frame.kind, HEADERS | DATA) || frame.flags & END_STREAM == 0 {
            continue;
        }
        let then = {
            let mut told = told.lock().expect("orders");
            told.1 += 1;
            told.0
        };
        let id = frame.stream;
        let goodbye = |last: u32, code: u32| [last.to_be_bytes(), code.to_be_bytes()].concat();
        let head = |wire: &mut Wire| {
            wire.frame(HEADERS, END_HEADERS, id, &[0x88]);
        };
        match then {
            Then::Answer | Then::GoAwayBehind | Then::Surplus => {
                if then == Then::GoAwayBehind {
                    wire.frame(GOAWAY, 0, 0, &goodbye(id, 0));
                }
                head(&mut wire);
                wire.data(id, END_STREAM, name.as_bytes());
                if then == Then::Surplus {
                    wire.data(id, 0, b"poison");
                }
            }
            Then::GoAwayBefore => {
                wire.frame(GOAWAY, 0, 0, &goodbye(id - 2.min(id), 0));
                return;
            }
            Then::GoAwayFailed => {
                wire.frame(GOAWAY, 0, 0, &goodbye(id, 2));
                return;
            }
            Then::Close => return,
            Then::Reset(code) => {
                wire.frame(RST_STREAM, 0, id, &code.to_be_bytes());
            }
            Then::Silence => {}
            Then::CutBy(code) => {
                head(&mut wire);
                wire.data(id, 0, b"half").frame(RST_STREAM, 0, id, &code.to_be_bytes());
            }
            Then::CutByTheEnd => {
                head(&mut wire);
                wire.data(id, 0, b"half");
                return;
            }
        }
    }
}

/// The same for HTTP/2, frame by frame (RFC 9113 sections 6.8 and 8.7): what the server says that it has not looked at
/// goes to another target whatever its method, unless its body is gone; anything else only where that changes nothing.
#[test]
fn a_target_of_http2_that_dies_in_any_phase_costs_one_request_at_most() {
    const FAILED: &str = "502 upstream_protocol";
    const LATE: &str = "504 upstream_timeout";
    // For GET, POST without a body, and with one.
    let rows = [
        (Then::GoAwayBefore, ["200 good", "200 good", FAILED]),
        (Then::GoAwayBehind, ["200 dying"; 3]),
        (Then::GoAwayFailed, ["200 good", FAILED, FAILED]),
        (Then::Close, ["200 good", FAILED, FAILED]),
        (Then::Reset(7), ["200 good", "200 good", FAILED]),
        (Then::Reset(8), ["200 good", FAILED, FAILED]),
        (Then::Reset(2), ["200 good", FAILED, FAILED]),
        (Then::Silence, [LATE; 3]),
        (Then::CutBy(8), ["cut"; 3]),
        (Then::CutBy(0), ["cut"; 3]),
        (Then::CutByTheEnd, ["cut"; 3]),
        (Then::Surplus, ["200 dying"; 3]),
    ];
    let (dying, good) = (Frames::start("dying"), Frames::start("good"));
    let targets = [&dying, &good].map(|server| format!("http://{}", server.address));
    let setup = Setup::bare("offload").set("listen.workers", 1);
    let setup = upstream(setup, "app", &[&targets[0], &targets[1]]).set("upstream.protocol", "h2");
    let program = Site::new(setup).serve();
    let mut wrong = Wrong::default();
    for (then, expected) in rows {
        for ((method, body), expected) in
            [("GET", ""), ("POST", ""), ("POST", "body")].into_iter().zip(expected)
        {
            first_is_next(&program);
            dying.set(then);
            good.set(Then::Answer);
            let started = Instant::now();
            let got = outcome(&program, method, "/app/x", body);
            let (time, sent) = (started.elapsed(), [dying.count(), good.count()]);
            let right = [1, usize::from(expected == "200 good")];
            wrong.unless(got == expected && sent == right && time < SOON, || {
                format!("{then:?}, {method} {body:?}: {got}, attempts {sent:?}, {time:?}")
            });
            dying.set(Then::Answer);
            for _ in 0..2 {
                let next = outcome(&program, "POST", "/app/ok", "body");
                wrong.unless(next == "200 dying" || next == "200 good", || {
                    format!("after {then:?}, {method} {body:?}: {next}")
                });
            }
        }
    }
    wrong.none("a phase");
}
