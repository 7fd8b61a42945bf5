//! The request log: what a tenant's people and keys may see of what was asked lately, and what nobody may.

use latchgate::domain::time::Clock;
use serde_json::Value;

use crate::support::{
    issuer::{Issuer, Signer, claims},
    program::{Lock, Program, Site},
    rawup::Upstream,
    request::Caller,
    setup::Setup,
    wait,
};

fn listed(caller: &Caller, query: &str) -> Vec<Value> {
    let answer = caller.get(&format!("/v1/requests{query}"));
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()["items"].as_array().cloned().expect("items")
}

/// The requests to these paths, once they are there; what is asked on the admin port meanwhile is left out.
fn kept(program: &Program, count: usize) -> Vec<Value> {
    wait::for_some(&format!("{count} kept requests"), || {
        let all = program.cli(&["requests", "list"]).json()["items"].as_array().cloned().expect("items");
        let all: Vec<Value> = all.into_iter().filter(|request| !of_admin_port(request)).collect();
        (all.len() >= count).then_some(all)
    })
}

fn of_admin_port(request: &Value) -> bool {
    request["path"].as_str().is_some_and(|path| path.starts_with("/v1/"))
}

fn paths(requests: &[Value]) -> Vec<&str> {
    requests.iter().filter_map(|request| request["path"].as_str()).collect()
}

/// What is kept of a request is what its line in the access log says, newest first, found by time, credential, status
/// and outcome.
#[test]
fn a_kept_request_is_its_log_line() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let reader = site.key(&["--scopes", "scan:read,usage:read", "--name", "reader"]);
    let other = site.key(&["--scopes", "scan:read", "--name", "other"]);
    let program = site.serve();
    assert_eq!(program.key(&reader.text).verdict("/api/first?secret=1"), "200");
    assert_eq!(program.key(&other.text).verdict("/api/second"), "200");
    assert_eq!(program.key(&other.text).verdict("/admin/third"), "403 scope_insufficient");
    program.key(&other.text).request("GET", &format!("/any/{}", other.text)).send();
    let all = kept(&program, 4);
    let mut lines: Vec<Value> = program.log();
    for request in &all {
        let line =
            lines.iter_mut().find(|line| line["request_id"] == request["request_id"]).expect("its line");
        let fields = line.as_object_mut().expect("an object");
        fields.remove("level");
        fields.remove("msg");
        assert_eq!(line, request);
        assert!(!request.to_string().contains("secret"), "{request}");
        assert!(!request.to_string().contains(&other.text[13..]), "{request}");
    }

    let caller = program.admin().key(&reader.text);
    let of = |query: &str| paths(&listed(&caller, query)).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let by_other = of(&format!("?credential={}", other.prefix));
    assert_eq!(by_other[1..], ["/admin/third", "/api/second"], "newest first");
    assert_eq!(of("?code=403"), ["/admin/third"]);
    assert_eq!(of("?code=scope_insufficient"), ["/admin/third"]);
    assert_eq!(of("?code=rate_limited"), [""; 0]);
    let third = listed(&caller, "?code=403").remove(0);
    let since = third["ts"].as_str().expect("a time");
    assert!(of(&format!("?since={since}")).contains(&"/admin/third".to_owned()));
    assert!(!of(&format!("?since={since}")).contains(&"/api/second".to_owned()));
    assert_eq!(of("?since=2999-01-01T00:00:00Z"), [""; 0]);
    for wrong in ["?code=4xx", "?code=", "?since=yesterday", "?status=403"] {
        assert_eq!(caller.get(&format!("/v1/requests{wrong}")).verdict(), "422 invalid_field", "{wrong}");
    }
    let shown = program.cli(&["requests", "list", "--credential", &other.prefix, "--code", "403"]).json();
    assert_eq!(paths(shown["items"].as_array().expect("items")), ["/admin/third"]);
}

/// Requests of the admin port count too, each page comes once, and what was asked without a known caller is nobody's.
#[test]
fn requests_of_the_admin_port_are_kept() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let reader = site.key(&["--scopes", "scan:read,usage:read"]);
    let program = site.serve();
    let caller = program.admin().key(&reader.text);
    for _ in 0..5 {
        assert_eq!(caller.get("/v1/presets").status, 200);
    }
    program.admin().anonymous().get("/v1/presets");
    program.anonymous().get("/public/x");
    program.key(&format!("osk_zzzzzzzz_{}", "0".repeat(38))).get("/api/unknown");
    wait::until("the requests to be kept", || listed(&caller, "?code=200").len() >= 5);
    let presets = |query: &str| {
        listed(&caller, query).iter().filter(|request| request["path"] == "/v1/presets").count()
    };
    assert_eq!(presets("?limit=200"), 5, "the one without a key is not there");
    let page = caller.get("/v1/requests?limit=2").json();
    let next = page["next_cursor"].as_str().expect("a cursor");
    let second = caller.get(&format!("/v1/requests?limit=2&cursor={next}")).json();
    assert_ne!(page["items"][0]["request_id"], second["items"][0]["request_id"]);
    assert_eq!(program.site.count("request_log WHERE path IN ('/public/x', '/api/unknown')"), 0);
}

/// P378, P366: a team's key sees its team's requests, a project's none, another organization's none of these; without the
/// permission nobody sees any.
#[test]
fn foreign_requests_are_nobody_s_to_see() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let team = site.team();
    let other = site.cli(&["teams", "create", "--org", "default", "--name", "Other"]).json();
    let other = other["id"].as_str().expect("an id").to_owned();
    let project = site.cli(&["projects", "create", "--team-id", &team, "--name", "P"]).json();
    let project = project["id"].as_str().expect("an id").to_owned();
    site.cli(&["orgs", "create", "--name", "Else", "--slug", "else"]).ok();
    let boss = ["users", "create", "--email", "boss@else.example", "--name", "Boss", "--org", "else"];
    site.cli(&[boss.as_slice(), &["--role", "super_admin"]].concat()).ok();
    let whole = site.key(&["--scope", "org"]);
    let ours = site.key(&["--scope", "team", "--team-id", &team]);
    let theirs = site.key(&["--scope", "team", "--team-id", &other]);
    let of_project = site.key(&["--scope", "project", "--project-id", &project]);
    let without = site.key(&["--scope", "org", "--scopes", "scan:read"]);
    let stranger = site.key_of("boss@else.example", &["--scope", "org"]);
    let program = site.serve();
    for (key, path) in [
        (&whole, "/any/whole"),
        (&ours, "/any/ours"),
        (&theirs, "/any/theirs"),
        (&of_project, "/any/project"),
        (&stranger, "/any/stranger"),
    ] {
        assert_eq!(program.bearer(&key.text).verdict(path), "200");
    }
    kept(&program, 5);
    let seen = |key: &str| {
        let all = listed(&program.admin().bearer(key), "?limit=200");
        let mut seen: Vec<String> = all
            .iter()
            .filter(|request| !of_admin_port(request))
            .filter_map(|request| Some(request["path"].as_str()?.strip_prefix("/any/")?.to_owned()))
            .collect();
        seen.sort();
        seen
    };
    assert_eq!(seen(&whole.text), ["ours", "project", "theirs", "whole"]);
    assert_eq!(seen(&ours.text), ["ours", "project"]);
    assert_eq!(seen(&theirs.text), ["theirs"]);
    assert_eq!(seen(&stranger.text), ["stranger"]);
    for key in [&of_project, &without] {
        let refused = program.admin().bearer(&key.text).get("/v1/requests");
        assert_eq!(refused.verdict(), "403 scope_insufficient", "{refused:?}");
    }
}

/// As many rows of each organization as the configuration says, the newest; none when it says none.
#[test]
fn only_the_newest_are_kept() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("log.requests", 5));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    for number in 0..20 {
        program.key(&key.text).get(&format!("/api/{number}"));
    }
    wait::until("the oldest to go", || {
        let kept = program.cli(&["requests", "list"]).json();
        paths(kept["items"].as_array().expect("items"))
            == ["/api/19", "/api/18", "/api/17", "/api/16", "/api/15"]
    });
    let site = program.stop();
    site.configure(&site.setup.clone().set("log.requests", 0).set("log.access", false));
    site.sql("DELETE FROM request_log");
    let program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    assert_eq!(program.stop().count("request_log"), 0);
}

/// What is too old goes. A shutdown writes what has come by then, without the access log too.
#[test]
fn the_last_requests_are_kept_and_the_oldest_go() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).set("log.access", false));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/api/last"), "200");
    let site = program.stop();
    assert_eq!(site.count("request_log WHERE path = '/api/last' AND host = 'gw'"), 1);
    site.sql("UPDATE request_log SET at = at - 8 * 24 * 3600 * 1000000");
    let program = site.serve();
    wait::until("the old request to go", || program.site.count("request_log") == 0);
    assert!(program.log().is_empty(), "log.access is off");
}

/// A store that takes nothing delays nobody; the requests wait, and are written when it does again.
#[test]
fn a_locked_store_delays_no_answer() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/api/before"), "200");
    let lock = Lock::take(&program.site);
    for number in 0..20 {
        assert_eq!(program.key(&key.text).verdict(&format!("/api/{number}")), "200");
    }
    wait::until("the program to say so", || {
        program
            .messages()
            .iter()
            .any(|line| line["msg"].as_str().is_some_and(|text| text.contains("requests cannot be kept")))
    });
    lock.release();
    assert_eq!(kept(&program, 21).len(), 21);
    assert!(program.metric("latchgate_request_log_dropped_total", &[]).abs() < f64::EPSILON);
}

/// Deleting an organization takes its requests with it.
#[test]
fn requests_go_with_their_organization() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let org = site.org();
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
    kept(&program, 1);
    program.cli(&["orgs", "delete", &org, "--yes"]).ok();
    assert_eq!(program.site.count("request_log"), 0);
}

/// R003_08: usage and request logs can be viewed by every role - owner, admin and member alike - and by nobody else.
#[test]
fn every_role_may_look() {
    let (upstream, signer) = (Upstream::echo(), Signer::p256("k"));
    let issuer = Issuer::with(&[&signer]);
    let setup = Setup::bare("reducto")
        .upstream("app", &upstream.url())
        .route("name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\"\nrequire = \"api:call\"");
    let site = Site::new(issuer.known_to(setup));
    let roles = ["owner", "admin", "member"];
    let email = |role: &str| format!("the-{role}@example.com");
    for role in roles {
        site.user(&email(role), role, None);
    }
    site.cli(&["orgs", "create", "--name", "Else", "--slug", "else"]).ok();
    let stranger = ["users", "create", "--email", "stranger@else.example", "--name", "S", "--org", "else"];
    site.cli(&[stranger.as_slice(), &["--role", "owner"]].concat()).ok();
    let key = site.key_of(&email("owner"), &["--scopes", "api:call"]);
    let program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/api/seen"), "200");
    kept(&program, 1);
    wait::until("the use to be counted", || {
        program.cli(&["keys", "show", &key.id]).json()["usage_count"] == 1
    });
    let person =
        |email: &str| program.admin().bearer(&signer.token(&claims(email, Clock::system().now().seconds())));
    let usage = format!("/v1/api-keys/{}/usage", key.id);
    for role in roles {
        let person = person(&email(role));
        assert!(paths(&listed(&person, "")).contains(&"/api/seen"), "{role}");
        let used = person.get(&usage);
        assert_eq!((used.status, &used.json()["buckets"][0]["count"]), (200, &Value::from(1)), "{role}");
    }
    let stranger = person("stranger@else.example");
    assert!(!paths(&listed(&stranger, "")).contains(&"/api/seen"));
    assert_eq!(stranger.get(&usage).verdict(), "404 not_found");
    assert_eq!(program.admin().key(&key.text).get("/v1/requests").verdict(), "403 scope_insufficient");
    assert_eq!(program.admin().anonymous().get("/v1/requests").verdict(), "401 credential_missing");
}
