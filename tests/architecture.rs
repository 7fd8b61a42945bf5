//! The house keeps its shape: who may import whom, which crate lives where, how big a file grows.
//!
//! The rules are read from the source text, not from the compiler: what matters is which words a
//! file uses. Comments and literals are blanked first, then every path (`crate::x`, `super::super::x`,
//! `use crate::{a, b::c}`, `sqlx::query`) is written out in full and judged.

#![expect(clippy::expect_used, reason = "a test that cannot read the sources stops")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// A module, and what it may import: only what stands right of it.
const LADDER: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("telemetry", &["domain"]),
    ("runtime", &["domain", "config", "telemetry"]),
    ("store", &["domain", "telemetry"]),
    ("proxy", &["domain", "config", "telemetry", "runtime"]),
    ("control", &["domain", "config", "telemetry", "runtime", "store"]),
    ("app", &["domain", "config", "telemetry", "runtime", "store", "proxy", "control"]),
    ("cli", &["app", "control", "store", "config", "domain", "telemetry"]),
];

/// A crate (or a part of one), and the only places that may name it.
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["src/store/"]),
    ("axum", &["src/control/", "src/app/"]),
    ("hyper::client", &["src/proxy/"]),
    ("hyper_util::client", &["src/proxy/"]),
    ("h2", &["src/proxy/"]),
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/"]),
    ("clap_mangen", &["src/cli/"]),
    ("reqwest", &["src/runtime/outbound.rs", "src/cli/remote.rs"]),
    ("jsonwebtoken", &["src/domain/jwt/keys.rs"]),
    ("aws_lc_rs", &["src/domain/"]),
    ("bcrypt", &["src/domain/key/secret.rs"]),
    ("sfv", &["src/proxy/signature/"]),
    ("rustls", &["src/runtime/"]),
    ("tokio_rustls", &["src/runtime/"]),
    ("x509_parser", &["src/runtime/"]),
    ("instant_acme", &["src/runtime/acme/"]),
    ("rcgen", &["src/runtime/"]),
    ("ppp", &["src/runtime/"]),
    ("sd_notify", &["src/app/"]),
    ("listenfd", &["src/app/"]),
    ("tonic", &["src/app/"]),
    ("envoy_types", &["src/app/"]),
    ("std::time::SystemTime::now", &["src/domain/time.rs"]),
    ("std::time::Instant::now", &["src/domain/time.rs"]),
    ("SystemTime::now", &["src/domain/time.rs"]),
    ("Instant::now", &["src/domain/time.rs"]),
    ("tokio::time::Instant::now", &[]),
];

/// Lints whose exception is never right in the product: a panic is an outage, a print is a lost log line.
const NEVER_EXPECTED: &[&str] = &[
    "unwrap_used",
    "expect_used",
    "panic",
    "todo",
    "unimplemented",
    "dbg_macro",
    "print_stderr",
    "await_holding_lock",
    "unsafe_code",
];

const BANNED_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "type", "types", "misc"];

const LONGEST_FILE: usize = 400;

/// What stands at the repository's root; dot files and the build's `target` aside.
const ROOT: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "config",
    "deploy",
    "src",
    "tests",
];

#[test]
fn imports_only_go_down_the_ladder() {
    let mut broken = String::new();
    for source in sources() {
        let Some(from) = source.layer() else { continue };
        let Some((_, allowed)) = LADDER.iter().find(|(layer, _)| *layer == from) else {
            say(&mut broken, &source, 1, &format!("`{from}` is not a layer of the house"));
            continue;
        };
        for (line, path) in source.paths() {
            let Some(to) = path.strip_prefix("crate::").and_then(|rest| rest.split("::").next()) else {
                continue;
            };
            let is_layer = LADDER.iter().any(|(layer, _)| *layer == to);
            if is_layer && to != from && !allowed.contains(&to) {
                say(&mut broken, &source, line, &format!("`{from}` may import {allowed:?}, not `{path}`"));
            }
        }
    }
    assert!(broken.is_empty(), "the ladder is broken:\n{broken}");
}

#[test]
fn the_program_enters_through_the_command_line_alone() {
    let mut broken = String::new();
    for source in sources() {
        for (line, path) in source.paths() {
            let own_crate = path == "latchgate" || path.starts_with("latchgate::");
            if own_crate && !(source.name == "src/main.rs" && path == "latchgate::cli::main") {
                say(&mut broken, &source, line, &format!("inside the crate say `crate::`, not `{path}`"));
            }
        }
    }
    assert!(broken.is_empty(), "main.rs calls latchgate::cli::main and nothing else:\n{broken}");
}

#[test]
fn each_crate_is_used_where_it_belongs() {
    let mut broken = String::new();
    for source in sources() {
        for (line, path) in source.paths() {
            for (owned, places) in OWNERS {
                let uses =
                    path == *owned || path.strip_prefix(owned).is_some_and(|rest| rest.starts_with("::"));
                if uses && !places.iter().any(|place| source.name.starts_with(place)) {
                    say(&mut broken, &source, line, &format!("`{owned}` belongs to {places:?} alone"));
                }
            }
            if path.starts_with("std::env::var") && source.layer().as_deref() != Some("config") {
                say(&mut broken, &source, line, "the environment is read in config alone");
            }
        }
    }
    assert!(broken.is_empty(), "a crate is used outside its place:\n{broken}");
}

#[test]
fn no_file_is_too_long_to_hold_in_mind() {
    let mut broken = String::new();
    for source in sources() {
        let length = source.lines_without_tests();
        if length > LONGEST_FILE {
            say(
                &mut broken,
                &source,
                LONGEST_FILE,
                &format!("{length} lines, {LONGEST_FILE} at most; split it"),
            );
        }
    }
    assert!(broken.is_empty(), "a file has grown too long:\n{broken}");
}

#[test]
fn names_say_what_is_inside() {
    let mut broken = String::new();
    for source in sources() {
        for part in Path::new(&source.name).iter().filter_map(|part| part.to_str()) {
            if BANNED_NAMES.contains(&part.trim_end_matches(".rs")) {
                say(&mut broken, &source, 1, &format!("`{part}` says nothing about what is inside"));
            }
        }
        for (line, name) in source.inline_modules() {
            if BANNED_NAMES.contains(&name.as_str()) {
                say(&mut broken, &source, line, &format!("`mod {name}` says nothing about what is inside"));
            }
        }
        if !source.raw.trim_start().starts_with("//!") {
            say(&mut broken, &source, 1, "a file begins with its module doc");
        }
    }
    assert!(broken.is_empty(), "a name or a module doc is missing its point:\n{broken}");
}

/// One noun, the same file name in each layer: `store/keys.rs`, `control/service/keys.rs`, `cli/keys.rs`.
#[test]
fn one_noun_has_one_file_name() {
    let layers =
        ["src/store/", "src/control/service/", "src/control/api/", "src/control/console/", "src/cli/"];
    let mut broken = String::new();
    let mut nouns = BTreeSet::new();
    for source in sources() {
        for layer in layers {
            if let Some(noun) = source.name.strip_prefix(layer).and_then(|rest| rest.strip_suffix(".rs")) {
                nouns.insert(noun.to_owned());
            }
        }
    }
    for noun in &nouns {
        if nouns.contains(&format!("{noun}s")) {
            let _ = writeln!(broken, "  `{noun}.rs` and `{noun}s.rs` in {layers:?}: choose one");
        }
    }
    assert!(broken.is_empty(), "one noun, two spellings:\n{broken}");
}

#[test]
fn lints_are_not_talked_away() {
    let mut broken = String::new();
    for source in sources() {
        for (line, attribute) in source.attributes() {
            let name =
                attribute.split('(').next().unwrap_or_default().trim_start_matches(['#', '!', '[']).trim();
            let silences = matches!(name, "expect" | "allow") || attribute.contains(",expect(");
            if !silences {
                continue;
            }
            if name == "allow" {
                say(&mut broken, &source, line, "`expect` with a reason, never `allow`");
            }
            if !attribute.contains("reason=") {
                say(&mut broken, &source, line, "an exception names its reason");
            }
            for lint in NEVER_EXPECTED {
                let named =
                    attribute.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == *lint);
                if named && line <= source.lines_without_tests() {
                    say(&mut broken, &source, line, &format!("`{lint}` has no exceptions in the product"));
                }
            }
            if attribute.contains("print_stdout") && source.layer().as_deref() != Some("cli") {
                say(&mut broken, &source, line, "only the command line prints");
            }
        }
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    for lint in ["unwrap_used", "expect_used", "panic", "print_stdout", "print_stderr", "allow_attributes"] {
        if !manifest.contains(&format!("{lint} = \"deny\"")) {
            let _ = writeln!(broken, "  Cargo.toml: `{lint}` is no longer denied");
        }
    }
    assert!(manifest.contains("unsafe_code = \"forbid\""), "Cargo.toml: unsafe code is no longer forbidden");
    assert!(broken.is_empty(), "a lint was silenced:\n{broken}");
}

#[test]
fn the_root_shows_only_the_house() {
    let mut strangers = Vec::new();
    for entry in fs::read_dir(root()).expect("the repository's root") {
        let name = entry.expect("an entry of the root").file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "target" && !ROOT.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    assert!(strangers.is_empty(), "the root holds {ROOT:?} and dot files, not {strangers:?}");
}

fn say(report: &mut String, source: &Source, line: usize, rule: &str) {
    let _ = writeln!(report, "  {}:{line}: {rule}", source.name);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder") {
            let path = entry.expect("an entry of a source folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(Source::read(&path));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 5, "the sources were not found");
    found
}

/// One file, its text as written and as words.
struct Source {
    name: String,
    raw: String,
    words: Vec<Word>,
}

/// An identifier or one character of punctuation (`::` is one word), with its line.
struct Word {
    line: usize,
    text: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        let raw = fs::read_to_string(path).expect("a source file");
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        Self { name, words: words(&blank(&raw)), raw }
    }

    /// The top-level module of this file; none for `lib.rs` and `main.rs`.
    fn layer(&self) -> Option<String> {
        let inside = self.name.strip_prefix("src/")?;
        match inside.split_once('/') {
            Some((layer, _)) => Some(layer.to_owned()),
            None if matches!(inside, "lib.rs" | "main.rs") => None,
            None => Some(inside.trim_end_matches(".rs").to_owned()),
        }
    }

    /// The module path of this file, from the crate's root.
    fn module(&self) -> Vec<String> {
        let inside = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        let parts = inside.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
        parts.map(ToOwned::to_owned).collect()
    }

    /// Every path in the file, groups written out, `super` and `self` resolved to `crate::...`.
    fn paths(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut module = self.module();
        let mut inline = Vec::new();
        let mut depth = 0_usize;
        let mut at = 0;
        while at < self.words.len() {
            match self.text(at) {
                "mod" if self.text(at + 2) == "{" => {
                    module.push(self.text(at + 1).to_owned());
                    inline.push(depth);
                    depth += 1;
                    at += 3;
                    continue;
                }
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        module.pop();
                    }
                }
                text if is_name(text) && self.text(at + 1) == "::" && !self.follows_a_path(at) => {
                    let line = self.words[at].line;
                    let mut tree = Vec::new();
                    at = self.tree(at, &mut Vec::new(), &mut tree);
                    found.extend(tree.into_iter().map(|path| (line, resolve(&path, &module))));
                    continue;
                }
                "use" if is_name(self.text(at + 1)) && matches!(self.text(at + 2), ";" | "as") => {
                    found.push((self.words[at].line, self.text(at + 1).to_owned()));
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    fn text(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| word.text.as_str())
    }

    /// `b` in `a::b`, but not in `::b`, which begins at the crates.
    fn follows_a_path(&self, at: usize) -> bool {
        at >= 2 && self.text(at - 1) == "::" && (is_name(self.text(at - 2)) || self.text(at - 2) == ">")
    }

    /// Reads one path or use-tree from `at`, pushes each full path, and says where it ends.
    fn tree(&self, mut at: usize, before: &mut Vec<String>, out: &mut Vec<Vec<String>>) -> usize {
        let above = before.len();
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.tree(at, before, out);
                        if self.text(at) == "as" {
                            at += 2;
                        }
                        if self.text(at) == "," {
                            at += 1;
                        }
                    }
                    at += 1;
                    break;
                }
                text if is_name(text) || text == "*" => {
                    before.push(text.to_owned());
                    at += 1;
                    if self.text(at) == "::"
                        && (is_name(self.text(at + 1)) || matches!(self.text(at + 1), "{" | "*"))
                    {
                        at += 1;
                        continue;
                    }
                    out.push(before.clone());
                    break;
                }
                // Something that is no path after all: step over it, so that the reader always moves.
                _ => {
                    at += 1;
                    break;
                }
            }
        }
        before.truncate(above);
        at
    }

    /// Attributes, without white space.
    fn attributes(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in 0..self.words.len() {
            let opens = if self.text(at + 1) == "!" { at + 2 } else { at + 1 };
            if self.text(at) != "#" || self.text(opens) != "[" {
                continue;
            }
            let mut depth = 0;
            let mut text = String::from("#");
            for word in &self.words[opens..] {
                text.push_str(&word.text);
                depth += i32::from(word.text == "[") - i32::from(word.text == "]");
                if depth == 0 {
                    break;
                }
            }
            found.push((self.words[at].line, text));
        }
        found
    }

    fn inline_modules(&self) -> Vec<(usize, String)> {
        let named = |at: &usize| self.text(*at) == "mod" && is_name(self.text(at + 1));
        (0..self.words.len())
            .filter(named)
            .map(|at| (self.words[at].line, self.text(at + 1).to_owned()))
            .collect()
    }

    /// Lines before the test module, which stands last in a file.
    fn lines_without_tests(&self) -> usize {
        let lines: Vec<&str> = self.raw.lines().collect();
        let tests =
            lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
        tests.unwrap_or(lines.len())
    }
}

fn resolve(path: &[String], module: &[String]) -> String {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let starts_here = path.first().is_some_and(|first| first == "self");
    if ups == 0 && !starts_here {
        return path.join("::");
    }
    let mut full = vec!["crate".to_owned()];
    full.extend(module[..module.len().saturating_sub(ups)].iter().cloned());
    full.extend(path[ups.max(usize::from(starts_here))..].iter().cloned());
    full.join("::")
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_name(rest) {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Word { line: index + 1, text: rest[..length].to_owned() });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// The same text with comments and the insides of literals replaced by spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kept, length) = literal(rest);
        match length {
            0 => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
            length => {
                out.push_str(kept);
                out.extend(rest[..length].chars().filter(|c| *c == '\n'));
                rest = &rest[length..];
            }
        }
    }
    out
}

/// The length of the comment or literal that `text` begins with (0: none), and what stands for it.
fn literal(text: &str) -> (&'static str, usize) {
    let until =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return ("", text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return ("", until("*/", 2));
    }
    let hashes = text.strip_prefix("r").map_or(0, |rest| rest.len() - rest.trim_start_matches('#').len());
    if text.starts_with('r') && text[1 + hashes..].starts_with('"') {
        return ("0", until(&format!("\"{}", "#".repeat(hashes)), 2 + hashes));
    }
    let quote = match text.as_bytes() {
        [b'"', ..] => b'"',
        // A character, not a lifetime.
        [b'\'', b'\\', ..] => b'\'',
        [b'\'', ..] if text[1..].chars().nth(1) == Some('\'') => b'\'',
        _ => return ("", 0),
    };
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        if byte == quote && !escaped {
            return ("0", at + 1);
        }
        escaped = byte == b'\\' && !escaped;
    }
    ("0", text.len())
}

/// The reader itself: what it must see, and what it must not.
#[test]
fn the_reader_finds_paths_and_skips_text() {
    let raw = "//! crate::cli\nuse crate::{app::{self, x}, domain::id};\nmod tests { use super::super::store; }\nfn f<'a>() { let c = 'c'; let s = \"sqlx::x\"; r#\"clap::x\"#; sqlx::query(); std::time::Instant::now() }\n#[expect(clippy::panic, reason = \"x\")]\n";
    let source = Source { name: "src/proxy/route.rs".into(), words: words(&blank(raw)), raw: raw.into() };
    let paths: Vec<String> =
        source.paths().into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    let expected = [
        "2 crate::app::self",
        "2 crate::app::x",
        "2 crate::domain::id",
        "3 crate::proxy::store",
        "4 sqlx::query",
        "4 std::time::Instant::now",
        "5 clippy::panic",
    ];
    assert_eq!(paths, expected);
    assert_eq!(source.attributes(), [(5, "#[expect(clippy::panic,reason=0)]".to_owned())]);
    let up = Source {
        name: "src/proxy/route.rs".into(),
        words: words("super::super::store::x"),
        raw: String::new(),
    };
    assert_eq!(up.paths(), [(1, "crate::store::x".to_owned())]);
}
