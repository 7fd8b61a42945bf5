//! Every operation that the API has, asked by everybody: the table is kept beside this file.

use serde_json::{Value, json};

use super::{World, ask, made, text};
use crate::support::program::PASSWORD;

/// P361, P362: whoever may not is told so, whoever may not even know gets 404, and what is refused changes nothing.
/// The operations come from the API's own document, so that a new one cannot be forgotten.
#[test]
fn every_operation_by_everybody() {
    let world = World::new();
    let document = world.program.admin().anonymous().get("/v1/openapi.json").json();
    let anonymous = world.program.admin().anonymous();
    let unknown = world.program.admin().key(&format!("tos_{}_{}", "A".repeat(8), "b".repeat(32)));
    let callers = [
        ("nobody", &anonymous),
        ("unknown key", &unknown),
        ("key without it", &world.reader),
        ("other team", &world.neighbour),
        ("other org", &world.stranger),
        ("right key", &world.root),
    ];
    let mut operations: Vec<(String, String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            operations.push((text(operation, "operationId"), method.to_uppercase(), path.clone()));
        }
    }
    // What ends the organization comes last.
    operations.sort_by_key(|(id, method, path)| (id == "delete_org", path.clone(), method.clone()));

    let mut table = format!("{:<48}", "");
    for (name, _) in callers {
        table.push_str(&format!(" {name:<24}"));
    }
    for (id, method, path) in operations {
        table.push_str(&format!("\n{:<48}", format!("{method} {path}")));
        let (path, body) = (concrete(&world, &path), body(&world, &id));
        for (name, caller) in callers {
            let before = world.program.site.count("audit_events");
            let answer = ask(caller, &method, &path, body.as_ref());
            table.push_str(&format!(" {:<24}", answer.verdict()));
            if answer.status >= 300 {
                let after = world.program.site.count("audit_events");
                assert_eq!(before, after, "{name}: {method} {path} was refused and did something");
                assert!(!answer.text().contains("tos_"), "{answer:?}");
            }
        }
    }
    let table = table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    println!("{table}");
    insta::assert_snapshot!("matrix", table);
}

/// The path with objects that were made for it alone.
fn concrete(world: &World, path: &str) -> String {
    let mut path = path.replace("{team_id}", &world.team).replace("{user_id}", &world.user);
    path = path.replace("{role_id}", "developer").replace("{group_id}", &world.user);
    if path == format!("/v1/teams/{}", world.team) {
        let team = ask(&world.root, "POST", "/v1/teams", Some(&json!({ "name": "Passing" }))).json();
        path = format!("/v1/teams/{}", text(&team, "id"));
    }
    if path.contains("{project_id}") {
        let projects = format!("/v1/teams/{}/projects", world.team);
        let project = ask(&world.root, "POST", &projects, Some(&json!({ "name": "Passing" }))).json();
        path = path.replace("{project_id}", &text(&project, "id"));
    }
    if path.contains("{invitation_id}") {
        let invite = ["invitations", "create", "--email", "passing@example.com", "--role", "super_admin"];
        let invitation = world.program.cli(&[invite.as_slice(), &["--org", "default"]].concat()).json();
        path = path.replace("{invitation_id}", &text(&invitation, "id"));
    }
    if path.contains("{key_id}") {
        path = path.replace("{key_id}", &text(&world.team_key("passing"), "id"));
    }
    path
}

fn body(world: &World, operation: &str) -> Option<Value> {
    Some(match operation {
        "create_key" => json!({ "name": "new", "scope": "team", "team_id": world.team }),
        "verify_key" => {
            let key = made(&world.root, &json!({ "name": "seen", "scope": "org", "scopes": ["scan:read"] }));
            json!({ "key": key["key"] })
        }
        "create_team" | "create_project" => json!({ "name": "New" }),
        "create_user" => {
            json!({ "email": "new@example.com", "name": "New", "role": "developer", "team_id": world.team })
        }
        "update_org" | "update_team" | "update_project" | "update_user" | "update_key" | "update_role"
        | "update_group" => {
            json!({ "name": "Renamed" })
        }
        "create_org_invitation" => json!({ "email": "new@example.com", "role": "super_admin" }),
        "create_team_invitation" => json!({ "email": "new@example.com", "role": "developer" }),
        "accept_invitation" => json!({ "token": "lgi_nobody", "name": "New", "password": PASSWORD }),
        "create_org" => json!({ "name": "New", "admin_email": "new@example.com" }),
        "create_role" => json!({ "name": "New", "permissions": ["scan:read"] }),
        "create_group" => json!({ "name": "New", "roles": ["super_admin"] }),
        "put_team_member" | "update_team_member" => json!({ "role": "developer" }),
        "put_org_member" | "update_org_member" => json!({ "role": "super_admin" }),
        _ => return None,
    })
}

/// What the document says of an answer is what the answer has, field by field.
#[test]
fn answers_are_as_the_document_says() {
    let world = World::new();
    let document = world.program.admin().anonymous().get("/v1/openapi.json").json();
    let mut printed = crate::support::program::run(["openapi"], "").json();
    let paths = printed["paths"].as_object_mut().expect("paths");
    assert!(paths.remove(super::generate::PATH).is_some(), "the command prints what any platform has");
    let schemas = printed["components"]["schemas"].as_object_mut().expect("schemas");
    assert!(schemas.remove("GeneratedApiKey").is_some());
    assert_eq!(printed, document, "the API serves what this platform has");
    let sorted = |object: &serde_json::Map<String, Value>| {
        let mut names: Vec<String> = object.keys().cloned().collect();
        names.sort_unstable();
        names
    };
    let fields = |shape: &str| -> Vec<String> {
        let properties = &document["components"]["schemas"][shape]["properties"];
        sorted(properties.as_object().expect(shape))
    };
    let key = world.team_key("shape");
    world.program.key(&text(&key, "key")).get("/any/x");
    let project = ask(
        &world.root,
        "POST",
        &format!("/v1/teams/{}/projects", world.team),
        Some(&json!({ "name": "P" })),
    );
    assert_eq!(project.status, 201, "{project:?}");
    let key_path = super::path_of(&key);
    for (path, shape, listed) in [
        ("/v1/org".to_owned(), "Organization", false),
        ("/v1/orgs".to_owned(), "Organization", true),
        ("/v1/projects".to_owned(), "Project", true),
        ("/v1/teams".to_owned(), "Team", true),
        (format!("/v1/teams/{}/projects", world.team), "Project", true),
        ("/v1/users".to_owned(), "User", true),
        ("/v1/org/members".to_owned(), "Member", true),
        (format!("/v1/teams/{}/members", world.team), "Member", true),
        ("/v1/api-keys".to_owned(), "ApiKey", true),
        (key_path.clone(), "ApiKey", false),
        (format!("{key_path}/usage"), "ApiKeyUsage", false),
        ("/v1/permissions".to_owned(), "Permission", true),
        ("/v1/roles".to_owned(), "Role", true),
        ("/v1/roles/developer".to_owned(), "Role", false),
        ("/v1/audit".to_owned(), "AuditEvent", true),
    ] {
        let answer = world.root.get(&path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let answer = answer.json();
        let object = if listed { &answer["items"][0] } else { &answer };
        assert_eq!(sorted(object.as_object().expect(&path)), fields(shape), "{path}");
    }
    assert_eq!(sorted(key.as_object().expect("a key")), fields("NewApiKey"));
}
