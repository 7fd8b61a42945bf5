//! Somebody guesses at a key: people are told, once, and never the secret.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    gateway::Gateway,
    program::Site,
    rawup::{Answer, Upstream},
    request::Door,
    setup::Setup,
    wait,
};

const PLACE: &str = "/services/T000/B000/hunter2";

fn setup(upstream: &Upstream, receiver: &Upstream) -> Setup {
    let proxies = toml::Value::from(vec!["127.0.0.1/32"]);
    Setup::trustedoss(upstream)
        .set("audit.alert_webhook", format!("{}{PLACE}", receiver.url()))
        .set("listen.trusted_proxies", proxies)
}

/// So many wrong secrets for this prefix, each from another address.
fn guess(door: Door, target: &str, prefix: &str, count: usize) {
    for number in 0..count {
        let wrong = format!("tos_{prefix}_{number:032}");
        let request = door.bearer(&wrong).request("GET", target);
        let answer = request.header("X-Forwarded-For", &format!("192.0.2.{number}")).send();
        assert_eq!(answer.verdict(), "401 credential_invalid");
    }
}

/// What a receiver was sent, as text.
fn told(receiver: &Upstream, count: usize) -> Vec<String> {
    let requests = wait::for_some(&format!("{count} alerts"), || {
        let requests = receiver.requests();
        (requests.len() >= count && requests.iter().all(|request| request.complete)).then_some(requests)
    });
    let text = |request: &crate::support::rawup::Request| {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", PLACE));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&request.body.kept).expect("JSON");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        body["text"].as_str().expect("a text").to_owned()
    };
    requests.iter().map(text).collect()
}

/// R002_15: five misses of one key within 60 seconds, on whichever port, are one message in Slack's form: which key, how
/// often, from where, what to do. Guessing on says nothing new for a minute; unknown prefixes are nobody's key.
#[test]
fn five_misses_in_a_minute_are_one_message() {
    let (upstream, receiver) = (Upstream::echo(), Upstream::start(|_| Answer::ok("ok")));
    let site = Site::new(setup(&upstream, &receiver));
    let (key, other) = (site.key(&["--scope", "org"]), site.key(&["--scope", "org", "--name", "other"]));
    let gateway = Gateway::start(site);
    let (door, admin) = (gateway.door(), gateway.admin());
    guess(door, "/any/x", "zzzzzzzz", 20);
    guess(door, "/any/x", &key.prefix, 2);
    guess(door, "/any/x", &other.prefix, 4);
    gateway.clock.advance(Duration::from_secs(59));
    guess(admin, "/v1/presets", &key.prefix, 3);
    let first = told(&receiver, 1).remove(0);
    for word in [&*key.prefix, "5 wrong secrets", "192.0.2.0, 192.0.2.1, 192.0.2.2", "latchgate keys rotate"]
    {
        assert!(first.contains(word), "{word} is missing in {first}");
    }
    assert!(!first.contains("00000000000000000000") && !first.contains(&key.text[13..]), "{first}");

    guess(door, "/any/x", &key.prefix, 20);
    assert_eq!(gateway.door().bearer(&key.text).verdict("/any/x"), "200", "its holder is not disturbed");
    gateway.clock.advance(Duration::from_secs(61));
    guess(admin, "/v1/presets", &key.prefix, 4);
    guess(door, "/any/x", &other.prefix, 5);
    let both = told(&receiver, 2);
    assert!(both[1].contains(&other.prefix), "the misses of one key are not the other's: {both:?}");
    guess(door, "/any/x", &key.prefix, 1);
    assert!(told(&receiver, 3)[2].contains(&key.prefix), "a new minute, a new message");
    assert_eq!(receiver.count(), 3);
}

/// A receiver that fails is asked again, one that is gone costs nobody anything, and its address is never written.
#[test]
fn a_message_is_sent_again() {
    let attempts = AtomicUsize::new(0);
    let receiver = Upstream::start(move |_| match attempts.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::status("503 Service Unavailable", "later"),
        _ => Answer::ok("ok"),
    });
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream, &receiver));
    let (key, other) = (site.key(&["--scope", "org"]), site.key(&["--scope", "org", "--name", "other"]));
    let program = site.serve();
    guess(program.gateway(), "/any/x", &key.prefix, 5);
    let both = told(&receiver, 2);
    assert_eq!(both[0], both[1]);
    wait::until("the message to be counted", || {
        program.metric("latchgate_alerts_total", &[("outcome", "sent")]) > 0.5
    });

    let gone = Upstream::start(|_| Answer::status("404 Not Found", "no_team"));
    program.site.configure(&setup(&upstream, &gone));
    program.sighup();
    wait::until("the new configuration", || {
        program.messages().iter().any(|line| line["msg"] == "configuration reloaded")
    });
    guess(program.gateway(), "/any/x", &other.prefix, 5);
    wait::until("the message to be given up", || {
        program.metric("latchgate_alerts_total", &[("outcome", "failed")]) > 0.5
    });
    assert_eq!(gone.count(), 1, "404 will not pass");
    let guessed: Vec<Value> =
        program.messages().into_iter().filter(|line| line["msg"] == "api_key.guessed").collect();
    assert_eq!(guessed.len(), 2, "the program's own log tells it too: {guessed:?}");
    assert_eq!(guessed[1]["prefix"], other.prefix.as_str());
    assert!(!program.everything_written().contains("hunter2"));
}

/// M332: the address may be a secret: it comes from a file as well, and no fault of it shows it.
#[test]
fn the_receiver_s_address_is_a_secret() {
    let (upstream, receiver) = (Upstream::echo(), Upstream::start(|_| Answer::ok("ok")));
    let site = Site::new(Setup::trustedoss(&upstream));
    let key = site.key(&["--scope", "org"]);
    std::fs::write(site.path("alerts.secret"), format!("{}{PLACE}\n", receiver.url())).expect("a file");
    let file = site.path("alerts.secret");
    let program =
        site.serve_with(&[("LATCHGATE_AUDIT__ALERT_WEBHOOK_FILE", file.to_str().expect("a plain path"))]);
    guess(program.gateway(), "/any/x", &key.prefix, 5);
    told(&receiver, 1);
    for wrong in ["ftp://hunter2.example/", "hunter2", "http://", "https:///hunter2"] {
        program.site.configure(&Setup::trustedoss(&upstream).set("audit.alert_webhook", wrong));
        let refused = program.site.plain(&["check"], "");
        assert_eq!(refused.code, 2, "{refused:?}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("audit.alert_webhook") && !said.contains("hunter2"), "{said}");
    }
}
