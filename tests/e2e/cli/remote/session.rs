//! Signing in from a shell: what comes of it works for every other command, until it is ended.

use super::{admin, far};
use crate::support::{
    program::{ADMIN, Output, PASSWORD, Site, run_with},
    rawup::Upstream,
    setup::Setup,
};

/// The token alone goes to stdout; with it people work where they may, in the team they choose (R000_03, R000_04).
#[test]
fn people_sign_in_switch_teams_and_sign_out() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let default = site.team();
    site.user("bo@example.com", "admin", Some(&default));
    site.cli(&["teams", "create", "--name", "Web"]).ok();
    site.cli(&["users", "set-role", "bo@example.com", "--role", "viewer", "--team-id", "web"]).ok();
    let program = site.serve();
    let server = admin(&program);
    let sign_in = |email: &str, password: &str, more: &[&str]| -> Output {
        let start = ["sessions", "sign-in", "--server", &server, "--email", email, "--password-stdin"];
        run_with([start.as_slice(), more].concat(), &format!("{password}\n"), &[])
    };
    let refused = sign_in("bo@example.com", "another long password", &[]);
    assert!(refused.code == 1 && refused.stdout.is_empty(), "{refused:?}");
    assert!(refused.stderr.contains("correct the e-mail address or the password"), "{refused:?}");
    let signed = sign_in("bo@example.com", PASSWORD, &[]).ok();
    assert!(
        signed.stderr.contains("Signed in as bo@example.com") && !signed.stderr.contains("lgs_"),
        "{signed:?}"
    );
    let token = signed.stdout.trim_end().to_owned();
    assert!(token.starts_with("lgs_") && token.lines().count() == 1, "{signed:?}");
    let object = sign_in(ADMIN, PASSWORD, &["--output", "json"]).json();
    assert_eq!((object["user"]["email"].as_str(), object["token"].is_string()), (Some(ADMIN), true));

    let far = |line: &str| far(&server, &token, &line.split(' ').collect::<Vec<_>>(), "");
    let role = |session: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("none").to_owned();
        (text(&session["active_team"]["slug"]), text(&session["role"]))
    };
    let switched = far("sessions switch web").json();
    assert_eq!(role(&switched), ("web".to_owned(), "viewer".to_owned()));
    assert_eq!(far("users set-role bo@example.com --role admin --team-id web").code, 1, "a viewer here");
    assert_eq!(
        role(&far(&format!("sessions switch {default}")).json()),
        ("default".to_owned(), "admin".to_owned())
    );
    assert_eq!(role(&far("sessions show").json()).0, "default");
    let nowhere = far("sessions switch nowhere");
    assert!(nowhere.code == 1 && nowhere.stderr.contains("default, web"), "{nowhere:?}");
    assert_eq!(far("sessions switch").code, 1, "no role on the organization");

    assert_eq!(far("teams members default").code, 0);
    far("sessions sign-out").ok();
    let over = far("teams members default");
    assert!(over.code == 1 && over.stderr.contains("does not take the token"), "{over:?}");
}
