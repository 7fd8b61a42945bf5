//! Connections that go on in another protocol: WebSocket, and whatever else an upstream agrees to.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use tokio_tungstenite::tungstenite::{
    self, Bytes, Message,
    client::IntoClientRequest as _,
    protocol::{
        CloseFrame, WebSocketConfig,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use crate::support::{
    program::{Program, Site},
    rawc::End,
    rawup::{Answer, Upstream},
    setup::Setup,
    wait,
};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\nX-Agreed: yes\r\nContent-Length: 5\r\n\r\n";

fn asking(key: &str, protocol: &str) -> String {
    format!(
        "GET /api/tunnel HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    )
}

/// An upstream that switches and gives back whatever it gets, and a gateway in front of it.
fn mirror(change: impl FnOnce(Setup) -> Setup) -> (Upstream, Program, String) {
    let upstream = Upstream::start(|request| match request.header("upgrade") {
        Some(_) => Answer::Mirror(SWITCH.as_bytes().to_vec()),
        None => Answer::Echo,
    });
    let site = Site::new(change(Setup::offload(&upstream)));
    let key = site.key(&["--scopes", "scan:read"]).text;
    (upstream, site.serve(), key)
}

/// After a 101 for what was asked bytes pass both ways, what came too early included; the end is told to both sides, and
/// the request's line then says how much it was.
#[test]
fn bytes_pass_both_ways() {
    let (upstream, program, key) = mirror(|setup| setup);
    let mut client = program.gateway().connect();
    client.send(format!("{}early", asking(&key, "h2c, foo")));
    let answer = client.receive();
    assert_eq!(answer.status, 101);
    assert_eq!((answer.header("upgrade"), answer.header("connection")), (Some("foo"), Some("upgrade")));
    assert_eq!((answer.header("x-agreed"), answer.header("content-length")), (Some("yes"), None));
    assert!(answer.header("x-request-id").is_some());
    let seen = upstream.last();
    assert_eq!((seen.header("upgrade"), seen.header("connection")), (Some("foo"), Some("upgrade")));
    assert_eq!((seen.header("x-api-key"), seen.header("x-forwarded-proto")), (None, Some("http")));
    assert_eq!(client.receive_bytes(5), b"early");
    for round in 0..20 {
        // No HTTP is read any more, whatever it looks like.
        let said = format!(
            "GET /admin/pwn{round} HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        client.send(&said);
        assert_eq!(client.receive_bytes(said.len()), said.as_bytes());
    }
    assert!(program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) > 0.5);
    client.send("last").half_close();
    let (end, rest) = client.until_closed();
    assert_eq!((end, rest.as_slice()), (End::Closed, &b"last"[..]));
    let line = program.requests_logged("/api/tunnel", 1).remove(0);
    assert_eq!((line["status"].as_u64(), line["outcome"].as_str()), (Some(101), Some("ok")));
    assert_eq!(line["bytes_in"], line["bytes_out"]);
    assert!(line["bytes_in"].as_u64() > Some(1000), "{line}");
    wait::until("nothing in flight", || {
        program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) < 0.5
    });
    // Nobody else gets that connection.
    assert_eq!(program.key(&key).get("/api/x").status, 200);
    assert_eq!(upstream.connections(), 2);
}

/// B67: who may not, opens nothing; an answer that is none of 101 is an answer.
#[test]
fn a_tunnel_is_only_for_who_was_let_in() {
    let (upstream, program, key) = mirror(|setup| setup);
    let mut client = program.gateway().connect();
    client.send(asking("nobody", "foo"));
    assert_eq!(client.receive().status, 401);
    client.send("GET /admin/pwn HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert_eq!(client.receive().verdict(), "401 credential_missing");
    let mut client = program.gateway().connect();
    client.send(asking(&key, "foo").replace("/api/", "/admin/"));
    assert_eq!(client.receive().verdict(), "403 scope_insufficient");
    assert_eq!(upstream.connections(), 0);
    // With a body the question is not passed on.
    let mut client = program.gateway().connect();
    client.send(asking(&key, "foo").replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"));
    assert_eq!(client.receive().status, 200);
    assert_eq!(upstream.last().header("upgrade"), None);
}

/// An upstream that switches to what nobody asked for is not followed.
#[test]
fn an_upstream_that_switches_to_something_else_is_not_followed() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: bar\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo, bar\r\n\r\n",
    ] {
        let upstream = Upstream::start(move |_| Answer::Mirror(answer.as_bytes().to_vec()));
        let site = Site::new(Setup::offload(&upstream));
        let key = site.key(&["--scopes", "scan:read"]).text;
        let program = site.serve();
        let mut client = program.gateway().connect();
        client.send(asking(&key, "foo"));
        assert_eq!(client.receive().verdict(), "502 upstream_protocol", "{answer}");
    }
}

/// I262: a tunnel in which nobody says anything ends; one in which somebody does, goes on.
#[test]
fn a_tunnel_that_rests_ends() {
    let (_upstream, program, key) = mirror(|setup| setup.set("upstream.timeouts.idle", "600ms"));
    let mut client = program.gateway().connect();
    client.send(asking(&key, "foo"));
    assert_eq!(client.receive().status, 101);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        client.send("tick");
        assert_eq!(client.receive_bytes(4), b"tick");
        thread::sleep(Duration::from_millis(100));
    }
    let rested = Instant::now();
    assert_ne!(client.until_closed().0, End::Open);
    assert!(rested.elapsed() < Duration::from_secs(5));
    let line = program.requests_logged("/api/tunnel", 1).remove(0);
    assert_eq!(line["outcome"], "idle_timeout");
}

/// Of 64 KiB: 200 MiB.
const PIECES: usize = 3200;

/// What the upstream does not take, the client is not asked for.
#[test]
fn a_tunnel_holds_little() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let accepting = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = [0; 64];
        std::io::Read::read_exact(&mut stream, &mut head).expect("the beginning of the request");
        std::io::Write::write_all(&mut stream, SWITCH.as_bytes()).expect("the switch");
        stream
    });
    let site = Site::new(
        Setup::bare("offload")
            .upstream("app", &format!("http://{address}"))
            .route("name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\""),
    );
    let key = site.key(&["--scopes", "scan:read"]).text;
    let program = site.serve();
    let before = program.memory_kib("VmRSS");
    let mut client = program.gateway().connect();
    client.send(asking(&key, "foo"));
    assert_eq!(client.receive().status, 101);
    let kept = accepting.join().expect("the upstream");
    let piece = vec![b'x'; 64 << 10];
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let sending = thread::spawn(move || {
        while count.load(SeqCst) < PIECES && client.try_send(&piece).is_ok() {
            count.fetch_add(1, SeqCst);
        }
        client
    });
    wait::until("a beginning", || sent.load(SeqCst) > 0);
    wait::still("the bytes to stand still", || sent.load(SeqCst));
    assert!(!sending.is_finished(), "200 MiB went into an upstream that takes nothing");
    let grown = program.memory_kib("VmRSS").saturating_sub(before);
    assert!(grown < 24 << 10, "memory grew by {grown} KiB");
    drop(kept);
    let _client = sending.join().expect("the client");
    assert!(sent.load(SeqCst) < PIECES);
}

/// A WebSocket server that gives every message back, for as many connections as come. It ends with the process.
fn echoing_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept(stream) else { return };
                while let Ok(message) = socket.read() {
                    if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// R000_33: WebSocket as its clients and servers speak it: text, binary, fragments, a MiB, ping and pong, close codes.
#[test]
fn websockets_work() {
    let server = echoing_server();
    let site = Site::new(
        Setup::bare("offload")
            .upstream("app", &format!("http://{server}"))
            .route("name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\"\nrequire = \"scan:read\""),
    );
    let key = site.key(&["--scopes", "scan:read"]).text;
    let program = site.serve();
    let open = |key: &str| {
        let stream = TcpStream::connect(program.gateway().0).expect("connect");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a read timeout");
        let mut request = "ws://gw/api/socket".into_client_request().expect("a request");
        request.headers_mut().insert("x-api-key", key.parse().expect("a key"));
        tungstenite::client::client_with_config(request, stream, Some(WebSocketConfig::default()))
            .map_err(|error| error.to_string())
    };
    assert!(open("nobody").is_err(), "the handshake is refused");
    for code in [CloseCode::Normal, CloseCode::Away, CloseCode::Library(4321)] {
        let (mut socket, answer) = open(&key).expect("a WebSocket");
        assert_eq!(answer.status(), 101);
        let large: Vec<u8> =
            (0..1_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        for message in [
            Message::text("hello"),
            Message::text("\u{1f510} \u{e4}\u{f6}\u{fc}"),
            Message::binary(Vec::new()),
            Message::binary(large.clone()),
            Message::text("x".repeat(100_000)),
        ] {
            socket.send(message.clone()).expect("sent");
            assert_eq!(socket.read().expect("its echo"), message);
        }
        // One message in three fragments, with a ping between them.
        for (opcode, last) in [(Data::Text, false), (Data::Continue, false), (Data::Continue, true)] {
            let frame = Frame::message(Bytes::from_static(b"abc"), OpCode::Data(opcode), last);
            socket.send(Message::Frame(frame)).expect("a fragment");
            socket.send(Message::Ping(Bytes::from_static(b"are you there"))).expect("a ping");
        }
        let mut pongs = 0;
        loop {
            match socket.read().expect("a message") {
                Message::Pong(said) => {
                    assert_eq!(said, Bytes::from_static(b"are you there"));
                    pongs += 1;
                }
                other => {
                    assert_eq!(other, Message::text("abcabcabc"));
                    break;
                }
            }
        }
        assert!(pongs >= 1);
        let goodbye = CloseFrame { code, reason: "enough".into() };
        socket.close(Some(goodbye.clone())).expect("a close");
        let answered = loop {
            match socket.read() {
                Ok(Message::Close(frame)) => break frame,
                Ok(_) => {}
                Err(error) => panic!("no close: {error}"),
            }
        };
        assert_eq!(answered.map(|frame| frame.code), Some(code));
    }
    let lines = program.requests_logged("/api/socket", 4);
    assert_eq!(
        lines.iter().filter(|line| line["status"] == 101 && line["outcome"] == "ok").count(),
        3,
        "{lines:?}"
    );
}
