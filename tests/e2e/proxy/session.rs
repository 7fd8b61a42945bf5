//! People at the gateway: sessions as bearer tokens and as cookies, and how they end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    gateway::Gateway,
    program::{ADMIN, PASSWORD, Program, Site},
    rawup::Upstream,
    request::{Caller, Door, Request},
    setup::Setup,
    wait,
    wrong::Wrong,
};

const MINUTE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_micros(1);

/// The usual routes, one for keys alone, one for people alone; the cookie may travel without TLS.
fn setup(upstream: &Upstream) -> Setup {
    let route = |name: &str, kind: &str| {
        format!(
            "name = \"{name}\"\npath = \"/{name}/{{*rest}}\"\nupstream = \"app\"\ncredentials = [\"{kind}\"]"
        )
    };
    Setup::offload(upstream)
        .route(&route("machines", "api_key"))
        .route(&route("people", "session"))
        .set("sessions.insecure_cookie", true)
}

/// A team with this name; its id.
fn team(site: &Site, name: &str) -> String {
    let made = site.cli(&["teams", "create", "--org", "default", "--name", name]).json();
    made["id"].as_str().expect("an id").to_owned()
}

fn role_in(site: &Site, email: &str, role: &str, team: &str) {
    site.cli(&["users", "set-role", email, "--role", role, "--team-id", team]).ok();
}

/// A running gateway on a clock that the test turns, with Ana, a `security_analyst` of the only team.
fn with_ana(change: impl FnOnce(Setup) -> Setup) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let site = Site::new(change(setup(&upstream)));
    site.user("ana@example.com", "security_analyst", None);
    (Gateway::start(site), upstream)
}

fn switch(caller: &Caller, admin: Door, team: &Value) -> Value {
    let request = caller.at(admin).request("PUT", "/v1/session/team");
    let body = json!({ "team_id": team }).to_string();
    let answer = request.header("Content-Type", "application/json").body(body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn sign_out(caller: &Caller, admin: Door) {
    let answer = caller.at(admin).request("DELETE", "/v1/session").send();
    assert_eq!(answer.status, 204, "{answer:?}");
}

/// `R000_16`: a route takes a session, a key, or either, and the upstream learns who it is; the token stays here.
#[test]
fn a_session_passes_where_a_route_takes_one() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let (home, user) = (site.team(), site.user("ana@example.com", "security_analyst", None));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let token = program.admin().token("ana@example.com");
    let ana = program.bearer(&token);
    let session = ana.at(program.admin()).get("/v1/session").json();
    assert_eq!(ana.verdict("/api/echo"), "200");
    let seen = upstream.last();
    for (name, value) in [
        ("X-Tenant-Id", session["org"]["id"].as_str()),
        ("X-Team-Id", Some(home.as_str())),
        ("X-User-Id", user["id"].as_str()),
        ("X-Role", Some("security_analyst")),
        ("X-Scope", Some("team")),
        ("X-Credential-Id", session["id"].as_str()),
        ("X-Auth-Method", Some("session")),
        ("Authorization", None),
        ("X-Project-Id", None),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let scopes = seen.header("X-Scopes").expect("scopes");
    assert!(scopes.split(' ').any(|scope| scope == "scan:manage"), "{scopes}");
    let who = ana.get("/.latchgate/whoami").json();
    for (field, value) in
        [("method", "session"), ("role", "security_analyst"), ("scope", "team"), ("team", &home)]
    {
        assert_eq!(who[field], value, "{who}");
    }
    assert_eq!(who["expires_at"], session["expires_at"]);

    let mut wrong = Wrong::default();
    for (caller, path, expected) in [
        (&ana, "/people/x", "200"),
        (&ana, "/machines/x", "401 credential_missing"),
        (&ana, "/any/x", "200"),
        (&ana, "/public/x", "200"),
        (&ana, "/admin/x", "200"),
        (&program.key(&key.text), "/people/x", "401 credential_missing"),
        (&program.key(&key.text), "/machines/x", "200"),
        (&program.anonymous(), "/people/x", "401 credential_missing"),
        (&ana, &format!("/teams/{home}/x"), "200"),
        (&ana, "/teams/01a1f5a4-0000-7000-8000-000000000000/x", "403 boundary_mismatch"),
    ] {
        let verdict = caller.verdict(path);
        wrong.unless(verdict == expected, || format!("{path}: {verdict}, not {expected}"));
    }
    wrong.none("routes take others than they say");
    let line = &program.requests_logged("/api/echo", 1)[0];
    for (field, value) in
        [("auth_method", json!("session")), ("credential", session["id"].clone()), ("team", json!(home))]
    {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(program.metric("latchgate_auth_total", &[("method", "session"), ("outcome", "ok")]) >= 4.0);
    wait::until("the session to be counted", || {
        program.metric("latchgate_cache_entries", &[("cache", "sessions")]) >= 1.0
    });
    let secret = token.trim_start_matches("lgs_");
    let store = program.site.store_bytes();
    assert!(!store.windows(secret.len()).any(|part| part == secret.as_bytes()), "the token is in the store");
    assert!(!program.everything_written().contains(secret), "the token is in the log");
}

/// The cookie counts where nothing else was sent, and goes no further; everything beside it stays as it came.
#[test]
fn the_cookie_is_taken_out_and_nothing_else() {
    let (gateway, upstream) = with_ana(|setup| setup);
    let (token, admin) = (gateway.admin().token("ana@example.com"), gateway.admin().token(ADMIN));
    let cookie = format!("latchgate={token}");
    let ask = |lines: &[String], path: &str| {
        let request = lines.iter().fold(gateway.anonymous().request("GET", path), Request::line);
        request.send()
    };
    for (sent, left) in [
        (vec![cookie.clone()], vec![]),
        (vec![format!("a=1; {cookie}; b=\"2 3\"")], vec!["a=1; b=\"2 3\""]),
        (vec![format!("{cookie};theme=d%3Bark;;x")], vec!["theme=d%3Bark;;x"]),
        (vec!["a=1".to_owned(), cookie.clone(), "b=2".to_owned()], vec!["a=1", "b=2"]),
        (vec![format!("Latchgate=x; {cookie}; __Host-latchgate=y")], vec!["Latchgate=x; __Host-latchgate=y"]),
    ] {
        let lines: Vec<_> = sent.iter().map(|value| format!("Cookie: {value}")).collect();
        let answer = ask(&lines, "/people/x");
        assert_eq!(answer.status, 200, "{sent:?} {answer:?}");
        assert_eq!(upstream.last().fields.all("cookie"), left, "{sent:?}");
        let answer = ask(&lines, "/public/x");
        assert_eq!((answer.status, upstream.last().fields.all("cookie")), (200, left), "a public route");
    }
    // An explicit credential wins; the cookie goes all the same.
    let both = [format!("Authorization: Bearer {admin}"), format!("Cookie: {cookie}; a=1")];
    assert_eq!(ask(&both, "/people/x").status, 200);
    let seen = upstream.last();
    assert_eq!((seen.header("X-Role"), seen.header("Cookie")), (Some("admin"), Some("a=1")));
    let key = gateway.site.key(&["--scopes", "scan:read"]).text;
    let beside = [format!("X-API-Key: {key}"), format!("Cookie: {cookie}")];
    assert_eq!(ask(&beside, "/machines/x").status, 200);
    assert_eq!(upstream.last().header("X-Auth-Method"), Some("api_key"));
    assert_eq!(upstream.last().header("Cookie"), None);
    // A wrong one is not made good by the cookie.
    let wrong = [format!("Authorization: Bearer lgs_{}", "x".repeat(43)), format!("Cookie: {cookie}")];
    assert_eq!(ask(&wrong, "/people/x").verdict(), "401 credential_invalid");
    // Two explicit ones are a conflict; what is no credential of ours passes by.
    let two = [format!("X-API-Key: {key}"), format!("Authorization: Bearer {token}")];
    assert_eq!(ask(&two, "/any/x").verdict(), "400 credential_conflict");
    let two = [format!("Authorization: Bearer {admin}"), format!("Authorization: Bearer {token}")];
    assert_eq!(ask(&two, "/any/x").verdict(), "400 credential_conflict");
    let basic = ["Authorization: Basic dTpw".to_owned(), format!("Cookie: {cookie}")];
    assert_eq!(ask(&basic, "/people/x").status, 200);
    assert_eq!(upstream.last().header("Authorization"), Some("Basic dTpw"));
}

/// D136, D137: a cookie that is not quite ours lets nobody in.
#[test]
fn a_malformed_cookie_is_nobodys() {
    let (gateway, upstream) = with_ana(|setup| setup);
    let token = gateway.admin().token("ana@example.com");
    let before = upstream.count();
    let mut wrong = Wrong::default();
    let unknown = format!("lgs_{}", "A".repeat(43));
    for (cookie, expected) in [
        ("latchgate=".to_owned(), "401 credential_malformed"),
        ("latchgate==".to_owned(), "401 credential_malformed"),
        ("latchgate=..".to_owned(), "401 credential_malformed"),
        ("latchgate=%".to_owned(), "401 credential_malformed"),
        (format!("latchgate=\"{token}\""), "401 credential_malformed"),
        (format!("latchgate={}", "x".repeat(8 << 10)), "401 credential_malformed"),
        (format!("latchgate={}", &token[..46]), "401 credential_malformed"),
        (format!("latchgate={token}a"), "401 credential_malformed"),
        (format!("latchgate={}", token.to_uppercase()), "401 credential_malformed"),
        (format!("latchgate={unknown}"), "401 credential_invalid"),
        (format!("latchgate={token}; latchgate=garbage"), "401 credential_malformed"),
        (format!("latchgate=garbage; latchgate={token}"), "401 credential_malformed"),
        (format!("latchgate={token}; latchgate={unknown}"), "401 credential_malformed"),
        (format!("session={token}"), "401 credential_missing"),
        (format!("LATCHGATE={token}"), "401 credential_missing"),
        (format!("__Host-latchgate={token}"), "401 credential_missing"),
        (format!("xlatchgate={token}"), "401 credential_missing"),
        (format!("a=latchgate={token}"), "401 credential_missing"),
        (token.clone(), "401 credential_missing"),
    ] {
        let verdict = gateway.door().cookie(&cookie).verdict("/people/x");
        wrong.unless(verdict == expected, || format!("{cookie:.60}: {verdict}, not {expected}"));
    }
    for (header, expected) in [
        (format!("Authorization: Bearer {unknown}"), "401 credential_invalid"),
        ("Authorization: Bearer lgs_".to_owned(), "401 credential_malformed"),
        (format!("Authorization: Bearer {token} x"), "401 credential_malformed"),
        (format!("X-API-Key: {token}"), "401 credential_malformed"),
        (format!("Authorization: bEaReR \t {token} \t"), "200"),
    ] {
        let verdict = gateway.anonymous().request("GET", "/any/x").line(&header).send().verdict();
        wrong.unless(verdict == expected, || format!("{header:.60}: {verdict}, not {expected}"));
    }
    wrong.none("cookies let in whom they should not");
    assert_eq!(upstream.count(), before + 1, "only the last was forwarded");
    assert_eq!(gateway.anonymous().verdict(&format!("/any/x?latchgate={token}")), "401 credential_missing");
}

/// L327, L303 at the gateway: what a page elsewhere makes a browser send is refused before it reaches anybody.
#[test]
fn another_sites_page_changes_nothing_through_a_browser() {
    let (gateway, upstream) = with_ana(|setup| setup.set("listen.public_url", "https://gate.example.com"));
    let token = gateway.admin().token("ana@example.com");
    let cookie = format!("Cookie: latchgate={token}");
    let before = upstream.count();
    let mut wrong = Wrong::default();
    let mut ask = |method: &str, lines: &[&str], expected: &str| {
        let request = gateway.anonymous().request(method, "/people/x").lines(lines);
        let verdict = request.body("x").send().verdict();
        wrong.unless(verdict == expected, || format!("{method} {lines:?}: {verdict}, not {expected}"));
    };
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for from in [
            &["Sec-Fetch-Site: cross-site", "Origin: https://evil.example"][..],
            &["Sec-Fetch-Site: same-site", "Origin: https://blog.example.com"],
            &["Origin: https://evil.example"],
            &["Origin: null"],
            &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        ] {
            ask(method, &[from, &[&cookie]].concat(), "403 forbidden");
        }
    }
    for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"] {
        ask("POST", &[&cookie, &format!("Content-Type: {form}")], "403 forbidden");
    }
    assert_eq!(upstream.count(), before, "nothing was forwarded");
    let bearer = format!("Authorization: Bearer {token}");
    for from in [
        &[&*cookie, "Origin: http://gw"][..],
        &[&*cookie, "Origin: https://gate.example.com", "Sec-Fetch-Site: cross-site"],
        &[&*cookie, "Sec-Fetch-Site: same-origin"],
        &[&*cookie, "Content-Type: application/json"],
        &[&*bearer, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"],
    ] {
        ask("POST", from, "200");
    }
    let look = [&*cookie, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"];
    assert_eq!(gateway.anonymous().request("GET", "/people/x").lines(&look).send().status, 200);
    let socket = [&*cookie, "Origin: https://evil.example", "Connection: Upgrade", "Upgrade: websocket"];
    assert_eq!(
        gateway.anonymous().request("GET", "/people/x").lines(&socket).send().verdict(),
        "403 forbidden"
    );
    wrong.none("pages elsewhere get through");
}

/// L312: half an hour after the last use and twelve hours after the first, to the microsecond, whatever happens between.
#[test]
fn a_session_ends_when_it_is_said_to() {
    let (gateway, _upstream) =
        with_ana(|setup| setup.set("sessions.lifetime", "2h").set("sessions.idle", "30m"));
    let ana = gateway.user("ana");
    let started = gateway.clock.now();
    gateway.clock.advance((30 * MINUTE).saturating_sub(TICK));
    assert_eq!(ana.verdict("/people/x"), "200", "rested as long as it may");
    gateway.clock.advance(29 * MINUTE);
    // A change in the organization makes every node read the session again; its use is not forgotten.
    gateway.site.cli(&["teams", "create", "--org", "default", "--name", "Other"]).ok();
    gateway.site.cli(&["users", "update", ADMIN, "--name", "Boss"]).ok();
    assert_eq!(ana.verdict("/people/x"), "200");
    gateway.clock.advance(30 * MINUTE);
    assert_eq!(ana.verdict("/people/x"), "401 session_expired", "a microsecond too late");
    assert_eq!(ana.at(gateway.admin()).verdict("/v1/session"), "401 session_expired");
    assert_eq!(ana.verdict("/people/x"), "401 session_expired", "asking did not wake it");

    let ana = gateway.user("ana");
    let started_again = gateway.clock.now();
    let ends = ana.at(gateway.admin()).get("/v1/session").json()["expires_at"].clone();
    assert_eq!(ends, json!(started_again.after(120 * MINUTE).to_string()));
    for _ in 0..5 {
        gateway.clock.advance(20 * MINUTE);
        assert_eq!(ana.verdict("/people/x"), "200", "used again and again");
    }
    gateway.clock.advance((20 * MINUTE).saturating_sub(TICK));
    assert_eq!(ana.verdict("/people/x"), "200", "the last moment");
    gateway.clock.advance(TICK);
    assert_eq!(ana.verdict("/people/x"), "401 session_expired");
    assert!(gateway.clock.now() > started);
}

/// L313, H227: whoever signs out is out, also on a connection that is open; their other sessions go on.
#[test]
fn signed_out_is_signed_out_at_once() {
    let (gateway, _upstream) = with_ana(|setup| setup);
    let (here, there) = (gateway.user("ana"), gateway.user("ana"));
    let mut client = gateway.door().connect();
    let request = here.request("GET", "/people/x");
    assert_eq!(request.on(&mut client).status, 200);
    sign_out(&here, gateway.admin());
    assert_eq!(request.on(&mut client).verdict(), "401 session_expired");
    assert_eq!(here.at(gateway.admin()).verdict("/v1/session"), "401 session_expired");
    assert_eq!(
        here.at(gateway.admin()).request("DELETE", "/v1/session").send().verdict(),
        "401 session_expired"
    );
    assert_eq!(there.verdict("/people/x"), "200");
}

/// `R000_11`: the very next request is judged by what the person is by then, on every change of that.
#[test]
fn the_next_request_is_judged_by_what_the_person_is_now() {
    let (gateway, upstream) = with_ana(|setup| setup);
    let (site, admin) = (&gateway.site, gateway.session(ADMIN).at(gateway.admin()));
    let users = admin.get("/v1/teams").json();
    let home = users["items"][0]["id"].as_str().expect("the team").to_owned();
    let ana = gateway.user("ana");
    let id = ana.at(gateway.admin()).get("/v1/session").json()["user"]["id"].as_str().expect("id").to_owned();
    let change = |method: &str, path: &str, body: Value| {
        let request = admin.request(method, path).header("Content-Type", "application/json");
        let answer = request.body(body.to_string()).send();
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    };
    let member = format!("/v1/teams/{home}/members/{id}");
    let mut client = gateway.door().connect();
    let mut verdict = |path: &str| ana.request("GET", path).on(&mut client).verdict();
    assert_eq!(verdict("/admin/x"), "200");
    change("PATCH", &member, json!({ "role": "viewer" }));
    assert_eq!(verdict("/admin/x"), "403 scope_insufficient", "demoted");
    assert_eq!(verdict("/api/x"), "200");
    assert_eq!(upstream.last().header("X-Role"), Some("viewer"));
    change("PATCH", &member, json!({ "role": "admin" }));
    assert_eq!(verdict("/admin/x"), "200", "promoted");
    assert_eq!(upstream.last().header("X-Role"), Some("admin"));
    change("DELETE", &member, json!({}));
    assert_eq!(verdict("/api/x"), "401 session_expired", "removed from the team");
    change("PUT", &member, json!({ "role": "viewer" }));
    assert_eq!(verdict("/api/x"), "401 session_expired", "a new place is no old session");
    assert_eq!(gateway.user("ana").verdict("/api/x"), "200");

    let ana = gateway.user("ana");
    assert_eq!(ana.verdict("/api/x"), "200");
    change("PATCH", &format!("/v1/users/{id}"), json!({ "active": false }));
    assert_eq!(ana.verdict("/api/x"), "401 session_expired", "deactivated");
    assert_eq!(gateway.admin().sign_in("ana@example.com", PASSWORD).verdict(), "401 credential_invalid");
    change("PATCH", &format!("/v1/users/{id}"), json!({ "active": true }));
    assert_eq!(ana.verdict("/api/x"), "401 session_expired", "signed out for good");

    let ana = gateway.user("ana");
    change("DELETE", &format!("/v1/users/{id}"), json!({}));
    assert_eq!(ana.verdict("/api/x"), "401 session_expired", "removed");
    assert_eq!(gateway.admin().sign_in("ana@example.com", PASSWORD).verdict(), "401 credential_invalid");
    // P368: somebody else of that name is somebody else.
    site.user("ana@example.com", "viewer", None);
    assert_eq!(ana.verdict("/api/x"), "401 session_expired");
    assert_eq!(gateway.user("ana").verdict("/api/x"), "200");
}

/// `R000_03`, `R000_04`: one person, two teams, two roles, one session; the next request is in the other team.
#[test]
fn the_next_request_is_in_the_other_team() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    let (home, other) = (site.team(), team(&site, "Other"));
    site.user("ana@example.com", "viewer", Some(&home));
    role_in(&site, "ana@example.com", "security_manager", &other);
    let third = team(&site, "Third");
    let gateway = Gateway::start(site);
    let ana = gateway.user("ana");
    let mut client = gateway.door().connect();
    let mut seen = |path: &str| {
        let verdict = ana.request("GET", path).on(&mut client).verdict();
        let (team, role) = if verdict == "200" {
            let seen = upstream.last();
            (seen.header("X-Team-Id").map(str::to_owned), seen.header("X-Role").map(str::to_owned))
        } else {
            (None, None)
        };
        (verdict, team, role)
    };
    let is = |team: &str, role: &str| ("200".to_owned(), Some(team.to_owned()), Some(role.to_owned()));
    assert_eq!(seen("/api/x"), is(&home, "viewer"), "the first team");
    assert_eq!(seen("/admin/x").0, "403 scope_insufficient");
    let view = switch(&ana, gateway.admin(), &json!(other));
    assert_eq!((&view["active_team"]["id"], &view["role"]), (&json!(other), &json!("security_manager")));
    assert_eq!(seen("/admin/x"), is(&other, "security_manager"));
    assert_eq!(seen(&format!("/teams/{home}/x")).0, "403 boundary_mismatch", "no longer there");
    assert_eq!(seen(&format!("/teams/{other}/x")), is(&other, "security_manager"));
    // Not theirs, not there, and not the organization's.
    let wanted = |team: &Value| {
        let request = ana.at(gateway.admin()).request("PUT", "/v1/session/team");
        let body = json!({ "team_id": team }).to_string();
        request.header("Content-Type", "application/json").body(body).send().verdict()
    };
    assert_eq!(wanted(&json!(third)), "404 not_found");
    assert_eq!(wanted(&json!("01a1f5a4-0000-7000-8000-000000000000")), "404 not_found");
    assert_eq!(wanted(&json!("other")), "422 invalid_field");
    assert_eq!(wanted(&Value::Null), "403 forbidden");
    assert_eq!(seen("/api/x"), is(&other, "security_manager"));
    // The next session begins where this one was, as long as they belong there.
    assert_eq!(gateway.user("ana").verdict("/admin/x"), "200");
    gateway.site.cli(&["users", "remove-role", "ana@example.com", "--team-id", &other]).ok();
    wait::until("the end of the session", || ana.verdict("/api/x") == "401 session_expired");
    let again = gateway.user("ana");
    assert_eq!(again.verdict("/api/x"), "200");
    assert_eq!(upstream.last().header("X-Team-Id"), Some(home.as_str()));
}

/// Who holds a role on the organization acts in all of it, or in the team of their choice.
#[test]
fn a_role_on_the_organization_acts_anywhere_in_it() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let home = site.team();
    let gateway = Gateway::start(site);
    let root = gateway.session(ADMIN);
    assert_eq!(root.verdict("/api/x"), "200");
    let seen = upstream.last();
    assert_eq!((seen.header("X-Scope"), seen.header("X-Team-Id")), (Some("org"), None));
    assert_eq!(root.at(gateway.admin()).get("/v1/session").json()["active_team"], Value::Null);
    switch(&root, gateway.admin(), &json!(home));
    assert_eq!(root.verdict("/api/x"), "200");
    let seen = upstream.last();
    assert_eq!((seen.header("X-Scope"), seen.header("X-Team-Id")), (Some("team"), Some(home.as_str())));
    assert_eq!(seen.header("X-Role"), Some("super_admin"));
    switch(&root, gateway.admin(), &Value::Null);
    assert_eq!(root.verdict("/api/x"), "200");
    assert_eq!(upstream.last().header("X-Scope"), Some("org"));
}

/// Down is not gone: a session that this node knows is served, one that it does not know is not judged.
#[test]
fn a_store_that_is_down_ends_no_session() {
    let (gateway, _upstream) =
        with_ana(|setup| setup.set("auth.max_staleness", "10m").set("sessions.idle", "5m"));
    let (known, unknown) = (gateway.user("ana"), gateway.user("ana"));
    assert_eq!(known.verdict("/people/x"), "200");
    gateway.break_store();
    assert_eq!(known.verdict("/people/x"), "200");
    assert_eq!(unknown.verdict("/people/x"), "503 store_unavailable");
    assert_eq!(gateway.admin().sign_in(ADMIN, PASSWORD).verdict(), "503 store_unavailable");
    gateway.clock.advance(4 * MINUTE);
    wait::until("the memory to stand in for the store", || known.verdict("/people/x") == "200");
    gateway.clock.advance(5 * MINUTE);
    // Another node may have seen it since; whether it rested cannot be told.
    wait::until("an answer that blames the store", || known.verdict("/people/x") == "503 store_unavailable");
    gateway.mend_store();
    wait::until("the store to be back", || known.verdict("/people/x") == "401 session_expired");
    assert_eq!(gateway.user("ana").verdict("/people/x"), "200");
}

/// A crash loses no session; a sign-out that was answered stays one.
#[test]
fn a_crash_ends_and_revives_no_session() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    site.user("ana@example.com", "viewer", None);
    let program = site.serve();
    let (kept, gone) = (program.admin().token("ana@example.com"), program.admin().token("ana@example.com"));
    assert_eq!(program.bearer(&kept).verdict("/people/x"), "200");
    sign_out(&program.bearer(&gone), program.admin());
    let program = program.kill9().serve();
    assert_eq!(program.bearer(&kept).verdict("/people/x"), "200");
    assert_eq!(program.bearer(&gone).verdict("/people/x"), "401 session_expired");
}

/// L313, H227: what another process ends - another gateway, the command line - ends here within a second.
#[test]
fn ended_elsewhere_is_ended_here_within_a_second() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    site.user("ana@example.com", "security_analyst", None);
    let beside = Site::lent(site.path(""));
    let program = site.serve();
    let other = beside.serve();
    let soon = |what: &str, token: &str, expected: &str| {
        let began = Instant::now();
        wait::within(Duration::from_secs(1), what, || {
            (program.bearer(token).verdict("/admin/x") == expected).then_some(())
        });
        assert!(began.elapsed() < Duration::from_secs(1), "{what}");
    };
    let fresh = || {
        let token = program.admin().token("ana@example.com");
        assert_eq!(program.bearer(&token).verdict("/admin/x"), "200");
        assert_eq!(other.bearer(&token).verdict("/admin/x"), "200", "every node knows it");
        token
    };
    let token = fresh();
    sign_out(&other.bearer(&token), other.admin());
    soon("a sign-out at another node", &token, "401 session_expired");
    let tokens = [fresh(), fresh()];
    program.cli(&["users", "sign-out", "ana@example.com"]).ok();
    for token in &tokens {
        soon("a sign-out by the operator", token, "401 session_expired");
    }
    let token = fresh();
    let new = "another horse, another battery";
    let set = ["users", "set-password", "ana@example.com", "--password-stdin"];
    program.site.cli_with(&set, &format!("{new}\n")).ok();
    soon("a new password", &token, "401 session_expired");
    assert_eq!(program.admin().sign_in("ana@example.com", PASSWORD).verdict(), "401 credential_invalid");
    assert_eq!(program.admin().sign_in("ana@example.com", new).status, 200);
    program.site.cli_with(&set, &format!("{PASSWORD}\n")).ok();
    let token = fresh();
    program.cli(&["users", "set-role", "ana@example.com", "--role", "viewer"]).ok();
    soon("a demotion", &token, "403 scope_insufficient");
    program.cli(&["users", "deactivate", "ana@example.com"]).ok();
    soon("a deactivation", &token, "401 session_expired");
}

/// Use at one node keeps a session awake at another, though neither writes with each request.
#[test]
fn used_there_is_awake_here() {
    let (gateway, _upstream) = with_ana(|setup| setup.set("sessions.idle", "60s"));
    let ana = gateway.user("ana");
    let other = Gateway::start(Site::lent(gateway.site.path("")));
    let there = ana.at(other.door());
    assert_eq!((ana.verdict("/people/x"), there.verdict("/people/x")), ("200".into(), "200".into()));
    let both = |span: Duration| {
        gateway.clock.advance(span);
        other.clock.advance(span);
    };
    both(Duration::from_secs(50));
    let written = gateway.site.count("changes");
    for _ in 0..20 {
        assert_eq!(ana.verdict("/people/x"), "200");
    }
    let at = gateway.clock.now().micros() - 1_000_000;
    wait::until("the use to be written", || {
        gateway.site.count(&format!("sessions WHERE last_seen_at > {at}")) == 1
    });
    assert_eq!(gateway.site.count("changes"), written, "no node has to hear of it");
    both(Duration::from_secs(20));
    assert_eq!(there.verdict("/people/x"), "200", "70 seconds after it was used there");
    // The two clocks began at different moments: a little more than the time.
    both(Duration::from_secs(70));
    assert_eq!(there.verdict("/people/x"), "401 session_expired");
    assert_eq!(ana.verdict("/people/x"), "401 session_expired");
}

/// A reload changes how long sessions rest, and how their cookie is called.
#[test]
fn a_reload_is_in_force_for_sessions() {
    let upstream = Upstream::echo();
    let site = Site::new(setup(&upstream));
    site.user("ana@example.com", "viewer", None);
    let program = site.serve();
    let token = program.admin().token("ana@example.com");
    let by = |program: &Program, name: &str| {
        program.gateway().cookie(&format!("{name}={token}")).verdict("/people/x")
    };
    assert_eq!(by(&program, "latchgate"), "200");
    program.site.configure(&program.site.setup.clone().set("sessions.insecure_cookie", false));
    program.sighup();
    wait::until("the other name", || by(&program, "__Host-latchgate") == "200");
    assert_eq!(by(&program, "latchgate"), "401 credential_missing");
    let answer = program.admin().sign_in("ana@example.com", PASSWORD);
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-latchgate=lgs_") && cookie.contains("; Secure"), "{cookie}");
    let shorter = program.site.setup.clone().set("sessions.idle", "1ms").set("sessions.lifetime", "1s");
    program.site.configure(&shorter);
    program.sighup();
    wait::until("the shorter rest", || program.bearer(&token).verdict("/people/x") == "401 session_expired");
}
