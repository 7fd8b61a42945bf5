//! `/public_api/v1/api_keys/generate`: a primary key mints task keys.

use serde_json::{Value, json};

use super::{ask, offload, post, text};
use crate::{
    control::roles::{path_b, site},
    support::{
        program::Program,
        rawup::Upstream,
        request::{Caller, Request},
    },
};

pub const PATH: &str = "/public_api/v1/api_keys/generate";

/// A tenant after the document's Path B, and its user's primary key: all that it may mint, and the minting.
fn tenant(more: &[&str]) -> (Program, String, Upstream) {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    path_b(&site, "dev@example.com");
    let roles = "Public API (PAPI) Edit,CLI Read-Only Custom,CLI Write Custom";
    let primary = site.key_of("dev@example.com", &[&["--roles", roles, "--name", "primary"], more].concat());
    (site.serve(), primary.text, upstream)
}

fn wanted(role: &str) -> Value {
    json!({ "request_data": {
        "roles": [role], "security_level": "standard", "expiration": 0, "comment": "local scans",
    } })
}

fn minted(caller: &Caller, body: &Value) -> Value {
    let answer = post(caller, PATH, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["reply"].clone()
}

/// `R001_01`, `R001_09`, `R001_12`: a primary key mints a task key through the public API and does nothing else with the tenant;
/// the task key works, and is listed with its role, its comment and the key that made it.
#[test]
fn a_primary_key_mints_task_keys_and_nothing_else() {
    let (program, primary, _upstream) = tenant(&[]);
    let caller = program.admin().key(&primary);
    let reply = minted(&caller, &wanted("CLI Read-Only Custom"));
    let mut fields: Vec<&str> = reply.as_object().expect("a reply").keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["comment", "created_at", "expiration", "id", "key", "roles", "security_level", "uuid"]
    );
    let (id, full) = (text(&reply, "id"), text(&reply, "key"));
    assert!(full.starts_with(&format!("cx_{id}_")) && id.parse::<u32>().is_ok(), "{reply}");
    assert_eq!((&reply["expiration"], &reply["comment"]), (&json!(0), &json!("local scans")));

    let reader = program.key(&full);
    assert_eq!(reader.verdict("/scans/1"), "200");
    assert_eq!(reader.post("/scans/1", "result").verdict(), "403 scope_insufficient");
    let shown = caller.get(&format!("/v1/api-keys/{}", text(&reply, "uuid"))).json();
    assert_eq!(
        (&shown["prefix"], &shown["name"], &shown["description"], &shown["roles"]),
        (&json!(id), &json!("local scans"), &json!("local scans"), &json!(["CLI Read-Only Custom"]))
    );
    assert!(!shown["parent_id"].is_null());

    let user = text(&program.cli(&["users", "show", "dev@example.com"]).json(), "id");
    for (method, path, body) in [
        ("POST", "/v1/roles".to_owned(), json!({ "name": "Mine", "permissions": ["cli_tools:view"] })),
        ("POST", "/v1/groups".to_owned(), json!({ "name": "Mine", "roles": ["CLI Write Custom"] })),
        ("POST", "/v1/users".to_owned(), json!({ "email": "x@example.com", "name": "X" })),
        ("PUT", format!("/v1/org/members/{user}"), json!({ "role": "instance_admin" })),
        ("PATCH", "/v1/org".to_owned(), json!({ "name": "Mine" })),
    ] {
        assert_eq!(ask(&caller, method, &path, Some(&body)).status, 403, "{method} {path}");
    }
    for path in ["/v1/users", "/v1/org/members", "/v1/groups", "/v1/audit"] {
        assert_eq!(caller.verdict(path), "403 scope_insufficient", "{path}");
    }
    let again = post(&program.admin().key(&full), PATH, &wanted("CLI Read-Only Custom"));
    assert_eq!(again.verdict(), "403 scope_insufficient", "a task key mints none");
}

/// `R001_01`: in every form in which the gateway takes a key.
#[test]
fn every_way_to_send_a_key_mints() {
    let (program, primary, _upstream) = tenant(&[]);
    let id = primary.split('_').nth(1).expect("its id").to_owned();
    let send = |with: &dyn Fn(Request) -> Request| {
        let request = program.admin().anonymous().request("POST", PATH);
        let request = with(request).header("Content-Type", "application/json");
        request.body(wanted("CLI Write Custom").to_string()).send().verdict()
    };
    assert_eq!(send(&|request| request.header("X-API-Key", &primary)), "200");
    assert_eq!(send(&|request| request.header("Authorization", &format!("Bearer {primary}"))), "200");
    let bare = |request: Request| request.header("Authorization", &primary);
    assert_eq!(send(&|request| bare(request).header("x-xdr-auth-id", &id)), "200");
    let wrong = send(&|request| bare(request).header("x-xdr-auth-id", "12345678"));
    assert_eq!(wrong, "401 credential_malformed");
    assert_eq!(send(&|request| bare(request)), "401 credential_missing");
    assert_eq!(send(&|request| request), "401 credential_missing");
}

/// `R001_02`, `R001_12`: what is wrong is named in the request's own words, what is beyond the primary key is refused,
/// and neither makes a key; an end that nobody asked for is the primary key's.
#[test]
fn what_cannot_be_minted() {
    let (program, primary, _upstream) = tenant(&["--expires-in-days", "30"]);
    let caller = program.admin().key(&primary);
    let with = |field: &str, value: Value| {
        let mut body = wanted("CLI Write Custom");
        body["request_data"][field] = value;
        body
    };
    let keys = program.site.count("api_keys");
    for (body, verdict, field) in [
        (json!({}), "422 invalid_field", "request_data"),
        (json!({ "request_data": [] }), "422 invalid_field", "request_data"),
        (json!({ "request_data": {} }), "422 invalid_field", "request_data.roles"),
        (with("roles", json!([])), "422 invalid_field", "request_data.roles"),
        (with("roles", json!(["no such"])), "422 invalid_field", "request_data.roles"),
        (with("roles", json!(["cli"])), "422 invalid_field", "request_data.roles"),
        (with("roles", json!(["CLI"])), "422 invalid_field", "request_data.roles"),
        (with("security_level", json!("none")), "422 invalid_field", "request_data.security_level"),
        (with("expiration", json!(1)), "422 invalid_field", "request_data.expiration"),
        (with("expiration", json!(-1)), "422 invalid_field", "request_data.expiration"),
        (with("expiration", json!(i64::MAX)), "422 invalid_field", "request_data.expiration"),
        (with("expiration", json!("0")), "422 invalid_field", "request_data.expiration"),
        (with("comment", json!("a\u{202e}b")), "422 invalid_field", "request_data.comment"),
        (with("scopes", json!(["cli_tools:edit"])), "422 invalid_field", "request_data.scopes"),
        (json!({ "request_data": wanted("x")["request_data"], "x": 1 }), "422 invalid_field", "x"),
    ] {
        let answer = post(&caller, PATH, &body);
        assert_eq!(answer.verdict(), verdict, "{body}: {}", answer.text());
        assert_eq!(answer.json()["errors"][0]["field"], json!(field), "{body}");
    }
    let late = i64::try_from(std::time::UNIX_EPOCH.elapsed().expect("now").as_millis()).expect("a number")
        + 31 * 24 * 3_600_000;
    assert_eq!(post(&caller, PATH, &with("expiration", json!(late))).verdict(), "403 forbidden");
    assert_eq!(program.site.count("api_keys"), keys);

    let end = minted(&caller, &wanted("CLI Write Custom"))["expiration"].as_i64().expect("milliseconds");
    assert!(end > late - 2 * 24 * 3_600_000 && end < late, "{end}: the primary key's");
    let long = "scan\n".repeat(100);
    let reply = minted(&caller, &with("comment", json!(long)));
    let name = text(&caller.get(&format!("/v1/api-keys/{}", text(&reply, "uuid"))).json(), "name");
    assert!(name.starts_with("scan scan") && name.len() <= 80, "{name:?}");
    assert!(text(&reply, "comment").len() > 400);
    let reply = minted(&caller, &json!({ "request_data": { "roles": ["CLI Write Custom"] } }));
    assert_eq!(reply["comment"], json!(null));
}

/// Asked twice under one name, one key is made; the second answer has its shape too, without the key.
#[test]
fn asking_again_mints_nothing() {
    let (program, primary, _upstream) = tenant(&[]);
    let send = || {
        let request = program.admin().key(&primary).request("POST", PATH);
        let request = request.header("Content-Type", "application/json").header("Idempotency-Key", "n1");
        request.body(wanted("CLI Read-Only Custom").to_string()).send()
    };
    let (first, again) = (send(), send());
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let (mut first, again) = (first.json()["reply"].clone(), again.json()["reply"].clone());
    assert!(first.as_object_mut().expect("an object").remove("key").is_some());
    assert_eq!(first, again);
}

/// `R001_08`: an administrator's key attaches the built-in roles, by name or as that platform shows them.
#[test]
fn built_in_roles_are_the_administrators_here_too() {
    let site = site(&Upstream::echo());
    let primary = site.key(&["--scopes", "public_api:edit,cli_tools:edit"]);
    let program = site.serve();
    let caller = program.admin().key(&primary.text);
    for named in ["cli_read_only", "CLI Read Only"] {
        assert_eq!(minted(&caller, &wanted(named))["roles"], json!(["cli_read_only"]));
    }
}

/// On other platforms there is nothing here, for nobody and by no method.
#[test]
fn other_profiles_have_nothing_here() {
    let (program, caller, _upstream) = offload("api_key:create,scan:read");
    assert_eq!(post(&caller, PATH, &wanted("viewer")).verdict(), "404 not_found");
    assert_eq!(caller.verdict(PATH), "404 not_found");
    assert_eq!(program.admin().anonymous().verdict(PATH), "404 not_found");
    let (program, ..) = tenant(&[]);
    assert_eq!(program.admin().anonymous().verdict(PATH), "405 method_not_allowed");
}
