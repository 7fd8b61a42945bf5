//! What the documents claim, held against the sources and the program: a document that nothing checks will lie.

#![expect(clippy::expect_used, reason = "a test that cannot read the documents stops")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// What users and operators read.
const DOCUMENTS: [&str; 3] = ["README.md", "config/README.md", "deploy/README.md"];

/// Every error code of both planes is in the README's table, and nothing else is.
#[test]
fn the_error_table_is_the_programs() {
    let files = ["proxy/reject", "domain/access/denied", "control/api/error", "control/service/error"];
    let sources = files.map(|file| read(&format!("src/{file}.rs"))).concat();
    let codes: BTreeSet<String> = sources
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
        .filter(|code| code.contains('_') && is_name(code))
        .chain(["overloaded", "conflict", "forbidden"])
        .map(str::to_owned)
        .collect();
    let readme = read("README.md");
    assert_eq!(ticked(&table(&section(&readme, "## Errors"))), codes);
}

/// Every error code of the admin API is explained in its reference.
#[test]
fn the_reference_explains_every_code() {
    let files = ["domain/access/denied", "control/api/error", "control/service/error"];
    let sources = files.map(|file| read(&format!("src/{file}.rs"))).concat();
    let reference = read("src/control/api/reference.rs");
    let table = reference.split("const CODES").nth(1).expect("its codes");
    for code in sources.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\",")) {
        assert!(!is_name(code) || table.contains(&format!("(\"{code}\"")), "{code}");
    }
}

/// Every metric is in the operators' table with its labels' names left to the program, and nothing else is.
#[test]
fn the_metrics_table_is_the_programs() {
    let mut sources = String::new();
    for file in ["auth", "mod", "state", "tls", "traffic"] {
        sources.push_str(&read(&format!("src/telemetry/metrics/{file}.rs")));
    }
    let metrics: BTreeSet<&str> =
        sources.split('"').filter(|text| text.starts_with("latchgate_") && is_name(text)).collect();
    let operating = section(&read("deploy/README.md"), "## Metrics");
    let told: BTreeSet<&str> = operating
        .split('`')
        .filter_map(|text| text.split('{').next())
        .filter(|text| text.starts_with("latchgate_"))
        .collect();
    assert_eq!(told, metrics);
}

/// Every alert is in the operators' table, and nothing else is.
#[test]
fn the_alerts_table_is_the_rules() {
    let rules = read("deploy/prometheus/alerts.yml");
    let alerts: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)).collect();
    let told = table(&section(&read("deploy/README.md"), "## Alerts"));
    let told = told.lines().filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
    assert_eq!(told.collect::<BTreeSet<_>>(), alerts);
}

/// Every `section.key` that a document names is a key of the shipped configuration.
#[test]
fn named_configuration_keys_exist() {
    let shipped = read("config/latchgate.toml");
    let sections: BTreeSet<&str> = shipped
        .lines()
        .filter_map(|line| line.trim_start_matches('#').trim().strip_prefix('[')?.strip_suffix(']'))
        .map(|name| name.trim_matches(['[', ']']))
        .collect();
    for document in DOCUMENTS.iter().chain(&["ARCHITECTURE.md"]) {
        for name in read(document).split('`').skip(1).step_by(2) {
            let Some((head, key)) = name.split_once('.') else { continue };
            if !sections.contains(head) || !is_name(key) {
                continue;
            }
            let shown = shipped.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ']);
                line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
            });
            assert!(shown, "{document} names `{name}`, which config/latchgate.toml does not show");
        }
    }
}

/// Every command that a document shows exists, with the flags that it shows.
#[test]
fn shown_commands_and_flags_exist() {
    let mut shown = DOCUMENTS.map(read).concat().replace("\\\n", " ");
    // Where the word is a user, or an image that has the program as its entry.
    for (other, plain) in [
        ("-u latchgate ", ""),
        ("-o latchgate ", ""),
        ("-g latchgate ", ""),
        ("latchgate:0.1.0 ", "latchgate "),
    ] {
        shown = shown.replace(other, plain);
    }
    let mut checked = 0;
    for line in shown.lines() {
        let Some((_, command)) = line.split_once("latchgate ") else { continue };
        if !(line.starts_with("$ ") || line.contains("`latchgate ") || line.contains("gateway latchgate ")) {
            continue;
        }
        let command = command.split(['`', '|', '&', '#']).next().unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().collect();
        let verbs: Vec<&str> = words
            .iter()
            .take_while(|word| {
                !word.starts_with('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            })
            .copied()
            .take(3)
            .collect();
        let (help, verbs) = help(&verbs);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "`latchgate {}` has no {flag}: {line}", verbs.join(" "));
        }
        checked += 1;
    }
    assert!(checked >= 16, "only {checked} commands were found in {DOCUMENTS:?}");
}

/// Every file of `deploy/` that the operators' commands name is there, but for the folder that they make themselves.
#[test]
fn named_files_exist() {
    let operating = read("deploy/README.md");
    let words = operating.split(|c: char| c.is_whitespace() || "`\"(),:;".contains(c));
    let named: BTreeSet<&str> = words
        .filter_map(|word| word.find("deploy/").map(|start| word[start..].trim_end_matches('.')))
        .collect();
    for name in &named {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).exists();
        assert!(there || name.starts_with("deploy/gate"), "deploy/README.md names {name}");
    }
    assert!(named.len() > 6, "{named:?}");
}

/// Every file that a document links to is there.
#[test]
fn links_lead_somewhere() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let there =
                link.contains("://") || folder.parent().is_some_and(|folder| folder.join(file).exists());
            assert!(there, "{document} links to {link}");
        }
    }
}

/// Every field of the admin API has its flag, in the command that stands for the operation.
#[test]
fn every_field_of_the_api_has_its_flag() {
    let output = Command::new(env!("CARGO_BIN_EXE_latchgate")).arg("openapi").output().expect("the program");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut missing = Vec::new();
    for (method, path, command) in [
        ("post", "/v1/orgs", "orgs create"),
        ("patch", "/v1/org", "orgs update"),
        ("post", "/v1/teams", "teams create"),
        ("patch", "/v1/teams/{team_id}", "teams update"),
        ("get", "/v1/projects", "projects list"),
        ("post", "/v1/teams/{team_id}/projects", "projects create"),
        ("patch", "/v1/projects/{project_id}", "projects update"),
        ("post", "/v1/users", "users create"),
        ("patch", "/v1/users/{user_id}", "users update"),
        ("put", "/v1/teams/{team_id}/members/{user_id}", "users set-role"),
        ("post", "/v1/teams/{team_id}/invitations", "invitations create"),
        ("post", "/v1/roles", "roles create"),
        ("patch", "/v1/roles/{role_id}", "roles update"),
        ("post", "/v1/groups", "groups create"),
        ("patch", "/v1/groups/{group_id}", "groups update"),
        ("post", "/v1/api-keys", "keys create"),
        ("get", "/v1/api-keys", "keys list"),
        ("patch", "/v1/api-keys/{key_id}", "keys update"),
        ("post", "/v1/api-keys/{key_id}/rotate", "keys rotate"),
        ("get", "/v1/api-keys/{key_id}/usage", "keys usage"),
        ("get", "/v1/audit", "audit list"),
        ("get", "/v1/requests", "requests list"),
        ("post", "/v1/session", "sessions sign-in"),
        ("post", "/v1/session/second-factor", "sessions second-factor enrol"),
        ("post", "/v1/session/second-factor/confirm", "sessions second-factor confirm"),
        ("post", "/v1/session/second-factor/remove", "sessions second-factor remove"),
        ("post", "/v1/session/second-factor/recovery-codes", "sessions second-factor recovery-codes"),
    ] {
        let operation = &document["paths"][path][method];
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
        let query = operation["parameters"].as_array().into_iter().flatten();
        let query =
            query.filter(|parameter| parameter["in"] == "query").filter_map(|field| field["name"].as_str());
        let fields: Vec<&str> =
            body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).chain(query).collect();
        assert!(!fields.is_empty(), "{method} {path} has no fields");
        let (help, _) = help(&command.split(' ').collect::<Vec<_>>());
        for field in fields {
            let flag = match field {
                // Lists are read to their end; `users activate` and `deactivate` are commands.
                "limit" | "cursor" | "active" => continue,
                // Names stand where ids do.
                "slug" | "email" | "prefix" if method == "get" => continue,
                "user_id" => "user",
                "password" => "password-stdin",
                other => other,
            };
            if !help.contains(&format!("--{}", flag.replace('_', "-"))) {
                missing.push(format!("{command}: {field}"));
            }
        }
    }
    assert!(missing.is_empty(), "fields without a flag: {missing:?}");
}

/// Every command of the program is in the changelog's list of commands, and the reverse.
#[test]
fn the_changelog_lists_the_commands() {
    let (help, _) = help(&[]);
    let commands: BTreeSet<String> = section(&help, "Commands:")
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    let changelog = read("CHANGELOG.md");
    let listed = changelog.split("- The command line:").nth(1).expect("the list of commands");
    assert_eq!(ticked(listed.split("\n- ").next().unwrap_or_default()), commands);
}

/// The help of the longest prefix of `verbs` that is a command; what follows is an argument.
fn help<'a>(verbs: &[&'a str]) -> (String, Vec<&'a str>) {
    for length in (0..=verbs.len()).rev() {
        let verbs = &verbs[..length];
        let output = Command::new(env!("CARGO_BIN_EXE_latchgate"))
            .args(verbs)
            .arg("--help")
            .output()
            .expect("the program");
        if output.status.success() {
            return (String::from_utf8_lossy(&output.stdout).into_owned(), verbs.to_vec());
        }
    }
    (String::new(), Vec::new())
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file)
}

/// From a heading to the next of its kind, or to the end.
fn section(text: &str, heading: &str) -> String {
    let rest = text.split_once(heading).map(|(_, rest)| rest).unwrap_or_default();
    let end = if heading.starts_with('#') { "\n## " } else { "\n\n" };
    rest.split(end).next().unwrap_or_default().to_owned()
}

fn table(text: &str) -> String {
    text.lines().filter(|line| line.starts_with('|')).collect::<Vec<_>>().join("\n")
}

/// Words in backticks.
fn ticked(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}
