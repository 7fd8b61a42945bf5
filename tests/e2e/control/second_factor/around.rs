//! Ways around the second factor: every door that takes a password, and everybody who may take it off.

use std::{cell::RefCell, collections::BTreeSet};

use latchgate::control::service::{Caller as By, InviteTo, NewInvitation};
use serde_json::json;

use super::{ANA, FACTOR, STEP, ana, gateway, sign_in};
use crate::{
    control::console::visitor::mailed,
    support::{
        authenticator::{enrolled, send},
        program::{ADMIN, PASSWORD},
        request::Caller,
        setup::Setup,
        wait,
    },
};

fn put(caller: &Caller, path: &str, body: &serde_json::Value) -> String {
    let request = caller.request("PUT", path).header("Content-Type", "application/json");
    request.body(body.to_string()).send().verdict()
}

/// Another password takes a code, too, and goes on asking for one.
#[test]
fn another_password_is_no_way_around() {
    let gateway = gateway(|setup| setup);
    let ana = ana(&gateway);
    let (app, codes) = enrolled(&ana, gateway.clock.now());
    let new = "another horse, another battery";
    let change = |code: &str| {
        put(&ana, "/v1/session/password", &json!({ "password": PASSWORD, "new_password": new, "code": code }))
    };
    let alone = json!({ "password": PASSWORD, "new_password": new });
    assert_eq!(put(&ana, "/v1/session/password", &alone), "401 second_factor_required");
    assert_eq!(change(&app.code(gateway.clock.now())), "401 credential_invalid", "used");
    assert_eq!(sign_in(gateway.admin(), ANA, &codes[0]).status, 200, "nothing has changed");
    gateway.clock.advance(STEP);
    assert_eq!(change(&app.code(gateway.clock.now())), "204");
    assert_eq!(gateway.admin().sign_in(ANA, new).verdict(), "401 second_factor_required");
    // Whoever sets it for her does not take the rest off.
    let set = ["users", "set-password", ANA, "--password-stdin"];
    gateway.site.cli_with(&set, &format!("{PASSWORD}\n")).ok();
    assert_eq!(gateway.admin().sign_in(ANA, PASSWORD).verdict(), "401 second_factor_required");
}

/// An invitation that an existing account accepts by its password takes a code, too.
#[test]
fn an_invitation_is_no_way_around() {
    let gateway = gateway(Setup::mail);
    gateway.site.cli(&["teams", "create", "--org", "default", "--name", "Second"]).ok();
    let signed_in = ana(&gateway);
    let (app, codes) = enrolled(&signed_in, gateway.clock.now());
    let seen = RefCell::new(BTreeSet::new());
    let invited = |team: &str| {
        let to = InviteTo::Team(team.to_owned());
        let new = NewInvitation { to, email: ANA.into(), role: Some("viewer".into()), message: None };
        gateway
            .control(async |control| control.invite(&By::Operator, &new).await.map(drop))
            .expect("an invitation");
        wait::for_some("another link", || {
            let token = mailed(&gateway.site, ANA).split_once("token=").expect("a token").1.to_owned();
            seen.borrow_mut().insert(token.clone()).then_some(token)
        })
    };
    let token = invited("second");
    let accept = |caller: &Caller, token: &str, more: serde_json::Value| {
        let mut body = json!({ "token": token });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        send(caller, "/v1/invitations/accept", &body)
    };
    let nobody = gateway.admin().anonymous();
    let by_password = |more| accept(&nobody, &token, more).verdict();
    assert_eq!(by_password(json!({ "password": "not the right password" })), "401 credential_invalid");
    assert_eq!(by_password(json!({ "password": PASSWORD })), "401 second_factor_required");
    assert_eq!(by_password(json!({ "password": PASSWORD, "code": "000000x" })), "401 credential_invalid");
    assert_eq!(gateway.site.count("memberships"), 2, "nothing has changed");
    gateway.clock.advance(STEP);
    let code = app.code(gateway.clock.now());
    assert_eq!(by_password(json!({ "password": PASSWORD, "code": code })), "200");
    assert_eq!(sign_in(gateway.admin(), ANA, &code).verdict(), "401 credential_invalid", "used there");
    assert_eq!(sign_in(gateway.admin(), ANA, &codes[0]).status, 200);
    // Whoever has signed in has shown both.
    gateway.site.cli(&["teams", "create", "--org", "default", "--name", "Third"]).ok();
    assert_eq!(accept(&signed_in, &invited("third"), json!({})).status, 200);
}

/// Whoever could change a person may take it off them, and signs them out by it; nobody themselves, and no key.
#[test]
fn it_is_taken_off_by_those_who_may() {
    let gateway = gateway(|setup| setup);
    let door = gateway.admin();
    gateway.site.user("bo@example.com", "viewer", None);
    gateway.site.cli(&["teams", "create", "--org", "default", "--name", "Other"]).ok();
    gateway.site.user("otto@example.com", "admin", Some("other"));
    let session = ana(&gateway);
    enrolled(&session, gateway.clock.now());
    let id = session.get("/v1/session").json()["user"]["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/users/{id}/second-factor");
    let person = |email: &str| gateway.session(email).at(door);
    let reset = |caller: &Caller| caller.request("DELETE", &path).send().verdict();
    assert_eq!(reset(&person("bo@example.com")), "403 scope_insufficient");
    assert_eq!(reset(&person("otto@example.com")), "404 not_found");
    assert_eq!(reset(&session), "403 scope_insufficient", "her own");
    assert_eq!(reset(&door.anonymous()), "401 credential_missing");
    let key = gateway.site.key(&["--scopes", "*"]).text;
    assert_eq!(reset(&door.key(&key)), "403 scope_insufficient");
    assert_eq!(door.sign_in(ANA, PASSWORD).verdict(), "401 second_factor_required");

    let admin = person(ADMIN);
    assert_eq!(reset(&admin), "204");
    assert_eq!(session.verdict("/v1/session"), "401 session_expired");
    assert_eq!(door.sign_in(ANA, PASSWORD).status, 200);
    assert_eq!(reset(&admin), "204", "nothing left to do");
    assert_eq!(super::events(&gateway).iter().filter(|event| *event == "second_factor.disabled").count(), 1);

    // An administrator's session alone does not take the administrator's own off.
    enrolled(&admin, gateway.clock.now());
    let id = admin.get("/v1/session").json()["user"]["id"].as_str().expect("an id").to_owned();
    let own = admin.request("DELETE", &format!("/v1/users/{id}/second-factor")).send();
    assert_eq!(own.verdict(), "403 forbidden", "{own:?}");
    assert_eq!(door.sign_in(ADMIN, PASSWORD).verdict(), "401 second_factor_required");
    // The operator's last word.
    gateway.site.cli(&["users", "remove-second-factor", ADMIN, "--yes"]).ok();
    assert_eq!(door.sign_in(ADMIN, PASSWORD).status, 200);
    assert_eq!(gateway.site.count("second_factors"), 0);
}

/// What a key or an unknown caller may do with it: nothing.
#[test]
fn only_a_session_has_one() {
    let gateway = gateway(|setup| setup);
    let key = gateway.site.key(&["--scopes", "*"]).text;
    for (caller, expected) in [
        (gateway.admin().key(&key), "404 not_found"),
        (gateway.admin().anonymous(), "401 credential_missing"),
    ] {
        assert_eq!(caller.verdict(FACTOR), expected);
        for (path, body) in [
            ("", json!({ "password": PASSWORD })),
            ("/confirm", json!({ "code": "123456" })),
            ("/remove", json!({ "password": PASSWORD, "code": "123456" })),
            ("/recovery-codes", json!({ "password": PASSWORD, "code": "123456" })),
        ] {
            assert_eq!(send(&caller, &format!("{FACTOR}{path}"), &body).verdict(), expected, "{path}");
        }
    }
}
