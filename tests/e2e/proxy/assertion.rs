//! `X-Latchgate-Assertion`: who calls, in a token that any backend can verify, and the keys by which it does.

use std::{fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::support::{
    gateway::Gateway,
    program::{ADMIN, Site},
    rawup::{Request, Upstream},
    request::Door,
    setup::Setup,
    tools, wait,
};

const JWKS: &str = "/.latchgate/jwks.json";
const ISSUER: &str = "https://gate.example.com";
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

fn setup(upstream: &Upstream) -> Setup {
    Setup::offload(upstream).set("identity.assertion", true).set("listen.public_url", ISSUER)
}

fn token(seen: &Request) -> String {
    seen.header("x-latchgate-assertion").expect("an assertion").to_owned()
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().expect("a key's name").to_owned()
}

fn published(door: Door) -> Vec<String> {
    let set = door.anonymous().get(JWKS);
    assert_eq!(set.status, 200, "{set:?}");
    assert!(!set.text().contains("\"d\""), "nothing private");
    let set = set.json();
    let keys = set["keys"].as_array().expect("keys").iter();
    keys.map(|key| key["kid"].as_str().expect("a name").to_owned()).collect()
}

/// The document's own ten lines accept what the gateway signed, and nothing else: not for another audience or issuer, not
/// after its minute, not with one bit changed, not signed by somebody else.
#[test]
fn the_documented_lines_verify_it() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let (org, team) = (site.org(), site.team());
    let key = site.key(&["--scopes", "scan:read,scan:trigger"]);
    let program = site.serve();
    let spoofed = [
        "X-Latchgate-Assertion: spoofed",
        "X_Latchgate_Assertion: spoofed",
        "x.latchgate.assertion: spoofed",
    ];
    assert_eq!(program.key(&key.text).request("GET", "/api/x").lines(&spoofed).send().status, 200);
    let good = token(&upstream.last());
    assert!(!upstream.record().contains("spoofed"), "{}", upstream.record());

    let claims = part(&good, 1);
    for (name, expected) in [
        ("iss", ISSUER),
        ("aud", "app"),
        ("tenant", &org),
        ("team", &team),
        ("scope", "team"),
        ("credential", &key.prefix),
        ("method", "api_key"),
    ] {
        assert_eq!(claims[name], expected, "{name}: {claims}");
    }
    assert_eq!(claims["scopes"], serde_json::json!(["scan:read", "scan:trigger"]));
    assert_eq!(claims["sub"], claims["user"]);
    assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|made| made + 60));
    assert!(claims.get("project").is_none(), "no value, no claim: {claims}");
    assert_eq!(part(&good, 0)["alg"], "ES256");

    let document = fs::read_to_string(format!("{}/deploy/assertions.md", env!("CARGO_MANIFEST_DIR")));
    let document = document.expect("the document");
    let printed = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let script = program.site.path("verify.py");
    let attempts = r#"
import base64, json, time
from cryptography.hazmat.primitives.asymmetric import ec
issuer, good = sys.argv[2], sys.argv[3]
print(json.dumps(caller(good, issuer, "app")))
head, claims, signature = good.split(".")
def encoded(value): return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
said = jwt.decode(good, options={"verify_signature": False})
kid = jwt.get_unverified_header(good)["kid"]
mine = ec.generate_private_key(ec.SECP256R1())
wrong = {
    "audience": (good, issuer, "other"),
    "issuer": (good, "https://evil.example", "app"),
    "changed": (head + "." + encoded({**said, "role": "owner"}) + "." + signature, issuer, "app"),
    "unsigned": (encoded({"alg": "none", "kid": kid}) + "." + claims + ".", issuer, "app"),
    "hmac": (jwt.encode(said, "a secret of thirty-two bytes and more", "HS256", {"kid": kid}), issuer, "app"),
    "signed by another": (jwt.encode(said, mine, "ES256", {"kid": kid}), issuer, "app"),
    "unknown key": (jwt.encode(said, mine, "ES256", {"kid": "mine"}), issuer, "app"),
}
for name, arguments in wrong.items():
    try:
        print(name, "was accepted:", caller(*arguments))
    except jwt.PyJWTError as error:
        print(name, "refused")
"#;
    fs::write(&script, [printed.expect("a Python block"), attempts].concat()).expect("write the script");
    let base = format!("http://{}", program.gateway().0);
    let said =
        tools::output(&tools::venv_python(), &[script.to_str().expect("a path"), &base, ISSUER, &good]);
    let mut lines = said.lines();
    let accepted: Value = serde_json::from_str(lines.next().expect("claims")).expect("JSON");
    assert_eq!(accepted, claims);
    let rest: Vec<_> = lines.collect();
    assert_eq!(rest.len(), 7, "{said}");
    assert!(rest.iter().all(|line| line.ends_with(" refused")), "{said}");

    let set = program.anonymous().get(JWKS);
    assert_eq!(set.header("cache-control"), Some("public, max-age=300"));
    let tag = set.header("etag").expect("a tag").to_owned();
    let again = program.anonymous().request("GET", JWKS).header("If-None-Match", &tag).send();
    assert_eq!((again.status, again.body.length), (304, 0));
    let other = program.anonymous().request("GET", JWKS).header("If-None-Match", "\"0\"").send();
    assert_eq!(other.status, 200);
    assert_eq!(program.anonymous().request("POST", JWKS).send().verdict(), "405 method_not_allowed");
    let private = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("PRIVATE");
    assert!(!private(&program.site.store_bytes()));
}

/// Off, nothing is sent and nothing is published; what clients send is removed all the same. A reload turns it on.
#[test]
fn off_is_off_and_a_reload_turns_it_on() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let caller = program.key(&key.text);
    let sent = caller.request("GET", "/api/x").header("X-Latchgate-Assertion", "spoofed").send();
    assert_eq!(sent.status, 200);
    assert_eq!(upstream.last().header("x-latchgate-assertion"), None);
    assert_eq!(program.anonymous().verdict(JWKS), "404 not_found");
    assert_eq!(program.site.count("assertion_keys"), 0);
    program.site.configure(&setup(&upstream));
    program.sighup();
    wait::until("an assertion", || {
        caller.get("/api/x").status == 200 && upstream.last().header("x-latchgate-assertion").is_some()
    });
    assert_eq!(published(program.gateway()), [kid(&token(&upstream.last()))]);
    assert_eq!(program.anonymous().get("/public/x").status, 200);
    assert_eq!(upstream.last().header("x-latchgate-assertion"), None, "nobody calls on a public route");
}

/// A token is sent again for ten seconds, to the same upstream about the same caller, and no longer.
#[test]
fn a_token_is_reused_for_a_few_seconds() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream).set("listen.workers", 1));
    let (one, other) =
        (site.key(&["--scopes", "scan:read"]), site.key(&["--scopes", "scan:read", "--name", "other"]));
    let gateway = Gateway::start(site);
    let sent = |key: &str, lines: &[&str]| {
        assert_eq!(gateway.key(key).request("GET", "/api/x").lines(lines).send().status, 200);
        token(&upstream.last())
    };
    let first = sent(&one.text, &[]);
    assert_eq!(sent(&one.text, &[]), first);
    let others = sent(&other.text, &[]);
    assert_ne!(part(&others, 1)["credential"], part(&first, 1)["credential"]);
    gateway.clock.advance(Duration::from_secs(9));
    assert_eq!(sent(&one.text, &[]), first);
    gateway.clock.advance(Duration::from_secs(1));
    let second = sent(&one.text, &[]);
    assert_ne!(part(&second, 1)["jti"], part(&first, 1)["jti"]);
    let decided = gateway
        .key(&one.text)
        .request("GET", "/.latchgate/decide")
        .lines(&["X-Forwarded-Method: GET", "X-Forwarded-Uri: /api/x"])
        .send();
    let decided = decided.header("x-latchgate-assertion").expect("an assertion").to_owned();
    assert_eq!(part(&decided, 1)["aud"], "app");
    gateway.site.cli(&["keys", "update", &one.id, "--allowed-ips", "203.0.113.0/24"]);
    wait::until("the change", || gateway.key(&one.text).verdict("/api/x") == "403 ip_not_allowed");
}

/// The next key is known an hour before it signs, the old one an hour after; a store that is down changes nothing.
#[test]
fn keys_follow_one_another_and_nobody_is_surprised() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream).set("auth.max_staleness", "15m"));
    let key = site.key(&["--scopes", "scan:read", "--expires-in-days", "90"]);
    let gateway = Gateway::start(site);
    let door = gateway.door();
    let signer = || {
        assert_eq!(gateway.key(&key.text).verdict("/api/x"), "200");
        kid(&token(&upstream.last()))
    };
    let first = signer();
    assert_eq!(published(door), std::slice::from_ref(&first));
    gateway.clock.advance(DAY * 29 + HOUR * 22);
    assert_eq!((signer(), published(door).len()), (first.clone(), 1));
    gateway.clock.advance(HOUR + Duration::from_secs(60));
    wait::until("the next key", || published(door).len() == 2);
    let next = published(door).pop().expect("the next key");
    assert_eq!(signer(), first, "it is known before it signs");
    gateway.clock.advance(Duration::from_secs(3600 - 61));
    assert_eq!(signer(), first);
    gateway.clock.advance(Duration::from_secs(62));
    gateway.break_store();
    assert_eq!(signer(), next, "also while the store is down");
    gateway.mend_store();
    assert_eq!(published(door), [first.clone(), next.clone()], "what was signed before can be verified");
    gateway.clock.advance(HOUR + Duration::from_secs(61));
    wait::until("the old key to be forgotten", || published(door) == std::slice::from_ref(&next));
    assert_eq!(gateway.site.count("assertion_keys"), 1, "also its private half");
    let trail = gateway.site.cli(&["audit", "list", "--target-table", "assertion_keys"]).json();
    let events: Vec<_> =
        trail["items"].as_array().expect("events").iter().map(|item| &item["event"]).collect();
    assert_eq!(events, ["assertion_key.created", "assertion_key.created"]);
}

/// The operator replaces keys: announced, or at once when one has leaked; the trail says so.
#[test]
fn the_operator_replaces_keys() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let door = program.gateway();
    let first = published(door).pop().expect("a key");
    let made = program.cli(&["assertion-keys", "rotate"]).json();
    assert_eq!(made["status"], "next", "{made}");
    wait::until("both keys", || published(door).len() == 2);
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    assert_eq!(kid(&token(&upstream.last())), first, "it signs in an hour");
    let listed = program.cli(&["assertion-keys", "list"]).json();
    let states: Vec<_> = listed["items"].as_array().expect("keys").iter().map(|key| &key["status"]).collect();
    assert_eq!(states, ["signing", "next"]);

    let at_once = program.cli(&["assertion-keys", "rotate", "--at-once"]).json();
    let id = at_once["id"].as_str().expect("an id").to_owned();
    wait::until("the withdrawal", || published(door) == std::slice::from_ref(&id));
    wait::until("the new key to sign", || {
        program.key(&key.text).get("/api/x").status == 200 && kid(&token(&upstream.last())) == id
    });
    let trail = program.cli(&["audit", "list", "--action", "rotate"]).json();
    let events = trail["items"].as_array().expect("events");
    assert_eq!(events.len(), 2, "{trail}");
    assert_eq!((&events[0]["target"], &events[0]["actor"]), (&Value::from(id), &Value::from("operator")));
    assert!(!trail.to_string().contains("sealed"));
}

/// Two nodes on one store that find no key: one makes it, both use it. A key that cannot be opened is as good as none.
#[test]
fn nodes_share_their_keys_and_a_damaged_one_is_replaced() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let token_of = site.key(&["--scopes", "scan:read"]);
    let programs: Vec<_> = std::thread::scope(|scope| {
        let start = || Site::lent(site.path("")).serve();
        let started: Vec<_> = (0..2).map(|_| scope.spawn(start)).collect();
        started.into_iter().map(|thread| thread.join().expect("a node")).collect()
    });
    assert_eq!(site.count("assertion_keys"), 1);
    assert_eq!(published(programs[0].gateway()), published(programs[1].gateway()));
    drop(programs);
    assert_eq!(site.sql("UPDATE assertion_keys SET sealed = '00' || substr(sealed, 3)"), 1);
    let program = Site::lent(site.path("")).serve();
    assert_eq!(published(program.gateway()).len(), 2);
    assert_eq!(program.key(&token_of.text).verdict("/api/x"), "200");
    assert_eq!(Some(kid(&token(&upstream.last()))), published(program.gateway()).pop());
    let refused = site.cli(&["assertion-keys", "rotate", "--server", "http://127.0.0.1:9"]);
    assert_eq!(refused.code, 2, "only on the machine: {refused:?} {ADMIN}");
}
