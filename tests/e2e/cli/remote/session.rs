//! Signing in from a shell: what comes of it works for every other command, until it is ended.

use super::{admin, far};
use crate::support::{
    authenticator::App,
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

/// A second factor from a shell: begun, confirmed, asked for, renewed and taken off, by its person and by others.
#[test]
fn people_have_a_second_factor() {
    let site = Site::new(Setup::offload(&Upstream::echo()));
    let id = site.user("bo@example.com", "viewer", None)["id"].as_str().expect("an id").to_owned();
    let (program, root) = super::served(site);
    let server = admin(&program);
    let sign_in = |more: &[&str]| -> Output {
        let start =
            ["sessions", "sign-in", "--server", &server, "--email", "bo@example.com", "--password-stdin"];
        run_with([start.as_slice(), more].concat(), &format!("{PASSWORD}\n"), &[])
    };
    let token = sign_in(&[]).ok().stdout.trim_end().to_owned();
    let bo = |arguments: &[&str], input: &str| {
        far(&server, &token, &[["sessions", "second-factor"].as_slice(), arguments].concat(), input)
    };
    assert_eq!(bo(&["show"], "").json()["enabled"], false);
    let wrong = bo(&["enrol", "--password-stdin"], "not the right password\n");
    assert!(wrong.code == 1 && wrong.stderr.contains("password is wrong"), "{wrong:?}");
    let begun = bo(&["enrol", "--password-stdin"], &format!("{PASSWORD}\n")).json();
    let app = App::scan(begun["uri"].as_str().expect("an address"));
    // The step before this one, so that the next ones are left.
    let before = latchgate::domain::time::Clock::system().now().before(std::time::Duration::from_secs(30));
    let wrong = bo(&["confirm", "--code", &app.wrong_code(before)], "");
    assert!(wrong.code == 1 && wrong.stderr.contains("code is wrong"), "{wrong:?}");
    assert!(!wrong.stderr.contains("token"), "the token is right: {wrong:?}");
    let confirmed = bo(&["confirm", "--code", &app.code(before)], "").json();
    let codes: Vec<&str> = confirmed["recovery_codes"]
        .as_array()
        .expect("codes")
        .iter()
        .filter_map(|code| code.as_str())
        .collect();
    assert_eq!(codes.len(), 10);

    let refused = sign_in(&[]);
    assert!(
        refused.code == 1 && refused.stdout.is_empty() && refused.stderr.contains("--code"),
        "{refused:?}"
    );
    let code = app.code_after(before, 2);
    assert!(sign_in(&["--code", &code]).ok().stdout.starts_with("lgs_"));
    let again = sign_in(&["--code", &code]);
    assert!(again.code == 1 && again.stderr.contains("code is wrong"), "{again:?}");
    let renew = ["recovery-codes", "--password-stdin", "--code", codes[0]];
    let renewed = bo(&renew, &format!("{PASSWORD}\n")).json();
    assert_eq!(sign_in(&["--code", codes[1]]).code, 1, "replaced");
    let next = renewed["recovery_codes"][0].as_str().expect("a code");
    let remove = ["remove", "--password-stdin", "--code", next];
    bo(&remove, &format!("{PASSWORD}\n")).ok();
    sign_in(&[]).ok();

    let begun = bo(&["enrol", "--password-stdin"], &format!("{PASSWORD}\n")).json();
    let app = App::scan(begun["uri"].as_str().expect("an address"));
    bo(&["confirm", "--code", &app.code_after(before, 1)], "").ok();
    let reset = ["users", "remove-second-factor", &id];
    let unsure = far(&server, &root, &reset, "");
    assert_ne!(unsure.code, 0, "it asks first");
    let done = far(&server, &root, &[reset.as_slice(), &["--yes"]].concat(), "").json();
    assert_eq!(done["email"], "bo@example.com");
    sign_in(&[]).ok();
    let shown = run_with(
        ["sessions", "second-factor", "enrol", "--server", &server, "--password-stdin"],
        &format!("{PASSWORD}\n"),
        &[("LATCHGATE_TOKEN", sign_in(&[]).ok().stdout.trim_end())],
    );
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("otpauth://totp/") && lines[1].len() == 32, "{shown:?}");
}
