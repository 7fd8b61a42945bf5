//! "Roles" and "API Keys" of an organization: owner, admin, member. The matrix itself is in `control/api/levels.rs`.

use serde_json::{Value, json};

use super::{ask, done, mail_to, person, text};
use crate::support::{
    gateway::Gateway,
    program::{ADMIN, PASSWORD, Site},
    rawup::Upstream,
    setup::Setup,
};

/// `R003_01` to `R003_06`, `R003_08`: the organization's life as the document tells it, to its end.
#[test]
fn owner_admin_and_member() {
    let upstream = Upstream::echo();
    let api = "name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\"\nrequire = \"api:call\"";
    let setup = Setup::bare("reducto").upstream("app", &upstream.url()).route(api).mail();
    let gateway = Gateway::start(Site::new(setup));
    let owner = person(&gateway, ADMIN);

    // "Owners can invite as Owner, Admin, or Member. Admins can invite as Admin or Member."
    let invite = |by: &_, name: &str, role: &str| {
        let body = json!({ "email": format!("{name}@example.com"), "role": role });
        ask(by, "POST", "/v1/org/invitations", &body)
    };
    let accept = |name: &str| {
        let email = format!("{name}@example.com");
        let token = mail_to(&gateway, &email).0;
        let body = json!({ "token": token, "name": name, "password": PASSWORD });
        done(&ask(&gateway.admin().anonymous(), "POST", "/v1/invitations/accept", &body));
        person(&gateway, &email)
    };
    assert_eq!(invite(&owner, "adam", "admin").status, 201);
    assert_eq!(invite(&owner, "olga", "owner").status, 201);
    let adam = accept("adam");
    assert_eq!(invite(&adam, "mia", "member").status, 201);
    assert_eq!(invite(&adam, "anna", "admin").status, 201);
    assert_eq!(invite(&adam, "eve", "owner").verdict(), "403 forbidden");
    let (mia, anna) = (accept("mia"), accept("anna"));
    assert_eq!(invite(&mia, "eve", "member").verdict(), "403 scope_insufficient");

    // "Owners and Admins can create new keys, rename existing keys, and revoke keys belonging to anyone."
    let made = done(&ask(&adam, "POST", "/v1/api-keys", &json!({ "name": "prod", "expires_in_days": 365 })));
    let path = format!("/v1/api-keys/{}", text(&made, "id"));
    assert_eq!(done(&ask(&owner, "PATCH", &path, &json!({ "name": "production" })))["name"], "production");
    // "Members can view the list of active keys but cannot create, rename, or delete any key."
    let listed = done(&mia.get("/v1/api-keys?status=active"));
    let seen = &listed["items"][0];
    assert_eq!((&seen["name"], &seen["created_at"]), (&json!("production"), &made["created_at"]));
    assert_eq!(seen["expires_at"], made["expires_at"]);
    for (method, path, body) in [
        ("POST", "/v1/api-keys", json!({ "name": "mine" })),
        ("PATCH", &*path, json!({ "name": "mine" })),
        ("DELETE", &*path, Value::Null),
    ] {
        assert_eq!(ask(&mia, method, path, &body).status, 403, "{method}");
    }

    // "Any valid key authenticates requests on behalf of the entire org", whoever made it, also when they have left.
    let key = gateway.key(&text(&made, "key"));
    assert_eq!(key.verdict("/api/x"), "200");
    assert_eq!((upstream.last().header("x-scope"), upstream.last().header("x-user-id")), (Some("org"), None));
    let adam_id = text(&done(&adam.get("/v1/session"))["user"], "id");
    let adam_at_work = adam.at(gateway.door());
    assert_eq!(adam_at_work.verdict("/api/x"), "200");
    assert_eq!(ask(&owner, "DELETE", &format!("/v1/users/{adam_id}"), &Value::Null).status, 204);
    assert_eq!(adam_at_work.verdict("/api/x"), "401 session_expired");
    assert_eq!(key.verdict("/api/x"), "200", "the organization's key stays");

    // "Deleting an API key immediately revokes it. Any requests using that key will fail."
    let other = done(&ask(&owner, "POST", "/v1/api-keys", &json!({ "name": "other" })));
    let other_key = gateway.key(&text(&other, "key"));
    assert_eq!(other_key.verdict("/api/x"), "200");
    let other_path = format!("/v1/api-keys/{}", text(&other, "id"));
    assert_eq!(ask(&owner, "DELETE", &other_path, &Value::Null).status, 204);
    assert_eq!(other_key.verdict("/api/x"), "401 credential_revoked");

    // "View usage and request logs": everybody.
    assert_eq!((mia.get(&format!("{path}/usage")).status, mia.get("/v1/requests").status), (200, 200));

    // "Cannot delete the organization": all but the owner. Afterwards nothing of it works.
    for person in [&mia, &anna] {
        assert_eq!(ask(person, "DELETE", "/v1/org", &Value::Null).verdict(), "403 scope_insufficient");
    }
    assert_eq!(ask(&owner, "DELETE", "/v1/org", &Value::Null).status, 204);
    assert_eq!(key.get("/api/x").status, 401);
    for person in [&owner, &mia, &anna] {
        assert_eq!(person.get("/v1/session").status, 401);
        assert_eq!(person.at(gateway.door()).get("/api/x").status, 401);
    }
    assert_eq!(gateway.admin().sign_in(ADMIN, PASSWORD).status, 401);
}
