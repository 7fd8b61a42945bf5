//! What lasts does not outlast its credential: events, uploads, tunnels and streams end when it is revoked.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    frames::{DATA, END_STREAM, Fate, RST_STREAM, Wire},
    program::{Key, Program, Site},
    rawc::{Client, End},
    rawup::{Answer, Upstream},
    setup::Setup,
    wait,
};

/// The promise: a second until it is looked at, and as much again for a busy machine.
const BOUND: Duration = Duration::from_secs(3);

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nd\r\ndata: first\n\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";

/// Events that go on for ever, tunnels, and uploads that are read.
fn house() -> (Upstream, Program, Key) {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/api/events" => Answer::Stall(EVENTS.as_bytes().to_vec()),
        "/api/tunnel" => Answer::Mirror(SWITCH.as_bytes().to_vec()),
        _ => Answer::Echo,
    });
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read,scan:trigger"]);
    (upstream, site.serve(), key)
}

/// A client in the middle of each of them.
struct Lasting {
    events: Client,
    tunnel: Client,
    upload: Client,
    stream: Wire,
}

impl Lasting {
    fn begin(upstream: &Upstream, program: &Program, key: &str) -> Self {
        let head = |method: &str, path: &str, more: &str| {
            format!("{method} {path} HTTP/1.1\r\nHost: gw\r\nX-API-Key: {key}\r\n{more}\r\n")
        };
        let before = upstream.count();
        let go = || program.gateway().connect();
        let (mut events, mut tunnel, mut upload) = (go(), go(), go());
        events.send(head("GET", "/api/events", ""));
        let began = events.receive_bytes(EVENTS.len() / 2);
        assert!(began.starts_with(b"HTTP/1.1 200"));
        tunnel.send(head("GET", "/api/tunnel", "Connection: upgrade\r\nUpgrade: foo\r\n"));
        assert_eq!(tunnel.receive().status, 101);
        upload.send(head("POST", "/api/upload", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n");
        let mut stream = Wire::connect(program.gateway().0);
        let pseudo =
            [(":method", "GET"), (":scheme", "http"), (":authority", "gw"), (":path", "/api/events")];
        stream.get(1, &[&pseudo[..], &[("x-api-key", key)]].concat());
        loop {
            let frame = stream.next().expect("a frame").expect("still open");
            if frame.kind == DATA {
                break;
            }
        }
        upstream.wait_for(before + 4);
        Self { events, tunnel, upload, stream }
    }

    /// All of them go on.
    fn go_on(&mut self) {
        self.tunnel.send("still");
        assert_eq!(self.tunnel.receive_bytes(5), b"still");
        self.upload.send("4\r\nmore\r\n");
        self.events.patience(Duration::from_millis(50));
        assert_eq!(self.events.until_closed().0, End::Open);
        self.events.patience(wait::PATIENCE);
        self.stream.patience(Duration::from_millis(50));
        assert_eq!(self.stream.fate(1), Fate::Silent);
        self.stream.patience(wait::PATIENCE);
    }

    /// All of them end, none of them as if it were complete.
    fn end_within(&mut self, bound: Duration) {
        let began = Instant::now();
        let (end, said) = self.tunnel.until_closed();
        assert!(end != End::Open && said.is_empty(), "the tunnel: {end:?}");
        let (end, said) = self.events.until_closed();
        assert_ne!(end, End::Open, "the events");
        assert!(!said.ends_with(b"0\r\n\r\n"), "the events end as if they were complete");
        let (end, said) = self.upload.until_closed();
        assert_ne!(end, End::Open, "the upload");
        assert!(!String::from_utf8_lossy(&said).starts_with("HTTP/1.1 2"), "the upload was taken");
        match self.stream.fate(1) {
            Fate::Reset(code) => assert_ne!(code, 0, "a reset without an error looks like an end"),
            fate => panic!("the stream: {fate:?}"),
        }
        assert!(began.elapsed() < bound, "{:?}", began.elapsed());
    }
}

fn outcomes(program: &Program, count: usize) -> Vec<String> {
    let told =
        |path: &str| program.requests_logged(path, if path == "/api/events" { 2 * count } else { count });
    let lines = ["/api/events", "/api/tunnel", "/api/upload"].map(told).concat();
    lines.iter().map(|line| line["outcome"].as_str().unwrap_or_default().to_owned()).collect()
}

/// I262, H227: revoked, everything that the key has open ends, and the log says why. A change of something else ends
/// nothing.
#[test]
fn a_revoked_key_ends_what_it_has_open() {
    let (upstream, program, key) = house();
    let mut lasting = Lasting::begin(&upstream, &program, &key.text);
    let marker = program.site.key(&["--scopes", "scan:read,scan:trigger", "--name", "marker"]);
    // So many that no worker is without one.
    let marked: Vec<_> = (0..8).map(|_| Lasting::begin(&upstream, &program, &marker.text)).collect();
    program.cli(&["keys", "update", &key.id, "--name", "other"]).ok();
    program.cli(&["teams", "create", "--org", "default", "--name", "Other"]).ok();
    program.sighup();
    wait::until("the reload", || program.everything_written().contains("configuration reloaded"));
    program.cli(&["keys", "revoke", &marker.id]).ok();
    // A worker looks at all that it serves at once: where these have ended it has looked at the others too.
    for mut marked in marked {
        marked.end_within(BOUND);
    }
    lasting.go_on();
    // A connection that is between two requests has nothing to lose, and is not touched.
    let mut idle = program.gateway().connect();
    assert_eq!(program.key(&key.text).request("GET", "/api/x").on(&mut idle).status, 200);
    program.cli(&["keys", "revoke", &key.id]).ok();
    lasting.end_within(BOUND);
    assert_eq!(
        program.key(&key.text).request("GET", "/api/x").on(&mut idle).verdict(),
        "401 credential_revoked"
    );
    assert_eq!(outcomes(&program, 9), ["credential_revoked"; 36]);
    assert!(upstream.requests().iter().all(|seen| seen.target != "/api/upload" || !seen.complete));
    wait::until("nothing in flight", || {
        program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) < 0.5
    });
    // A stream of the same connection that is somebody else's, or comes later, is judged by itself.
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "gw"), (":path", "/public/x")];
    lasting.stream.get(3, &pseudo);
    assert_eq!(lasting.stream.answer(3).status, 200);
    assert!(
        lasting.stream.seen.iter().any(|frame| frame.kind == RST_STREAM && frame.flags & END_STREAM == 0)
    );
}

/// A key whose time comes while it has something open ends it, without anybody's doing.
#[test]
fn an_expired_key_ends_what_it_has_open() {
    let (upstream, program, key) = house();
    let mut lasting = Lasting::begin(&upstream, &program, &key.text);
    let soon = std::time::SystemTime::now() + Duration::from_secs(2);
    let micros = soon.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros();
    // As if it had been given that end when it was made.
    program.site.sql(&format!("UPDATE api_keys SET expires_at = {micros} WHERE id = '{}'", key.id));
    program.cli(&["keys", "update", &key.id, "--name", "other"]).ok();
    lasting.end_within(BOUND + Duration::from_secs(2));
    assert_eq!(outcomes(&program, 1), ["credential_expired"; 4]);
}

/// A person who is removed loses the session, and with it what it has open; so does one who signs out.
#[test]
fn a_session_that_ends_ends_what_it_has_open() {
    let (upstream, program, _) = house();
    let team = program.site.team();
    program.site.user("ana@example.com", "security_analyst", Some(&team));
    for how in ["sign out", "deactivate"] {
        let token = program.admin().token("ana@example.com");
        let mut client = program.gateway().connect();
        client.send(format!("GET /any/events HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").replace("/any/events", "/api/tunnel"));
        let answer = client.receive();
        assert_eq!(answer.status, 101, "{answer:?}");
        let began = Instant::now();
        if how == "sign out" {
            let gone = program.admin().bearer(&token).request("DELETE", "/v1/session").send();
            assert!(gone.status < 300, "{gone:?}");
        } else {
            let users = program.cli(&["users", "list"]).json();
            let ana = users["items"]
                .as_array()
                .expect("users")
                .iter()
                .find(|user| user["email"] == json!("ana@example.com"));
            let id = ana.expect("Ana")["id"].as_str().expect("an id").to_owned();
            program.cli(&["users", "deactivate", &id]).ok();
        }
        assert_ne!(client.until_closed().0, End::Open, "{how}");
        assert!(began.elapsed() < BOUND + Duration::from_secs(2), "{how}: {:?}", began.elapsed());
    }
    let lines = program.requests_logged("/api/tunnel", 2);
    assert!(lines.iter().all(|line| line["outcome"] == "session_expired"), "{lines:?}");
    drop(upstream);
}
