//! The older form of a signed request: a hash over key, nonce and time, as the clients of one platform send it.

use sha2::{Digest as _, Sha256};

use crate::support::{
    gateway::Gateway,
    program::{Key, Site},
    rawup::Upstream,
    request::{Door, Request},
    setup::Setup,
    signer::{Signer, nonce},
};

fn setup(upstream: &Upstream) -> Setup {
    Setup::bare("cortex")
        .upstream("app", &upstream.url())
        .route("name = \"open\"\npath = \"/public/{*rest}\"\nupstream = \"app\"\ncredentials = [\"none\"]")
        .route("name = \"all\"\npath = \"/{*rest}\"\nupstream = \"app\"")
}

const ROLES: [&str; 2] = ["--roles", "cli"];

fn advanced(site: &Site, name: &str) -> Key {
    site.key(&[&ROLES[..], &["--security-level", "advanced", "--name", name]].concat())
}

/// What a client sends.
#[derive(Clone)]
struct Sent {
    id: String,
    nonce: String,
    timestamp: String,
    hash: String,
}

impl Sent {
    fn new(key: &Key, millis: i64) -> Self {
        Self::with(&key.prefix, &key.text, &nonce(), &millis.to_string())
    }

    fn with(id: &str, key: &str, nonce: &str, timestamp: &str) -> Self {
        let hash = Sha256::digest(format!("{key}{nonce}{timestamp}"));
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id: id.into(), nonce: nonce.into(), timestamp: timestamp.into(), hash }
    }

    fn request(&self, door: Door) -> Request {
        door.anonymous()
            .request("GET", "/x")
            .header("Authorization", &self.hash)
            .header("x-xdr-auth-id", &self.id)
            .header("x-xdr-nonce", &self.nonce)
            .header("x-xdr-timestamp", &self.timestamp)
    }

    fn verdict(&self, door: Door) -> String {
        self.request(door).send().verdict()
    }
}

/// `R001_04`, `R001_05`, `R001_11`: a key as it is with its id; its hash with nonce and time, once, within five minutes.
#[test]
fn a_hash_counts_once_and_for_five_minutes() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let (key, other, standard) = (advanced(&site, "one"), advanced(&site, "two"), site.key(&ROLES));
    let gateway = Gateway::start(site);
    let door = gateway.door();
    let now = gateway.clock.now().micros() / 1000;
    let bare = |key: &Key| {
        let request = door.anonymous().request("GET", "/x").header("Authorization", &key.text);
        request.header("x-xdr-auth-id", &key.prefix).send().verdict()
    };
    assert_eq!(bare(&standard), "200");
    assert_eq!(upstream.last().header("x-auth-method"), Some("api_key"));
    assert_eq!(bare(&key), "401 signature_required");

    let sent = Sent::new(&key, now);
    assert_eq!(sent.verdict(door), "200");
    let seen = upstream.last();
    assert_eq!(seen.header("x-auth-method"), Some("signed"));
    for name in ["authorization", "x-xdr-auth-id", "x-xdr-nonce", "x-xdr-timestamp"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(sent.verdict(door), "401 replay_detected");
    let renewed = Sent::with(&key.prefix, &key.text, &sent.nonce, &(now + 1).to_string());
    assert_eq!(renewed.verdict(door), "401 replay_detected", "the nonce counts, not the hash");
    let neighbour = Sent::with(&other.prefix, &other.text, &sent.nonce, &now.to_string());
    assert_eq!(neighbour.verdict(door), "200", "each key has its own nonces");
    let upper = Sent::new(&key, now);
    assert_eq!(Sent { hash: upper.hash.to_uppercase(), ..upper }.verdict(door), "200");
    for (offset, verdict) in [(-299_999, "200"), (299_999, "200")] {
        assert_eq!(Sent::new(&key, now + offset).verdict(door), verdict, "{offset}");
    }
    for offset in [-300_001, 300_001, -86_400_000] {
        assert_eq!(Sent::new(&key, now + offset).verdict(door), "401 signature_invalid", "{offset}");
    }
    // The same memory as that of the other form.
    let signer = Signer::shared(&key);
    let draft = signer.get("/x").created(now / 1000).with_nonce(&sent.nonce);
    assert_eq!(signer.verdict(door, &draft), "401 replay_detected");
    let draft = signer.get("/x").created(now / 1000);
    assert_eq!(signer.verdict(door, &draft), "200");
    let again =
        Sent::with(&key.prefix, &key.text, draft.nonce.as_deref().expect("a nonce"), &now.to_string());
    assert_eq!(again.verdict(door), "401 replay_detected");
}

/// What is changed, missing or moved is refused, and nothing of it is forwarded.
#[test]
fn a_hash_over_something_else_is_refused() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let (key, other, standard) = (advanced(&site, "one"), advanced(&site, "two"), site.key(&ROLES));
    let gateway = Gateway::start(site);
    let door = gateway.door();
    let now = gateway.clock.now().micros() / 1000;
    // A nonce that ends like a time begins: a part of it moved over to the other is no other request.
    let sent = Sent::with(&key.prefix, &key.text, &format!("{}0", nonce()), &now.to_string());
    let shorter = sent.nonce[..sent.nonce.len() - 1].to_owned();
    let cases = [
        ("nonce", Sent { nonce: nonce(), ..sent.clone() }),
        ("time", Sent { timestamp: (now + 1).to_string(), ..sent.clone() }),
        ("hash", Sent { hash: "0".repeat(64), ..sent.clone() }),
        ("no hash", Sent { hash: "nonsense".into(), ..sent.clone() }),
        ("short hash", Sent { hash: sent.hash[..62].into(), ..sent.clone() }),
        ("another key's id", Sent { id: other.prefix.clone(), ..sent.clone() }),
        ("a zero moved", Sent { nonce: shorter, timestamp: format!("0{now}"), ..sent.clone() }),
        ("a sign", Sent { timestamp: format!("+{now}"), ..sent.clone() }),
        ("no nonce", Sent::with(&key.prefix, &key.text, "", &now.to_string())),
        ("a long nonce", Sent::with(&key.prefix, &key.text, &"n".repeat(300), &now.to_string())),
        ("no time", Sent::with(&key.prefix, &key.text, "n", "")),
        ("text for a time", Sent::with(&key.prefix, &key.text, "n", "now")),
        ("seconds", Sent::with(&key.prefix, &key.text, "n", &(now / 1000).to_string())),
    ];
    for (what, sent) in cases {
        assert_eq!(sent.verdict(door), "401 signature_invalid", "{what}");
    }
    for (what, id) in
        [("nobody", "99999999"), ("no id", ""), ("letters", "abcdefgh"), ("beyond", "123456789")]
    {
        let sent = Sent { id: id.into(), ..sent.clone() };
        assert_eq!(sent.verdict(door), "401 credential_invalid", "{what}");
    }
    let hashed = Sent::new(&standard, now);
    assert_eq!(hashed.verdict(door), "401 credential_invalid", "a key of the other level has no hash");
    for line in ["x-xdr-nonce: other", "x-xdr-timestamp: 1", "x-xdr-auth-id: 12345678"] {
        let verdict = sent.request(door).line(line).send().verdict();
        assert!(
            ["401 signature_invalid", "401 credential_invalid"].contains(&verdict.as_str()),
            "{line}: {verdict}"
        );
    }
    let beside = sent.request(door).header("X-API-Key", &standard.text).send().verdict();
    assert_eq!(beside, "400 credential_conflict");
    assert_eq!(upstream.count(), 0);
    assert_eq!(sent.verdict(door), "200", "none of that used it up");

    // Where nobody is asked, a hash that would still count is not handed on.
    let open = Sent::new(&key, now).request(door);
    let text = String::from_utf8(open.bytes()).expect("text").replace("GET /x", "GET /public/x");
    let mut client = door.connect();
    client.send(text);
    assert_eq!(client.receive_to("GET").status, 200);
    assert_eq!(upstream.last().header("authorization"), None);
}

/// Where the profile knows no such clients, the headers are nobody's and mean nothing.
#[test]
fn other_platforms_know_no_hash() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read", "--security-level", "advanced"]);
    let program = site.serve();
    let now = latchgate::domain::time::Clock::system().now().micros() / 1000;
    let sent = Sent::new(&key, now);
    let verdict = sent.verdict(program.gateway());
    assert!(["404 not_found", "401 credential_missing"].contains(&verdict.as_str()), "{verdict}");
    assert_eq!(upstream.count(), 0);
}

/// `R001_12`: a primary key mints a key of the level `advanced`, which signs and is not sent.
#[test]
fn an_advanced_key_is_minted() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let primary = site.key(&["--scopes", "public_api:edit,cli_tools:edit"]);
    let program = site.serve();
    let body = r#"{"request_data": {"roles": ["cli"], "security_level": "advanced", "expiration": 0, "comment": "m"}}"#;
    let caller = program.admin().key(&primary.text);
    let request = caller.request("POST", "/public_api/v1/api_keys/generate");
    let answer = request.header("Content-Type", "application/json").body(body).send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let reply = &answer.json()["reply"];
    assert_eq!(reply["security_level"], "advanced");
    let field = |name: &str| reply[name].as_str().expect("a text").to_owned();
    let key = Key { id: field("uuid"), prefix: field("id"), text: field("key"), object: reply.clone() };
    let now = latchgate::domain::time::Clock::system().now().micros() / 1000;
    assert_eq!(Sent::new(&key, now).verdict(program.gateway()), "200");
    assert_eq!(program.key(&key.text).verdict("/x"), "401 signature_required");
}
