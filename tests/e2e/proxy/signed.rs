//! Signed requests: what passes, and everything that must not.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    gateway::Gateway,
    program::{Key, Program, Site},
    rawup::Upstream,
    setup::Setup,
    signer::{Draft, Signer, digest, new_pair, nonce, now},
    wait,
    wrong::Wrong,
};

const SCOPES: [&str; 2] = ["--scopes", "scan:read,scan:trigger"];

struct House {
    program: Program,
    upstream: Upstream,
    shared: Signer,
    pair: Signer,
    key: Key,
}

impl House {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(change(Setup::offload(&upstream)));
        let key = site.key(&[&SCOPES[..], &["--security-level", "advanced"]].concat());
        assert_eq!(key.object["security_level"], "advanced");
        let pair = Signer::new_pair(&site, &SCOPES);
        Self { shared: Signer::shared(&key), program: site.serve(), upstream, pair, key }
    }

    fn signers(&self) -> [&Signer; 2] {
        [&self.shared, &self.pair]
    }

    fn verdict(&self, signer: &Signer, draft: &Draft) -> String {
        signer.verdict(self.program.gateway(), draft)
    }
}

/// `R001_05`: a signed request passes with either kind of secret, whole, without its signature, and tells the backend
/// how it was proved.
#[test]
fn a_signed_request_passes() {
    let house = House::new();
    let door = house.program.gateway();
    for signer in house.signers() {
        for draft in [
            signer.get("/api/scans"),
            signer.get("/api/scans?page=2&q=%2F"),
            signer.get("/api/scans?"),
            signer.get("/api/sc%41ns/%7Eme"),
            signer.post("/api/scans", "{\"branch\": \"main\"}"),
            signer.post("/api/scans?dry=1", &"x".repeat(300_000)),
            signer
                .get("/api/x")
                .covering("\"@authority\"")
                .covering("\"@target-uri\"")
                .covering("\"@scheme\""),
            signer.get("/api/x").covering("\"host\"").with_field("X-Build", "7").covering("\"x-build\""),
            signer.get("/api/x").with_field("X-A", "1").with_field("X-A", "2").covering("\"x-a\""),
            signer.get("/api/x").covering("\"@request-target\"").with_params(";tag=\"ci\""),
        ] {
            let answer = signer.send(door, &draft);
            assert_eq!(answer.status, 200, "{draft:?}: {}", answer.text());
            let seen = house.upstream.last();
            assert_eq!(seen.header("x-auth-method"), Some("signed"));
            assert_eq!(seen.header("x-credential-id"), Some(signer.keyid.as_str()));
            assert_eq!((seen.header("signature"), seen.header("signature-input")), (None, None));
            assert_eq!(seen.body.text(), draft.body.clone().unwrap_or_default());
            assert_eq!(seen.header("content-digest").is_some(), draft.body.is_some());
        }
        let who = signer.send(door, &signer.get("/.latchgate/whoami")).json();
        assert_eq!(
            (who["method"].as_str(), who["credential"].as_str()),
            (Some("signed"), Some(signer.keyid.as_str()))
        );
    }
    let line = &house.program.requests_logged("/api/scans", 1)[0];
    assert_eq!((line["auth_method"].as_str(), line["outcome"].as_str()), (Some("signed"), Some("ok")));
    let ok = house.program.metric("latchgate_auth_total", &[("method", "signed"), ("outcome", "ok")]);
    assert!(ok > 20.0, "{ok}");
    assert!(!house.program.everything_written().contains(&house.key.text));
}

/// `R001_05`: the raw key is refused, and the answer says so; a raw key is the proof of itself, so nobody else learns it.
#[test]
fn a_key_that_signs_is_not_sent() {
    let house = House::new();
    let program = &house.program;
    for _ in 0..3 {
        assert_eq!(program.key(&house.key.text).verdict("/api/x"), "401 signature_required");
        assert_eq!(program.bearer(&house.key.text).verdict("/api/x"), "401 signature_required");
        assert_eq!(program.key(&house.key.text).verdict("/.latchgate/whoami"), "401 signature_required");
        assert_eq!(program.admin().key(&house.key.text).verdict("/v1/api-keys"), "401 signature_required");
    }
    // Other texts with its public characters, and with those of the key of which nothing is ever sent.
    for prefix in [&house.key.prefix, &house.pair.keyid] {
        let guess = format!("osk_{prefix}_{}", "a".repeat(32));
        let guess = format!("{guess}{}", super::checksum(&guess));
        assert_eq!(program.key(&guess).verdict("/api/x"), "401 credential_invalid");
    }
    assert_eq!(house.upstream.count(), 0);
    let told =
        program.site.plain(&["explain", "--path", "/api/x", "--key-stdin"], &format!("{}\n", house.key.text));
    assert!(told.stdout.contains("signature") && told.stdout.contains("401 signature_required"), "{told:?}");
    assert_eq!(
        house.verdict(&house.shared, &house.shared.get("/api/x")),
        "200",
        "and it goes on working signed"
    );
}

/// Whatever is changed after it was signed, or signed wrong, is refused, and nothing
/// of it is forwarded.
#[test]
fn what_was_changed_is_refused() {
    let house = House::new();
    let door = house.program.gateway();
    let mut wrong = Wrong::default();
    for signer in house.signers() {
        let post =
            || signer.post("/api/scans?page=1", "body").with_field("X-Build", "7").covering("\"x-build\"");
        let changed = |change: &dyn Fn(&mut Draft)| {
            let draft = post();
            let lines = signer.sign(&draft);
            let mut sent = draft;
            change(&mut sent);
            sent.request(door, &lines).send().verdict()
        };
        let lines_changed = |change: &dyn Fn(&str) -> String| {
            let draft = post();
            let lines: Vec<String> = signer.sign(&draft).iter().map(|line| change(line)).collect();
            draft.request(door, &lines).send().verdict()
        };
        let replace = |from: &'static str, to: &'static str| {
            lines_changed(&|line| {
                if line.starts_with("Signature-Input") { line.replace(from, to) } else { line.to_owned() }
            })
        };
        let cases = [
            ("method", changed(&|sent| sent.method = "PUT".into())),
            ("path", changed(&|sent| sent.target = "/api/scanz?page=1".into())),
            ("path spelled otherwise", changed(&|sent| sent.target = "/api/sc%61ns?page=1".into())),
            ("query", changed(&|sent| sent.target = "/api/scans?page=2".into())),
            ("query added to", changed(&|sent| sent.target = "/api/scans?page=1&admin=1".into())),
            ("query gone", changed(&|sent| sent.target = "/api/scans".into())),
            ("body", changed(&|sent| sent.body = Some("bodY".into()))),
            ("body longer", changed(&|sent| sent.body = Some("body ".into()))),
            ("body gone", changed(&|sent| sent.body = None)),
            ("body empty", changed(&|sent| sent.body = Some(String::new()))),
            (
                "body and digest",
                changed(&|sent| {
                    sent.body = Some("evil".into());
                    sent.fields[0].1 = digest(b"evil");
                }),
            ),
            ("second digest", changed(&|sent| sent.fields.push(sent.fields[0].clone()))),
            ("covered field", changed(&|sent| sent.fields[1].1 = "8".into())),
            ("covered field twice", changed(&|sent| sent.fields.push(("X-Build".into(), "8".into())))),
            ("covered field gone", changed(&|sent| drop(sent.fields.remove(1)))),
            ("created", replace(";created=", ";created=1")),
            ("created gone", replace("created=", "created_=")),
            ("nonce", replace("nonce=\"", "nonce=\"x")),
            ("expires", replace(";keyid", ";expires=9999999999;keyid")),
            ("order", replace("\"@method\" \"@path\"", "\"@path\" \"@method\"")),
            ("less", replace("\"x-build\"", "\"x-build\";bs")),
            ("label", lines_changed(&|line| line.replace("Signature: sig1", "Signature: sig2"))),
            ("no signature", lines_changed(&|line| line.replace("Signature:", "X-Signature:"))),
            (
                "no bytes",
                lines_changed(&|line| {
                    if line.starts_with("Signature:") { "Signature: sig1=::".into() } else { line.to_owned() }
                }),
            ),
            (
                "signature cut",
                lines_changed(&|line| {
                    let cut = line.starts_with("Signature:");
                    if cut { format!("{}:", &line[..line.len() - 9]) } else { line.to_owned() }
                }),
            ),
        ];
        for (what, verdict) in cases {
            wrong.unless(verdict == "401 signature_invalid", || format!("{what}: {verdict}"));
        }
    }
    // With the other one's signature, and under the other one's name.
    let [one, other] = house.signers();
    let draft = one.get("/api/x");
    let mut renamed = draft.clone();
    renamed.keyid = Some(other.keyid.clone());
    for (what, lines) in [("their signature", other.sign(&draft)), ("their name", one.sign(&renamed))] {
        let verdict = draft.request(door, &lines).send().verdict();
        wrong.unless(verdict == "401 signature_invalid", || format!("{what}: {verdict}"));
    }
    wrong.none("a changed request");
    assert_eq!(house.upstream.count(), 0, "{:?}", house.upstream.requests());
}

/// The algorithm is the key's, whatever the request says: a public key is no shared secret.
#[test]
fn the_algorithm_is_the_keys() {
    let house = House::new();
    let door = house.program.gateway();
    for (signer, own) in [(&house.shared, "hmac-sha256"), (&house.pair, "ed25519")] {
        let with = |algorithm: &str| signer.get("/api/x").with_params(&format!(";alg=\"{algorithm}\""));
        assert_eq!(house.verdict(signer, &with(own)), "200");
        for other in ["hmac-sha256", "ed25519", "rsa-pss-sha512", "none", "", "HMAC-SHA256"] {
            if other != own {
                assert_eq!(house.verdict(signer, &with(other)), "401 signature_invalid", "{own} {other}");
            }
        }
    }
    // The public key is public: a MAC under it, in each form that somebody may try, proves nothing.
    let pem = std::fs::read_to_string(house.program.site.path("public.pem")).expect("the public key");
    for secret in [pem.clone(), pem.trim().to_owned(), pem.lines().nth(1).expect("its body").to_owned()] {
        let forger = Signer::shared(&Key {
            id: String::new(),
            prefix: house.pair.keyid.clone(),
            text: secret,
            object: serde_json::Value::Null,
        });
        for params in ["", ";alg=\"hmac-sha256\"", ";alg=\"ed25519\""] {
            let verdict = forger.verdict(door, &forger.get("/api/x").with_params(params));
            assert_eq!(verdict, "401 signature_invalid", "{params}");
        }
    }
    assert_eq!(house.upstream.count(), 2);
}

/// D127, D131, D132: what a signature has to be over, and what it has to say; too little, too much, nothing.
#[test]
fn too_little_is_refused() {
    let house = House::new();
    let signer = &house.shared;
    let without = |component: &str| {
        let mut draft = signer.post("/api/x?y=1", "body");
        draft.covered.retain(|covered| covered != component);
        draft
    };
    let get = || signer.get("/api/x");
    let mut no_created = get();
    no_created.created = None;
    let mut no_nonce = get();
    no_nonce.nonce = None;
    let mut nothing = get();
    nothing.covered.clear();
    let mut no_digest = signer.post("/api/x", "body");
    no_digest.fields.clear();
    let mut weak = signer.post("/api/x", "body");
    weak.fields[0].1 = "md5=:hBotaMjf0Rfrb2VL5zqPvA==:".into();
    let long = "x".repeat(9000);
    for (what, draft) in [
        ("no method", without("\"@method\"")),
        ("no path", without("\"@path\"")),
        ("no query", without("\"@query\"")),
        ("no digest covered", without("\"content-digest\"")),
        ("no digest", no_digest),
        ("a broken digest", weak),
        ("nothing", nothing),
        ("no created", no_created),
        ("no nonce", no_nonce),
        ("an empty nonce", get().with_nonce("")),
        ("a long nonce", get().with_nonce(&"n".repeat(300))),
        ("twice the same", get().covering("\"@path\"")),
        ("a field that is not there", get().covering("\"x-absent\"")),
        ("of a response", get().covering("\"@status\"")),
        ("of nothing known", get().covering("\"@latchgate\"")),
        ("huge", get().with_params(&format!(";x=\"{long}\""))),
        (
            "over many",
            (0..70).fold(get(), |draft, number| {
                draft.with_field(&format!("X-{number}"), "1").covering(&format!("\"x-{number}\""))
            }),
        ),
    ] {
        assert_eq!(house.verdict(signer, &draft), "401 signature_invalid", "{what}");
    }
    assert_eq!(house.verdict(signer, &get().with_nonce(&"n".repeat(256))), "200");
    let beyond = get().with_params(&format!(";x=\"{}\"", "x".repeat(40_000)));
    assert_eq!(house.verdict(signer, &beyond), "431 headers_too_large");
    assert_eq!(house.upstream.count(), 1);
}

/// D133: nobody's signature is nobody's, whatever it is like; also that of a key which is sent as it is.
#[test]
fn an_unknown_keyid_is_a_credential_of_nobody() {
    let house = House::new();
    let standard = house.program.site.key(&SCOPES);
    let door = house.program.gateway();
    let signer = &house.shared;
    let named = |keyid: Option<&str>| {
        let mut draft = signer.get("/api/x");
        draft.keyid = keyid.map(str::to_owned);
        signer.verdict(door, &draft)
    };
    for keyid in [None, Some("zzzzzzzz"), Some(""), Some("' OR 1=1--"), Some("%"), Some(&*house.key.text)] {
        assert_eq!(named(keyid), "401 credential_invalid", "{keyid:?}");
    }
    assert_eq!(named(Some(&standard.prefix)), "401 credential_invalid");
    // Signed with its own text, as if that were a secret for signatures.
    let own = Signer::shared(&standard);
    assert_eq!(own.verdict(door, &own.get("/api/x")), "401 credential_invalid");
    assert_eq!(house.upstream.count(), 0);
    let line = wait::for_some("the line of a failure", || {
        house.program.log().into_iter().find(|line| line["msg"] == "api_key.auth_failed")
    });
    assert_eq!(line["reason"], "credential_invalid");
}

/// `R002_02`, D134 for signatures: a wrong one takes as long as one of nobody's.
#[test]
fn being_wrong_takes_the_same_time() {
    let house = House::with(|setup| setup.set("keys.bcrypt_cost", 9));
    let door = house.program.gateway();
    let mut told = String::new();
    for round in 0..4 {
        let time = |keyid: &dyn Fn(usize) -> String, expected: &str| {
            let mut times: Vec<Duration> = (0..15)
                .map(|number| {
                    let mut draft = house.shared.get("/api/x").created(now() - 1);
                    draft.keyid = Some(keyid(number));
                    let lines: Vec<String> = house
                        .shared
                        .sign(&draft)
                        .iter()
                        .map(|line| line.replace("nonce-", "nonce_"))
                        .collect();
                    let request = draft.request(door, &lines);
                    let started = Instant::now();
                    assert_eq!(request.send().verdict(), expected);
                    started.elapsed()
                })
                .collect();
            times.sort_unstable();
            times[5]
        };
        let unknown = time(&|number| format!("{:08}", round * 100 + number), "401 credential_invalid");
        let shared = time(&|_| house.shared.keyid.clone(), "401 signature_invalid");
        let pair = time(&|_| house.pair.keyid.clone(), "401 signature_invalid");
        told = format!("unknown {unknown:?}, wrong MAC {shared:?}, wrong signature {pair:?}");
        let close =
            |one: Duration, other: Duration| one.abs_diff(other) < Duration::from_millis(2).max(one / 7);
        if close(unknown, shared) && close(unknown, pair) {
            return;
        }
    }
    panic!("time tells: {told}");
}

/// `R001_05`: a nonce is accepted once: not twice, not at the same time, not after a reload, a restart or a kill.
#[test]
fn a_request_counts_once() {
    let house = House::new();
    let House { program, upstream, shared, pair, .. } = house;
    let door = program.gateway();
    let mut sent = Vec::new();
    for signer in [&shared, &pair] {
        let request = signer.get("/api/x").request(door, &signer.sign(&signer.get("/api/x")));
        drop(request);
        let draft = signer.post("/api/x", "once");
        let lines = signer.sign(&draft);
        let request = draft.request(door, &lines);
        assert_eq!(request.clone().send().verdict(), "200");
        for _ in 0..3 {
            assert_eq!(request.clone().send().verdict(), "401 replay_detected");
        }
        // Another request, rightly signed, with the same nonce.
        let again = signer.get("/api/other").with_nonce(draft.nonce.as_deref().expect("a nonce"));
        assert_eq!(signer.verdict(door, &again), "401 replay_detected");
        sent.push((draft, lines));
    }
    // Each key has its own nonces.
    let name = nonce();
    assert_eq!(shared.verdict(door, &shared.get("/api/x").with_nonce(&name)), "200");
    assert_eq!(pair.verdict(door, &pair.get("/api/x").with_nonce(&name)), "200");

    let draft = shared.get("/api/race");
    let request = draft.request(door, &shared.sign(&draft));
    let passed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| match request.clone().send().verdict().as_str() {
                "200" => drop(passed.fetch_add(1, Ordering::SeqCst)),
                other => assert_eq!(other, "401 replay_detected"),
            });
        }
    });
    assert_eq!(passed.load(Ordering::SeqCst), 1);

    program.sighup();
    wait::until("the reload", || {
        program.messages().iter().any(|line| line["msg"] == "configuration reloaded")
    });
    let replayed = |program: &Program| {
        for (draft, lines) in &sent {
            let verdict = draft.request(program.gateway(), lines).send().verdict();
            assert_eq!(verdict, "401 replay_detected");
        }
    };
    replayed(&program);
    let forwarded = upstream.count();
    // Killed right after the answer: what was promised is on the disk.
    let last = shared.get("/api/last");
    let lines = shared.sign(&last);
    assert_eq!(last.request(program.gateway(), &lines).send().verdict(), "200");
    let program = program.kill9().serve();
    assert_eq!(last.request(program.gateway(), &lines).send().verdict(), "401 replay_detected");
    replayed(&program);
    let program = program.stop().serve();
    assert_eq!(last.request(program.gateway(), &lines).send().verdict(), "401 replay_detected");
    assert_eq!(shared.verdict(program.gateway(), &shared.get("/api/x")), "200", "and new ones pass at once");
    assert_eq!(upstream.count(), forwarded + 2);
}

/// `R001_05`: a stale timestamp is refused: five minutes either way, to the microsecond; what is forgotten afterwards
/// could not count any more.
#[test]
fn a_signature_counts_for_five_minutes() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let signer = Signer::new_shared(&site, &SCOPES);
    let gateway = Gateway::start(site);
    // To a whole second.
    let past = gateway.clock.now().micros().rem_euclid(1_000_000);
    gateway.clock.advance(Duration::from_micros((1_000_000 - past).unsigned_abs()));
    let verdict = |created: i64, more: &str| {
        let draft = signer.get("/api/x").created(created).with_params(more);
        signer.verdict(gateway.door(), &draft)
    };
    let now = gateway.clock.now().seconds();
    for (offset, expected) in [
        (-300, "200"),
        (0, "200"),
        (300, "200"),
        (-301, "401 signature_invalid"),
        (301, "401 signature_invalid"),
    ] {
        assert_eq!(verdict(now + offset, ""), expected, "{offset}");
    }
    assert_eq!(verdict(now, &format!(";expires={}", now + 1)), "200");
    assert_eq!(verdict(now, &format!(";expires={now}")), "401 signature_invalid");

    let draft = signer.get("/api/x").created(now);
    let request = draft.request(gateway.door(), &signer.sign(&draft));
    assert_eq!(request.clone().send().verdict(), "200");
    gateway.clock.advance(Duration::from_secs(300));
    assert_eq!(request.clone().send().verdict(), "401 replay_detected");
    gateway.clock.advance(Duration::from_micros(1));
    assert_eq!(request.clone().send().verdict(), "401 signature_invalid");
    assert_eq!(verdict(now, ""), "401 signature_invalid");
    assert!(gateway.site.count("nonces") >= 4);
    gateway.clock.advance(Duration::from_secs(3600));
    wait::until("old nonces are forgotten", || gateway.site.count("nonces") == 0);
    assert_eq!(request.send().verdict(), "401 signature_invalid");
}

/// `R000_18`, E154, E156: a key that signs is rotated and revoked as any other: the old one works in its grace, each
/// with its own nonces, and who is refused for its state has proved it.
#[test]
fn keys_that_sign_are_rotated_and_revoked() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let shared = Signer::new_shared(&site, &SCOPES);
    let pair = Signer::new_pair(&site, &SCOPES);
    let (new_half, pem) = new_pair();
    std::fs::write(site.path("new.pem"), &pem).expect("write");
    let file = site.path("new.pem");
    let file = file.to_str().expect("a plain path");
    let old_file = site.path("public.pem");
    let rotate = |arguments: &[&str]| site.cli(&[&["keys", "rotate"], arguments].concat());
    for refused in [
        rotate(&[&pair.keyid]),
        rotate(&[&pair.keyid, "--public-key", old_file.to_str().expect("a plain path")]),
        rotate(&[&shared.keyid, "--public-key", file]),
    ] {
        assert!(refused.code != 0 && refused.stderr.contains("public-key"), "{refused:?}");
    }
    let new_shared = Signer::shared(&Key::from(rotate(&[&shared.keyid]).json()));
    let successor = rotate(&[&pair.keyid, "--public-key", file]).json();
    assert!(successor["key"].is_null() && successor["security_level"] == "advanced", "{successor}");
    let new_pair = Signer::pair(successor["prefix"].as_str().expect("a prefix"), new_half);
    let gateway = Gateway::start(site);
    let draft = |signer: &Signer, nonce: &str| {
        signer.get("/api/x").created(gateway.clock.now().seconds()).with_nonce(nonce)
    };
    for (old, new) in [(&shared, &new_shared), (&pair, &new_pair)] {
        let answer = old.send(gateway.door(), &draft(old, "one"));
        assert_eq!((answer.status, answer.header("sunset").is_some()), (200, true));
        assert_eq!(new.verdict(gateway.door(), &draft(new, "one")), "200");
        assert_eq!(new.verdict(gateway.door(), &draft(new, "one")), "401 replay_detected");
    }
    gateway.clock.advance(Duration::from_secs(48 * 3600));
    for (old, new) in [(&shared, &new_shared), (&pair, &new_pair)] {
        assert_eq!(old.verdict(gateway.door(), &draft(old, "two")), "401 credential_expired");
        assert_eq!(new.verdict(gateway.door(), &draft(new, "two")), "200");
        let mut forged = draft(old, "three");
        forged.keyid = Some("zzzzzzzz".into());
        assert_eq!(old.verdict(gateway.door(), &forged), "401 credential_invalid");
    }
    for new in [&new_shared, &new_pair] {
        gateway.site.cli(&["keys", "revoke", &new.keyid]).ok();
        wait::until("the revocation", || {
            new.verdict(gateway.door(), &draft(new, &nonce())) == "401 credential_revoked"
        });
        let wrong = draft(new, "four").covering("\"@scheme\"");
        let lines: Vec<String> = new.sign(&wrong).iter().map(|line| line.replace("four", "five")).collect();
        assert_eq!(wrong.request(gateway.door(), &lines).send().verdict(), "401 signature_invalid");
    }
}

/// D124: two credentials of ours in one request are refused; signatures by others beside a key are the upstream's.
#[test]
fn one_credential_at_a_time() {
    let house = House::new();
    let standard = house.program.site.key(&SCOPES);
    let door = house.program.gateway();
    let signer = &house.shared;
    let signed = || {
        let draft = signer.get("/api/x");
        let lines = signer.sign(&draft);
        (draft, lines)
    };
    for beside in [&standard.text, &house.key.text] {
        for line in [format!("X-API-Key: {beside}"), format!("Authorization: Bearer {beside}")] {
            let (draft, lines) = signed();
            let verdict = draft.request(door, &lines).line(&line).send().verdict();
            assert_eq!(verdict, "400 credential_conflict", "{line}");
        }
    }
    let (draft, lines) = signed();
    let other = Draft { label: "sig2".into(), keyid: Some(house.pair.keyid.clone()), ..signer.get("/api/x") };
    let both = draft.request(door, &lines).lines(&house.pair.sign(&other)).send().verdict();
    assert_eq!(both, "400 credential_conflict");
    assert_eq!(house.upstream.count(), 0);

    let foreign = [
        "Signature-Input: proxy=(\"@method\");keyid=\"their key\"".to_owned(),
        "Signature: proxy=:AAAA:".to_owned(),
    ];
    let beside_key = draft.request(door, &foreign).line(format!("X-API-Key: {}", standard.text)).send();
    assert_eq!(beside_key.status, 200);
    let seen = house.upstream.last();
    assert_eq!(seen.header("signature"), Some("proxy=:AAAA:"));
    let (draft, lines) = signed();
    assert_eq!(draft.request(door, &[foreign.to_vec(), lines].concat()).send().status, 200);
    let seen = house.upstream.last();
    assert_eq!(seen.header("signature-input"), Some("proxy=(\"@method\");keyid=\"their key\""));
    assert_eq!(seen.header("signature"), Some("proxy=:AAAA:"));
    assert_eq!(draft.request(door, &foreign).send().verdict(), "401 credential_invalid");
    for junk in ["Signature-Input: ((", "Signature-Input: sig1"] {
        let verdict = draft.request(door, &[junk.to_owned()]).send().verdict();
        assert!(["401 signature_invalid", "401 credential_invalid"].contains(&verdict.as_str()), "{verdict}");
    }
    // Upper-case spelling and two lines of other labels are still one signature of ours.
    let (draft, lines) = signed();
    let spelled = lines.iter().map(|line| line.replacen("Signature", "SIGNATURE", 1)).collect::<Vec<_>>();
    assert_eq!(draft.request(door, &spelled).send().status, 200);
}

/// The body is read whole before anything is forwarded, as long as it is not too long, and by nobody's leave but the
/// signer's.
#[test]
fn a_body_is_seen_before_it_is_forwarded() {
    let house = House::new();
    let (door, signer) = (house.program.gateway(), &house.shared);
    let most = "x".repeat(1 << 20);
    assert_eq!(house.verdict(signer, &signer.post("/api/x", &most)), "200");
    assert_eq!(house.upstream.last().body.length, 1 << 20);
    let beyond = signer.post("/api/x", &format!("{most}x"));
    let lines = signer.sign(&beyond);
    assert_eq!(beyond.request(door, &lines).send().verdict(), "413 body_too_large");
    // In chunks, with a trailer; and one that breaks off, which can be sent again.
    let mut draft = signer.post("/api/x", "hello");
    let lines = signer.sign(&draft);
    draft.body = None;
    let head = || draft.request(door, &lines).line("Transfer-Encoding: chunked").line("Trailer: X-Sum");
    let mut client = door.connect();
    client.send([head().bytes(), b"2\r\nhe\r\n".to_vec()].concat());
    drop(client);
    let mut client = door.connect();
    client.send([head().bytes(), b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n".to_vec()].concat());
    assert_eq!(client.receive_to("POST").verdict(), "200");
    let seen = house.upstream.last();
    assert_eq!((seen.body.text().as_str(), seen.trailers.one("x-sum")), ("hello", Some("1")));
    // A stranger is refused before their body is asked for.
    let mut draft = signer.post("/api/x", "hello");
    let mut lines = signer.sign(&draft);
    lines[1] = "Signature: sig1=:AAAA:".into();
    draft.body = None;
    let mut client = door.connect();
    client.send(draft.request(door, &lines).line("Expect: 100-continue").line("Content-Length: 5").bytes());
    let answer = client.receive_to("POST");
    assert_eq!(
        (answer.verdict().as_str(), answer.interim.as_slice()),
        ("401 signature_invalid", [].as_slice())
    );
    assert_eq!(house.upstream.count(), 2);
}

/// A key's rate limit is spent by requests that count, not by whoever has seen one of them; and wrong signatures
/// spend the budgets of failures, which the right one is not bound by.
#[test]
fn replays_and_forgeries_spend_nothing_of_the_holders() {
    let house = House::with(|setup| setup.set("auth.failures_per_minute.prefix", 5));
    let site = &house.program.site;
    let signer = Signer::new_shared(
        site,
        &["--scopes", "scan:read", "--rate-limit-per-minute", "2", "--name", "slow"],
    );
    let door = house.program.gateway();
    let draft = signer.get("/api/x");
    let request = draft.request(door, &signer.sign(&draft));
    assert_eq!(request.clone().send().verdict(), "200");
    for _ in 0..4 {
        assert_eq!(request.clone().send().verdict(), "401 replay_detected");
    }
    let verdicts: Vec<String> = (0..4)
        .map(|_| {
            let draft = signer.get("/api/x");
            let lines: Vec<String> =
                signer.sign(&draft).iter().map(|line| line.replace("nonce-", "guess-")).collect();
            draft.request(door, &lines).send().verdict()
        })
        .collect();
    assert_eq!(verdicts.last().map(String::as_str), Some("429 too_many_failures"), "{verdicts:?}");
    assert_eq!(request.send().verdict(), "429 too_many_failures");
    assert_eq!(signer.verdict(door, &signer.get("/api/x")), "200", "the right one always passes");
    assert_eq!(signer.verdict(door, &signer.get("/api/x")), "429 rate_limited");
}

/// What is not the signature's fault is not said to be: a store that cannot be written, a secret file that was lost.
#[test]
fn the_stores_fault_is_not_the_keys() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let (shared, pair) = (Signer::new_shared(&site, &SCOPES), Signer::new_pair(&site, &SCOPES));
    let gateway = Gateway::start(site);
    let draft = |signer: &Signer| signer.get("/api/x").created(gateway.clock.now().seconds());
    assert_eq!(shared.verdict(gateway.door(), &draft(&shared)), "200");
    gateway.break_store();
    let lost = draft(&shared);
    assert_eq!(
        shared.verdict(gateway.door(), &lost),
        "503 store_unavailable",
        "whether it came before, nobody knows"
    );
    gateway.mend_store();
    wait::until("the store", || shared.verdict(gateway.door(), &draft(&shared)) == "200");
    let site = gateway.stop();

    let online = site.plain(&["check", "--online", "--output", "json"], "");
    assert!(online.stdout.contains("signing secrets"), "{online:?}");
    std::fs::write(site.path("secret.key"), [7; 32]).expect("another secret");
    let online = site.plain(&["check", "--online", "--output", "json"], "");
    assert!(online.code == 1 && online.stdout.contains(&shared.keyid), "{online:?}");
    let program = site.serve();
    for _ in 0..2 {
        assert_eq!(shared.verdict(program.gateway(), &shared.get("/api/x")), "503 store_unavailable");
    }
    assert_eq!(pair.verdict(program.gateway(), &pair.get("/api/x")), "200", "nothing of it was sealed");
    let told = program.messages().iter().filter(|line| line["level"] == "error").count();
    assert_eq!(told, 1, "{:?}", program.messages());
    let successor = Signer::shared(&Key::from(program.cli(&["keys", "rotate", &shared.keyid]).json()));
    assert_eq!(successor.verdict(program.gateway(), &successor.get("/api/x")), "200");
}

/// M329 for signing secrets: the store holds them sealed, and no nonce in the clear.
#[test]
fn the_store_shows_no_signing_secret() {
    let house = House::new();
    let draft = house.shared.get("/api/x").with_nonce("a-nonce-that-tells");
    assert_eq!(house.verdict(&house.shared, &draft), "200");
    let site = house.program.stop();
    let bytes = site.store_bytes();
    for secret in [&house.key.text[house.key.text.len() - 38..], &house.key.text, "a-nonce-that-tells"] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    // Moved to another key's row, a sealed secret opens nothing.
    let other = Signer::new_shared(&site, &["--scopes", "scan:read", "--name", "other"]);
    let moved = format!(
        "UPDATE api_keys SET signing = (SELECT signing FROM api_keys WHERE prefix = '{}') WHERE prefix = '{}'",
        house.key.prefix, other.keyid
    );
    assert_eq!(site.sql(&moved), 1);
    let program = site.serve();
    let thief = Signer::shared(&Key { prefix: other.keyid.clone(), ..house.key.clone() });
    assert_eq!(thief.verdict(program.gateway(), &thief.get("/api/x")), "503 store_unavailable");
}

/// A signature is a key's: a route for people alone takes none; configured so, it reaches the upstream.
#[test]
fn routes_and_configuration_apply() {
    let house = House::with(|setup| {
        setup
            .route("name = \"people\"\npath = \"/people/{*rest}\"\nupstream = \"app\"\ncredentials = [\"session\"]")
            .set("identity.forward_credentials", true)
    });
    let signer = &house.shared;
    assert_eq!(house.verdict(signer, &signer.get("/people/x")), "401 credential_missing");
    assert_eq!(house.verdict(signer, &signer.get("/api/x")), "200");
    assert!(house.upstream.last().header("signature").is_some());
    assert_eq!(house.verdict(signer, &signer.get("/admin/x")), "403 scope_insufficient");
    assert_eq!(house.verdict(signer, &signer.get("/public/x")), "200");
    assert_eq!(house.verdict(signer, &signer.get("/nowhere")), "404 not_found");
}
