//! Who asks, told to the upstream by headers that nobody else can set.

use super::headers::House;
use crate::support::{program::Site, rawup::Upstream, setup::Setup, wrong::Wrong};

/// Every identity header, by its configured default.
const IDENTITY: [&str; 9] = [
    "X-Tenant-Id",
    "X-Team-Id",
    "X-Project-Id",
    "X-User-Id",
    "X-Role",
    "X-Scope",
    "X-Scopes",
    "X-Credential-Id",
    "X-Auth-Method",
];

/// `R000_15`, `R002_03`: the upstream is told who asks, by headers it can trust.
#[test]
fn the_upstream_learns_who_asks() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let team = site.team();
    let key = site.key(&["--scopes", "scan:trigger,scan:read", "--team-id", &team]);
    let program = site.serve();
    assert_eq!(program.key(&key.text).get("/api/echo").status, 200);
    let seen = upstream.last();
    let expected = [
        ("X-Tenant-Id", key.object["org_id"].as_str()),
        ("X-Team-Id", Some(team.as_str())),
        ("X-Project-Id", None),
        ("X-Scope", Some("team")),
        ("X-Scopes", Some("scan:read scan:trigger")),
        ("X-Credential-Id", Some(key.prefix.as_str())),
        ("X-Auth-Method", Some("api_key")),
    ];
    for (name, value) in expected {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(seen.header("X-User-Id").is_some(), "the key's holder");
}

/// A1, A4, A7: a client cannot say who it is, in any spelling, order or number.
#[test]
fn a_spoofed_identity_never_passes() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let spoofs: &[&[&[u8]]] = &[
        &[b"X-Tenant-Id: B"],
        &[b"x-tenant-ID: B"],
        &[b"X-TENANT-ID: B"],
        &[b"X-Tenant-Id: B", b"X-Tenant-Id: A"],
        &[b"X-Tenant-Id: B, A"],
        &[b"X-Tenant-Id:"],
        &[b"X-Tenant-Id: B", b"x_tenant_id: C", b"X-Tenant_Id: D"],
    ];
    for lines in spoofs {
        let fine = house.seen(lines).is_ok_and(|seen| house.carries_our_tenant_alone(&seen));
        wrong.unless(fine, || format!("{lines:?}: {:?}", house.upstream.requests()));
    }
    wrong.none("a spoofed tenant");
}

/// A6: names that other programs fold to ours are removed or refused, for each character a name may hold.
#[test]
fn aliases_of_identity_headers_never_pass() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for joint in "!#$%&'*+.^_`|~".chars() {
        for name in IDENTITY {
            let alias = format!("{}: spoofed", name.replace('-', &joint.to_string()));
            if let Ok(seen) = house.seen(&[alias.as_bytes()]) {
                let passed = seen.fields.0.iter().any(|(_, value)| value.contains("spoofed"));
                wrong.unless(!passed, || alias.clone());
            }
        }
    }
    wrong.none("an alias");
}

/// A2: where no credential is asked for, none of the names passes, since nothing vouches for them.
#[test]
fn public_routes_carry_no_identity() {
    let house = House::new();
    let mut request = house.program.anonymous().request("GET", "/public/echo");
    for name in IDENTITY {
        request = request.header(name, "spoofed");
    }
    assert_eq!(request.send().status, 200);
    let seen = house.upstream.last();
    for name in IDENTITY {
        assert!(seen.fields.folding_to(name).is_empty(), "{name} in {seen:?}");
    }
}

/// A3: a header that we have no value for is removed, not passed through.
#[test]
fn an_empty_identity_is_removed_not_inherited() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let key = site.key(&["--scope", "org"]);
    let program = site.serve();
    let request = program.bearer(&key.text).request("GET", "/any/echo");
    let request = request.header("X-Project-Id", "spoofed").header("X-Team-Id", "spoofed");
    assert_eq!(request.header("X-Scopes", "admin").send().status, 200);
    let seen = upstream.last();
    for name in ["X-Project-Id", "X-Team-Id"] {
        assert_eq!(seen.header(name), None, "an organization's key has no {name}");
    }
    assert_ne!(seen.header("X-Scopes"), Some("admin"));
}

/// A8, B61: trailers cannot carry an identity, a credential or framing.
#[test]
fn trailers_carry_nothing_of_ours() {
    let house = House::new();
    let head = format!(
        "POST /api/echo HTTP/1.1\r\nHost: gw\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Tenant-Id, X-Checksum\r\nConnection: close\r\n\r\n",
        house.key
    );
    let trailers = "X-Tenant-Id: B\r\nX_Scopes: admin\r\nX.Team.Id: B\r\nContent-Length: 50\r\n\
                    Transfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: Bearer tos_x\r\nX-API-Key: osk_x\r\n\
                    X-Checksum: 7\r\n";
    let mut client = house.program.gateway().connect();
    client.send(format!("{head}3\r\nabc\r\n0\r\n{trailers}\r\n"));
    let answer = client.receive();
    if answer.status == 400 {
        assert!(house.upstream.requests().iter().all(|seen| !seen.complete), "refused, and yet forwarded");
        return;
    }
    let seen = house.upstream.last();
    assert!(house.carries_our_tenant_alone(&seen));
    let names: Vec<_> = seen.trailers.0.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert!(names.iter().all(|name| name == "x-checksum"), "{names:?}");
    let announced = seen.header("trailer").unwrap_or_default().to_ascii_lowercase();
    assert!(!announced.contains("tenant"), "{announced}");
}

/// A13: what counts are the configured names, not a list in the code.
#[test]
fn renamed_identity_headers_are_guarded_too() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("identity.tenant", "X-Corp-Org"));
    let (key, tenant) = (site.key(&["--scopes", "scan:read"]).text, site.org());
    let program = site.serve();
    let request = program.key(&key).request("GET", "/api/echo");
    let request =
        request.header("x_corp_org", "B").header("X-Corp-Org", "B").header("Connection", "x-corp-org");
    assert_eq!(request.send().status, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("X-Corp-Org"), Some(tenant.as_str()));
    assert_eq!(seen.fields.folding_to("X-Corp-Org").len(), 1);
}

/// A26, M338: the credential ends here, however it came.
#[test]
fn the_credential_is_not_forwarded() {
    let house = House::new();
    for request in [
        house.program.key(&house.key).request("GET", "/api/echo"),
        house
            .program
            .anonymous()
            .request("GET", "/api/echo")
            .header("Authorization", &format!("Bearer {}", house.key)),
        house.program.anonymous().request("GET", "/api/echo").header("x-api-KEY", &house.key),
        house.program.key(&house.key).request("GET", "/public/echo"),
    ] {
        assert_eq!(request.send().status, 200);
    }
    assert_eq!(house.upstream.count(), 4);
    let secret = house.key.rsplit('_').next().expect("a secret");
    assert!(!house.upstream.record().contains(secret), "{}", house.upstream.record());
    assert!(!house.upstream.record().contains("osk_"));
}

/// D142: an `Authorization` that is not ours passes untouched beside our key.
#[test]
fn a_foreign_authorization_passes_untouched() {
    let house = House::new();
    let seen = house.seen(&[b"Authorization: Basic dXNlcjpwYXNz"]).expect("forwarded");
    assert_eq!(seen.header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(seen.header("x-api-key"), None);
}

/// A22, A23: no header opens a door.
#[test]
fn no_header_opens_a_door() {
    let house = House::new();
    let mut wrong = Wrong::default();
    for (name, value) in [
        ("x-middleware-subrequest", "1"),
        ("X-Internal", "1"),
        ("X-Skip-Auth", "true"),
        ("X-Gw-Request", "self"),
        ("X-Original-URL", "/public/x"),
        ("X-Rewrite-URL", "/public/x"),
        ("X-Forwarded-Uri", "/public/x"),
        ("User-Agent", "GoogleHC/1.0"),
        ("User-Agent", "kube-probe/1.30"),
        ("User-Agent", "ELB-HealthChecker/2.0"),
        ("X-Auth-Method", "api_key"),
        ("X-User-Id", "admin"),
    ] {
        let verdict = house.program.anonymous().request("GET", "/api/x").header(name, value).send().verdict();
        wrong.unless(verdict == "401 credential_missing", || format!("{name}: {value}: {verdict}"));
    }
    assert_eq!(house.upstream.count(), 0);
    wrong.none("a door");
}

/// `whoami` tells a key what the gateway makes of it, and nobody else anything; nothing of it reaches an upstream.
#[test]
fn a_key_can_ask_who_it_is() {
    let upstream = Upstream::echo();
    let site =
        Site::new(Setup::offload(&upstream).route("name = \"all\"\npath = \"/{*rest}\"\nupstream = \"app\""));
    let key = site.key(&["--scopes", "scan:trigger,scan:read"]);
    let program = site.serve();
    let answer = program.key(&key.text).get("/.latchgate/whoami");
    assert_eq!(answer.status, 200);
    let who = answer.json();
    assert_eq!(who["credential"], key.prefix.as_str());
    assert_eq!(who["tenant"], key.object["org_id"]);
    assert_eq!(who["scopes"], serde_json::json!(["scan:read", "scan:trigger"]));
    assert_eq!(who["method"], "api_key");
    assert_eq!(who["expires_at"], key.object["expires_at"]);
    assert_eq!(program.anonymous().get("/.latchgate/whoami").status, 401);
    assert_eq!(program.key(&key.text).get("/.latchgate/else").status, 404);
    assert_eq!(upstream.requests().len(), 0, "our own paths are answered by us");
}
