//! Signing in and out, and people at the admin API.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    gateway::Gateway,
    program::{ADMIN, PASSWORD, Site},
    rawc::Response,
    rawup::Upstream,
    request::{Caller, Door},
    setup::Setup,
    wait,
    wrong::Wrong,
};

const MINUTE: Duration = Duration::from_secs(60);

fn send(caller: &Caller, method: &str, path: &str, body: &Value) -> Response {
    let request = caller.request(method, path);
    if body.is_null() {
        return request.send();
    }
    request.header("Content-Type", "application/json").body(body.to_string()).send()
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}

fn team(site: &Site, name: &str) -> String {
    text(&site.cli(&["teams", "create", "--org", "default", "--name", name]).json(), "id")
}

/// Somebody at the admin port, signed in.
fn person(gateway: &Gateway, email: &str) -> Caller {
    gateway.session(email).at(gateway.admin())
}

/// `R002_07` and the interface, word for word: sign in, look, make a key as the document writes it, sign out.
#[test]
fn a_person_signs_in_and_makes_a_key() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let home = site.team();
    site.user("ana@example.com", "developer", Some(&home));
    let project = text(&site.cli(&["projects", "create", "--team-id", &home, "--name", "Core"]).json(), "id");
    let gateway = Gateway::start(site);
    let answer = gateway.admin().sign_in("Ana@Example.com ", PASSWORD);
    assert_eq!(answer.status, 200, "{answer:?}");
    let made = answer.json();
    let fields: Vec<&str> = made.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["token", "expires_at", "user", "active_team"]);
    let ends = gateway.clock.now().after(12 * 60 * MINUTE);
    assert_eq!(
        (made["expires_at"].clone(), &made["active_team"]["id"]),
        (json!(ends.to_string()), &json!(home))
    );
    assert_eq!(made["user"]["email"], "ana@example.com");
    let token = text(&made, "token");
    assert!(token.starts_with("lgs_") && token.len() == 47, "{token}");
    // P311 and ASVS 3.3.1 to 3.3.4: the cookie as browsers have to keep it.
    assert_eq!(
        answer.header("set-cookie"),
        Some(&*format!("__Host-latchgate={token}; Path=/; Secure; HttpOnly; SameSite=Lax"))
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let ana = gateway.admin().bearer(&token);
    let session = ana.get("/v1/session").json();
    for (field, value) in [
        ("active_team", made["active_team"].clone()),
        ("role", json!("developer")),
        ("groups", json!([])),
        ("expires_at", made["expires_at"].clone()),
    ] {
        assert_eq!(session[field], value, "{session}");
    }
    for (object, fields) in [("user", ["id", "email", "name"]), ("org", ["id", "slug", "name"])] {
        let named: Vec<&str> =
            session[object].as_object().expect(object).keys().map(String::as_str).collect();
        assert_eq!(named, fields, "{session}");
    }
    let permissions = session["permissions"].as_array().expect("permissions");
    assert!(permissions.contains(&json!("scan:trigger")) && !permissions.contains(&json!("member:read")));

    let body = json!({ "name": "ci", "scope": "project", "project_id": project, "expires_in_days": 90 });
    let key = send(&ana, "POST", "/v1/api-keys", &body);
    assert_eq!(key.status, 201, "{key:?}");
    let key = key.json();
    assert_eq!((&key["created_by"], &key["project_id"]), (&json!("ana@example.com"), &json!(project)));
    assert!(text(&key, "key").starts_with("tos_"));
    assert_eq!(gateway.door().bearer(&text(&key, "key")).verdict("/any/x"), "200");
    for scope in ["team", "org"] {
        let body = json!({ "name": "wider", "scope": scope });
        assert_eq!(send(&ana, "POST", "/v1/api-keys", &body).verdict(), "403 forbidden", "{scope}");
    }
    let out = ana.request("DELETE", "/v1/session").send();
    assert_eq!((out.status, out.header("set-cookie")), (204, None));
    assert_eq!(ana.verdict("/v1/api-keys"), "401 session_expired");
    assert_eq!(gateway.door().bearer(&text(&key, "key")).verdict("/any/x"), "200", "her key goes on");
    let root = person(&gateway, ADMIN);
    let trail = root.get("/v1/audit?actor=ana@example.com").json();
    let events: Vec<&str> = trail["items"]
        .as_array()
        .expect("events")
        .iter()
        .rev()
        .map(|event| event["event"].as_str().expect("an event"))
        .collect();
    assert_eq!(events, ["user.signed_in", "api_key.created", "user.signed_out"]);
    assert_eq!(trail["items"][0]["ip"], "127.0.0.1");
}

/// L317: whoever may not sign in hears the same, and waits as long, whatever the reason.
#[test]
fn who_may_not_sign_in_learns_nothing() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    for name in ["ana", "gone", "away"] {
        site.user(&format!("{name}@example.com"), "viewer", None);
    }
    site.cli(&["users", "create", "--email", "none@example.com", "--name", "N", "--role", "viewer"]).ok();
    site.cli(&["users", "deactivate", "away@example.com"]).ok();
    site.cli(&["users", "delete", "gone@example.com", "--yes"]).ok();
    let member = text(&site.user("member@example.com", "viewer", None), "id");
    site.sql(&format!("DELETE FROM memberships WHERE user_id = '{member}'"));
    let program = site.serve();
    let cases = [
        ("a wrong password", "ana@example.com", "not the right password"),
        ("no such account", "nobody@example.com", PASSWORD),
        ("no password", "none@example.com", PASSWORD),
        ("deactivated", "away@example.com", PASSWORD),
        ("removed", "gone@example.com", PASSWORD),
        ("a member of nothing", "member@example.com", PASSWORD),
        ("no address", "x", PASSWORD),
        ("nothing", "", ""),
        ("a long one", "ana@example.com", &"x".repeat(5000)),
    ];
    let mut said = Vec::new();
    let mut quickest = [Duration::MAX; 9];
    // In turns, so that what else the machine does hits all of them; the quickest of five is what it costs.
    for _ in 0..5 {
        for ((_, email, password), quickest) in cases.iter().zip(&mut quickest) {
            let began = Instant::now();
            let answer = program.admin().sign_in(email, password);
            *quickest = began.elapsed().min(*quickest);
            let mut problem = answer.json();
            problem["request_id"] = Value::Null;
            let challenge = answer.header("www-authenticate").map(str::to_owned);
            said.push((answer.status, problem, challenge, answer.header("set-cookie").is_some()));
        }
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((said[0].0, &said[0].1["code"]), (401, &json!("credential_invalid")));
    // One hash of 46 MiB takes tens of milliseconds; a look-up that leaves it out takes none of them.
    let (least, most) = (quickest.iter().min().expect("one"), quickest.iter().max().expect("one"));
    eprintln!("{:?}", cases.iter().map(|case| case.0).zip(&quickest).collect::<Vec<_>>());
    assert!(*most < *least * 10 && *least > Duration::from_millis(5), "{quickest:?}");
    let written = program.everything_written();
    assert!(!written.contains("not the right password"), "a password is in the log");
    wait::until("a line for each failure", || {
        program.messages().iter().filter(|line| line["msg"] == "user.sign_in_failed").count() == 45
    });
}

/// I236, I237: guessing slows down, wherever it comes from, and the right person gets in where they are known.
#[test]
fn guessing_slows_down_and_locks_nobody_out() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("listen.trusted_proxies", vec!["127.0.0.0/8"]));
    site.user("ana@example.com", "viewer", None);
    let gateway = Gateway::start(site);
    let sign_in = |email: &str, password: &str, from: &str| {
        let request = gateway.admin().anonymous().request("POST", "/v1/session");
        let request = request.header("Content-Type", "application/json").header("X-Forwarded-For", from);
        request.body(json!({ "email": email, "password": password }).to_string()).send()
    };
    assert_eq!(sign_in("ana@example.com", PASSWORD, "198.51.100.7").status, 200);
    for n in 0..10 {
        let from = format!("203.0.113.{n}");
        assert_eq!(sign_in("ana@example.com", "wrong", &from).verdict(), "401 credential_invalid", "{n}");
    }
    let slowed = sign_in("Ana@Example.com", "wrong", "203.0.113.99");
    assert_eq!(slowed.verdict(), "429 too_many_failures");
    assert_eq!(slowed.header("retry-after"), Some("60"));
    assert_eq!(sign_in("ana@example.com", PASSWORD, "203.0.113.99").verdict(), "429 too_many_failures");
    assert_eq!(sign_in("ana@example.com", PASSWORD, "198.51.100.7").status, 200, "where she is known");
    // An account that does not exist is slowed down alike.
    for n in 0..10 {
        let from = format!("203.0.113.{n}");
        assert_eq!(sign_in("nobody@example.com", "wrong", &from).verdict(), "401 credential_invalid");
    }
    assert_eq!(sign_in("nobody@example.com", "wrong", "203.0.113.9").verdict(), "429 too_many_failures");
    gateway.clock.advance(MINUTE);
    assert_eq!(sign_in("ana@example.com", PASSWORD, "203.0.113.99").status, 200, "a minute later");
}

/// An address has a budget of failures, as with keys.
#[test]
fn an_address_may_be_wrong_so_often() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("auth.failures_per_minute.ip", 5));
    let gateway = Gateway::start(site);
    for n in 0..5 {
        let answer = gateway.admin().sign_in(&format!("{n}@example.com"), "wrong");
        assert_eq!(answer.verdict(), "401 credential_invalid");
    }
    assert_eq!(gateway.admin().sign_in("other@example.com", "wrong").verdict(), "429 too_many_failures");
    assert_eq!(gateway.admin().sign_in(ADMIN, PASSWORD).verdict(), "429 too_many_failures");
    gateway.clock.advance(MINUTE);
    for _ in 0..20 {
        assert_eq!(gateway.admin().sign_in(ADMIN, PASSWORD).status, 200, "who is right is not slowed down");
    }
}

/// L311: whoever signs in gets a session that nobody knew before, and the one they came with is over.
#[test]
fn a_session_is_never_taken_over_into_the_next() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("sessions.insecure_cookie", true));
    site.user("mallory@example.com", "viewer", None);
    let gateway = Gateway::start(site);
    let planted = gateway.admin().token("mallory@example.com");
    let body = json!({ "email": ADMIN, "password": PASSWORD });
    let victim = gateway.admin().cookie(&format!("latchgate={planted}"));
    let answer = send(&victim, "POST", "/v1/session", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = text(&answer.json(), "token");
    assert_ne!(token, planted);
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with(&format!("latchgate={token}; Path=/; HttpOnly; SameSite=Lax")), "{cookie}");
    assert_eq!(gateway.admin().bearer(&planted).verdict("/v1/session"), "401 session_expired");
    let chosen = format!("lgs_{}", "x".repeat(43));
    let victim = gateway.admin().cookie(&format!("latchgate={chosen}"));
    assert_eq!(send(&victim, "POST", "/v1/session", &body).status, 200);
    assert_eq!(gateway.admin().bearer(&chosen).verdict("/v1/session"), "401 credential_invalid");
    // Signing out takes the cookie away.
    let mine = gateway.admin().cookie(&format!("latchgate={token}"));
    let out = mine.request("DELETE", "/v1/session").send();
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").expect("a cookie").starts_with("latchgate=; Max-Age=0; Path=/"));
}

/// L303: nothing is changed by a page of another site; the same by a token is nobody's but the caller's doing.
#[test]
fn another_sites_page_administers_nothing() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("sessions.insecure_cookie", true));
    let gateway = Gateway::start(site);
    let token = gateway.admin().token(ADMIN);
    let cookie = gateway.admin().cookie(&format!("latchgate={token}"));
    let body = json!({ "name": "stolen", "scopes": ["scan:read"] });
    let mut wrong = Wrong::default();
    let mut ask = |caller: &Caller, method: &str, path: &str, lines: &[&str], body: &str, expected: &str| {
        let before = gateway.site.count("audit_events");
        let verdict = caller.request(method, path).lines(lines).body(body).send().verdict();
        wrong.unless(verdict == expected, || format!("{method} {path} {lines:?}: {verdict}, not {expected}"));
        if expected.starts_with('4') {
            let after = gateway.site.count("audit_events");
            wrong.unless(before == after, || format!("{method} {path} {lines:?} changed something"));
        }
    };
    let (json_type, body) = ("Content-Type: application/json", body.to_string());
    for from in [
        &["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"][..],
        &["Origin: https://evil.example"],
        &["Origin: null"],
        &["Sec-Fetch-Site: same-site"],
    ] {
        for (method, path) in
            [("POST", "/v1/api-keys"), ("DELETE", "/v1/session"), ("PUT", "/v1/session/team")]
        {
            let lines = [from, &[json_type]].concat();
            ask(&cookie, method, path, &lines, &body, "403 forbidden");
        }
        let login = json!({ "email": ADMIN, "password": PASSWORD }).to_string();
        let lines = [from, &[json_type]].concat();
        ask(&gateway.admin().anonymous(), "POST", "/v1/session", &lines, &login, "403 forbidden");
    }
    for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"] {
        ask(&cookie, "POST", "/v1/api-keys", &[&format!("Content-Type: {form}")], &body, "403 forbidden");
        let own = ["Origin: http://gw", &format!("Content-Type: {form}")];
        ask(&cookie, "POST", "/v1/api-keys", &own, &body, "415 unsupported_media_type");
        let login = [&*format!("Content-Type: {form}")];
        let anonymous = gateway.admin().anonymous();
        ask(&anonymous, "POST", "/v1/session", &login, "{\"email\":\"a\"}", "415 unsupported_media_type");
    }
    ask(&cookie, "POST", "/v1/api-keys", &["Origin: http://gw", json_type], &body, "201");
    ask(&cookie, "POST", "/v1/api-keys", &[json_type], &body, "201");
    let elsewhere = ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site", json_type];
    ask(&gateway.admin().bearer(&token), "POST", "/v1/api-keys", &elsewhere, &body, "201");
    wrong.none("a page elsewhere administers");
}

/// `R000_01`, P369: who acts in one team sees nothing of another, not even what is their own there.
#[test]
fn another_teams_things_are_not_there() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let (home, other) = (site.team(), team(&site, "Other"));
    site.user("ana@example.com", "admin", Some(&home));
    site.cli(&["users", "set-role", "ana@example.com", "--role", "admin", "--team-id", &other]).ok();
    let bo = text(&site.user("bo@example.com", "viewer", Some(&other)), "id");
    let cy = text(&site.user("cy@example.com", "viewer", Some(&home)), "id");
    let key = |user: &str, team: &str| site.key_of(user, &["--team-id", team, "--scopes", "scan:read"]).id;
    let (mine_here, mine_there) = (key("ana@example.com", &home), key("ana@example.com", &other));
    let (theirs_here, theirs_there) = (key("cy@example.com", &home), key("bo@example.com", &other));
    let gateway = Gateway::start(site);
    let ana = person(&gateway, "ana@example.com");
    assert_eq!(ana.get("/v1/session").json()["active_team"]["id"], json!(home));
    let mut wrong = Wrong::default();
    let mut look = |here: [&str; 2],
                    there: [&str; 2],
                    member: &str,
                    stranger: &str,
                    home: &str,
                    other: &str| {
        let keys = ana.get("/v1/api-keys").json();
        let listed: Vec<String> =
            keys["items"].as_array().expect("keys").iter().map(|key| text(key, "id")).collect();
        wrong.unless(listed.len() == 2 && here.iter().all(|id| listed.contains(&(*id).to_owned())), || {
            format!("keys: {listed:?}")
        });
        let trail = ana.get("/v1/audit").json().to_string();
        wrong.unless(!trail.contains(there[1]) && !trail.contains(stranger), || format!("audit: {trail}"));
        let change = json!({ "name": "Mine now" });
        for (method, path, body, expected) in [
            ("GET", format!("/v1/api-keys/{}", here[0]), Value::Null, "200"),
            ("GET", format!("/v1/api-keys/{}", here[1]), Value::Null, "200"),
            ("GET", format!("/v1/api-keys/{}", there[0]), Value::Null, "404 not_found"),
            ("GET", format!("/v1/api-keys/{}", there[1]), Value::Null, "404 not_found"),
            ("PATCH", format!("/v1/api-keys/{}", there[0]), change.clone(), "404 not_found"),
            ("DELETE", format!("/v1/api-keys/{}", there[1]), Value::Null, "404 not_found"),
            ("POST", format!("/v1/api-keys/{}/rotate", there[0]), Value::Null, "404 not_found"),
            ("GET", format!("/v1/api-keys?team_id={other}"), Value::Null, "404 not_found"),
            ("GET", format!("/v1/teams/{home}/members"), Value::Null, "200"),
            ("GET", format!("/v1/teams/{other}/members"), Value::Null, "404 not_found"),
            (
                "PUT",
                format!("/v1/teams/{other}/members/{member}"),
                json!({ "role": "viewer" }),
                "404 not_found",
            ),
            ("DELETE", format!("/v1/teams/{other}/members/{stranger}"), Value::Null, "404 not_found"),
            ("PATCH", format!("/v1/teams/{other}"), change.clone(), "404 not_found"),
            ("GET", format!("/v1/teams/{other}/projects"), Value::Null, "404 not_found"),
            ("POST", format!("/v1/teams/{other}/projects"), change, "404 not_found"),
            ("GET", format!("/v1/users/{member}"), Value::Null, "200"),
            ("GET", format!("/v1/users/{stranger}"), Value::Null, "404 not_found"),
            ("POST", "/v1/api-keys".to_owned(), json!({ "name": "x", "team_id": other }), "404 not_found"),
            ("GET", format!("/v1/teams/{other}"), Value::Null, "200"),
        ] {
            let verdict = send(&ana, method, &path, &body).verdict();
            wrong.unless(verdict == expected, || format!("{method} {path}: {verdict}, not {expected}"));
        }
    };
    look([&mine_here, &theirs_here], [&mine_there, &theirs_there], &cy, &bo, &home, &other);
    let switched = send(&ana, "PUT", "/v1/session/team", &json!({ "team_id": other }));
    assert_eq!(switched.status, 200, "{switched:?}");
    look([&mine_there, &theirs_there], [&mine_here, &theirs_here], &bo, &cy, &other, &home);
    // What is made is made in the active team.
    let made = send(&ana, "POST", "/v1/api-keys", &json!({ "name": "here", "scopes": ["scan:read"] })).json();
    assert_eq!(made["team_id"], json!(other));
    let teams = ana.get("/v1/teams").json();
    assert_eq!(teams["items"].as_array().expect("teams").len(), 2, "where she can switch to");
    wrong.none("another team shows");
}

/// L318, and what a password may not be; a new one ends what the old one began.
#[test]
fn passwords_are_long_and_whole() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    site.user("ana@example.com", "viewer", None);
    let set = |password: &str| {
        let command = ["users", "set-password", "ana@example.com", "--password-stdin"];
        site.cli_with(&command, &format!("{password}\n")).code
    };
    for weak in [
        "fourteen chars",
        "passwordpassword",
        "123456789012345",
        "ana@example.com",
        "latchgate-latchgate",
        &"x".repeat(257),
    ] {
        assert_eq!(set(weak), 2, "{weak}");
    }
    let (one, other) = (format!("{}1", "a".repeat(79)), format!("{}2", "a".repeat(79)));
    let strong = [
        "fifteen chars ok",
        &"y".repeat(64),
        &"z".repeat(200),
        " leading and trailing ",
        "пароль🚀длинный🚀",
    ];
    for right in strong {
        assert_eq!(set(right), 0, "{right}");
    }
    assert_eq!(set(&one), 0);
    let gateway = Gateway::start(site);
    assert_eq!(gateway.admin().sign_in("ana@example.com", &other).verdict(), "401 credential_invalid");
    assert_eq!(gateway.admin().sign_in("ana@example.com", &one[..79]).verdict(), "401 credential_invalid");
    let answer = gateway.admin().sign_in("ana@example.com", &one);
    let here = gateway.admin().bearer(&text(&answer.json(), "token"));
    let there =
        gateway.admin().bearer(&text(&gateway.admin().sign_in("ana@example.com", &one).json(), "token"));
    let change = |old: &str, new: &str| {
        send(&here, "PUT", "/v1/session/password", &json!({ "password": old, "new_password": new })).verdict()
    };
    assert_eq!(change(&other, "another horse, another battery"), "401 credential_invalid");
    assert_eq!(change(&one, "short"), "422 invalid_field");
    assert_eq!(change(&one, "another horse, another battery"), "204");
    assert_eq!(here.verdict("/v1/session"), "200", "the one that it was changed in");
    assert_eq!(there.verdict("/v1/session"), "401 session_expired");
    assert_eq!(gateway.admin().sign_in("ana@example.com", &one).verdict(), "401 credential_invalid");
    assert_eq!(gateway.admin().sign_in("ana@example.com", "another horse, another battery").status, 200);
}

/// ASVS 7.4.5: whoever may change a person may sign them out, and they themselves.
#[test]
fn people_are_signed_out_by_those_who_may() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let ana = text(&site.user("ana@example.com", "viewer", None), "id");
    site.user("bo@example.com", "viewer", None);
    let gateway = Gateway::start(site);
    let [here, there] = [(); 2].map(|()| person(&gateway, "ana@example.com"));
    let path = format!("/v1/users/{ana}/sessions");
    let bo = person(&gateway, "bo@example.com");
    assert_eq!(bo.request("DELETE", &path).send().verdict(), "403 scope_insufficient");
    assert_eq!(person(&gateway, ADMIN).request("DELETE", &path).send().status, 204);
    assert_eq!(here.verdict("/v1/session"), "401 session_expired");
    assert_eq!(there.verdict("/v1/session"), "401 session_expired");
    let here = person(&gateway, "ana@example.com");
    assert_eq!(here.request("DELETE", &path).send().status, 204);
    assert_eq!(here.verdict("/v1/session"), "401 session_expired");
    assert_eq!(bo.verdict("/v1/session"), "200");
}

/// P376, `R003_05`: only an owner deletes the organization; afterwards no key and no session of it works.
#[test]
fn with_the_organization_go_its_sessions() {
    let upstream = Upstream::echo();
    let setup = Setup::bare("reducto").upstream("app", &upstream.url());
    let site = Site::new(setup.route("name = \"any\"\npath = \"/any/{*rest}\"\nupstream = \"app\""));
    site.user("adam@example.com", "admin", None);
    site.user("mia@example.com", "member", None);
    let key = site.key(&["--name", "ci"]).text;
    let gateway = Gateway::start(site);
    let [owner, admin, member] =
        [ADMIN, "adam@example.com", "mia@example.com"].map(|email| gateway.session(email));
    for caller in [&owner, &admin, &member, &gateway.key(&key)] {
        assert_eq!(caller.verdict("/any/x"), "200");
    }
    assert_eq!(owner.at(gateway.admin()).get("/v1/session").json()["active_team"], Value::Null);
    for caller in [&admin, &member] {
        let refused = caller.at(gateway.admin()).request("DELETE", "/v1/org").send();
        assert_eq!(refused.verdict(), "403 scope_insufficient");
    }
    assert_eq!(owner.at(gateway.admin()).request("DELETE", "/v1/org").send().status, 204);
    for caller in [&owner, &admin, &member, &gateway.key(&key)] {
        assert_eq!(caller.verdict("/any/x"), "401 credential_invalid");
        assert_eq!(caller.at(gateway.admin()).verdict("/v1/org"), "401 credential_invalid");
    }
    assert_eq!(gateway.admin().sign_in(ADMIN, PASSWORD).verdict(), "401 credential_invalid");
}

/// A token is in one answer and nowhere else: no name for a request brings it back.
#[test]
fn a_token_is_never_given_twice() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(Site::new(Setup::offload(&upstream)));
    let twice = || {
        let request = gateway.admin().anonymous().request("POST", "/v1/session");
        let request = request.header("Content-Type", "application/json").header("Idempotency-Key", "once");
        let answer = request.body(json!({ "email": ADMIN, "password": PASSWORD }).to_string()).send();
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, None));
        text(&answer.json(), "token")
    };
    let (one, other) = (twice(), twice());
    assert_ne!(one, other);
    let store = gateway.site.store_bytes();
    for token in [&one, &other] {
        let secret = token.trim_start_matches("lgs_").as_bytes();
        assert!(!store.windows(secret.len()).any(|part| part == secret));
    }
    assert_eq!(gateway.site.count("idempotency"), 0);
    let unanswered = |door: Door, method: &str| door.anonymous().request(method, "/v1/session").send();
    assert_eq!(unanswered(gateway.admin(), "GET").verdict(), "401 credential_missing");
    assert_eq!(unanswered(gateway.admin(), "POST").verdict(), "422 invalid_field");
}

/// What cannot be a key cannot be verified as one: a session's token is no key.
#[test]
fn a_session_is_no_key() {
    let upstream = Upstream::echo();
    let gateway = Gateway::start(Site::new(Setup::offload(&upstream)));
    let token = gateway.admin().token(ADMIN);
    let caller = gateway.admin().bearer(&token);
    let verdict = send(&caller, "POST", "/v1/api-keys/verify", &json!({ "key": token })).json();
    assert_eq!((&verdict["valid"], &verdict["code"]), (&json!(false), &json!("credential_malformed")));
    assert_eq!(send(&caller, "POST", "/v1/api-keys/self/rotate", &Value::Null).verdict(), "404 not_found");
    let key = gateway.site.key(&["--scopes", "scan:read"]).text;
    assert_eq!(gateway.admin().key(&key).verdict("/v1/session"), "404 not_found");
}
