//! Bounds on how much comes at a time: connections of one address, requests under way.

use crate::support::{
    program::Site,
    rawc::{Client, End},
    rawup::{Answer, Gate, Upstream},
    setup::Setup,
    wait,
};

fn proxied(upstream: &Upstream) -> Setup {
    let trusted = toml::Value::Array(vec!["127.0.0.1".into()]);
    Setup::offload(upstream).set("listen.trusted_proxies", trusted).set("listen.proxy_protocol", true)
}

const ASK: &str = "GET /public/x HTTP/1.1\r\nHost: gw\r\n\r\n";

/// I244: one address opens very many connections: it keeps as many as are allowed, whichever workers they meet, the rest
/// are closed at once; others are served, and so is the address when it lets go.
#[test]
fn one_address_does_not_take_all_connections() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream).set("limits.connections_per_ip", 5)).serve();
    let is_served = |client: &mut Client| {
        client.try_send(ASK.as_bytes()).is_ok()
            && client.try_receive("GET").is_ok_and(|answer| answer.is_some())
    };
    let mut clients: Vec<Client> = (0..200).map(|_| program.gateway().connect()).collect();
    let served = clients.iter_mut().filter_map(|client| is_served(client).then_some(())).count();
    assert_eq!(served, 5);
    assert_eq!(upstream.count(), 5);
    drop(clients);
    wait::until("room again", || is_served(&mut program.gateway().connect()));
}

/// I244: behind a load balancer each of its clients is counted, and the balancer is not.
#[test]
fn clients_are_counted_behind_a_balancer() {
    let upstream = Upstream::echo();
    let program = Site::new(proxied(&upstream).set("limits.connections_per_ip", 2)).serve();
    let mut held = Vec::new();
    for (address, served) in [
        ("203.0.113.1", true),
        ("203.0.113.1", true),
        ("203.0.113.1", false),
        ("203.0.113.2", true),
        ("203.0.113.2", true),
        ("203.0.113.2", false),
    ] {
        let mut client = program.gateway().connect();
        let _ = client.try_send(format!("PROXY TCP4 {address} 127.0.0.1 1 2\r\n{ASK}").as_bytes());
        let answer = client.try_receive("GET").ok().flatten();
        assert_eq!(answer.is_some(), served, "{address}");
        held.push(client);
    }
    let mut own: Vec<Client> = (0..5).map(|_| program.gateway().connect()).collect();
    for client in &mut own {
        let local = [b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", ASK.as_bytes()].concat();
        assert_eq!(client.send(local).receive().status, 200);
    }
    // Nobody has a network of IPv6 addresses to himself with which to be many.
    for (last, served) in [(1, true), (2, true), (3, false)] {
        let mut client = program.gateway().connect();
        let _ = client.try_send(format!("PROXY TCP6 2001:db8::{last} ::1 1 2\r\n{ASK}").as_bytes());
        assert_eq!(client.try_receive("GET").ok().flatten().is_some(), served, "{last}");
        held.push(client);
    }
}

/// `limits.max_requests`: as many as that are under way; one more is told to come back, on a connection that stays good.
#[test]
fn more_requests_than_can_be_done_are_told_to_come_back() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| {
        let answer = Box::new(Answer::Echo);
        if request.target.ends_with("held") { Answer::Held(held.clone(), answer) } else { *answer }
    });
    let program = Site::new(Setup::offload(&upstream).set("limits.max_requests", 2)).serve();
    let mut busy: Vec<Client> = (0..2).map(|_| program.gateway().connect()).collect();
    for client in &mut busy {
        client.send("GET /public/held HTTP/1.1\r\nHost: gw\r\n\r\n");
    }
    upstream.wait_for(2);
    let mut client = program.gateway().connect();
    for _ in 0..3 {
        let answer = client.send(ASK).receive();
        assert_eq!(answer.verdict(), "503 overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(upstream.count(), 2);
    gate.open();
    for client in &mut busy {
        assert_eq!(client.receive().status, 200);
    }
    wait::until("room again", || client.send(ASK).receive().status == 200);
    // Whoever leaves frees a place too.
    for _ in 0..5 {
        let mut leaving = program.gateway().connect();
        leaving.send(ASK);
        leaving.reset();
    }
    wait::until("room again", || client.send(ASK).receive().status == 200);
    let mut gone = program.gateway().connect();
    gone.half_close();
    assert_ne!(gone.until_closed().0, End::Open);
}
