//! `listen.redirect`: to TLS, to nobody else's place, and within bounds.

use std::time::Duration;

use crate::support::{
    program::Site,
    rawc::{Client, End},
    rawup::Upstream,
    setup::Setup,
};

fn setup(upstream: &Upstream) -> Setup {
    Setup::offload(upstream).set("listen.redirect", "127.0.0.1:0").set("limits.header_timeout", "1s")
}

/// Whatever is asked for is answered with its place under https, once on each connection, and nothing reaches an upstream.
#[test]
fn every_request_is_sent_to_https() {
    let upstream = Upstream::echo();
    let program = Site::new(setup(&upstream)).serve();
    let door = program.listener("redirect");
    for (request, place) in [
        ("GET /public/x?a=%2F&b HTTP/1.1\r\nHost: gw:8080\r\n\r\n", "https://gw/public/x?a=%2F&b"),
        ("POST /a HTTP/1.1\r\nHost: GW\r\nContent-Length: 5\r\n\r\nhello", "https://gw/a"),
        ("GET http://other/x HTTP/1.1\r\nHost: other\r\n\r\n", "https://other/x"),
        ("GET /.latchgate/sign-in HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "https://[::1]/.latchgate/sign-in"),
    ] {
        let mut client = door.connect();
        let answer = client.send(request).receive();
        assert_eq!((answer.status, answer.header("location")), (308, Some(place)), "{request}");
        assert_ne!(client.until_closed().0, End::Open);
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(program.requests_logged("/public/x", 1)[0]["route"], "redirect");

    let program =
        Site::new(setup(&upstream).set("listen.public_url", "https://gate.example.com:8443")).serve();
    for host in ["evil.example", "gw"] {
        let mut client = program.listener("redirect").connect();
        let answer = client.send(format!("GET /x?y HTTP/1.1\r\nHost: {host}\r\n\r\n")).receive();
        assert_eq!(answer.header("location"), Some("https://gate.example.com:8443/x?y"));
    }
}

/// What programs read in two ways leads nowhere, and no byte of a request becomes a header of the answer.
#[test]
fn nobody_is_sent_astray() {
    let upstream = Upstream::echo();
    let program = Site::new(setup(&upstream)).serve();
    let door = program.listener("redirect");
    for request in [
        "GET //evil.example/ HTTP/1.1\r\nHost: gw\r\n\r\n",
        "GET /a/../b HTTP/1.1\r\nHost: gw\r\n\r\n",
        "GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: gw\r\n\r\n",
        "GET /x#y HTTP/1.1\r\nHost: gw\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: gw\r\nHost: evil.example\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a@evil.example\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: gw\r\n\r\n",
    ] {
        let answer = door.connect().send(request).receive();
        assert_eq!((answer.status, answer.header("location")), (400, None), "{request}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    for (nonsense, verdict) in [
        ("\u{1}\u{2}\r\n\r\n", "400 request_malformed"),
        ("GET /x HTTP/3.7\r\nHost: gw\r\n\r\n", "505 version_not_supported"),
    ] {
        let answer = door.connect().send(nonsense).receive();
        assert_eq!(answer.verdict(), verdict, "as every other port says it");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: gw\r\n\r\n", "x".repeat(9000));
    assert_eq!(door.connect().send(long).receive().status, 414);
}

/// One address does not hold the port, and a head that does not end is not waited for.
#[test]
fn it_is_bounded() {
    let upstream = Upstream::echo();
    let program = Site::new(setup(&upstream)).serve();
    let door = program.listener("redirect");
    let mut slow: Vec<Client> = (0..80).map(|_| door.connect()).collect();
    for client in &mut slow {
        let _ = client.try_send(b"GET / HTTP/1.1\r\n");
    }
    for client in &mut slow {
        assert_ne!(client.until_closed().0, End::Open);
    }
    assert_eq!(door.anonymous().get("/public/x").status, 308);
    let began = std::time::Instant::now();
    assert_eq!(program.anonymous().get("/public/x").status, 200);
    assert!(began.elapsed() < Duration::from_secs(5));
}
