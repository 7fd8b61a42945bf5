//! Accepting: by whom, once, and what is told to whom.

use std::{thread, time::Duration};

use latchgate::control::service::{Caller as By, NewOrg};
use serde_json::{Value, json};

use super::{World, accept, post};
use crate::support::{program::PASSWORD, setup::Setup};

const ACCEPT: &str = "/v1/invitations/accept";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// R000_07: who accepts has an account, signs in with the password they chose, and acts in the role that was chosen.
#[test]
fn who_accepts_signs_in_and_acts() {
    let world = World::new(Setup::bare("offload"));
    let ada = world.person("ada", Some("admin"));
    let path = format!("{}/invitations", world.place(true));
    let invited =
        post(&ada, &path, &json!({ "email": "Nina@Example.com", "role": "auditor", "message": "Hi!" }));
    assert_eq!(invited.status, 201, "{invited:?}");
    let place = invited.header("location").expect("a place").to_owned();
    let invited = invited.json();
    assert_eq!(place, format!("/v1/invitations/{}", invited["id"].as_str().expect("an id")));
    for (field, value) in [
        ("email", json!("Nina@Example.com")),
        ("role", json!("auditor")),
        ("status", json!("pending")),
        ("team_id", json!(world.team.clone().expect("a team"))),
        ("invited_by", json!("ada@example.com")),
    ] {
        assert_eq!(invited[field], value, "{invited}");
    }
    let mail = world.mail("Nina@example.com");
    assert!(mail.contains("ada (ada@example.com) invites you") && mail.contains("> Hi!"), "{mail}");
    let token = world.token("Nina@example.com");
    let accepted = accept(world.gateway.admin(), &token);
    assert_eq!(accepted.status, 200, "{accepted:?}");
    let nina = world.gateway.admin().bearer(&world.gateway.admin().token("nina@example.com"));
    let session = nina.get("/v1/session").json();
    assert_eq!((&session["role"], &session["user"]["name"]), (&json!("auditor"), &json!("Nina")));
    assert_eq!(nina.get("/v1/audit").status, 200, "an auditor reads the trail");
    let denied = post(&nina, &path, &json!({ "email": "x@example.com", "role": "viewer" }));
    assert_eq!(denied.verdict(), "403 scope_insufficient", "and invites nobody");
    let again = post(&ada, &path, &json!({ "email": "nina@example.com", "role": "viewer" }));
    assert_eq!(again.verdict(), "409 conflict");
    let list = ada.get(&path).json();
    assert_eq!(
        (list["items"].as_array().map(Vec::len), &list["items"][0]["status"]),
        (Some(1), &json!("accepted"))
    );
    let gone = ada.request("DELETE", &place).send();
    assert_eq!(gone.verdict(), "409 conflict", "what was accepted cannot be taken back");
    // A request that comes twice is one invitation.
    let twice = || {
        let request = ada.request("POST", &path).header("Content-Type", "application/json");
        let body = json!({ "email": "o@example.com", "role": "viewer" }).to_string();
        request.header("Idempotency-Key", "once").body(body).send()
    };
    let (first, second) = (twice(), twice());
    assert_eq!((first.json(), second.header("idempotency-replayed")), (second.json(), Some("true")));
    assert_eq!(world.gateway.site.count("invitations WHERE email = 'o@example.com'"), 1);
}

/// P372: by another account, with another role, by a machine: no. An account that exists proves itself.
#[test]
fn it_is_for_the_one_who_was_invited() {
    let world = World::new(Setup::bare("offload"));
    let eve = world.person("eve", Some("viewer"));
    world.person("lea", Some("viewer"));
    let other = world.gateway.site.cli(&["teams", "create", "--name", "Other"]).json();
    let team = other["id"].as_str().expect("an id");
    world.invite("lea@example.com", "auditor", Some(team));
    let token = world.token("lea@example.com");
    let nobody = world.gateway.admin().anonymous();
    let key = world.gateway.site.key(&["--scopes", "scan:read"]).text;
    let machine = world.gateway.admin().key(&key);
    let tried = |caller, body: Value| post(caller, ACCEPT, &body).verdict();
    let with = |more: Value| {
        let mut body = json!({ "token": token });
        body.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        body
    };
    assert_eq!(tried(&eve, with(json!({}))), "403 forbidden");
    assert_eq!(tried(&eve, with(json!({ "name": "Lea", "password": PASSWORD }))), "403 forbidden");
    assert_eq!(tried(&machine, with(json!({ "password": PASSWORD }))), "403 forbidden");
    assert_eq!(tried(&nobody, with(json!({}))), "422 invalid_field");
    assert_eq!(
        tried(&nobody, with(json!({ "password": "wrong horse battery staple" }))),
        "401 credential_invalid"
    );
    for field in ["role", "email", "team_id", "org_id", "user_id"] {
        let more = json!({ "password": PASSWORD, field: "admin" });
        assert_eq!(tried(&nobody, with(more)), "422 invalid_field", "{field}");
    }
    for wrong in [
        "",
        "lgi_",
        &token[..46],
        &format!("{token}x"),
        &token.replace("lgi_", "lgs_"),
        &token.to_uppercase(),
    ] {
        let body = json!({ "token": wrong, "name": "Lea", "password": PASSWORD });
        assert_eq!(tried(&nobody, body), "401 credential_invalid", "{wrong}");
    }
    let lea = world.gateway.admin().bearer(&world.gateway.admin().token("lea@example.com"));
    let accepted = post(&lea, ACCEPT, &with(json!({})));
    assert_eq!(accepted.status, 200, "{accepted:?}");
    assert_eq!(accepted.json()["user"]["memberships"].as_array().map(Vec::len), Some(2));
    assert_eq!(tried(&lea, with(json!({}))), "401 credential_invalid");
}

/// L317: whoever invites learns nothing of accounts elsewhere; whoever reads the mail does.
#[test]
fn an_account_elsewhere_is_not_told() {
    let world = World::new(Setup::bare("reducto"));
    world.gateway.site.cli(&["orgs", "create", "--name", "Other", "--slug", "other"]).ok();
    let new = [
        "users",
        "create",
        "--email",
        "zoe@other.example",
        "--name",
        "Zoe",
        "--org",
        "other",
        "--role",
        "member",
    ];
    world.gateway.site.cli(&new).ok();
    let owner = world.person("olga", Some("owner"));
    let invite = |email: &str| {
        let answer = post(&owner, "/v1/org/invitations", &json!({ "email": email, "role": "member" }));
        let mut shape = answer.json();
        for own in ["id", "email", "created_at", "expires_at"] {
            shape[own] = Value::Null;
        }
        (answer.status, shape)
    };
    assert_eq!(invite("zoe@other.example"), invite("yan@other.example"));
    let refused = accept(world.gateway.admin(), &world.token("zoe@other.example"));
    assert_eq!(refused.verdict(), "409 conflict");
    assert!(refused.text().contains("another organization"), "{}", refused.text());
    assert_eq!(accept(world.gateway.admin(), &world.token("yan@other.example")).status, 200);
}

/// Of two who accept at the same moment one does; nobody is both let in and turned away.
#[test]
fn of_two_one_accepts() {
    let world = World::new(Setup::bare("offload").set("invitations.per_hour", 1000));
    for round in 0..8 {
        let email = format!("nina{round}@example.com");
        world.invite(&email, "viewer", Some("default"));
        let token = world.token(&email);
        let admin = world.gateway.admin();
        let both: Vec<_> = (0..2)
            .map(|_| {
                let token = token.clone();
                thread::spawn(move || accept(admin, &token).status)
            })
            .collect();
        let mut statuses: Vec<u16> = both.into_iter().map(|one| one.join().expect("an answer")).collect();
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "{statuses:?}");
        assert!(matches!(statuses[1], 401 | 409), "{statuses:?}");
        assert_eq!(world.gateway.site.count(&format!("users WHERE email = '{email}'")), 1);
    }
}

/// Making an organization invites its first administrator: for super_admins of `trustedoss`, and the operator.
#[test]
fn a_new_organization_begins_with_a_mail() {
    let world = World::new(Setup::bare("trustedoss"));
    let sue = world.person("sue", Some("super_admin"));
    let tom = world.person("tom", Some("team_admin"));
    let new = json!({ "name": "Beta", "slug": "beta", "admin_email": "ben@beta.example" });
    assert_eq!(post(&tom, "/v1/orgs", &new).verdict(), "403 scope_insufficient");
    let without = json!({ "name": "Beta" });
    assert_eq!(post(&sue, "/v1/orgs", &without).verdict(), "422 invalid_field");
    let made = post(&sue, "/v1/orgs", &new);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(sue.get("/v1/orgs").json()["items"].as_array().map(Vec::len), Some(2));
    let token = world.token("ben@beta.example");
    assert_eq!(accept(world.gateway.admin(), &token).status, 200);
    let ben = world.gateway.admin().bearer(&world.gateway.admin().token("ben@beta.example"));
    assert_eq!(ben.get("/v1/org").json()["slug"], json!("beta"));
    let session = ben.get("/v1/session").json();
    assert_eq!(session["role"], json!("super_admin"));
    assert_eq!(sue.get("/v1/org").json()["slug"], json!("default"), "whoever made it stays outside");
    // In the other profiles nobody but the operator makes any.
    for (profile, role) in [("offload", "admin"), ("cortex", "instance_admin"), ("reducto", "owner")] {
        let world = World::new(Setup::bare(profile));
        let highest = world.person("top", Some(role));
        assert_eq!(post(&highest, "/v1/orgs", &new).verdict(), "403 scope_insufficient", "{profile}");
        let new = NewOrg { name: "Beta".into(), slug: None };
        world.gateway.control(async |control| {
            let made = control.found_org(&By::Operator, &new, Some("ben@beta.example")).await;
            made.expect("an organization");
        });
        assert_eq!(accept(world.gateway.admin(), &world.token("ben@beta.example")).status, 200, "{profile}");
    }
}

/// One week and one day before a key ends its owner is told, once each; the letter names its public characters alone
/// (M339).
#[test]
fn owners_hear_of_keys_that_end() {
    let world = World::new(Setup::bare("offload"));
    let ada = world.person("ada", Some("admin"));
    let new = json!({ "name": "nightly", "scopes": ["scan:read"], "expires_in_days": 30 });
    let key = post(&ada, "/v1/api-keys", &new);
    assert_eq!(key.status, 201, "{key:?}");
    let key = key.json();
    let prefix = key["prefix"].as_str().expect("a prefix").to_owned();
    let announce =
        || world.gateway.control(async |control| control.announce_endings().await.expect("announced"));
    world.gateway.clock.advance(DAY * 22);
    assert_eq!(announce(), 0);
    world.gateway.clock.advance(DAY);
    assert_eq!((announce(), announce()), (1, 0));
    let mail = world.mail("ada@example.com");
    assert!(mail.contains(&format!("nightly ({prefix})")) && mail.contains("one week"), "{mail}");
    assert!(!mail.contains(key["key"].as_str().expect("a key")), "{mail}");
    world.gateway.clock.advance(DAY * 6);
    assert_eq!((announce(), announce()), (1, 0));
    assert!(world.mail("ada@example.com").contains("one day"));
}
