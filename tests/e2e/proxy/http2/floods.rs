//! Clients that make much work of little: each is cut off, and the gateway is as well as before.

use std::time::{Duration, Instant};

use super::{head, plain};
use crate::{
    proxy::house::House,
    support::{
        frames::{
            ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PRIORITY, RST_STREAM,
            SETTINGS, WINDOW_UPDATE, Wire, block, frame,
        },
        rawc::Client,
        setup::Setup,
        wait,
        wrong::Wrong,
    },
};

type Flood<'a> = (&'a str, Box<dyn Fn(usize) -> Vec<u8> + 'a>);

/// Sends pieces until the gateway has closed; how many it took, or none when it never did.
fn until_cut(wire: &mut Wire, most: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> Option<usize> {
    wire.stream.set_nonblocking(false).expect("blocking");
    wire.stream.set_write_timeout(Some(Duration::from_secs(10))).expect("a write timeout");
    for number in 0..most {
        if wire.try_bytes(&piece(number)).is_err() {
            return Some(number);
        }
    }
    wire.patience(Duration::from_secs(10)).ends().then_some(most)
}

/// I245 to I249: frames that cost the client nothing end the connection, and memory stays where it was.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn floods_end_the_connection() {
    let house = House::with(|setup: Setup| setup.set("limits.header_timeout", "20s"));
    let address = house.program.gateway().0;
    assert_eq!(house.program.key(&house.key).get("/api/warm").status, 200);
    let before = house.program.memory_kib("VmHWM");
    let get = block(&plain("GET", "/public/x"));
    let post = block(&plain("POST", "/public/x"));
    let stream = |number: usize| u32::try_from(number * 2 + 1).expect("a stream");
    let mut wrong = Wrong::default();
    // Each piece holds a hundred frames, so that the flood is one.
    let hundred = |one: &dyn Fn(usize) -> Vec<u8>, number: usize| -> Vec<u8> {
        (0..100).flat_map(|at| one(number * 100 + at)).collect()
    };
    let floods: Vec<Flood<'_>> = vec![
        (
            "rapid reset",
            Box::new(|n| {
                [
                    frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &get),
                    frame(RST_STREAM, 0, stream(n), &[0, 0, 0, 8]),
                ]
                .concat()
            }),
        ),
        (
            "reset by an empty WINDOW_UPDATE",
            Box::new(|n| {
                [frame(HEADERS, END_HEADERS, stream(n), &post), frame(WINDOW_UPDATE, 0, stream(n), &[0; 4])]
                    .concat()
            }),
        ),
        (
            "reset by a window beyond its bound",
            Box::new(|n| {
                [
                    frame(HEADERS, END_HEADERS, stream(n), &post),
                    frame(WINDOW_UPDATE, 0, stream(n), &[0x7f, 255, 255, 255]),
                ]
                .concat()
            }),
        ),
        (
            "reset by DATA behind the end",
            Box::new(|n| {
                [frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &get), frame(DATA, 0, stream(n), b"x")]
                    .concat()
            }),
        ),
        (
            "reset by a PRIORITY of a wrong length",
            Box::new(|n| {
                [frame(HEADERS, END_HEADERS, stream(n), &post), frame(PRIORITY, 0, stream(n), &[0; 4])]
                    .concat()
            }),
        ),
        (
            "reset by a malformed request",
            Box::new(|n| {
                frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream(n),
                    &block(&[(":method", "GET"), ("x", "y"), (":path", "/")]),
                )
            }),
        ),
        ("PING", Box::new(|_| frame(PING, 0, 0, &[0; 8]))),
        ("PING answers", Box::new(|_| frame(PING, ACK, 0, &[0; 8]))),
        ("SETTINGS", Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]))),
        ("empty SETTINGS", Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        ("PRIORITY", Box::new(|n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 1]))),
        ("WINDOW_UPDATE", Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("unknown types", Box::new(|_| frame(0x77, 0, 0, b"x"))),
        ("RST_STREAM of idle streams", Box::new(|n| frame(RST_STREAM, 0, stream(n), &[0; 4]))),
    ];
    for (name, one) in &floods {
        let mut wire = Wire::connect(address);
        let cut = until_cut(&mut wire, 2000, |number| hundred(one.as_ref(), number));
        wrong.unless(cut.is_some(), || format!("{name}: 200 000 of them, and still open"));
    }
    // On one stream.
    for (name, begun, one) in [
        ("empty DATA", frame(HEADERS, END_HEADERS, 1, &post), frame(DATA, 0, 1, &[])),
        (
            "DATA of one byte and padding",
            frame(HEADERS, END_HEADERS, 1, &post),
            frame(DATA, PADDED, 1, &[[255, b'x'].as_slice(), &[0; 255]].concat()),
        ),
        ("empty CONTINUATION", frame(HEADERS, END_STREAM, 1, &get), frame(CONTINUATION, 0, 1, &[])),
        (
            "CONTINUATION",
            frame(HEADERS, END_STREAM, 1, &get),
            frame(CONTINUATION, 0, 1, &block(&[("x-a", &"v".repeat(1000))])),
        ),
    ] {
        let mut wire = Wire::connect(address);
        wire.bytes(&begun);
        let cut = until_cut(&mut wire, 2000, |_| one.repeat(100));
        // What is a body is taken, as much as the window allows; the client cannot make it cost more than its bytes.
        let bounded = name == "DATA of one byte and padding";
        wrong.unless(cut.is_some() || bounded, || format!("{name}: 200 000 of them, and still open"));
    }
    wrong.none("a flood");
    let grown = house.program.memory_kib("VmHWM") - before;
    assert!(grown < 24 << 10, "the floods made memory grow by {grown} KiB");
    wait::until("nothing in flight", || {
        house.program.metric("latchgate_upstream_requests_in_flight", &[("upstream", "app")]) < 0.5
    });
    assert_eq!(house.program.key(&house.key).get("/api/e").status, 200);
}

/// What an honest client does often is no flood: many requests, a large answer taken in small steps, a ping now and then.
#[test]
fn honest_clients_are_not_cut_off() {
    let upstream = crate::support::rawup::Upstream::start(|request| match request.target.as_str() {
        "/public/large" => crate::support::rawup::Answer::Large(8 << 20),
        _ => crate::support::rawup::Answer::Echo,
    });
    let program = crate::support::program::Site::new(Setup::offload(&upstream)).serve();
    let mut wire = Wire::connect(program.gateway().0);
    for stream in 0..1500_u32 {
        wire.get(stream * 2 + 1, &plain("GET", "/public/x"));
        assert_eq!(wire.fate(stream * 2 + 1).word(), "200");
        wire.frame(PING, 0, 0, &[7; 8]);
    }
    wire.get(3001, &plain("GET", "/public/large"));
    assert_eq!(wire.answer(3001).body.len(), 8 << 20);
}

/// I238: a head that comes by the byte is given up in time.
#[test]
fn a_head_that_does_not_end_is_given_up() {
    let house = House::with(|setup: Setup| setup.set("limits.header_timeout", "400ms"));
    let address = house.program.gateway().0;
    let began = Instant::now();
    // The block is open, or not even its first frame has come.
    for opening in [
        frame(HEADERS, END_STREAM, 1, &block(&plain("GET", "/public/x"))),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&plain("GET", "/public/x")))[..20].to_vec(),
    ] {
        let mut wire = Wire::connect(address);
        wire.bytes(&opening);
        let cut = until_cut(&mut wire, 300, |_| {
            std::thread::sleep(Duration::from_millis(30));
            frame(CONTINUATION, 0, 1, &[])[..1].to_vec()
        });
        assert!(cut.is_some(), "{opening:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert_eq!(house.upstream.count(), 0);
    drop(Client::connect(address));
    let mut wire = Wire::connect(address);
    wire.get(1, &head(&house, "GET", "/api/e"));
    assert_eq!(wire.answer(1).status, 200);
}
