//! What a proven key may do: scopes, boundary, networks.

use crate::support::{
    program::{Program, Site},
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

/// `R000_17`, D143, H216: the scope that the route names for the method, exactly; one key, many verdicts.
#[test]
fn exactly_the_needed_scope_passes() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let reader = site.key(&["--scopes", "scan:read"]).text;
    let trigger = site.key(&["--scopes", "scan:trigger", "--name", "trigger"]).text;
    let manager = site.key(&["--scopes", "scan:manage", "--name", "manager"]).text;
    let stranger = site.key(&["--scopes", "risk:read", "--name", "stranger"]).text;
    let program = site.serve();
    let mut wrong = Wrong::default();
    for _ in 0..2 {
        for (key, method, target, passes) in [
            (&reader, "GET", "/api/x", true),
            (&reader, "HEAD", "/api/x", true),
            (&reader, "POST", "/api/x", false),
            (&reader, "DELETE", "/api/x", false),
            (&reader, "GET", "/admin/x", false),
            (&trigger, "POST", "/api/x", true),
            (&trigger, "GET", "/api/x", false),
            (&manager, "PUT", "/api/x", true),
            (&manager, "GET", "/admin/x", true),
            (&stranger, "GET", "/api/x", false),
            (&stranger, "GET", "/any/x", true),
        ] {
            let answer = program.key(key).request(method, target).send();
            let fine = if passes { answer.status == 200 } else { answer.status == 403 };
            wrong.unless(fine, || format!("{method} {target}: {}", answer.status));
        }
    }
    wrong.none("a scope");
    let refused = program.key(&reader).post("/api/x", "");
    assert_eq!(refused.verdict(), "403 scope_insufficient");
    assert!(refused.text().contains("scan:trigger"), "names the missing scope: {}", refused.text());
}

/// `R000_13`: a preset gives exactly its documented scopes.
#[test]
fn presets_hold_exactly_their_scopes() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let keys_may_hold = "every scope that keys may hold";
    let presets = [
        ("ci_basic", "scan:trigger scan:read"),
        ("ci_full", "scan:trigger scan:read scan:manage vulnerability:read"),
        (
            "read_only",
            "scan:read vulnerability:read assessment:read cloud_posture:read risk:read report:read",
        ),
        (
            "security_automation",
            "scan:trigger scan:read scan:manage vulnerability:read vulnerability:update cloud_posture:read report:read report:generate",
        ),
        ("full_access", keys_may_hold),
    ];
    for (preset, documented) in presets {
        let key = site.key(&["--preset", preset, "--name", preset]);
        let mut scopes: Vec<String> =
            serde_json::from_value(key.object["scopes"].clone()).expect("a list of scopes");
        scopes.sort();
        if documented == keys_may_hold {
            assert!(
                presets[..4]
                    .iter()
                    .all(|(_, list)| list.split(' ').all(|scope| scopes.iter().any(|held| held == scope))),
                "{scopes:?}"
            );
            continue;
        }
        let mut expected: Vec<&str> = documented.split(' ').collect();
        expected.sort_unstable();
        assert_eq!(scopes, expected, "{preset}");
    }
}

/// `R002_03`: a key acts inside its organization, team or project; a call outside is 403.
#[test]
fn a_key_stays_inside_its_boundary() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let team = site.team();
    let org = site.org();
    let id = |object: serde_json::Value| object["id"].as_str().expect("an id").to_owned();
    let other_team = id(site.cli(&["teams", "create", "--org", &org, "--name", "Other"]).json());
    let project = id(site.cli(&["projects", "create", "--team-id", &team, "--name", "One"]).json());
    let second = id(site.cli(&["projects", "create", "--team-id", &team, "--name", "Two"]).json());
    let foreign = id(site.cli(&["projects", "create", "--team-id", &other_team, "--name", "Three"]).json());
    let of_org = site.key(&["--scope", "org", "--name", "org"]).text;
    let of_team = site.key(&["--scope", "team", "--team-id", &team, "--name", "team"]).text;
    let of_project = site.key(&["--scope", "project", "--project-id", &project, "--name", "project"]).text;
    let program = site.serve();
    let mut wrong = Wrong::default();
    let upper = team.to_uppercase();
    for (who, key, target, passes) in [
        ("org", &of_org, format!("/teams/{team}/x"), true),
        ("org", &of_org, format!("/teams/{other_team}/x"), true),
        ("org", &of_org, format!("/projects/{other_team}/{foreign}/x"), true),
        ("team", &of_team, format!("/teams/{team}/x"), true),
        ("team", &of_team, format!("/teams/{other_team}/x"), false),
        ("team", &of_team, format!("/projects/{team}/{project}/x"), true),
        ("team", &of_team, format!("/projects/{team}/{foreign}/x"), false),
        ("team", &of_team, format!("/projects/{other_team}/{foreign}/x"), false),
        ("team", &of_team, "/teams/nonsense/x".to_owned(), false),
        ("team", &of_team, format!("/teams/{{{team}}}/x").replace('{', "%7b").replace('}', "%7d"), false),
        ("team", &of_team, format!("/teams/{upper}/x"), true),
        ("project", &of_project, format!("/projects/{team}/{project}/x"), true),
        ("project", &of_project, format!("/projects/{team}/{second}/x"), false),
        ("project", &of_project, format!("/projects/{other_team}/{project}/x"), false),
        ("project", &of_project, format!("/teams/{other_team}/x"), false),
    ] {
        let verdict = program.bearer(key).verdict(&target);
        wrong.unless(verdict == if passes { "200" } else { "403 boundary_mismatch" }, || {
            format!("{who} {target}: {verdict}")
        });
    }
    wrong.none("a boundary");
}

/// The headers of a key restricted to 203.0.113.0/24 and 2001:db8::/32, as a trusted proxy would send them.
struct Fenced {
    program: Program,
    key: String,
    upstream: Upstream,
}

impl Fenced {
    fn new(trusted: &[&str], allowed: &str) -> Self {
        let upstream = Upstream::echo();
        let trusted = toml::Value::Array(trusted.iter().map(|network| (*network).into()).collect());
        let site = Site::new(Setup::offload(&upstream).set("listen.trusted_proxies", trusted));
        let key = site.key(&["--scopes", "scan:read", "--allowed-ips", allowed]).text;
        Self { program: site.serve(), key, upstream }
    }

    fn from(&self, lines: &[&[u8]]) -> String {
        let request = self.program.key(&self.key).request("GET", "/api/x");
        request.lines(lines).send().verdict()
    }
}

const REFUSED: &str = "403 ip_not_allowed";

/// `R000_22`, F174, F184: the peer's own address counts when no proxy is trusted, and loopback is nobody special.
#[test]
fn the_peer_address_counts() {
    let outside = Fenced::new(&[], "203.0.113.0/24");
    assert_eq!(outside.from(&[]), REFUSED);
    assert_eq!(outside.from(&[b"X-Forwarded-For: 203.0.113.5"]), REFUSED, "nobody is believed by default");
    assert_eq!(
        outside.from(&[
            b"X-Real-IP: 203.0.113.5",
            b"Forwarded: for=203.0.113.5",
            b"True-Client-IP: 203.0.113.5"
        ]),
        REFUSED
    );
    assert_eq!(outside.upstream.count(), 0);
    assert_eq!(Fenced::new(&[], "127.0.0.0/8").from(&[]), "200");
}

/// `R000_22`, F176 to F182: behind a trusted proxy the right-most untrusted hop counts; what cannot be read is no address.
#[test]
fn behind_a_trusted_proxy_the_last_untrusted_hop_counts() {
    let fenced = Fenced::new(&["127.0.0.1", "10.0.0.0/8"], "203.0.113.0/24,2001:db8::/32");
    let mut wrong = Wrong::default();
    let many = format!("X-Forwarded-For: {}203.0.113.5", "198.51.100.1, ".repeat(1000));
    let cases: &[(&[&[u8]], bool)] = &[
        (&[b"X-Forwarded-For: 203.0.113.5"], true),
        (&[b"X-Forwarded-For: 198.51.100.1"], false),
        (&[b"X-Forwarded-For: 203.0.113.5, 198.51.100.1"], false),
        (&[b"X-Forwarded-For: 198.51.100.1, 203.0.113.5"], true),
        (&[b"X-Forwarded-For: 198.51.100.1, 203.0.113.5, 10.1.2.3"], true),
        (&[b"X-Forwarded-For: 203.0.113.5, 198.51.100.1, 10.1.2.3"], false),
        (&[b"X-Forwarded-For: 203.0.113.5", b"X-Forwarded-For: 198.51.100.1"], false),
        (&[b"X-Forwarded-For: 198.51.100.1", b"X-Forwarded-For: 203.0.113.5"], true),
        (&[b"X-Forwarded-For: 2001:db8::1"], true),
        (&[b"X-Forwarded-For: 2001:db9::1"], false),
        (&[b"X-Forwarded-For: ::ffff:203.0.113.5"], true),
        (&[b"X-Forwarded-For: ::ffff:cb00:7105"], true),
        (&[b"X-Forwarded-For: ::203.0.113.5"], false),
        (&[b"X-Forwarded-For: 64:ff9b::cb00:7105"], false),
        (&[many.as_bytes()], true),
        (&[b"X-Forwarded-For: \t203.0.113.5\t"], true),
    ];
    for (lines, passes) in cases {
        let verdict = fenced.from(lines);
        let shown: String = String::from_utf8_lossy(&lines.join(&b" | "[..])).chars().take(90).collect();
        wrong.unless(verdict == if *passes { "200" } else { REFUSED }, || format!("{shown}: {verdict}"));
    }
    for text in [
        &b"a"[..],
        b"",
        b",",
        b"unknown",
        b"_x",
        b"1.2.3.4.5",
        b"127.0.0.1%00",
        b"\xff",
        b"203.0.113.5, a",
        b"203.0.113.5,",
        b"203.0.113.5, \xff",
        b"010.0.0.1",
        b"0xcb.0.113.5",
        b"3405803781",
        b"203.0.113",
        b"203.0.113.5/24",
        b"203.0.113.05",
        b"fe80::1%eth0",
        b"\"203.0.113.5",
    ] {
        let verdict = fenced.from(&[&[b"X-Forwarded-For: ", text].concat()]);
        wrong.unless(verdict == REFUSED || verdict == "400 request_malformed", || {
            format!("{:?}: {verdict}", String::from_utf8_lossy(text))
        });
    }
    wrong.none("a hop");
}

/// F183: the edges of a network are exact.
#[test]
fn the_edges_of_networks_are_exact() {
    let mut wrong = Wrong::default();
    for (allowed, inside, outside) in [
        ("203.0.113.0/24", vec!["203.0.113.0", "203.0.113.255"], vec!["203.0.112.255", "203.0.114.0"]),
        (
            "203.0.113.6/31,203.0.113.9",
            vec!["203.0.113.6", "203.0.113.7", "203.0.113.9"],
            vec!["203.0.113.8", "203.0.113.5", "203.0.113.10"],
        ),
        ("2001:db8::4/127", vec!["2001:db8::4", "2001:db8::5"], vec!["2001:db8::6", "2001:db8::3"]),
        ("0.0.0.0/0", vec!["8.8.8.8"], vec!["2001:db8::1"]),
    ] {
        let fenced = Fenced::new(&["127.0.0.1"], allowed);
        for (addresses, expected) in [(inside, "200"), (outside, REFUSED)] {
            for address in addresses {
                let verdict = fenced.from(&[format!("X-Forwarded-For: {address}").as_bytes()]);
                wrong.unless(verdict == expected, || format!("{address} in {allowed}: {verdict}"));
            }
        }
    }
    wrong.none("an edge");
}

/// F187, H212: the verdict about an address is never remembered with the key.
#[test]
fn an_address_is_judged_on_every_request() {
    let fenced = Fenced::new(&["127.0.0.1"], "203.0.113.0/24");
    let mut client = fenced.program.gateway().connect();
    for round in 0..300 {
        for (address, status) in [("203.0.113.5", 200), ("198.51.100.1", 403)] {
            let request =
                fenced.program.key(&fenced.key).request("GET", "/api/x").header("X-Forwarded-For", address);
            assert_eq!(request.on(&mut client).status, status, "round {round}");
        }
    }
}

/// `R000_22`, E162: at most 50 addresses or networks, each of them one.
#[test]
fn a_list_of_networks_is_checked() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let list = |count: u32| (0..count).map(|n| format!("203.0.113.{n}")).collect::<Vec<_>>().join(",");
    assert_eq!(
        site.key(&["--allowed-ips", &list(50), "--name", "fifty", "--scopes", "scan:read"]).object["allowed_ips"]
            .as_array()
            .map(Vec::len),
        Some(50)
    );
    let too_many = list(51);
    for wrong in [too_many.as_str(), "10.0.0.0/33", "1.2.3.4/24", "localhost", "1.2.3", "10.0.0.0/-1"] {
        let refused = site.cli(&[
            "keys",
            "create",
            "--user",
            crate::support::program::ADMIN,
            "--name",
            "n",
            "--scopes",
            "scan:read",
            "--allowed-ips",
            wrong,
        ]);
        assert!(matches!(refused.code, 1 | 2), "{wrong:.30}: {refused:?}");
    }
    let mapped =
        site.key(&["--allowed-ips", "::ffff:127.0.0.1", "--name", "mapped", "--scopes", "scan:read"]);
    assert_eq!(
        site.serve().key(&mapped.text).verdict("/api/x"),
        "200",
        "an IPv4-mapped address is the IPv4 one"
    );
}
