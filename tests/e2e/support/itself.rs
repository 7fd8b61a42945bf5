//! The support tried on itself: a witness that cannot see proves nothing.

use std::time::Duration;

use super::{
    rawc::{Client, End, exchange},
    rawup::{Answer, Gate, Upstream, pattern_sum},
    request::Door,
    setup::Setup,
    tools::{Backend, output, python},
};

#[test]
fn a_request_is_seen_whole_however_it_is_cut() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address());
    client.send_parts(&["PO", "ST /a?b HTT", "P/1.1\r\nX-A: 1\r", "\nContent-Length: 3\r\n\r\nab", "c"]);
    let answer = client.receive();
    assert_eq!((answer.status, answer.json()["length"].as_u64()), (200, Some(3)));
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.header("x-a")), ("POST", "/a?b", Some("1")));
    assert_eq!((seen.body.text().as_str(), seen.complete), ("abc", true));
    assert!(upstream.record().ends_with("\r\n\r\nabc"));
}

#[test]
fn chunks_and_trailers_are_read_on_both_sides() {
    let upstream = Upstream::start(|_| {
        Answer::bytes(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nX-T: 1\r\n\r\n",
        )
    });
    let mut client = Client::connect(upstream.address());
    client.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\nX-T: 2\r\n\r\n");
    let answer = client.receive();
    assert_eq!((answer.text().as_str(), answer.trailers.one("x-t")), ("abc", Some("1")));
    let seen = upstream.last();
    assert_eq!((seen.body.text().as_str(), seen.trailers.one("x-t")), ("xyz", Some("2")));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo();
    let bytes = "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n";
    let heard = exchange(upstream.address(), bytes, Duration::from_millis(300));
    let targets: Vec<_> = heard.responses.iter().map(|answer| answer.json()["target"].clone()).collect();
    assert_eq!(targets, ["/1", "/2"]);
    assert_eq!(heard.end, End::Open);
}

#[test]
fn each_way_to_end_is_told_apart() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/close" => Answer::Close(b"HTTP/1.1 200 OK\r\n\r\nrest".to_vec()),
        "/reset" => Answer::Reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()),
        _ => Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()),
    });
    let ask = |target: &str| {
        exchange(upstream.address(), format!("GET {target} HTTP/1.1\r\n\r\n"), Duration::from_millis(300))
    };
    let closed = ask("/close");
    assert_eq!((closed.end, closed.responses[0].text().as_str()), (End::Closed, "rest"));
    assert_eq!(ask("/reset").end, End::Reset);
    assert_eq!(ask("/stall").end, End::Open);
}

#[test]
fn a_half_sent_body_is_never_called_complete() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address());
    client.send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc").half_close();
    client.assert_closed();
    assert!(!upstream.last().complete);
}

#[test]
fn a_held_answer_waits_for_its_gate() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Answer::Held(held.clone(), Box::new(Answer::ok("late"))));
    let mut client = Client::connect(upstream.address());
    client.send("GET / HTTP/1.1\r\n\r\n");
    upstream.wait_for(1);
    assert_eq!(
        client.patience(Duration::from_millis(50)).try_receive("GET").map_err(|_| ()).map(|_| ()),
        Err(())
    );
    gate.open();
    assert_eq!(client.patience(super::wait::PATIENCE).receive().text(), "late");
}

#[test]
fn large_bodies_are_summed_not_kept() {
    let length = 40 << 20;
    let upstream = Upstream::start(move |_| Answer::Large(length));
    let answer = Door(upstream.address()).anonymous().get("/");
    assert_eq!((answer.body.length, answer.body.sum.finalize()), (length, pattern_sum(length)));
}

#[test]
fn a_setup_is_a_configuration() {
    let upstream = Upstream::echo();
    let text = Setup::offload(&upstream).set("limits.header_timeout", "1s").set("upstream.retries", 0).text();
    for part in ["header_timeout = \"1s\"", "retries = 0", "[[route]]", &upstream.url()] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn the_backends_serve_without_a_gateway() {
    for backend in [Backend::nginx(), Backend::python()] {
        let root = backend.folder.path();
        for folder in [root.join("www/files"), root.join("api/files")] {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join("hello"), "hello").expect("write");
        }
        let answer = Door(backend.address).anonymous().get("/api/files/hello");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    }
    let nginx = Backend::nginx();
    let put = Door(nginx.address).anonymous().request("PUT", "/api/upload/new").body("fresh").send();
    assert_eq!(put.status, 201);
    assert_eq!(
        std::fs::read_to_string(nginx.folder.path().join("www/files/new")).expect("the upload"),
        "fresh"
    );
}

#[test]
fn the_clients_speak_to_an_upstream() {
    let upstream = Upstream::echo();
    let url = upstream.url();
    assert!(output("curl", &["-sS", &format!("{url}/curl")]).contains("/curl"));
    let node = "fetch(process.argv[1]).then(r => r.text()).then(t => console.log(t))";
    assert!(output("node", &["-e", node, &format!("{url}/node")]).contains("/node"));
    let requests = "import requests, sys; print(requests.get(sys.argv[1]).text)";
    assert!(output(&python(), &["-c", requests, &format!("{url}/python")]).contains("/python"));
    assert_eq!(upstream.count(), 3);
}
