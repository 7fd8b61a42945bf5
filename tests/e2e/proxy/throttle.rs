//! Rates of keys, and the budgets for failures that protect everybody else.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    gateway::Gateway,
    program::{Key, Program, Site},
    rawc::Response,
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

/// A gateway whose clock stands still, with one key limited to so many requests per minute.
fn limited(rate: &str) -> (Upstream, Gateway, Key) {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read,scan:trigger", "--rate-limit-per-minute", rate]);
    (upstream, Gateway::start(site), key)
}

fn number(answer: &Response, name: &str) -> u64 {
    let text = answer.header(name).unwrap_or_else(|| panic!("no {name} in {answer:?}"));
    text.parse().unwrap_or_else(|_| panic!("{name}: {text}"))
}

/// `R000_23`, G191, G206: n requests pass, the next is 429 with the documented headers; time gives them back evenly.
#[test]
fn a_rate_is_kept_and_told() {
    let (upstream, gateway, key) = limited("60");
    let caller = gateway.key(&key.text);
    for used in 1..=60 {
        let answer = caller.get("/api/x");
        assert_eq!(answer.status, 200, "request {used}");
        assert_eq!(number(&answer, "x-ratelimit-limit"), 60);
        assert_eq!(number(&answer, "x-ratelimit-remaining"), 60 - used, "request {used}");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=60;w=60"));
        let limit = answer.header("ratelimit").expect("RateLimit").to_owned();
        assert!(limit.starts_with(&format!("\"default\";r={};t=", 60 - used)), "{limit}");
    }
    let refused = caller.get("/api/x");
    assert_eq!(refused.verdict(), "429 rate_limited");
    let wait = number(&refused, "retry-after");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(number(&refused, "x-ratelimit-remaining"), 0);
    assert!((1..=60).contains(&number(&refused, "x-ratelimit-reset")));
    assert_eq!(upstream.count(), 60, "G198: what is refused is not forwarded");

    gateway.clock.advance(Duration::from_secs(wait));
    assert_eq!(caller.get("/api/x").status, 200, "after Retry-After it passes");
    assert_eq!(caller.get("/api/x").status, 429, "but only what time gave back");
    gateway.clock.advance(Duration::from_secs(3600));
    let passed = (0..70).filter(|_| caller.get("/api/x").status == 200).count();
    assert_eq!(passed, 60, "idle time gives no more than one burst");
}

/// G198: what is over the limit is answered before its body is heard, and does not reach the upstream.
#[test]
fn what_is_over_the_limit_is_refused_before_its_body() {
    let (upstream, gateway, key) = limited("2");
    let caller = gateway.key(&key.text);
    for _ in 0..2 {
        assert_eq!(caller.post("/api/x", "body").status, 200);
    }
    let mut client = gateway.door().connect();
    client.send(caller.request("POST", "/api/x").header("Content-Length", "1000000").bytes());
    assert_eq!(client.receive().verdict(), "429 rate_limited");
    assert_eq!(upstream.count(), 2);
}

/// G207: counts are kept in memory: a restart gives one burst, and no more than one.
#[test]
fn a_restart_gives_one_burst() {
    let upstream = Upstream::echo();
    let mut site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read", "--rate-limit-per-minute", "3"]);
    for _ in 0..2 {
        let program = site.serve();
        let statuses: Vec<u16> = (0..5).map(|_| program.key(&key.text).get("/api/x").status).collect();
        assert_eq!(statuses, [200, 200, 200, 429, 429]);
        site = program.stop();
    }
}

/// G192: a burst on many connections at once passes exactly the limit.
#[test]
fn a_race_passes_no_more_than_the_limit() {
    let (upstream, gateway, key) = limited("60");
    let passed: usize = thread::scope(|scope| {
        let asking = || {
            let mut client = gateway.door().connect();
            let request = gateway.key(&key.text).request("GET", "/api/x");
            (0..10).filter(|_| request.on(&mut client).status == 200).count()
        };
        let askers: Vec<_> = (0..40).map(|_| scope.spawn(asking)).collect();
        askers.into_iter().map(|asker| asker.join().expect("an asker")).sum()
    });
    assert_eq!((passed, upstream.count()), (60, 60));
}

/// G193, G196: one key is one account, however it is written, sent, routed or connected.
#[test]
fn spellings_share_one_account() {
    let (_upstream, gateway, key) = limited("10");
    let ask = |lines: &[String], method: &str, target: &str| {
        let request = gateway.anonymous().request(method, target);
        request.lines(lines).send().status
    };
    let text = &key.text;
    let spellings = [
        format!("X-API-Key: {text}"),
        format!("X-API-Key:  {text} \t"),
        format!("Authorization: Bearer {text}"),
        format!("authorization: bearer   {text}"),
        format!("x-api-key: {text}"),
    ];
    for (number, spelling) in spellings.iter().chain(&spellings).enumerate() {
        let (method, target) = [("GET", "/api/x"), ("HEAD", "/any/y"), ("POST", "/api/z")][number % 3];
        assert_eq!(ask(std::slice::from_ref(spelling), method, target), 200, "{spelling}");
    }
    for spelling in spellings {
        assert_eq!(ask(std::slice::from_ref(&spelling), "GET", "/api/x"), 429, "{spelling}");
    }
}

/// G194: the successor of an exhausted key is exhausted.
#[test]
fn rotation_gives_no_new_quota() {
    let (_upstream, gateway, key) = limited("5");
    for _ in 0..5 {
        assert_eq!(gateway.key(&key.text).verdict("/api/x"), "200");
    }
    let successor = Key::from(gateway.site.cli(&["keys", "rotate", &key.id]).json());
    assert_eq!(gateway.key(&successor.text).verdict("/api/x"), "429 rate_limited");
    assert_eq!(gateway.key(&key.text).verdict("/api/x"), "429 rate_limited");
}

/// Requests that are refused for other reasons spend nothing; keys without a rate have no headers about one.
#[test]
fn refused_requests_spend_nothing() {
    let (_upstream, gateway, key) = limited("3");
    for _ in 0..20 {
        assert_eq!(gateway.key(&key.text).verdict("/admin/x"), "403 scope_insufficient");
    }
    for _ in 0..3 {
        assert_eq!(gateway.key(&key.text).verdict("/api/x"), "200");
    }
    assert_eq!(gateway.key(&key.text).verdict("/api/x"), "429 rate_limited");
    let free = gateway.site.key(&["--scopes", "scan:read", "--name", "free"]);
    let answer = gateway.key(&free.text).get("/api/x");
    assert_eq!(
        (answer.status, answer.header("x-ratelimit-limit"), answer.header("ratelimit")),
        (200, None, None)
    );
}

/// Keys without a rate of their own get the default.
#[test]
fn the_default_rate_is_for_keys_without_one() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("rate_limit.default_per_minute", 2));
    let plain = site.key(&["--scopes", "scan:read", "--name", "plain"]);
    let own = site.key(&["--scopes", "scan:read", "--name", "own", "--rate-limit-per-minute", "4"]);
    let gateway = Gateway::start(site);
    for (key, rate) in [(&plain, 2), (&own, 4)] {
        let passed = (0..8).filter(|_| gateway.key(&key.text).get("/api/x").status == 200).count();
        assert_eq!(passed, rate);
    }
}

/// G204: rates at the ends of what a number holds are refused or work.
#[test]
fn extreme_rates_are_refused_or_work() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    for rate in ["0", "-1", "4294967295", "4294967296", "1.5", "many", ""] {
        let refused = site.cli(&[
            "keys",
            "create",
            "--user",
            crate::support::program::ADMIN,
            "--name",
            "n",
            "--scopes",
            "scan:read",
            "--rate-limit-per-minute",
            rate,
        ]);
        assert!(matches!(refused.code, 1 | 2), "{rate}: {refused:?}");
    }
    let one = site.key(&["--scopes", "scan:read", "--name", "one", "--rate-limit-per-minute", "1"]);
    let most = site.key(&["--scopes", "scan:read", "--name", "most", "--rate-limit-per-minute", "60000000"]);
    let gateway = Gateway::start(site);
    assert_eq!(gateway.key(&one.text).verdict("/api/x"), "200");
    assert_eq!(gateway.key(&one.text).verdict("/api/x"), "429 rate_limited");
    for _ in 0..100 {
        assert_eq!(gateway.key(&most.text).verdict("/api/x"), "200");
    }
}

/// A gateway with small failure budgets behind a trusted proxy, so that the test can choose its address.
struct Guarded {
    program: Program,
    key: Key,
    _upstream: Upstream,
}

impl Guarded {
    fn new(ip: i64, prefix: i64) -> Self {
        let upstream = Upstream::echo();
        let setup = Setup::trustedoss(&upstream)
            .set("auth.failures_per_minute.ip", ip)
            .set("auth.failures_per_minute.prefix", prefix)
            .set("listen.trusted_proxies", toml::Value::Array(vec!["127.0.0.1".into()]));
        let site = Site::new(setup);
        let key = site.key(&["--scope", "org"]);
        Self { program: site.serve(), key, _upstream: upstream }
    }

    fn from(&self, address: &str, key: &str) -> String {
        self.program.bearer(key).request("GET", "/any/x").header("X-Forwarded-For", address).send().verdict()
    }

    fn wrong_secret(&self, number: usize) -> String {
        format!("tos_{}_{number:032}", self.key.prefix)
    }
}

/// G201, I233: guessing at one prefix is answered 429 without hashing; the right secret always passes.
#[test]
fn guessing_at_a_prefix_locks_nobody_out() {
    let guarded = Guarded::new(1_000_000, 5);
    let verdicts: Vec<String> = (0..40)
        .map(|number| guarded.from(&format!("203.0.113.{number}"), &guarded.wrong_secret(number)))
        .collect();
    assert_eq!(verdicts[0], "401 credential_invalid");
    assert_eq!(verdicts[39], "429 too_many_failures");
    let borne = verdicts.iter().filter(|verdict| *verdict == "401 credential_invalid").count();
    assert!((5..=10).contains(&borne), "{borne} wrong secrets were borne, of a budget of 5");
    for _ in 0..20 {
        assert_eq!(guarded.from("198.51.100.7", &guarded.key.text), "200", "the right secret passes");
    }
    assert_eq!(guarded.from("198.51.100.7", &guarded.wrong_secret(99)), "429 too_many_failures");
}

/// G199: an address over its budget is refused, except with a right secret; another address is not touched.
#[test]
fn an_address_over_its_budget_is_refused() {
    let guarded = Guarded::new(5, 1_000_000);
    let unknown = |number: usize| format!("tos_{number:08}_{}", "0".repeat(32));
    let verdicts: Vec<String> = (0..30).map(|number| guarded.from("203.0.113.9", &unknown(number))).collect();
    assert_eq!(
        (verdicts[0].as_str(), verdicts[29].as_str()),
        ("401 credential_invalid", "429 too_many_failures")
    );
    assert_eq!(
        guarded.from("203.0.113.9", &guarded.key.text),
        "200",
        "the right secret passes from there too"
    );
    assert_eq!(
        guarded.from("198.51.100.9", &unknown(99)),
        "401 credential_invalid",
        "another address has its own budget"
    );
    let malformed: Vec<String> =
        (0..30).map(|number| guarded.from("203.0.113.77", &format!("tos_{number}"))).collect();
    assert!(
        malformed
            .iter()
            .all(|verdict| verdict == "401 credential_malformed" || verdict == "429 too_many_failures"),
        "{malformed:?}"
    );
    assert_eq!(malformed[29], "429 too_many_failures", "malformed keys count against the address");
    let answer = guarded
        .program
        .bearer(&unknown(1))
        .request("GET", "/any/x")
        .header("X-Forwarded-For", "203.0.113.9")
        .send();
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

/// A flood of wrong credentials is answered late, and so is one of what has ended; the right secret from there is not,
/// and each hears what they heard before.
#[test]
fn a_flood_is_answered_late() {
    const LATE: Duration = Duration::from_millis(250);
    let guarded = Guarded::new(1, 1_000_000);
    let (wrong, ended) = ("203.0.113.9", "203.0.113.10");
    let revoked = guarded.program.site.key(&["--scope", "org", "--name", "revoked"]);
    guarded.program.cli(&["keys", "revoke", &revoked.id]).ok();
    let takes = |address: &str, key: &str| {
        let began = Instant::now();
        (guarded.from(address, key), began.elapsed())
    };
    let malformed = (0..24).map(|number| takes(wrong, &format!("tos_{number}")));
    let late = malformed.filter(|(verdict, took)| verdict == "429 too_many_failures" && *took >= LATE);
    assert!(late.count() >= 6);
    let refused: Vec<_> = (0..24).map(|_| takes(ended, &revoked.text)).collect();
    assert!(refused.iter().all(|(verdict, _)| verdict == "401 credential_revoked"), "{refused:?}");
    assert!(refused.iter().filter(|(_, took)| *took >= LATE).count() >= 6, "{refused:?}");
    for address in [wrong, ended] {
        let right = (0..20).map(|_| takes(address, &guarded.key.text));
        let right = right.inspect(|(verdict, _)| assert_eq!(verdict, "200"));
        assert!(right.map(|(_, took)| took).min().is_some_and(|took| took < LATE), "it does not wait");
    }
}

/// G199: an address that nobody vouches for cannot be rotated by a header.
#[test]
fn a_forged_address_has_no_budget_of_its_own() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream).set("auth.failures_per_minute.ip", 5));
    let program = site.serve();
    let mut wrong = Wrong::default();
    for number in 0..30 {
        let key = format!("tos_{number:08}_{}", "0".repeat(32));
        let answer = program
            .bearer(&key)
            .request("GET", "/any/x")
            .header("X-Forwarded-For", &format!("203.0.113.{number}"))
            .send();
        wrong.unless(number < 12 || answer.status == 429, || format!("try {number}: {}", answer.status));
    }
    wrong.none("a forged address");
}
