//! What is agreed on in a handshake, and what is not.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};

use super::{House, ask};
use crate::support::{
    program::Site,
    rawc::End,
    rawup::{Answer, Upstream},
    setup::Setup,
    tls::Authority,
    tools::{output, python},
    wait,
};

/// curl, OpenSSL and Python are served, and the upstream hears that the client came by TLS.
#[test]
fn real_clients_are_served() {
    let house = House::new();
    let address = house.program.gateway().0;
    let ca = house.program.site.file("ca.pem", &house.authority.pem);
    let ca = ca.to_str().expect("a path");
    let url = format!("https://localhost:{}/public/x", address.port());
    let curl = output("curl", &["-sS", "--fail", "--http1.1", "--cacert", ca, "-H", "Host: localhost", &url]);
    assert!(!curl.is_empty());
    let code = format!("import requests; print(requests.get({url:?}, verify={ca:?}).status_code)");
    assert_eq!(output(&python(), &["-c", &code]).trim(), "200");
    for request in &house.upstream.requests() {
        assert_eq!(request.fields.one("X-Forwarded-Proto"), Some("https"));
    }
    assert_eq!(house.upstream.count(), 2);
    let said = openssl(&house, &["-servername", "gw", "-verify_return_error", "-CAfile", ca]);
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    assert!(house.program.metric("latchgate_tls_handshakes_total", &[("outcome", "ok")]) >= 3.0);
}

/// What `openssl s_client` has to say about a handshake.
fn openssl(house: &House, arguments: &[&str]) -> String {
    let address = house.program.gateway().0.to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl: run `bash tests/run`");
    let (mut said, mut complained) = (String::new(), String::new());
    child.stdout.take().expect("stdout").read_to_string(&mut said).expect("text");
    child.stderr.take().expect("stderr").read_to_string(&mut complained).expect("text");
    child.wait().expect("its end");
    format!("{said}{complained}")
}

/// N344: TLS 1.2 and 1.3 alone, with authenticated encryption and forward secrecy alone.
#[test]
fn old_versions_and_weak_suites_are_refused() {
    let house = House::new();
    for (arguments, spoken) in [
        (&["-tls1_3"] as &[&str], true),
        (&["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], true),
        (&["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], true),
        (&["-tls1_2"], true),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], true),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], true),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], false),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"], false),
        (&["-tls1_2", "-cipher", "AES128-GCM-SHA256"], false),
        (&["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], false),
        (&["-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"], false),
    ] {
        let said = openssl(&house, arguments);
        let agreed = said.contains("Cipher is ") && !said.contains("Cipher is (NONE)");
        assert_eq!(agreed, spoken, "{arguments:?}: {said}");
    }
    // OpenSSL would rather have AES-256.
    assert!(openssl(&house, &["-tls1_3"]).contains("Cipher is TLS_AES_128_GCM_SHA256"));
    let strict = House::with(|setup| setup.set("tls.min_version", "1.3"));
    assert!(openssl(&strict, &["-tls1_2"]).contains("Cipher is (NONE)"));
    assert!(!openssl(&strict, &["-tls1_3"]).contains("Cipher is (NONE)"));
}

/// N351, F189: no renegotiation, no early data, no compression.
#[test]
fn what_made_tls_unsafe_is_off() {
    let house = House::new();
    for version in ["-tls1_2", "-tls1_3"] {
        let said = openssl(&house, &[version, "-servername", "gw"]);
        assert!(said.contains("Compression: NONE"), "{said}");
    }
    let said = openssl(&house, &["-tls1_3", "-servername", "gw"]);
    assert!(!said.contains("Early data was accepted") && !said.contains("Max Early Data: 1"), "{said}");
    // A client that asks for another handshake in the middle is hung up on, or told no.
    let address = house.program.gateway().0.to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-tls1_2", "-servername", "gw"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl: run `bash tests/run`");
    child.stdin.take().expect("stdin").write_all(b"R\n").expect("ask");
    let done = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("no renegotiation") || said.contains("RENEGOTIATING"), "{said}");
    assert!(!done.status.success(), "the connection did not survive it: {said}");
    assert!(house.authority.config().is_let_in(house.program.gateway().0, "gw", &ask("gw")));
}

/// N354: what is spoken inside is what both can, and with nothing in common there is no connection.
#[test]
fn the_protocol_inside_is_agreed_on() {
    let house = House::new();
    let address = house.program.gateway().0;
    for (offered, agreed) in
        [(&[] as &[&str], None), (&["http/1.1"], Some("http/1.1")), (&["imap", "http/1.1"], Some("http/1.1"))]
    {
        let mut client = house.authority.config().offering(offered).connect(address, "gw");
        let spoken = client.stream().conn.alpn_protocol().map(String::from_utf8_lossy);
        assert_eq!(spoken.as_deref(), agreed, "{offered:?}");
        assert_eq!(client.send(ask("gw")).receive().status, 200);
    }
    // HTTP/2 is agreed on, and then nothing else is understood; without agreement nobody speaks it.
    let mut client = house.authority.config().offering(&["http/1.1", "h2"]).connect(address, "gw");
    assert_eq!(client.stream().conn.alpn_protocol(), Some(b"h2".as_slice()));
    let _ = client.try_send(&ask("gw"));
    let (_, said) = client.until_closed();
    assert!(!said.starts_with(b"HTTP/1"), "{:?}", String::from_utf8_lossy(&said));
    let mut client = house.authority.config().connect(address, "gw");
    let (end, said) = client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").until_closed();
    assert!(end != End::Open && (said.is_empty() || said.starts_with(b"HTTP/1.1 ")), "{said:?}");
    let ca = house.program.site.file("ca.pem", &house.authority.pem);
    let url = format!("https://localhost:{}/public/x", address.port());
    let asked = [
        "-sS",
        "--http2",
        "--cacert",
        ca.to_str().expect("a path"),
        "-o",
        "/dev/null",
        "-w",
        "%{http_version}",
        &url,
    ];
    assert_eq!(output("curl", &asked), "2");
    let strangers = house.authority.config().offering(&["imap"]);
    let error = strangers.try_connect(address, "gw").expect_err("nothing in common");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

/// Clients come back without a whole handshake, by a ticket and by a TLS 1.2 session, whichever worker they meet.
#[test]
fn clients_come_back_quickly() {
    let house = House::new();
    let address = house.program.gateway().0;
    for dialer in [house.authority.config(), house.authority.dialer(&[&TLS12], None)] {
        let dialer = dialer.resuming();
        let kinds: Vec<_> = (0..12)
            .map(|_| {
                let mut client = dialer.connect(address, "gw");
                assert_eq!(client.send(ask("gw")).receive().status, 200);
                client.stream().conn.handshake_kind()
            })
            .collect();
        assert_eq!(kinds[0], Some(HandshakeKind::Full));
        assert!(kinds[1..].iter().all(|kind| *kind == Some(HandshakeKind::Resumed)), "{kinds:?}");
    }
    // Without tickets, by the session's id.
    let saved = house.program.site.path("session.pem");
    let saved = saved.to_str().expect("a path");
    let first = openssl(&house, &["-tls1_2", "-no_ticket", "-servername", "gw", "-sess_out", saved]);
    assert!(first.contains("New, TLSv1.2"), "{first}");
    let again = openssl(&house, &["-tls1_2", "-no_ticket", "-servername", "gw", "-sess_in", saved]);
    assert!(again.contains("Reused, TLSv1.2"), "{again}");
}

/// I242: silence, half a ClientHello, or one that comes a byte at a time: closed when `limits.header_timeout` is over,
/// and nobody else waits meanwhile. N356: a canary is served all the time.
#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let house = House::with(|setup| setup.set("limits.header_timeout", "1s"));
    let address = house.program.gateway().0;
    let hello = client_hello();
    let started = Instant::now();
    let mut stalled: Vec<TcpStream> = (0..60)
        .map(|index| {
            let mut stream = TcpStream::connect(address).expect("connect");
            stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
            stream.write_all(&hello[..hello.len() * (index % 3) / 4]).expect("send");
            stream
        })
        .collect();
    let asked = Instant::now();
    for _ in 0..10 {
        assert!(house.authority.config().is_let_in(address, "gw", &ask("gw")), "the canary");
    }
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let mut trickle = TcpStream::connect(address).expect("connect");
    for byte in &hello {
        // The gateway closes somewhere on the way.
        if trickle.write_all(&[*byte]).is_err() || started.elapsed() > Duration::from_secs(20) {
            break;
        }
        thread::sleep(Duration::from_millis(15));
    }
    for stream in &mut stalled {
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "closed without a word");
    }
    assert!(started.elapsed() >= Duration::from_millis(900));
    wait::until("they are counted", || {
        house.program.metric("latchgate_tls_handshakes_total", &[("outcome", "timeout")]) >= 60.0
    });
    house.assert_quiet();
}

/// N348: a ClientHello in pieces is one, whatever the pieces.
#[test]
fn a_hello_in_pieces_is_read() {
    let house = House::new();
    let address = house.program.gateway().0;
    let hello = client_hello();
    // Each byte of it in a record of its own, some in segments of their own.
    let records: Vec<u8> = hello[5..].iter().flat_map(|byte| [0x16, 3, 1, 0, 1, *byte]).collect();
    for bytes in [hello.clone(), records] {
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
        for part in bytes.chunks(bytes.len() / 7) {
            stream.write_all(part).expect("send");
            thread::sleep(Duration::from_millis(3));
        }
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).expect("an answer");
        assert!(
            answer[0] == 0x16 && answer[5] == 2 || answer[0] == 0x15,
            "ServerHello or an alert: {answer:?}"
        );
    }
}

/// N357: what is no TLS, and TLS out of order, ends the connection and nothing else.
#[test]
fn nonsense_ends_the_connection() {
    let house = House::new();
    let address = house.program.gateway();
    let hello = client_hello();
    let failed = || house.program.metric("latchgate_tls_handshakes_total", &[("outcome", "failed")]);
    let empty_records = b"\x16\x03\x01\x00\x00".repeat(200);
    let cases: [&[u8]; 9] = [
        b"GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"\x00\x00\x00\x00\x00\x00",
        // A record longer than any may be.
        b"\x16\x03\x01\xff\xff",
        &empty_records,
        // A hello that says it is 16 MB long.
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff",
        // An alert, application data and a key change before any hello.
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x17\x03\x03\x00\x05hello",
        b"\x14\x03\x03\x00\x01\x01",
        // Two hellos.
        &[hello.clone(), hello.clone()].concat(),
    ];
    let before = failed();
    for bytes in cases {
        let mut client = address.connect();
        let _ = client.try_send(bytes);
        client.half_close();
        assert_ne!(client.until_closed().0, End::Open, "{bytes:?}");
    }
    wait::until("all of them are counted", || failed() >= before + 9.0);
    assert!(house.authority.config().is_let_in(address.0, "gw", &ask("gw")));
    assert_eq!(house.upstream.count(), 1);
}

/// N357: new keys without end, each of which is to be answered by new ones that the client never reads: nobody else
/// notices, nothing piles up, and the connection ends or goes on.
#[test]
fn a_flood_of_new_keys_troubles_nobody() {
    let house = House::with(|setup| setup.set("limits.send_timeout", "1s"));
    let address = house.program.gateway().0;
    assert!(house.authority.config().is_let_in(address, "gw", &ask("gw")));
    let before = house.program.memory_kib("VmRSS");
    let mut floods: Vec<_> =
        (0..4).map(|_| house.authority.dialer(&[&TLS13], None).connect(address, "gw")).collect();
    thread::scope(|scope| {
        for client in &mut floods {
            scope.spawn(|| {
                let stream = client.stream();
                stream.sock.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
                for _ in 0..20_000 {
                    stream.conn.refresh_traffic_keys().expect("new keys");
                    if stream.conn.write_tls(&mut stream.sock).is_err() {
                        break;
                    }
                }
            });
        }
        for _ in 0..20 {
            let asked = Instant::now();
            assert!(house.authority.config().is_let_in(address, "gw", &ask("gw")), "the canary");
            assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        }
    });
    let grown = house.program.memory_kib("VmRSS").saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB for four connections");
    for mut client in floods {
        let answered = client.try_send(&ask("gw")).is_ok() && client.try_receive("GET").is_ok();
        assert!(answered || client.try_send(b"x").is_err(), "neither served nor closed");
    }
    house.assert_quiet();
}

/// I259 inside TLS, where what is written waits in more places: whoever stops reading is cut off.
#[test]
fn whoever_stops_reading_inside_tls_is_cut_off() {
    let upstream = Upstream::start(|_| Answer::Large(1 << 30));
    let authority = Authority::new("Test CA");
    let site = Site::new(Setup::offload(&upstream).tls(1).set("limits.send_timeout", "400ms"));
    site.certify(0, &authority.server(&["gw"]));
    let program = site.serve();
    for version in [&TLS12, &TLS13] {
        let mut client = authority.dialer(&[version], None).connect(program.gateway().0, "gw");
        client.send(ask("gw"));
        assert_eq!(client.receive_bytes(1 << 10).len(), 1 << 10);
        wait::until("its upstream and its place to be free", || {
            program.metric("latchgate_upstream_requests_in_flight", &[]) < 0.5
                && program.metric("latchgate_connections", &[("listener", "gateway")]) < 0.5
        });
        assert_ne!(client.until_closed().0, End::Open, "{version:?}");
    }
    assert_eq!(program.requests_logged("/public/x", 2)[0]["outcome"], "client_left");
}

/// N357: a client that ends in the middle of a body without a word has sent no whole request.
#[test]
fn a_body_that_is_cut_off_is_no_body() {
    let house = House::new();
    let mut client = house.authority.config().connect(house.program.gateway().0, "gw");
    client.send("POST /public/cut HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    client.stream().sock.shutdown(std::net::Shutdown::Write).expect("no close_notify");
    let answer = client.try_receive("POST").ok().flatten();
    assert!(answer.is_none_or(|answer| answer.status >= 400), "it was taken for a whole request");
}

/// The first bytes of a client that offers everything.
fn client_hello() -> Vec<u8> {
    let authority = Authority::new("unused");
    let name = "gw".try_into().expect("a name");
    let config = authority.config().0.into();
    let mut session = rustls::ClientConnection::new(config, name).expect("a client");
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).expect("a hello");
    bytes
}
