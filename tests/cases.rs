//! Each numbered attack is made by a test that names it, or stands on the list of those that are not, with the reason.
//!
//! A test names a case in its doc comment by letter and number, `I239`; `I245 to I249` names all between.

#![expect(clippy::expect_used, reason = "a test that cannot read the sources stops")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// First and last number of each group. The numbers that five divides are no cases.
const GROUPS: &[(char, &str, u32, u32)] = &[
    ('A', "header spoofing and hop-by-hop abuse", 1, 29),
    ('B', "framing", 31, 94),
    ('C', "paths and routing", 96, 119),
    ('D', "credentials", 121, 144),
    ('E', "life of keys and escalation", 146, 173),
    ('F', "networks and forwarded headers", 174, 189),
    ('G', "rate limits", 191, 207),
    ('H', "caches and revocation", 208, 232),
    ('I', "brute force and denial of service", 233, 268),
    ('J', "faults of the store", 269, 288),
    ('K', "crashes and restarts", 289, 302),
    ('L', "pages and the admin API in a browser", 303, 328),
    ('M', "secrets", 329, 343),
    ('N', "TLS", 344, 359),
    ('P', "tenants", 361, 378),
];

/// What no test makes, and why.
const OPEN: &[(&str, &str)] = &[
    ("C109", "no route cuts a prefix off"),
    ("D144", "there are no realms: a key is one at every port"),
    ("G197", "several nodes: each counts for itself until there is a shared backend"),
    (
        "G203",
        "limits read the monotonic clock alone; nothing here turns the wall clock under a running program",
    ),
    ("H209", "several nodes: two programs on one file are made, three machines are not"),
    ("H211", "nothing is refreshed behind an answer, so nothing can be stale in that way"),
    ("H222", "PostgreSQL is not there yet"),
    ("H223", "PostgreSQL is not there yet"),
    ("H224", "PostgreSQL is not there yet"),
    ("H228", "what is freed is not overwritten everywhere: hyper's buffers are not ours"),
    ("H231", "several nodes with clocks of their own"),
    ("H232", "several nodes, and a history of ten minutes"),
    (
        "I261",
        "names that change are looked up again by unit tests in proxy/upstream; no resolver is broken on the wire",
    ),
    ("J274", "PostgreSQL is not there yet"),
    ("J276", "PostgreSQL is not there yet"),
    ("J277", "PostgreSQL is not there yet"),
    ("J283", "ten thousand keys are imported and used; a million is too long for the suite"),
    ("J286", "half an hour of writes; the version of SQLite is asserted at every start"),
    ("J288", "PostgreSQL is not there yet"),
    ("K293", "several nodes"),
    ("K294", "needs a file system that forgets; synchronous = FULL is set"),
    ("K301", "a restored file brings revoked keys back; nothing replays what was revoked since"),
    ("K302", "a simulation of several nodes"),
    ("L319", "the console's pages for keys are not there yet"),
    ("M337", "there are no traces: traceparent is passed on and nothing else"),
    ("N358", "rustls refuses it, and no server that does so is at hand"),
    (
        "P377",
        "an hour of operations at random; every operation by everybody is P361, every document field is L328",
    ),
];

#[test]
fn each_case_is_made_or_known_to_be_open() {
    let all: BTreeMap<u32, char> = GROUPS
        .iter()
        .flat_map(|(letter, _, first, last)| (*first..=*last).map(|number| (number, *letter)))
        .filter(|(number, _)| number % 5 != 0)
        .collect();
    let mut docs = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["tests/e2e", "src"] {
        read(&root.join(folder), &mut docs);
    }
    let (named, crooked) = named(&docs, &all);
    assert!(crooked.is_empty(), "cases by a wrong letter: {crooked:?}");
    let open: BTreeSet<String> = OPEN.iter().map(|(case, _)| (*case).to_owned()).collect();
    eprintln!("{} of {} cases are made; open: {}", named.len(), all.len(), OPEN.len());
    for (case, why) in OPEN {
        eprintln!("{case}: {why}");
    }

    let all: BTreeSet<String> = all.iter().map(|(number, letter)| format!("{letter}{number}")).collect();
    let forgotten: Vec<&String> =
        all.iter().filter(|case| !named.contains(*case) && !open.contains(*case)).collect();
    assert!(forgotten.is_empty(), "no test names {forgotten:?}");
    let done: Vec<&String> = open.intersection(&named).collect();
    assert!(done.is_empty(), "made by now, take them off the list: {done:?}");
    let unknown: Vec<&String> = open.difference(&all).collect();
    assert!(unknown.is_empty(), "no such case: {unknown:?}");
    assert!(OPEN.iter().all(|(_, why)| why.len() > 10), "each with its reason");
}

/// The cases that a text names, and what looks like one but has another group's letter.
fn named(text: &str, all: &BTreeMap<u32, char>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut named, mut crooked) = (BTreeSet::new(), BTreeSet::new());
    let words: Vec<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    for (at, word) in words.iter().enumerate() {
        let Some((letter, first)) = case(word) else { continue };
        let last = match (words.get(at + 1), words.get(at + 2).and_then(|last| case(last))) {
            (Some(&"to"), Some((other, last))) if other == letter => last,
            _ => first,
        };
        for number in (first..=last).filter(|number| all.contains_key(number)) {
            let fits = all.get(&number) == Some(&letter);
            // Small numbers are other things too: RFC sections, sizes of paper.
            if fits {
                named.insert(format!("{letter}{number}"));
            } else if number > 30 {
                crooked.insert(format!("{letter}{number}"));
            }
        }
    }
    (named, crooked)
}

/// `I239`, read.
fn case(word: &str) -> Option<(char, u32)> {
    let mut letters = word.chars();
    let letter = letters.next().filter(|letter| GROUPS.iter().any(|(known, ..)| known == letter))?;
    let digits = letters.as_str();
    (digits.len() <= 3).then(|| digits.parse().ok()).flatten().map(|number| (letter, number))
}

/// The doc comments of tests.
fn read(folder: &Path, docs: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, docs);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            docs.push_str(&of_tests(&fs::read_to_string(&path).expect("a source")));
        }
    }
}

fn of_tests(source: &str) -> String {
    let (mut found, mut doc, mut is_test) = (String::new(), String::new(), false);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if line.starts_with("#[") || line.starts_with("#![") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        } else {
            // The rest of an attribute over several lines stands between.
            let goes_on = is_test && !line.contains("fn ") && !line.is_empty();
            if !goes_on {
                if is_test && line.contains("fn ") {
                    found.push_str(&doc);
                    found.push('\n');
                }
                doc.clear();
                is_test = false;
            }
        }
    }
    found
}

#[test]
fn cases_are_found_where_they_are_named() {
    let all = BTreeMap::from([(239, 'I'), (241, 'I'), (242, 'I'), (136, 'D')]);
    let source = "/// I239, R000_01: x (I241 to\n/// I242).\n#[test]\n#[expect(\n    y,\n)]\nfn a() {}\n\n/// D136\nfn no_test() {}\n\n/// P136: H2\n#[tokio::test]\nasync fn b() {}\n";
    let (found, crooked) = named(&of_tests(source), &all);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["I239", "I241", "I242"]);
    assert_eq!(crooked.into_iter().collect::<Vec<_>>(), ["P136"]);
}
