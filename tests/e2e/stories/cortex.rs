//! "Generate API keys": a primary key as master credential, which provisions restricted keys. Path B, by people and in
//! detail, is in `control/api/roles.rs`.

use serde_json::{Value, json};

use super::{ask, done, person, text};
use crate::support::{
    gateway::Gateway,
    program::{ADMIN, Site},
    rawup::Upstream,
    setup::Setup,
};

/// `R001_01` to `R001_06`, `R001_08`, `R001_09`, `R001_12`: Path A, then the keys that the primary key makes.
#[test]
fn path_a_and_the_primary_key() {
    let upstream = Upstream::echo();
    let scans = "name = \"scans\"\npath = \"/scans/{*rest}\"\nupstream = \"app\"\n\
                 require = { GET = \"cli_tools:view\", POST = \"cli_tools:edit\" }";
    let public = "name = \"public\"\npath = \"/public_api/{*rest}\"\nupstream = \"@control\"";
    let setup = Setup::bare("cortex").upstream("app", &upstream.url()).route(scans).route(public);
    let gateway = Gateway::start(Site::new(setup));
    let admin = person(&gateway, ADMIN);

    // "Create a Public API (PAPI) Edit role (no default exists for this)."
    let papi = json!({ "name": "Public API (PAPI) Edit", "permissions": ["public_api:edit"] });
    done(&ask(&admin, "POST", "/v1/roles", &papi));
    // "Attach the default CLI roles directly to the API key": the primary key.
    let wanted = json!({ "name": "primary", "roles": ["Public API (PAPI) Edit", "cli"] });
    let primary = done(&ask(&admin, "POST", "/v1/api-keys", &wanted));
    let primary_key = text(&primary, "key");
    // The clients of this platform send the key's id beside the bare key.
    let door = gateway.door();
    let as_client = |key: &Value| {
        let (id, key) = (text(key, "prefix"), text(key, "key"));
        move |method: &str, path: &str, body: &Value| {
            let request = door.anonymous().request(method, path);
            let request = request.header("Authorization", &key).header("x-xdr-auth-id", &id);
            if body.is_null() {
                return request.send();
            }
            request.header("Content-Type", "application/json").body(body.to_string()).send()
        }
    };

    // "Programmatically generate task-specific keys via the Public API", here one that reads.
    let generate = "/public_api/v1/api_keys/generate";
    let asked = |roles: Value, level: &str| {
        let comment = "local scans";
        json!({ "request_data": { "roles": roles, "security_level": level, "expiration": 0, "comment": comment } })
    };
    let by_primary = as_client(&primary);
    let made = done(&by_primary("POST", generate, &asked(json!(["cli_read_only"]), "standard")));
    let reply = &made["reply"];
    let minted = json!({ "prefix": reply["id"].to_string().trim_matches('"'), "key": reply["key"] });
    let cli = as_client(&minted);
    assert_eq!(cli("GET", "/scans/1", &Value::Null).status, 200);
    assert_eq!(cli("POST", "/scans/1", &json!({})).verdict(), "403 scope_insufficient");
    // Restricted means restricted: it makes no keys.
    assert_eq!(cli("POST", generate, &asked(json!(["cli_read_only"]), "standard")).status, 403);
    // "Requiring no administrative permissions in the UI": the primary key opens no session.
    assert_eq!(gateway.admin().key(&primary_key).get("/v1/session").status, 404);

    // "CLI scans will fail if the security level of the API key is set to Advanced."
    let advanced = done(&by_primary("POST", generate, &asked(json!(["cli_read_only"]), "advanced")));
    let reply = &advanced["reply"];
    let raw = as_client(&json!({ "prefix": reply["id"].to_string().trim_matches('"'), "key": reply["key"] }));
    assert_eq!(raw("GET", "/scans/1", &Value::Null).verdict(), "401 signature_required");

    // "Locate the generated key in the inventory and confirm that the Role column reflects the specific role."
    let inventory = done(&admin.get("/v1/api-keys"));
    let row =
        inventory["items"].as_array().expect("items").iter().find(|row| row["prefix"] == minted["prefix"]);
    let row = row.expect("the minted key is listed");
    assert_eq!((&row["roles"], &row["name"]), (&json!(["cli_read_only"]), &json!("local scans")));
    assert_eq!(row["parent_id"], primary["id"]);
}
