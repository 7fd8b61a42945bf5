//! "Roles, Teams & API Keys": a team, its people, and the keys of its pipelines.

use std::time::Duration;

use latchgate::control::service::{Caller as By, InviteTo, NewInvitation};
use serde_json::{Value, json};

use super::{ask, done, mail_to, person, text};
use crate::support::{
    gateway::Gateway,
    program::{ADMIN, PASSWORD, Site},
    rawup::Upstream,
    setup::Setup,
};

const HOUR: Duration = Duration::from_secs(3600);

/// `R000_01`, `R000_03` to `R000_07`, `R000_11` to `R000_23`: the whole document, from the first invitation to the last
/// revoked key.
#[test]
#[expect(clippy::too_many_lines, reason = "a document is told in one go")]
fn roles_teams_and_api_keys() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).mail());
    let home = site.team();
    let other = site.cli(&["teams", "create", "--org", "default", "--name", "Other client"]).json();
    let other = text(&other, "id");
    let gateway = Gateway::start(site);

    // "Your active team and your role are shown at the top."
    let admin = person(&gateway, ADMIN);
    let shown = done(&admin.get("/v1/session"));
    assert_eq!((&shown["active_team"]["id"], &shown["role"]), (&json!(home), &json!("admin")));

    // "Enter the person's email address, choose a role, and optionally add a personal message."
    let invitations = format!("/v1/teams/{home}/invitations");
    let invite = |by: &_, name: &str, role: &str| {
        let body =
            json!({ "email": format!("{name}@example.com"), "role": role, "message": "Welcome aboard." });
        ask(by, "POST", &invitations, &body)
    };
    let accept = |name: &str| {
        let email = format!("{name}@example.com");
        let (token, mail) = mail_to(&gateway, &email);
        assert!(mail.contains("Welcome aboard."), "{mail}");
        let body = json!({ "token": token, "name": name, "password": PASSWORD });
        done(&ask(&gateway.admin().anonymous(), "POST", "/v1/invitations/accept", &body));
        person(&gateway, &email)
    };
    assert_eq!(invite(&admin, "sam", "security_manager").status, 201);
    let sam = accept("sam");
    assert_eq!(done(&sam.get("/v1/session"))["role"], "security_manager");

    // "The ability to invite belongs to Admins and Security Managers. Only an Admin can invite someone to Admin."
    assert_eq!(invite(&sam, "vic", "viewer").status, 201);
    assert_eq!(invite(&sam, "eve", "admin").verdict(), "403 forbidden");
    assert_eq!(invite(&admin, "ada", "admin").status, 201);
    let vic = accept("vic");
    assert_eq!(invite(&vic, "eve", "viewer").verdict(), "403 scope_insufficient");

    // "The change takes effect immediately the next time that member's access is checked."
    let vic_at_work = vic.at(gateway.door());
    assert_eq!(
        (vic_at_work.get("/api/scans").status, vic_at_work.post("/api/scans", "x").status),
        (200, 403)
    );
    let vic_id = text(&done(&vic.get("/v1/session"))["user"], "id");
    let member = format!("/v1/teams/{home}/members/{vic_id}");
    assert_eq!(ask(&sam, "PATCH", &member, &json!({ "role": "admin" })).verdict(), "403 forbidden");
    done(&ask(&admin, "PATCH", &member, &json!({ "role": "security_analyst" })));
    assert_eq!(vic_at_work.post("/api/scans", "x").status, 200);
    assert_eq!(upstream.last().header("x-role"), Some("security_analyst"));

    // "If you belong to more than one team, you can switch which one is active", without signing in again.
    let role = Some("viewer".to_owned());
    let new = NewInvitation {
        to: InviteTo::Team(other.clone()),
        email: "vic@example.com".into(),
        role,
        message: None,
    };
    let invited = gateway.control(async |control| control.invite(&By::Operator, &new).await.map(drop));
    invited.expect("an invitation into the other team");
    let joined = wait_for_second_mail(&gateway, "vic@example.com");
    done(&ask(&vic, "POST", "/v1/invitations/accept", &json!({ "token": joined })));
    let key_of_home =
        done(&ask(&vic, "POST", "/v1/api-keys", &json!({ "name": "home", "preset": "ci_basic" })));
    let key_path = format!("/v1/api-keys/{}", text(&key_of_home, "id"));
    let switched = done(&ask(&vic, "PUT", "/v1/session/team", &json!({ "team_id": other })));
    assert_eq!((&switched["active_team"]["id"], &switched["role"]), (&json!(other), &json!("viewer")));
    assert_eq!(
        (vic_at_work.get("/api/scans").status, vic_at_work.post("/api/scans", "x").status),
        (200, 403)
    );
    assert_eq!(upstream.last().header("x-team-id"), Some(&*other));
    // "You only ever see data for your active team."
    assert_eq!(vic.verdict(&key_path), "404 not_found");
    assert_eq!(done(&vic.get("/v1/api-keys"))["items"], json!([]));
    assert_eq!(vic.verdict(&format!("/v1/teams/{home}/members")), "404 not_found");
    done(&ask(&vic, "PUT", "/v1/session/team", &json!({ "team_id": home })));
    assert_eq!(vic.verdict(&key_path), "200");

    // "Select Create API Key": name, description, preset, expiry, environment, rate limit.
    let wanted = json!({
        "name": "nightly", "description": "The nightly scan", "preset": "ci_basic", "environment": "production",
        "rate_limit_per_minute": 100, "allowed_ips": ["127.0.0.0/8"],
    });
    let made = done(&ask(&admin, "POST", "/v1/api-keys", &wanted));
    let key = text(&made, "key");
    assert!(key.starts_with("osk_"), "{made}");
    assert_eq!(made["scopes"], json!(["scan:read", "scan:trigger"]));
    let ninety_days = gateway.clock.now().after(90 * 24 * HOUR).to_string();
    assert_eq!((&made["expires_at"], &made["environment"]), (&json!(ninety_days), &json!("production")));
    let path = format!("/v1/api-keys/{}", text(&made, "id"));
    assert_eq!(done(&admin.get(&path)).get("key"), None, "the full key is shown only once");

    // "Send the key in the X-API-Key request header. Endpoints accept either a signed-in session or a valid API key."
    let pipeline = gateway.key(&key);
    assert_eq!((pipeline.get("/api/scans").status, pipeline.post("/api/scans", "x").status), (200, 200));
    assert_eq!(pipeline.request("DELETE", "/api/scans/1").send().verdict(), "403 scope_insufficient");

    // "Rotate": the old key keeps working for 48 hours. "Revoke" disables immediately and cannot be undone.
    let rotated = done(&ask(&admin, "POST", &format!("{path}/rotate"), &Value::Null));
    let successor = gateway.key(&text(&rotated, "key"));
    assert_eq!((pipeline.get("/api/x").status, successor.get("/api/x").status), (200, 200));
    gateway.clock.advance(48 * HOUR);
    assert_eq!((pipeline.verdict("/api/x"), successor.verdict("/api/x")), expired_and_fine());
    // Two days later everybody signs in again.
    let admin = person(&gateway, ADMIN);
    let new_path = format!("/v1/api-keys/{}", text(&rotated, "id"));
    assert_eq!(done(&ask(&admin, "POST", &format!("{new_path}/revoke"), &Value::Null))["status"], "revoked");
    assert_eq!(successor.verdict("/api/x"), "401 credential_revoked");
    assert_eq!(ask(&admin, "POST", &format!("{new_path}/rotate"), &Value::Null).status, 409);

    // "Monitor each key's usage count, last-used time, and environment."
    crate::support::wait::until("the uses are written down", || {
        let seen = done(&admin.get(&new_path));
        seen["usage_count"] == 2 && seen["last_used_at"].is_string() && seen["environment"] == "production"
    });

    // "Each user can hold up to 25 active keys at a time."
    let active = |caller: &crate::support::request::Caller| {
        ask(caller, "POST", "/v1/api-keys", &json!({ "name": "one more", "preset": "read_only" }))
    };
    let full = (0..25).filter(|_| active(&admin).status == 201).count();
    assert_eq!((full, active(&admin).verdict().as_str()), (25, "409 limit_reached"));
    // "You can restrict a key to a set of allowed IP addresses."
    let vic = person(&gateway, "vic@example.com");
    let elsewhere = json!({ "name": "office", "preset": "ci_basic", "allowed_ips": ["203.0.113.0/24"] });
    let elsewhere = gateway.key(&text(&done(&ask(&vic, "POST", "/v1/api-keys", &elsewhere)), "key"));
    assert_eq!(elsewhere.verdict("/api/x"), "403 ip_not_allowed");
}

fn expired_and_fine() -> (String, String) {
    ("401 credential_expired".into(), "200".into())
}

/// The token of the mail to this address that came second: the invitation into the other team.
fn wait_for_second_mail(gateway: &Gateway, email: &str) -> String {
    let (first, _) = mail_to(gateway, email);
    crate::support::wait::for_some("a second mail", || {
        std::fs::read_dir(gateway.site.path("outbox")).ok()?.find_map(|file| {
            let mail = std::fs::read_to_string(file.ok()?.path()).ok()?;
            let to = mail.contains(&format!("To: {email}\r\n"));
            to.then(|| crate::support::smtp::token_in(&mail)).filter(|token| *token != first)
        })
    })
}
