//! Roles and groups through the API.

use serde_json::json;

use super::{ask, post, sign_in, text};
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

/// `R001_06`, `R001_07`, `R001_08`, `R001_10`: the document's Path B as an administrator and the developer follow it,
/// each signed in: roles with an exact set of permissions, groups that add them up, and a primary key out of that;
/// who does not hold the permission for it makes neither roles nor groups.
#[test]
fn path_b_by_people() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    let user = text(&site.user("dev@example.com", "none", None), "id");
    let program = site.serve();
    let admin = sign_in(&program, crate::support::program::ADMIN);
    let mut group_of_makers = String::new();
    for (role, permission, group) in [
        ("CLI Read-Only Custom", "cli_tools:view", "CLI readers"),
        ("CLI Write Custom", "cli_tools:edit", "CLI writers"),
        ("Public API (PAPI) Edit", "public_api:edit", "Key makers"),
    ] {
        let made = post(&admin, "/v1/roles", &json!({ "name": role, "permissions": [permission] }));
        assert_eq!((made.status, &made.json()["permissions"]), (201, &json!([permission])));
        let place = made.header("location").expect("where it is").to_owned();
        assert_eq!(admin.get(&place).json(), made.json());
        let made = post(&admin, "/v1/groups", &json!({ "name": group, "roles": [role] }));
        assert_eq!(made.status, 201, "{made:?}");
        group_of_makers = format!("/v1/groups/{}", text(&made.json(), "id"));
        let put = ask(&admin, "PUT", &format!("{group_of_makers}/members/{user}"), None);
        assert_eq!(put.status, 204, "{put:?}");
    }
    let shown = admin.get(&format!("/v1/users/{user}")).json();
    assert_eq!(shown["groups"], json!(["CLI readers", "CLI writers", "Key makers"]));

    let developer = sign_in(&program, "dev@example.com");
    let held = developer.get("/v1/session").json()["permissions"].clone();
    for permission in ["cli_tools:view", "cli_tools:edit", "public_api:edit", "api_key:create"] {
        assert!(held.as_array().expect("a list").contains(&json!(permission)), "{held}");
    }
    assert!(!names(&developer, "/v1/roles").contains(&"cli".to_owned()));
    assert_eq!(developer.verdict("/v1/roles/cli"), "404 not_found");
    let attach = |role: &str| post(&developer, "/v1/api-keys", &json!({ "name": "k", "roles": [role] }));
    assert_eq!(attach("cli").verdict(), "422 invalid_field");
    let reader = attach("CLI Read-Only Custom");
    assert_eq!((reader.status, &reader.json()["roles"]), (201, &json!(["CLI Read-Only Custom"])));
    let reader = program.key(&text(&reader.json(), "key"));
    assert_eq!((reader.verdict("/scans/1").as_str(), reader.post("/scans/1", "x").status), ("200", 403));

    let role = json!({ "name": "Mine", "permissions": ["cli_tools:view"] });
    let group = json!({ "name": "Mine", "roles": ["CLI Read-Only Custom"] });
    assert_eq!(post(&developer, "/v1/roles", &role).verdict(), "403 scope_insufficient");
    assert_eq!(post(&developer, "/v1/groups", &group).verdict(), "403 scope_insufficient");

    let member = format!("{group_of_makers}/members/{user}");
    assert_eq!(ask(&admin, "DELETE", &member, None).status, 204);
    assert_eq!(ask(&admin, "DELETE", &member, None).verdict(), "404 not_found", "they are in it no more");
    assert_eq!(attach("CLI Read-Only Custom").verdict(), "403 scope_insufficient", "by the next request");
    assert_eq!(ask(&admin, "DELETE", &group_of_makers, None).status, 204);
    let own = admin.get("/v1/roles").json();
    let writers =
        own["items"].as_array().expect("items").iter().find(|role| role["name"] == "CLI Write Custom");
    let writers = format!("/v1/roles/{}", text(writers.expect("the role"), "id"));
    assert_eq!(ask(&admin, "DELETE", &writers, None).verdict(), "409 conflict", "a group carries it");
    let less = ask(&admin, "PATCH", &writers, Some(&json!({ "permissions": ["cli_tools:view"] })));
    assert_eq!((less.status, &less.json()["permissions"]), (200, &json!(["cli_tools:view"])));
    for (path, body, verdict) in [
        ("/v1/roles", json!({ "name": "cli", "permissions": ["cli_tools:view"] }), "409 conflict"),
        ("/v1/roles", json!({ "name": "CLI Read Only", "permissions": ["cli_tools:view"] }), "409 conflict"),
        ("/v1/roles", json!({ "name": "x", "permissions": ["org:delete"] }), "422 invalid_field"),
        ("/v1/roles", json!({ "name": "x", "permissions": [] }), "422 invalid_field"),
        ("/v1/roles", json!({ "name": "x", "permissions": ["*"] }), "422 invalid_field"),
        ("/v1/groups", json!({ "name": "x", "roles": ["no such"] }), "422 invalid_field"),
        ("/v1/groups", json!({ "name": "cli READERS", "roles": ["cli"] }), "409 conflict"),
    ] {
        assert_eq!(post(&admin, path, &body).verdict(), verdict, "{path} {body}");
    }
    assert_eq!(
        ask(&admin, "PATCH", "/v1/roles/cli", Some(&json!({ "name": "x" }))).verdict(),
        "409 conflict"
    );
    assert_eq!(ask(&admin, "DELETE", "/v1/roles/cli", None).verdict(), "409 conflict");
    let custom = json!({ "role": "CLI Read-Only Custom" });
    let given = ask(&admin, "PUT", &format!("/v1/org/members/{user}"), Some(&custom));
    assert_eq!((given.status, &given.json()["role"]), (200, &custom["role"]));
}
