//! Uses of keys on record: off, once for each address, or all.

use serde_json::Value;

use crate::support::{
    program::{Key, Lock, Program, Site},
    rawup::Upstream,
    setup::Setup,
    wait,
};

fn setup(upstream: &Upstream, uses: &str) -> Setup {
    let proxies = toml::Value::from(vec!["127.0.0.1/32"]);
    Setup::offload(upstream).set("audit.api_key_use", uses).set("listen.trusted_proxies", proxies)
}

fn uses(site: &Site) -> Vec<Value> {
    let listed = site.cli(&["audit", "list", "--action", "use"]).json();
    let mut events = listed["items"].as_array().cloned().expect("items");
    events.reverse();
    events
}

fn recorded(program: &Program, count: usize) -> Vec<Value> {
    wait::for_some(&format!("{count} uses on record"), || {
        Some(uses(&program.site)).filter(|events| events.len() >= count)
    })
}

/// The request id that was answered.
fn ask(program: &Program, key: &Key, from: &str, path: &str) -> String {
    let answer = program.key(&key.text).request("GET", path).header("X-Forwarded-For", from).send();
    answer.header("x-request-id").expect("an id").to_owned()
}

/// Each worker hands over its own uses: those of different ones are recorded in any order.
fn of_request<'a>(events: &'a [Value], id: &str) -> &'a Value {
    let found = events.iter().find(|event| event["detail"]["request_id"] == id);
    found.unwrap_or_else(|| panic!("no use in request {id}: {events:?}"))
}

fn whole(site: &Site) {
    assert_eq!(site.plain(&["audit", "verify"], "").code, 0);
}

/// R002_16: each request that a key lets in, on both ports, is an event by the key itself, named by its request, in a
/// chain that stays whole; what is refused is none. It comes and goes with the configuration.
#[test]
fn each_use_is_an_event_when_all_are_asked_for() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream, "off"));
    let key = site.key(&["--scopes", "scan:read,audit:read"]);
    let program = site.serve();
    ask(&program, &key, "192.0.2.1", "/api/unseen");
    wait::until("the use to be counted", || {
        program.cli(&["keys", "show", &key.id]).json()["usage_count"] == 1
    });
    assert!(uses(&program.site).is_empty(), "off by default");

    program.site.configure(&setup(&upstream, "all"));
    program.sighup();
    wait::until("the new configuration", || {
        program.messages().iter().any(|line| line["msg"] == "configuration reloaded")
    });
    let ids: Vec<String> = (1..=3)
        .map(|number| ask(&program, &key, &format!("192.0.2.{number}"), &format!("/api/{number}")))
        .collect();
    assert_eq!(program.key(&key.text).verdict("/admin/x"), "403 scope_insufficient");
    let events = recorded(&program, 3);
    for (number, id) in ids.iter().enumerate() {
        let event = of_request(&events, id);
        for (field, value) in [
            ("event", "api_key.used"),
            ("action", "use"),
            ("actor_kind", "api_key"),
            ("actor", &key.prefix),
            ("target", &key.prefix),
            ("target_table", "api_keys"),
            ("ip", &format!("192.0.2.{}", number + 1)),
        ] {
            assert_eq!(event[field], value, "{event}");
        }
    }
    assert_eq!(events.len(), 3, "a refusal is no use: {events:?}");

    let admin = program.admin().key(&key.text);
    let asked = format!("/v1/audit?action=use&actor={}", key.prefix);
    let answer = admin.get(&asked);
    assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(3));
    let events = recorded(&program, 4);
    // Asking the admin port is a use too.
    of_request(&events, answer.header("x-request-id").expect("an id"));
    assert!(program.metric("latchgate_audit_events_total", &[("action", "use")]) >= 4.0);
    whole(&program.site);
}

/// R002_16: the first use of a key from an address, and no other; a restart, even a sudden one, forgets none.
#[test]
fn the_first_use_from_each_address_is_an_event_for_ever() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream, "first_per_ip"));
    let key = site.key(&["--scopes", "scan:read"]);
    let other = site.key(&["--scopes", "scan:read", "--name", "other"]);
    let program = site.serve();
    for _ in 0..3 {
        ask(&program, &key, "192.0.2.1", "/api/x");
        ask(&program, &key, "2001:db8::1", "/api/x");
        ask(&program, &other, "192.0.2.1", "/api/x");
    }
    assert_eq!(recorded(&program, 3).len(), 3);
    let program = program.kill9().serve();
    for from in ["192.0.2.1", "2001:db8::1", "192.0.2.7"] {
        ask(&program, &key, from, "/api/x");
    }
    let events = recorded(&program, 4);
    let seen: Vec<_> = events.iter().filter(|event| event["actor"] == key.prefix.as_str()).collect();
    let mut from: Vec<&str> = seen.iter().filter_map(|event| event["ip"].as_str()).collect();
    from.sort_unstable();
    assert_eq!(from, ["192.0.2.1", "192.0.2.7", "2001:db8::1"]);
    whole(&program.site);
}

/// Uses wait while the store cannot be written, and none is lost: the last ones are written by a shutdown.
#[test]
fn uses_wait_for_the_store() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream, "all"));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let lock = Lock::take(&program.site);
    for number in 0..50 {
        ask(&program, &key, "192.0.2.1", &format!("/api/{number}"));
    }
    wait::until("the program to say so", || {
        program.messages().iter().any(|line| {
            line["msg"].as_str().is_some_and(|text| text.contains("uses of keys cannot be written down"))
        })
    });
    lock.release();
    ask(&program, &key, "192.0.2.1", "/api/last");
    let site = program.stop();
    assert_eq!(site.count("audit_events WHERE event = 'api_key.used'"), 51);
    whole(&site);
}
