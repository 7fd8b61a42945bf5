//! Whose rights count, and what is told to those who lack them or have nothing to show.

use std::fs;

use super::{admin, far, served};
use crate::support::{
    program::{Output, Site, run_with},
    setup::Setup,
    wrong::Wrong,
};

fn told(output: &Output, code: i32, words: &[&str]) -> bool {
    output.code == code && output.stdout.is_empty() && words.iter().all(|word| output.stderr.contains(word))
}

/// A key does at a distance what it may, and is told which permission it lacks for the rest.
#[test]
fn the_rights_are_the_tokens() {
    let (program, root) = served(Site::new(Setup::bare("trustedoss")));
    let key = program.site.key(&["--scope", "org", "--scopes", "scan:read"]);
    let server = admin(&program);
    let far = |line: &str| far(&server, &key.text, &line.split(' ').collect::<Vec<_>>(), "");
    let shown = far(&format!("keys show {}", key.id)).json();
    assert_eq!(shown["prefix"].as_str(), Some(&*key.prefix));
    let mut wrong = Wrong::default();
    for (line, needed) in [
        ("teams create --name x", "team:manage"),
        ("users list", "member:read"),
        ("keys create --name x --scope org --scopes scan:read", "api_key:create"),
        ("audit list", "audit:read"),
        ("orgs create --name x --admin-email a@example.com", "org:create"),
        ("orgs delete default --yes", "org:delete"),
    ] {
        let output = far(line);
        wrong.unless(told(&output, 1, &[needed, "nothing was changed"]), || format!("{line}: {output:?}"));
    }
    wrong.none("a command beyond the token");
    assert_eq!(program.site.count("teams"), 1);
    // What a token may not see is not there for it.
    let foreign = program.site.cli(&["orgs", "create", "--name", "Other"]).json();
    for org in ["other", foreign["id"].as_str().expect("an id")] {
        let output = super::far(&server, &root, &["teams", "list", "--org", org], "");
        assert!(told(&output, 1, &["sees no organization", "default"]), "{output:?}");
    }
    assert_eq!(far("keys rotate self").json()["rotated_from"].as_str(), Some(&*key.id));
}

/// Without a token, with two, with a wrong one; and from a file.
#[test]
fn a_token_comes_by_the_environment() {
    let (program, token) = served(Site::new(Setup::bare("trustedoss")));
    let server = admin(&program);
    let file = program.site.path("token");
    fs::write(&file, format!("{token}\n")).expect("write the token");
    let file = file.to_str().expect("a plain path");
    let list =
        |environment: &[(&str, &str)]| run_with(["teams", "list", "--server", &server], "", environment);
    assert_eq!(list(&[("LATCHGATE_TOKEN_FILE", file)]).code, 0);
    let mut wrong = Wrong::default();
    let revoked = program.site.key(&["--scope", "org"]);
    program.site.cli(&["keys", "revoke", &revoked.id]).ok();
    for (environment, code, words) in [
        (vec![], 2, vec!["LATCHGATE_TOKEN is not set", "LATCHGATE_TOKEN_FILE"]),
        (vec![("LATCHGATE_TOKEN", "")], 2, vec!["holds no token"]),
        (vec![("LATCHGATE_TOKEN", "two words")], 2, vec!["holds no token"]),
        (vec![("LATCHGATE_TOKEN", "a\nb")], 2, vec!["holds no token"]),
        (vec![("LATCHGATE_TOKEN", token.as_str()), ("LATCHGATE_TOKEN_FILE", file)], 2, vec!["both set"]),
        (vec![("LATCHGATE_TOKEN_FILE", "/nonexistent/token")], 2, vec!["/nonexistent/token"]),
        (vec![("LATCHGATE_TOKEN", "tos_wrong")], 1, vec!["does not take the token", "into LATCHGATE_TOKEN"]),
        (vec![("LATCHGATE_TOKEN", revoked.text.as_str())], 1, vec!["revoked", "into LATCHGATE_TOKEN"]),
    ] {
        let output = list(&environment);
        wrong.unless(told(&output, code, &words), || format!("{environment:?}: {output:?}"));
        let silent = environment.iter().all(|(name, value)| {
            *name != "LATCHGATE_TOKEN" || value.is_empty() || !output.stderr.contains(value)
        });
        wrong.unless(silent, || format!("the token was printed: {output:?}"));
    }
    wrong.none("a token");
}

/// What works on the store itself works nowhere else; and a command works in one place.
#[test]
fn some_commands_are_the_operators() {
    let token = [("LATCHGATE_TOKEN", "tos_x")];
    for arguments in [vec!["audit", "verify"], vec!["keys", "import", "keys.csv"]] {
        let arguments = [arguments.as_slice(), &["--server", "http://127.0.0.1:1"]].concat();
        let output = run_with(&arguments, "", &token);
        assert!(output.code == 2 && output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
    for both in [
        vec!["--server", "http://127.0.0.1:1", "--config", "latchgate.toml"],
        vec!["--insecure-http", "--config", "latchgate.toml"],
    ] {
        let output = run_with([&["teams", "list"], both.as_slice()].concat(), "", &token);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    }
}
