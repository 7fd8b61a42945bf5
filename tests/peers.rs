//! The side-by-side bench stays runnable: its script, its tables and its document. (To run it takes minutes and installs
//! other gateways: `benches/peers/run`.)

#![expect(clippy::expect_used, reason = "a test that cannot start the bench stops")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// Every file of it is a program as far as bash and Python can tell without running it.
#[test]
fn its_programs_can_be_read() {
    let run = output(Command::new("bash").args(["-n", "benches/peers/run"]));
    assert!(run.status.success(), "{run:?}");
    let folder = TempDir::new().expect("a folder");
    let sources = output(Command::new("python3").env("PYTHONPYCACHEPREFIX", folder.path()).args([
        "-m",
        "compileall",
        "-q",
        "benches/peers/bench",
    ]));
    assert!(sources.status.success(), "{sources:?}");
}

/// What the document says it can be told is what it can be told.
#[test]
fn its_document_shows_flags_that_it_has() {
    let help = output(Command::new("bash").args(["benches/peers/run", "--help"]));
    assert!(help.status.success(), "{help:?}");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let document = read("benches/peers/README.md");
    let shown: Vec<&str> = document
        .split(|c: char| c.is_whitespace() || c == '`')
        .filter(|word| word.strip_prefix("--").is_some_and(|name| name.starts_with(char::is_alphabetic)))
        .collect();
    assert!(shown.len() > 3, "{shown:?}");
    for flag in shown {
        assert!(help.contains(flag), "{flag} is not in:\n{help}");
    }
}

/// A round in which the gateway's core was idle is not the best one, and ratios are taken within a round.
#[test]
fn its_tables_leave_out_what_measured_something_else() {
    let mut rows = Vec::new();
    for (subject, round, us, busy) in [
        ("nginx", 0, 20.0, 0.99),
        ("nginx", 1, 10.0, 0.99),
        ("nginx", 2, 1.0, 0.5),
        ("latchgate", 0, 30.0, 0.99),
        ("latchgate", 1, 15.0, 0.99),
        ("latchgate", 2, 2.0, 0.99),
    ] {
        rows.push(serde_json::json!({
            "scenario": "keyed", "subject": subject, "round": round, "us": us, "busy": busy,
            "rps": 1e6 / us, "bytes_each": 1100,
        }));
    }
    let meta = serde_json::json!({ "date": "today", "machine": "this one", "versions": ["nginx 1"] });
    let result = serde_json::json!({ "meta": meta, "rows": rows, "failures": [] });
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("result.json");
    fs::write(&file, result.to_string()).expect("a file");
    let tables = output(Command::new("bash").args(["benches/peers/run", "--tables"]).arg(&file));
    let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
    assert!(
        tables.contains("| nginx | 10.00 | 10.00 | 100,000 | 1.50 (1.50 to 1.50) | 1100 | 2 of 3 |"),
        "{tables}"
    );
    assert!(tables.contains("| **latchgate** | 2.00 | 15.00 |"), "{tables}");
}

fn output(command: &mut Command) -> Output {
    let root = env!("CARGO_MANIFEST_DIR");
    command.current_dir(root).env("PYTHONDONTWRITEBYTECODE", "1").output().expect("bash and Python")
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file)
}
