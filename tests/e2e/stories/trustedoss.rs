//! "API keys": organization, team and project keys of a portal, its curl lines run as they are written.

use serde_json::{Value, json};

use super::{ask, done, text};
use crate::support::{
    program::{ADMIN, Site},
    rawup::Upstream,
    setup::Setup,
    tools::output,
};

/// `R002_01` to `R002_14`, `R002_17`: issuing, using, listing, rotating, revoking, and what to look at when it fails.
#[test]
#[expect(clippy::too_many_lines, reason = "a document is told in one go")]
fn api_keys() {
    let upstream = Upstream::echo();
    let portal = |name: &str, path: &str, more: &str| format!("name = \"{name}\"\npath = \"{path}\"\n{more}");
    let setup = Setup::bare("trustedoss")
        .upstream("portal", &upstream.url())
        .route(&portal("keys", "/v1/api-keys", "upstream = \"@control\""))
        .route(&portal("key", "/v1/api-keys/{*rest}", "upstream = \"@control\""))
        .route(&portal("projects", "/v1/projects", "upstream = \"portal\""))
        .route(&portal(
            "project",
            "/v1/projects/{project_id}/scans",
            "upstream = \"portal\"\nproject = \"{project_id}\"\nrequire = \"scan:trigger\"",
        ))
        .route(&portal("team", "/v1/teams/{team_id}/report", "upstream = \"portal\"\nteam = \"{team_id}\""));
    let site = Site::new(setup);
    let team = site.team();
    let project = |name: &str| {
        text(&site.cli(&["projects", "create", "--team-id", &team, "--name", name]).json(), "id")
    };
    let (checkout, billing) = (project("checkout"), project("billing"));
    let dev = text(&site.user("dev@example.com", "developer", Some(&team)), "id");
    site.user("lead@example.com", "team_admin", Some(&team));
    let program = site.serve();
    let host = format!("http://{}", program.gateway().0);
    let [root, lead, developer] = [ADMIN, "lead@example.com", "dev@example.com"]
        .map(|email| program.admin().bearer(&program.admin().token(email)));

    // "Who can issue each scope."
    let issue = |by: &_, scope: &str, project: Option<&str>| {
        let body = json!({ "name": "ci", "scope": scope, "project_id": project, "expires_in_days": 30 });
        ask(by, "POST", "/v1/api-keys", &body)
    };
    for (by, scope, named, status) in [
        (&root, "org", None, 201),
        (&lead, "org", None, 403),
        (&developer, "org", None, 403),
        (&lead, "team", None, 201),
        (&developer, "team", None, 403),
        (&developer, "project", Some(&*checkout), 201),
    ] {
        let answer = issue(by, scope, named);
        assert_eq!(answer.status, status, "{scope}: {answer:?}");
    }
    for days in [json!(0), json!(1826)] {
        let body = json!({ "name": "ci", "scope": "team", "expires_in_days": days });
        assert_eq!(ask(&lead, "POST", "/v1/api-keys", &body).verdict(), "422 invalid_field");
    }
    let lasting = done(&ask(&lead, "POST", "/v1/api-keys", &json!({ "name": "lasting", "scope": "team" })));
    assert_eq!(lasting["expires_at"], Value::Null, "omit it for a key that does not expire");

    // The document's own line, run by curl.
    let jwt = format!("Authorization: Bearer {}", program.admin().token("dev@example.com"));
    let body = format!(
        r#"{{"name": "ci-key", "scope": "project", "project_id": "{checkout}", "expires_in_days": 90}}"#
    );
    let answer = output(
        "curl",
        &[
            "-sS",
            "-X",
            "POST",
            &format!("{host}/v1/api-keys"),
            "-H",
            &jwt,
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
        ],
    );
    let made: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let (key, prefix) = (text(&made, "key"), text(&made, "prefix"));
    let parts: Vec<&str> = key.split('_').collect();
    assert_eq!((parts[0], parts[1], parts[1].len(), parts[2].len()), ("tos", &*prefix, 8, 32), "{made}");
    assert!(
        !String::from_utf8_lossy(&program.site.store_bytes()).contains(parts[2]),
        "stored as a hash alone"
    );

    // "Pass the key in the Authorization header as a Bearer token."
    let bearer = format!("Authorization: Bearer {key}");
    let status = |header: &str, path: &str| {
        let url = format!("{host}{path}");
        output("curl", &["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, &url])
    };
    assert_eq!(status(&bearer, "/v1/projects"), "200");
    assert_eq!(upstream.last().header("x-project-id"), Some(&*checkout));
    // White space around it is tolerated, inside it is not.
    assert_eq!(status(&format!("Authorization: Bearer   {key}  "), "/v1/projects"), "200");
    assert_eq!(
        status(&format!("Authorization: Bearer {} {}", &key[..20], &key[20..]), "/v1/projects"),
        "401"
    );
    // "Bound to a specific project; calls outside that project fail with 403."
    assert_eq!(status(&bearer, &format!("/v1/projects/{checkout}/scans")), "200");
    assert_eq!(status(&bearer, &format!("/v1/projects/{billing}/scans")), "403");

    // "The key inherits the role of the issuing user at request time."
    let ci = program.bearer(&key);
    let scans = format!("/v1/projects/{checkout}/scans");
    let membership = format!("/v1/teams/{team}/members/{dev}");
    assert_eq!(ci.verdict(&scans), "200");
    assert_eq!(ask(&lead, "DELETE", &membership, &Value::Null).status, 204);
    assert_eq!(ci.verdict(&scans), "401 credential_revoked");
    done(&ask(&lead, "PUT", &membership, &json!({ "role": "developer" })));
    assert_eq!(ci.verdict(&scans), "200");

    // "Listing keys": label, prefix, scope, creator, times, status; never the secret.
    let listed = done(&lead.get("/v1/api-keys?q=ci-key"));
    let row = &listed["items"][0];
    assert_eq!(
        (&row["name"], &row["prefix"], &row["scope"], &row["created_by"], &row["status"]),
        (&json!("ci-key"), &json!(prefix), &json!("project"), &json!("dev@example.com"), &json!("active"))
    );
    assert!(!listed.to_string().contains(parts[2]));

    // "Rotate without downtime": a new key, both work, then revoke the old one: rejected within five seconds.
    // Whoever left the team and came back signs in again.
    let developer = program.admin().bearer(&program.admin().token("dev@example.com"));
    let fresh = done(&issue(&developer, "project", Some(&checkout)));
    let fresh = program.bearer(&text(&fresh, "key"));
    assert_eq!((ci.verdict("/v1/projects"), fresh.verdict("/v1/projects")), ("200".into(), "200".into()));
    let path = format!("/v1/api-keys/{}", text(&made, "id"));
    done(&ask(&lead, "POST", &format!("{path}/revoke"), &Value::Null));
    assert_eq!(
        (ci.verdict("/v1/projects"), fresh.verdict("/v1/projects")),
        ("401 credential_revoked".into(), "200".into())
    );

    // "Audit log": a row for each step, found by its target.
    let trail = done(&root.get(&format!("/v1/audit?target_table=api_keys&target={prefix}")));
    let mut steps: Vec<(String, String)> = Vec::new();
    for event in trail["items"].as_array().expect("items") {
        steps.push((text(event, "action"), text(event, "actor")));
    }
    steps.sort();
    let expected = [("create", "dev@example.com"), ("revoke", "lead@example.com")];
    assert_eq!(steps, expected.map(|(action, actor)| (action.to_owned(), actor.to_owned())));

    // "Troubleshooting": 401 for a credential problem; each miss is logged with the prefix, never with the secret.
    let wrong = format!("tos_{prefix}_{}", "x".repeat(32));
    assert_eq!(program.bearer(&wrong).verdict("/v1/projects"), "401 credential_invalid");
    assert_eq!(program.bearer("tos_short").verdict("/v1/projects"), "401 credential_malformed");
    assert_eq!(program.anonymous().verdict("/v1/projects"), "401 credential_missing");
    let logged = crate::support::wait::for_some("the line of the miss", || {
        program
            .log()
            .into_iter()
            .find(|line| line["msg"] == "api_key.auth_failed" && line["reason"] == "credential_invalid")
    });
    assert_eq!(logged["prefix"], json!(prefix));
    assert!(program.log().iter().all(|line| !line.to_string().contains(parts[2])));
}
