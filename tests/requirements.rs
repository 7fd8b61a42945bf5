//! Each requirement is proved by a test that names it, or stands on the list of those that still have to be.

#![expect(clippy::expect_used, reason = "a test that cannot read the sources stops")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// How many statements each of the four platforms' documents has.
const STATEMENTS: [(u32, u32); 4] = [(0, 23), (1, 12), (2, 19), (3, 8)];

/// What no test proves yet: people, sessions, invitations, the admin API, signatures, webhooks, the console.
const OPEN: &[&str] = &["R002_19", "R003_07"];

#[test]
fn each_requirement_is_proved_or_known_to_be_open() {
    let all: BTreeSet<String> = STATEMENTS
        .iter()
        .flat_map(|(document, count)| (1..=*count).map(move |number| format!("R{document:03}_{number:02}")))
        .collect();
    let mut text = String::new();
    read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e"), &mut text);
    let named: BTreeSet<String> = all.iter().filter(|id| text.contains(id.as_str())).cloned().collect();
    let open: BTreeSet<String> = OPEN.iter().map(ToString::to_string).collect();
    eprintln!("{} of {} requirements are proved; open: {}", named.len(), all.len(), OPEN.join(" "));

    let forgotten: Vec<&String> =
        all.iter().filter(|id| !named.contains(*id) && !open.contains(*id)).collect();
    assert!(forgotten.is_empty(), "no end-to-end test names {forgotten:?}");
    let done: Vec<&String> = open.intersection(&named).collect();
    assert!(done.is_empty(), "proved by now, take them off the list: {done:?}");
    let unknown: Vec<&String> = open.difference(&all).collect();
    assert!(unknown.is_empty(), "no such requirement: {unknown:?}");
}

fn read(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("the tests' folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, text);
        } else {
            text.push_str(&fs::read_to_string(&path).expect("a test's source"));
        }
    }
}
