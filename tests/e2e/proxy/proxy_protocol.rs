//! The PROXY protocol: whose connection it is, as a load balancer in front says it, and who may say so.

use std::{thread, time::Duration};

use crate::support::{
    program::{Program, Site},
    rawc::{Client, End},
    rawup::Upstream,
    setup::Setup,
    tls::Authority,
    wait,
};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn setup(upstream: &Upstream, trusted: &[&str]) -> Setup {
    let trusted = trusted.iter().map(|network| (*network).into()).collect();
    Setup::offload(upstream)
        .set("listen.proxy_protocol", true)
        .set("listen.trusted_proxies", toml::Value::Array(trusted))
        .set("limits.header_timeout", "1s")
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a length").to_be_bytes();
    [V2, &[0x20 | command, family], &length, body].concat()
}

/// The client's address in the log for a request behind this header, and what the upstream was told.
fn seen(
    program: &Program,
    upstream: &Upstream,
    header: &[u8],
    path: &str,
    forwarded: &str,
) -> (String, String) {
    let mut client = program.gateway().connect();
    let line = if forwarded.is_empty() { String::new() } else { format!("X-Forwarded-For: {forwarded}\r\n") };
    let request = format!("GET {path} HTTP/1.1\r\nHost: gw\r\n{line}\r\n");
    let before = upstream.count();
    assert_eq!(client.send([header, request.as_bytes()].concat()).receive().status, 200, "{path}");
    let logged = program.requests_logged(path, 1)[0]["client_ip"].as_str().unwrap_or("nobody").to_owned();
    let told = upstream.requests()[before].fields.one("X-Forwarded-For").unwrap_or_default().to_owned();
    (logged, told)
}

/// F174 to F181 at the connection: the address in the header is the client's for the log, the upstream and everything
/// else; what it says of itself in a header counts only if it is a trusted proxy itself.
#[test]
fn the_header_says_whose_connection_it_is() {
    let upstream = Upstream::echo();
    let program = Site::new(setup(&upstream, &["127.0.0.1", "10.0.0.0/8"])).serve();
    let v4 = |ip: [u8; 4]| v2(1, 0x11, &[&ip[..], &[127, 0, 0, 1, 0, 80, 1, 187]].concat());
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    v6[15] = 1;
    let mut mapped = [0; 36];
    mapped[10..16].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 5]);
    let tlvs = v2(1, 0x11, &[&[203, 0, 113, 5, 127, 0, 0, 1, 0, 80, 1, 187][..], &[4, 0, 2, 0, 0]].concat());
    let cases: [(&str, Vec<u8>, &str, &str, &str); 11] = [
        (
            "/public/v1",
            b"PROXY TCP4 203.0.113.5 127.0.0.1 1 2\r\n".to_vec(),
            "",
            "203.0.113.5",
            "203.0.113.5",
        ),
        ("/public/v1-6", b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), "", "2001:db8::1", "2001:db8::1"),
        ("/public/v2", v4([203, 0, 113, 5]), "", "203.0.113.5", "203.0.113.5"),
        ("/public/v2-6", v2(1, 0x21, &v6), "", "2001:db8::1", "2001:db8::1"),
        ("/public/mapped", v2(1, 0x21, &mapped), "", "203.0.113.5", "203.0.113.5"),
        ("/public/tlvs", tlvs, "", "203.0.113.5", "203.0.113.5"),
        ("/public/liar", v4([203, 0, 113, 5]), "198.51.100.1", "203.0.113.5", "203.0.113.5"),
        ("/public/proxy", v4([10, 1, 1, 1]), "198.51.100.1", "198.51.100.1", "198.51.100.1, 10.1.1.1"),
        // The balancer itself, and somebody whom it cannot name: nobody, whatever they say.
        ("/public/local", v2(0, 0, &[]), "", "127.0.0.1", "127.0.0.1"),
        ("/public/unspecified", v2(1, 0, &[]), "198.51.100.1", "nobody", "unknown"),
        ("/public/unknown", b"PROXY UNKNOWN\r\n".to_vec(), "198.51.100.1", "nobody", "unknown"),
    ];
    for (path, header, forwarded, logged, told) in cases {
        assert_eq!(seen(&program, &upstream, &header, path, forwarded), (logged.to_owned(), told.to_owned()));
    }
}

/// F174: a key's networks are judged by that address, and whoever has none passes no network.
#[test]
fn networks_are_judged_by_it() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream, &["127.0.0.1"]));
    let key = site.key(&["--scopes", "scan:read", "--allowed-ips", "203.0.113.0/24,127.0.0.1"]);
    let program = site.serve();
    for (header, verdict) in [
        (&b"PROXY TCP4 203.0.113.5 127.0.0.1 1 2\r\n"[..], "200"),
        (b"PROXY TCP4 198.51.100.1 127.0.0.1 1 2\r\n", "403 ip_not_allowed"),
        (b"PROXY UNKNOWN\r\n", "403 ip_not_allowed"),
    ] {
        let mut client = program.gateway().connect();
        let request =
            program.key(&key.text).request("GET", "/api/x").header("X-Forwarded-For", "203.0.113.5");
        client.send(header);
        assert_eq!(request.on(&mut client).verdict(), verdict, "{}", String::from_utf8_lossy(header));
    }
}

/// Without a header, with a wrong one, with half of one, or with an endless one the connection is closed without a word;
/// and so is everybody's who is no trusted proxy.
#[test]
fn nobody_else_is_let_in() {
    let upstream = Upstream::echo();
    let program = Site::new(setup(&upstream, &["127.0.0.1"])).serve();
    let request = "GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n";
    let endless = [V2, &[0x21, 0x11, 0xff, 0xff], &[0; 5000]].concat();
    let long = format!("PROXY TCP4 {}", "1".repeat(5000));
    let whole = [v2(1, 0x11, &[203, 0, 113, 5, 127, 0, 0, 1, 0, 80, 1, 187]), request.into()].concat();
    let refused: [&[u8]; 9] = [
        request.as_bytes(),
        b"",
        b"PROXY TCP4 203.0.113.5",
        b"PROXY TCP4 203.0.113.5 127.0.0.1 1 2\nGET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"PROXY TCP4 0203.0.113.5 127.0.0.1 1 2\r\nGET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n",
        &whole[..20],
        &endless,
        long.as_bytes(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for bytes in refused {
        let mut client = program.gateway().connect();
        let _ = client.try_send(bytes);
        let (end, said) = client.until_closed();
        assert!(end != End::Open && said.is_empty(), "{bytes:?}: {said:?}");
    }
    // In pieces it is still one.
    let mut client = program.gateway().connect();
    for byte in &whole {
        client.send([*byte]);
        thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(client.receive().status, 200);
    assert_eq!(upstream.count(), 1);
    let strangers = Site::new(setup(&upstream, &["192.0.2.1"])).serve();
    let mut client = strangers.gateway().connect();
    let _ = client.try_send(&whole);
    let (end, said) = client.until_closed();
    assert!(end != End::Open && said.is_empty());
    assert_eq!(upstream.count(), 1);
    assert_eq!(
        strangers.admin().anonymous().get("/v1/requests").status,
        401,
        "the admin port has no such header"
    );
}

/// K296: whoever has connected when the gateway is told to end is served, header or not.
#[test]
fn a_header_on_its_way_is_heard_to_its_end() {
    let upstream = Upstream::echo();
    let mut program = Site::new(setup(&upstream, &["127.0.0.1"])).serve();
    let request = b"PROXY TCP4 203.0.113.5 127.0.0.1 1 2\r\nGET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n";
    let mut clients: Vec<Client> = (0..20).map(|_| program.gateway().connect()).collect();
    wait::until("accepted", || program.metric("latchgate_connections", &[("listener", "gateway")]) >= 20.0);
    program.signal("STOP");
    for client in &mut clients {
        client.send(request);
    }
    program.sigterm();
    program.signal("CONT");
    for client in &mut clients {
        assert_eq!(client.receive().status, 200);
    }
    assert!(program.ended().success());
}

/// The header stands before TLS.
#[test]
fn it_comes_before_tls() {
    use std::{io::Write as _, net::TcpStream, sync::Arc};

    use rustls::{ClientConnection, StreamOwned};

    let (authority, upstream) = (Authority::new("Test CA"), Upstream::echo());
    let site = Site::new(setup(&upstream, &["127.0.0.1"]).tls(1));
    site.certify(0, &authority.server(&["gw"]));
    let program = site.serve();
    let mut tcp = TcpStream::connect(program.gateway().0).expect("connect");
    tcp.write_all(b"PROXY TCP4 203.0.113.5 127.0.0.1 1 2\r\n").expect("send");
    let name = "gw".try_into().expect("a name");
    let session = ClientConnection::new(Arc::new(authority.config().0), name).expect("a client");
    let mut client = Client::over(StreamOwned::new(session, tcp));
    assert_eq!(client.send("GET /public/tls HTTP/1.1\r\nHost: gw\r\n\r\n").receive().status, 200);
    assert_eq!(program.requests_logged("/public/tls", 1)[0]["client_ip"], "203.0.113.5");
}
