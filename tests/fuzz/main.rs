//! The fuzz targets, a short while each: every seed, and seeds that were cut, joined, repeated and spoilt, the same ones
//! in each run. `bash tests/fuzz/run` looks further, guided by coverage.

#![expect(clippy::expect_used, reason = "a test that cannot read its seeds stops")]

mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use targets::{ALL, Target};

#[test]
fn path() {
    short_run("path");
}

#[test]
fn credential() {
    short_run("credential");
}

#[test]
fn token() {
    short_run("token");
}

#[test]
fn forwarded() {
    short_run("forwarded");
}

#[test]
fn answer() {
    short_run("answer");
}

#[test]
fn request() {
    short_run("request");
}

#[test]
fn profile() {
    short_run("profile");
}

#[test]
fn config() {
    short_run("config");
}

fn short_run(name: &str) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target");
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in &seeds {
        try_on(target, seed);
    }
    let mut spoiler = Spoiler(0x9E37_79B9_7F4A_7C15);
    for _ in 0..target.inputs {
        try_on(target, &spoiler.spoil(&seeds));
    }
}

fn try_on(target: &Target, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(outcome.is_ok(), "{} broke its promise on {:?}", target.name, String::from_utf8_lossy(input));
}

/// Files of a folder, in the order of their names.
fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = match target.name {
        "profile" => root.join("config/profiles"),
        "config" => root.join("config"),
        name => root.join("tests/fuzz/seeds").join(name),
    };
    let entries = fs::read_dir(&folder).expect("a folder of seeds");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let read = files.iter().filter(|file| file.is_file() && file.extension().is_none_or(|end| end != "md"));
    // A file of seeds holds one in each line, unless lines belong together.
    read.flat_map(|file| {
        let bytes = fs::read(file).expect("a seed");
        let by_lines = file.file_name().is_some_and(|name| name == "lines");
        if by_lines { bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect() } else { vec![bytes] }
    })
    .collect()
}

/// Deterministic: a failure is found again by running the test again.
struct Spoiler(u64);

impl Spoiler {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap_or(0)
    }

    fn spoil(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(12)).min(input.len());
            match self.below(7) {
                0 => drop(input.drain(at..end)),
                1 => input.truncate(at),
                2 => {
                    let piece = input[at..end].to_vec();
                    input.splice(at..at, piece);
                }
                3 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(24)).min(other.len());
                    let piece = other[from..to].to_vec();
                    input.splice(at..at, piece);
                }
                4 => {
                    let word = WORDS[self.below(WORDS.len())];
                    input.splice(at..at, word.iter().copied());
                }
                _ if at < input.len() => input[at] ^= 1 << self.below(8),
                _ => input.push(self.below(256).try_into().unwrap_or(0)),
            }
        }
        input
    }
}

const WORDS: [&[u8]; 28] = [
    b"%2e",
    b"%2E%2e",
    b"%2f",
    b"%5c",
    b"%00",
    b"%0d%0a",
    b"%c0%af",
    b"..;",
    b"//",
    b"\\",
    b"#",
    b"?",
    b"/./",
    b"\r\n",
    b"0\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"HTTP/1.1 100 \r\n\r\n",
    b"\0",
    b"Bearer ",
    b"Authorization: ",
    b"X-API-Key: ",
    b"::ffff:10.0.0.1",
    b"10.0.0.1, ",
    b"[::1]:80",
    b"9999999999999999999",
    b"\"\"\"",
    "\u{202e}".as_bytes(),
];
