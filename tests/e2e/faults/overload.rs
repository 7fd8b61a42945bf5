//! More than there is room for: what was accepted is answered, the rest hears so, and memory stays where it is.

use std::{
    io::Write as _,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    frames::{PREFACE, SETTINGS, Wire},
    program::Site,
    rawc::Client,
    rawup::{Answer, Gate, Upstream},
    setup::Setup,
    wait,
};

/// Ten times as many requests as the upstream has room for: as many as fit reach it and are answered, the others are
/// told so in good time and without being forwarded; another upstream notices nothing, and afterwards all is as before.
#[test]
fn ten_times_the_load_gets_a_clear_answer() {
    const ROOM: usize = 4;
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::ok("done"))));
    let quick = Upstream::echo();
    let setup = Setup::bare("offload")
        .upstream("quick", &quick.url())
        .upstream("slow", &slow.url())
        .set("upstream.max_connections", 4)
        .set("upstream.timeouts.connect", "300ms")
        .route("name = \"slow\"\npath = \"/slow/{*rest}\"\nupstream = \"slow\"\ncredentials = [\"none\"]")
        .route("name = \"quick\"\npath = \"/quick/{*rest}\"\nupstream = \"quick\"\ncredentials = [\"none\"]");
    let program = Site::new(setup).serve();
    assert_eq!(program.anonymous().get("/quick/warm").status, 200);
    let before = program.memory_kib("VmRSS");
    let mut clients: Vec<Client> = (0..10 * ROOM).map(|_| program.gateway().connect()).collect();
    let request = program.anonymous().request("GET", "/slow/x");
    let started = Instant::now();
    for client in &mut clients {
        client.send(request.bytes());
    }
    slow.wait_for(ROOM);
    assert_eq!(program.anonymous().get("/quick/x").status, 200, "another upstream has room of its own");
    // Those that wait for an answer are told apart by having one.
    let mut refused = 0;
    clients.retain_mut(|client| {
        client.patience(Duration::from_secs(2));
        let Ok(Some(answer)) = client.try_receive("GET") else { return true };
        assert_eq!(answer.verdict(), "503 overloaded");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        refused += 1;
        false
    });
    assert_eq!((refused, clients.len()), (9 * ROOM, ROOM));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(slow.count(), ROOM, "what was refused was not forwarded");
    let grown = program.memory_kib("VmRSS").saturating_sub(before);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.patience(wait::PATIENCE).receive().text(), "done", "what was accepted is answered");
    }
    for _ in 0..10 * ROOM {
        assert_eq!(program.anonymous().get("/slow/x").status, 200, "as before");
    }
}

/// P374: one key far beyond its rate, on an upstream that hangs, costs another key nothing: no error, and no waiting
/// for the other's sake.
#[test]
fn a_noisy_neighbour_disturbs_nobody() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::ok("late"))));
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream)
        .upstream("slow", &slow.url())
        .route("name = \"slow\"\npath = \"/slow/{*rest}\"\nupstream = \"slow\"");
    let site = Site::new(setup);
    let noisy = site.key(&["--scopes", "scan:read", "--rate-limit-per-minute", "30"]);
    let quiet = site.key(&["--scopes", "scan:read", "--name", "quiet"]);
    let program = site.serve();
    let caller = program.key(&noisy.text);
    let (mut hung, mut limited) = (Vec::new(), 0);
    for _ in 0..8 {
        let mut client = program.gateway().connect();
        client.send(caller.request("GET", "/slow/x").bytes());
        hung.push(client);
    }
    slow.wait_for(8);
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        let mut client = program.gateway().connect();
        for _ in 0..12 {
            client.send(caller.request("GET", "/api/x").bytes());
        }
        let asked = Instant::now();
        assert_eq!(program.key(&quiet.text).verdict("/api/x"), "200");
        longest = longest.max(asked.elapsed());
        limited += (0..12).filter(|_| client.receive().status == 429).count();
    }
    assert!(limited > 500, "{limited} of 600 were too many");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    gate.open();
    for client in &mut hung {
        assert_eq!(client.receive().status, 200);
    }
}

/// I266, G202: many kinds of attack at once, within 256 MB: unfinished heads, answers that nobody reads, bodies that do
/// not come, streams that nobody takes, keys, paths and hosts that nobody has.
#[test]
fn a_mixed_attack_stays_within_256_mb() {
    let upstream =
        Upstream::start(
            |request| {
                if request.target.contains("large") { Answer::Large(1 << 24) } else { Answer::Echo }
            },
        );
    let site = Site::new(Setup::trustedoss(&upstream));
    let key = site.key(&["--scope", "org"]);
    let program = site.serve();
    let canary = || assert_eq!(program.bearer(&key.text).verdict("/any/x"), "200");
    canary();
    let address = program.gateway().0;
    let before = program.memory_kib("VmRSS");
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for number in 0..1000 {
                    let wrong = format!("tos_{:08}_{}", thread * 10_000 + number, "0".repeat(32));
                    client.send(format!(
                        "GET /any/{number} HTTP/1.1\r\nHost: h{number}.example\r\nUser-Agent: {number}\r\nAuthorization: Bearer {wrong}\r\n\r\n"
                    ));
                    assert_eq!(client.receive().status, 401);
                }
            });
        }
    });
    let grown = program.memory_kib("VmRSS").saturating_sub(before);
    assert!(grown < 50 << 10, "keys that nobody has hold {grown} KiB");
    canary();
    let open = |text: &str| {
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.write_all(text.as_bytes()).expect("send");
        stream
    };
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..300 {
        held.push(open(&format!("GET /public/x HTTP/1.1\r\nHost: gw\r\nX: {}", "a".repeat(30_000))));
        held.push(open("POST /public/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100000\r\n\r\nx"));
    }
    for _ in 0..100 {
        held.push(open("GET /public/large HTTP/1.1\r\nHost: gw\r\n\r\n"));
    }
    let large = [(":method", "GET"), (":scheme", "http"), (":authority", "gw"), (":path", "/public/large")];
    let wires: Vec<Wire> = (0..4)
        .map(|_| {
            let mut wire = Wire::silent(address);
            wire.bytes(PREFACE).frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
            for stream in 0..100 {
                wire.get(stream * 2 + 1, &large);
            }
            wire
        })
        .collect();
    canary();
    canary();
    let most = program.memory_kib("VmHWM");
    assert!(most < 256 << 10, "{most} KiB");
    eprintln!("{} connections and {} streams: {most} KiB at the most", held.len(), wires.len() * 100);
}
