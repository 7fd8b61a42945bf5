//! Profile files that are wrong: each is refused, with the key named and a line that would be right.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::*;

/// A small profile that is right, for others to spoil.
const RIGHT: &str = r#"
name = "small"
text = "A small platform"
[permissions]
"scan:read" = "See scans"
"scan:run" = { text = "Run scans", implies = ["scan:read"] }
[[role]]
name = "reader"
title = "Reader"
text = "Reads"
level = "team"
rank = 1
permissions = ["scan:read", "api_key:*"]
[[role]]
name = "boss"
title = "Boss"
text = "Everything"
level = "org"
rank = 2
extends = "reader"
permissions = ["*", "!org:create"]
[members]
role = "required"
[[invitation]]
by = ["boss"]
give = ["reader", "boss"]
[keys]
carriers = ["x-api-key"]
owner = "user"
authority = "key"
missing_scopes = "refuse"
manage_others = "member:update"
scopes = ["scan:*"]
max_networks = 50
rotation_grace_hours = 48
[keys.shape]
literal = "sm_"
public = { length = 8, alphabet = "base62" }
secret = { length = 32, alphabet = "base62" }
[keys.expiry]
min_days = 1
max_days = 365
[keys.issue]
team = ["*"]
[[preset]]
name = "read"
title = "Read"
text = "Read scans"
scopes = ["scan:read"]
"#;

fn faults(text: &str) -> Vec<ProfileError> {
    Profile::parse(text, "small.toml").unwrap_err().iter().cloned().collect()
}

/// One replacement, one fault: at this key, saying this.
#[track_caller]
fn assert_fault(old: &str, new: &str, key: &str, problem: &str) {
    assert_eq!(RIGHT.matches(old).count(), 1, "`{old}` is there once");
    let found = faults(&RIGHT.replace(old, new));
    let [fault] = &found[..] else { panic!("one fault expected: {found:#?}") };
    assert_eq!((&*fault.origin, &*fault.key), ("small.toml", key), "{fault}");
    assert!(fault.problem.contains(problem), "{fault}");
}

#[test]
fn the_small_profile_is_right() {
    Profile::parse(RIGHT, "small.toml").unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn unknown_keys_are_refused_in_every_table() {
    for (old, key) in [
        ("text = \"A small platform\"", "surprise"),
        ("implies = [\"scan:read\"]", "permissions.\"scan:run\".surprise"),
        ("title = \"Reader\"", "role.reader.surprise"),
        ("role = \"required\"", "members.surprise"),
        ("by = [\"boss\"]", "invitation[0].surprise"),
        ("owner = \"user\"", "keys.surprise"),
        ("literal = \"sm_\"", "keys.shape.surprise"),
        ("secret = { length = 32", "keys.shape.secret.surprise"),
        ("min_days = 1", "keys.expiry.surprise"),
        ("team = [\"*\"]", "keys.issue.surprise"),
        ("title = \"Read\"", "preset.read.surprise"),
    ] {
        let separator = if old.contains("implies") || old.contains("{ length") { ", " } else { "\n" };
        let new = format!("{old}{separator}surprise = true");
        assert_fault(old, &new, key, "is not a key of a profile");
    }
}

#[test]
fn implications_do_not_run_in_a_circle() {
    let circle = "\"scan:read\" = { text = \"See\", implies = [\"scan:run\"] }";
    let found = faults(&RIGHT.replace("\"scan:read\" = \"See scans\"", circle));
    let keys: Vec<_> = found.iter().map(|fault| &*fault.key).collect();
    assert_eq!(keys, ["permissions.\"scan:read\".implies", "permissions.\"scan:run\".implies"]);
    assert!(found[0].problem.contains("through scan:read, scan:run"), "{}", found[0]);
    let found = faults(&RIGHT.replace("implies = [\"scan:read\"]", "implies = [\"scan:run\"]"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].problem.contains("comes back to itself"), "{}", found[0]);
}

#[test]
fn permissions_must_exist_wherever_they_are_named() {
    let unknown = "is not a permission of this profile";
    assert_fault("[\"scan:read\"] }", "[\"scan:raed\"] }", "permissions.\"scan:run\".implies", unknown);
    let reader = "permissions = [\"scan:read\", \"api_key:*\"]";
    for list in ["\"scan:raed\", \"api_key:*\"", "\"Scan:read\", \"api_key:*\"", "\"scna:*\", \"api_key:*\""]
    {
        assert_fault(reader, &format!("permissions = [{list}]"), "role.reader.permissions", unknown);
    }
    assert_fault("scopes = [\"scan:*\"]", "scopes = [\"scan:*\", \"x:y\"]", "keys.scopes", unknown);
    assert_fault("\"member:update\"", "\"member:udpate\"", "keys.manage_others", unknown);
    assert_fault("[\"*\", \"!org:create\"]", "[\"*\", \"!org:craete\"]", "role.boss.permissions", unknown);
}

#[test]
fn an_exception_really_takes_something_away() {
    let boss = "permissions = [\"*\", \"!org:create\"]";
    let key = "role.boss.permissions";
    assert_fault(boss, "permissions = [\"member:*\", \"!org:create\"]", key, "takes nothing away");
    // Kept out by the list, brought back by an implication or by the role below.
    assert_fault(boss, "permissions = [\"*\", \"!scan:read\"]", key, "brings back");
    assert_fault(boss, "permissions = [\"*\", \"!api_key:*\"]", key, "brings back");
}

#[test]
fn names_are_there_once_and_say_something() {
    let found = faults(&RIGHT.replace("name = \"boss\"", "name = \"reader\""));
    assert_eq!(found[0].to_string(), "small.toml: role[1].name: `reader` is there twice");
    let twice = format!(
        "{RIGHT}[[preset]]\nname = \"read\"\ntitle = \"R\"\ntext = \"R\"\nscopes = [\"scan:read\"]\n"
    );
    assert_eq!(faults(&twice)[0].to_string(), "small.toml: preset: `read` is there twice");
    let duplicate = RIGHT
        .replace("[[role]]\nname = \"reader\"", "\"scan:read\" = \"Again\"\n[[role]]\nname = \"reader\"");
    let found = faults(&duplicate);
    assert!(found[0].key.starts_with("line ") && found[0].problem.contains("duplicate"), "{}", found[0]);
    assert_fault("name = \"small\"", "name = \"\"", "name", "is empty");
    assert_fault("title = \"Reader\"", "title = \" \"", "role.reader.title", "is empty");
    assert_fault("name = \"read\"", "name = \"Read it\"", "preset[0].name", "is not 1 to 32");
    assert_fault(
        "\"scan:read\" = \"See scans\"",
        "\"scan:read\" = \"See scans\"\n\"\" = \"x\"",
        "permissions.\"\"",
        "noun:verb",
    );
    assert_fault(
        "\"scan:read\" = \"See scans\"",
        "\"scan:read\" = \"See scans\"\n\"a b\" = \"x\"",
        "permissions.\"a b\"",
        "noun:verb",
    );
    assert_fault(
        "give = [\"reader\", \"boss\"]",
        "give = [\"reader\", \"\"]",
        "invitation[0].give",
        "is empty",
    );
    assert_fault(
        "give = [\"reader\", \"boss\"]",
        "give = [\"reader\", \"reader\"]",
        "invitation[0].give",
        "twice",
    );
}

#[test]
fn a_vocabulary_has_at_most_256_permissions() {
    let with = |more: usize| {
        let lines = (0..more).fold(String::new(), |mut text, at| {
            let _ = writeln!(text, "\"more:x{at}\" = \"More\"");
            text
        });
        RIGHT.replace("[permissions]\n", &format!("[permissions]\n{lines}"))
    };
    let room = MOST_PERMISSIONS - 20 - 2;
    let full = Profile::parse(&with(room), "small.toml").unwrap();
    assert_eq!(full.permissions.len(), MOST_PERMISSIONS);
    assert_eq!(full.permissions.all().len(), 256);
    let found = faults(&with(room + 1));
    assert!(found[0].problem.contains("at most 256 permissions"), "{}", found[0]);
}

#[test]
fn keys_hold_only_what_keys_may_hold() {
    let preset = "scopes = [\"scan:read\"]";
    assert_fault(preset, "scopes = [\"member:read\"]", "preset.read.scopes", "member:read");
    assert_fault(preset, "scopes = []", "preset.read.scopes", "could not do anything");
    let found = faults(&RIGHT.replace("scopes = [\"scan:*\"]", "scopes = [\"scan:run\"]"));
    assert_eq!(found[0].key, "keys.scopes");
    assert!(found[0].problem.contains("leaves out what its members imply: scan:read"), "{}", found[0]);
    assert_fault(
        "title = \"Boss\"",
        "title = \"Boss\"\non_keys = true",
        "keys.scopes",
        "keys may carry `boss`",
    );
    let custom =
        "role = \"required\"\ncustom_roles = [\"scan:*\", \"member:read\"]\ncustom_roles_on_keys = true";
    assert_fault("role = \"required\"", custom, "keys.scopes", "lacks member:read");
    let none = "role = \"required\"\ncustom_roles_on_keys = true";
    assert_fault("role = \"required\"", none, "members.custom_roles_on_keys", "no custom roles");
}

#[test]
fn roles_refer_to_roles() {
    assert_fault(
        "extends = \"reader\"",
        "extends = \"nobody\"",
        "role.boss.extends",
        "not a role of a lower rank",
    );
    assert_fault(
        "extends = \"reader\"",
        "extends = \"boss\"",
        "role.boss.extends",
        "not a role of a lower rank",
    );
    assert_fault(
        "title = \"Boss\"",
        "title = \"Boss\"\nvisible_to = [\"x\"]",
        "role.boss.visible_to",
        "not a role",
    );
    assert_fault("by = [\"boss\"]", "by = [\"boss\", \"x\"]", "invitation[0].by", "`x` is not a role");
    assert_fault("by = [\"boss\"]", "by = []", "invitation[0].by", "is empty");
    assert_fault("team = [\"*\"]", "team = [\"x\"]", "keys.issue.team", "`x` is not a role");
    assert_fault("team = [\"*\"]", "team = [\"*\", \"boss\"]", "keys.issue.team", "beside `*`");
    assert_fault("team = [\"*\"]", "", "keys.issue", "nobody could issue a key");
    let found = faults(&RIGHT.replace("by = [\"boss\"]", "by = [\"reader\"]"));
    assert!(found[0].problem.contains("does not hold member:invite"), "{}", found[0]);
    assert!(found[1].problem.contains("`boss` is more than `reader`"), "{}", found[1]);
    let without =
        RIGHT.replace("permissions = [\"scan:read\", \"api_key:*\"]", "permissions = [\"scan:read\"]");
    let found = faults(&without.replace("team = [\"*\"]", "team = [\"reader\"]"));
    assert!(found[0].problem.contains("does not hold api_key:create"), "{}", found[0]);
}

#[test]
fn values_have_their_kind_and_limits() {
    assert_fault("rank = 1", "rank = \"one\"", "role.reader.rank", "not a whole number");
    assert_fault("rank = 1", "rank = -1", "role.reader.rank", "not a whole number");
    assert_fault("level = \"team\"", "level = \"squad\"", "role.reader.level", "not one of team, org");
    assert_fault("owner = \"user\"", "owner = true", "keys.owner", "not a text");
    assert_fault(
        "carriers = [\"x-api-key\"]",
        "carriers = [\"x-api-key\", \"cookie\"]",
        "keys.carriers",
        "not one of x-api-key",
    );
    assert_fault("max_networks = 50", "max_networks = 0", "keys.max_networks", "from 1 to 1000");
    assert_fault("max_days = 365", "max_days = 99999999999", "keys.expiry.max_days", "not a whole number");
    assert_fault("min_days = 1", "min_days = 366", "keys.expiry.max_days", "less than min_days");
    assert_fault("min_days = 1", "min_days = 1\ndefault_days = 366", "keys.expiry.default_days", "outside");
    assert_fault(
        "min_days = 1",
        "min_days = 1\nchoices_days = [30, 400]",
        "keys.expiry.choices_days",
        "outside",
    );
    assert_fault("secret = { length = 32", "secret = { length = 8", "keys.shape", "128 bits");
    assert_fault("literal = \"sm_\"", "literal = \"SM\"", "keys.shape", "literal must be");
    assert_fault("[members]\nrole = \"required\"", "", "members", "is missing");
    assert_fault("give = [\"reader\", \"boss\"]", "give = \"boss\"", "invitation[0].give", "not a list");
}

#[test]
fn every_fault_is_told_at_once_with_a_line_that_would_be_right() {
    let spoilt = RIGHT
        .replace("owner = \"user\"", "owner = \"cat\"")
        .replace("rank = 2", "rank = 0")
        .replace("max_networks = 50", "")
        .replace("title = \"Read\"", "");
    let errors = Profile::parse(&spoilt, "small.toml").unwrap_err();
    let text = errors.to_string();
    for line in [
        "small.toml: role.boss.rank: is not a whole number from 1 to 1000; for example: rank = 1",
        "small.toml: keys.owner: `cat` is not one of user, org; for example: owner = \"user\"",
        "small.toml: keys.max_networks: is missing; for example: max_networks = 50",
        "small.toml: preset.read.title: is missing; for example: title = \"Read Only\"",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n--- is not in\n{text}");
    }
}

#[test]
fn text_that_is_no_profile_is_refused_and_large_text_is_not_even_read() {
    let huge = "#".repeat(300 * 1024);
    assert_eq!(faults(&huge)[0].to_string(), "small.toml: file: is larger than 262144 bytes");
    let deep = format!("x = {}", "[".repeat(100_000));
    for wrong in ["", "\0", "name", "name = ", "[role]", "[[permissions]]\n", "permissions = 1", &deep] {
        assert!(!faults(wrong).is_empty(), "{wrong:.40}");
    }
    let found = faults(&RIGHT.replace("rank = 2", "rank = ?"));
    assert!(found[0].key == "line 19" && found[0].example.is_empty(), "{}", found[0]);
}

proptest! {
    /// Cut, doubled or garbled anywhere, a file is taken or refused, never a panic; refused means told why.
    #[test]
    fn no_text_breaks_the_reader(from in 0..RIGHT.len(), to in 0..RIGHT.len(), noise in "[ -~\n]{0,12}") {
        let text = format!("{}{noise}{}", &RIGHT[..from], &RIGHT[to..]);
        if let Err(errors) = Profile::parse(&text, "small.toml") {
            prop_assert!(errors.iter().count() > 0);
            prop_assert!(errors.iter().all(|error| !error.key.is_empty() && !error.problem.is_empty()));
        }
    }
}
