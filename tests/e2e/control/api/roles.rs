//! Roles and groups through the API.

use serde_json::json;

use super::{ask, text};
use crate::{
    control::roles::{path_b, site},
    support::{rawup::Upstream, request::Caller},
};

fn names(caller: &Caller, path: &str) -> Vec<String> {
    let answer = caller.get(path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()["items"].as_array().expect("items").iter().map(|item| text(item, "name")).collect()
}

/// `R001_06`, `R001_08`: who may see which roles through the API: the built-in ones of the administrators are
/// theirs, the organization's own everybody's, and nobody's outside.
#[test]
fn roles_are_seen_by_whom_they_are_for() {
    let site = site(&Upstream::echo());
    path_b(&site, "dev@example.com");
    let admin = site.key(&["--scopes", "api_key:create,member:read"]).text;
    let scopes = ["--scopes", "public_api:edit,cli_tools:edit"];
    let developer = site.key_of("dev@example.com", &scopes).text;
    let reader = site.key_of("dev@example.com", &["--roles", "CLI Read-Only Custom"]).text;
    let custom = site.cli(&["roles", "show", "CLI Write Custom"]).json();
    let group = site.cli(&["groups", "show", "CLI writers"]).json();
    let program = site.serve();
    let (admin, developer, reader) =
        (program.admin().key(&admin), program.admin().key(&developer), program.admin().key(&reader));

    let own = ["CLI Read-Only Custom", "CLI Write Custom", "Public API (PAPI) Edit"];
    let shipped = ["cli_read_only", "cli", "instance_admin", "account_admin"];
    assert_eq!(names(&admin, "/v1/roles"), [shipped.as_slice(), own.as_slice()].concat());
    assert_eq!(names(&developer, "/v1/roles"), [&shipped[2..], own.as_slice()].concat());
    assert_eq!(names(&developer, "/v1/roles?limit=2"), shipped[2..]);
    let next = text(&developer.get("/v1/roles?limit=2").json(), "next_cursor");
    assert_eq!(names(&developer, &format!("/v1/roles?limit=2&cursor={next}")), own[..2]);

    let address = format!("/v1/roles/{}", text(&custom, "id"));
    assert_eq!(developer.get(&address).json(), custom, "as the command line shows it");
    assert_eq!(admin.get("/v1/roles/cli").json()["permissions"], json!(["cli_tools:edit", "cli_tools:view"]));
    for path in ["/v1/roles/cli", "/v1/roles/CLI%20Write%20Custom", "/v1/roles/no_such", "/v1/roles/%00"] {
        assert_eq!(developer.verdict(path), "404 not_found", "{path}");
    }
    for path in ["/v1/roles", "/v1/roles/instance_admin", &address, "/v1/groups"] {
        assert_eq!(reader.verdict(path), "403 scope_insufficient", "{path}");
    }

    assert_eq!(names(&admin, "/v1/groups"), ["CLI readers", "CLI writers", "Key makers"]);
    let address = format!("/v1/groups/{}", text(&group, "id"));
    assert_eq!(admin.get(&address).json(), group);
    assert_eq!(group["members"][0]["email"], json!("dev@example.com"));
    assert_eq!(admin.verdict("/v1/groups/CLI%20writers"), "404 not_found");
}

/// A key, whatever it holds, changes no role and no group: what it put there would outlive it.
#[test]
fn keys_change_no_roles_and_no_groups() {
    let site = site(&Upstream::echo());
    path_b(&site, "dev@example.com");
    let all = "role:manage,group:manage,member:read,member:update,cli_tools:edit";
    let key = site.key(&["--scopes", all]).text;
    let role = text(&site.cli(&["roles", "show", "CLI Write Custom"]).json(), "id");
    let group = text(&site.cli(&["groups", "show", "CLI writers"]).json(), "id");
    let user = text(&site.cli(&["users", "show", "dev@example.com"]).json(), "id");
    let program = site.serve();
    let caller = program.admin().key(&key);
    let events = program.site.count("audit_events");
    let member = format!("/v1/groups/{group}/members/{user}");
    for (method, path, body) in [
        ("POST", "/v1/roles".to_owned(), Some(json!({ "name": "x", "permissions": ["cli_tools:view"] }))),
        ("PATCH", format!("/v1/roles/{role}"), Some(json!({ "name": "x" }))),
        ("DELETE", format!("/v1/roles/{role}"), None),
        ("POST", "/v1/groups".to_owned(), Some(json!({ "name": "x", "roles": ["CLI Write Custom"] }))),
        ("PATCH", format!("/v1/groups/{group}"), Some(json!({ "name": "x" }))),
        ("DELETE", format!("/v1/groups/{group}"), None),
        ("PUT", member.clone(), None),
        ("DELETE", member, None),
    ] {
        assert_eq!(ask(&caller, method, &path, body.as_ref()).verdict(), "403 forbidden", "{method} {path}");
    }
    assert_eq!(program.site.count("audit_events"), events);
}
