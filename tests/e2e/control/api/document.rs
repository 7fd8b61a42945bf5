//! What the API's own document says, held against what it answers.

use serde_json::{Value, json};

use super::{World, ask, text};

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
