//! The file that `keys import` reads, record by record: CSV with a header line, or JSON lines.
//!
//! Nothing is held but the record at hand, so a file may be larger than memory. A record that is wrong is
//! reported with its line and does not stop the ones after it. Messages never repeat a hash.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use serde::Deserialize;

use crate::control::service::Imported;

/// What came next in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where the record begins; the first line of the file is 1.
    pub(super) number: u64,
    /// The record, or what is wrong with it.
    pub(super) record: Result<Imported, String>,
}

/// The format of a file, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    JsonLines,
}

impl Form {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// The records of a file.
pub(super) enum Records<R: Read> {
    Csv(CsvRecords<R>),
    JsonLines(JsonRecords<R>),
}

impl Records<File> {
    pub(super) fn open(path: &Path, form: Form) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        Self::read(file, form)
    }
}

impl<R: Read> Records<R> {
    pub(super) fn read(input: R, form: Form) -> Result<Self, String> {
        match form {
            Form::Csv => CsvRecords::new(input).map(Self::Csv),
            Form::JsonLines => Ok(Self::JsonLines(JsonRecords::new(input))),
        }
    }

    /// Bytes read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        match self {
            Self::Csv(records) => records.reader.position().byte(),
            Self::JsonLines(records) => records.position,
        }
    }
}

impl<R: Read> Iterator for Records<R> {
    /// The outer error is the file's: nothing can be read after it.
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        match self {
            Self::Csv(records) => records.next(),
            Self::JsonLines(records) => records.next(),
        }
    }
}

pub(super) struct CsvRecords<R> {
    reader: csv::Reader<Bounded<R>>,
    /// For each field of a line, which column it is.
    columns: Vec<usize>,
}

impl<R: Read> CsvRecords<R> {
    fn new(input: R) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Bounded::new(input));
        let header = reader.headers().map_err(|error| error.to_string())?;
        let mut columns = Vec::with_capacity(header.len());
        for name in header {
            let Some(column) = COLUMNS.iter().position(|column| *column == name) else {
                return Err(format!("the header names {name:?}; columns are: {}", COLUMNS.join(" ")));
            };
            if columns.contains(&column) {
                return Err(format!("the header names {name:?} twice"));
            }
            columns.push(column);
        }
        if let Some(missing) = REQUIRED.iter().find(|name| !header.iter().any(|given| given == **name)) {
            return Err(format!("the header lacks {missing:?}; columns are: {}", COLUMNS.join(" ")));
        }
        Ok(Self { reader, columns })
    }

    fn next(&mut self) -> Option<io::Result<Line>> {
        let mut fields = csv::StringRecord::new();
        let number = self.reader.position().line();
        self.reader.get_mut().left = LONGEST_LINE;
        match self.reader.read_record(&mut fields) {
            Ok(false) => None,
            Ok(true) => {
                let number = fields.position().map_or(number, csv::Position::line);
                Some(Ok(Line { number, record: self.record(&fields) }))
            }
            Err(error) => {
                let number = error.position().map_or(number, csv::Position::line);
                match error.into_kind() {
                    csv::ErrorKind::Io(error) => Some(Err(error)),
                    csv::ErrorKind::Utf8 { .. } => {
                        Some(Ok(Line { number, record: Err("is not UTF-8".to_owned()) }))
                    }
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        let problem = format!("has {len} fields, the header {expected_len}");
                        Some(Ok(Line { number, record: Err(problem) }))
                    }
                    _ => Some(Ok(Line { number, record: Err("is not CSV".to_owned()) })),
                }
            }
        }
    }

    fn record(&self, fields: &csv::StringRecord) -> Result<Imported, String> {
        let mut values: [Option<String>; COLUMNS.len()] = Default::default();
        for (value, column) in fields.iter().zip(&self.columns) {
            values[*column] = Some(value.to_owned());
        }
        let [name, org, team, user, prefix, hash, scopes, expires_at, environment, allowed_ips, rate] =
            values;
        Raw {
            name,
            org,
            team,
            user,
            prefix,
            hash,
            scopes: scopes.map(List::Cell),
            expires_at,
            environment,
            allowed_ips: allowed_ips.map(List::Cell),
            rate_limit_per_minute: rate.map(Number::Text),
        }
        .check()
    }
}

/// Input of which one record takes no more than its share: a quote that is never closed would make one of all the
/// rest of the file.
pub(super) struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R> Bounded<R> {
    fn new(input: R) -> Self {
        Self { input, left: LONGEST_LINE }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let problem = format!("a record is longer than {LONGEST_LINE} bytes: is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(&mut buffer[..room])?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

pub(super) struct JsonRecords<R> {
    reader: BufReader<R>,
    line: u64,
    position: u64,
}

impl<R: Read> JsonRecords<R> {
    fn new(input: R) -> Self {
        Self { reader: BufReader::new(input), line: 0, position: 0 }
    }

    fn next(&mut self) -> Option<io::Result<Line>> {
        loop {
            let mut line = Vec::new();
            match self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(read) => self.position += read as u64,
                Err(error) => return Some(Err(error)),
            }
            self.line += 1;
            let number = self.line;
            if line.len() as u64 >= LONGEST_LINE && line.last() != Some(&b'\n') {
                let problem = format!("line {number} is longer than {LONGEST_LINE} bytes");
                return Some(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
            let line = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let raw: Result<Raw, _> = serde_json::from_slice(line);
            let record = raw.map_err(|error| not_json(&error)).and_then(Raw::check);
            return Some(Ok(Line { number, record }));
        }
    }
}

/// A record before its fields are checked; the columns of the documentation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    org: Option<String>,
    team: Option<String>,
    user: Option<String>,
    prefix: Option<String>,
    hash: Option<String>,
    scopes: Option<List>,
    expires_at: Option<String>,
    environment: Option<String>,
    allowed_ips: Option<List>,
    rate_limit_per_minute: Option<Number>,
}

/// A list, or a cell that holds one: parts separated by spaces or `;`.
#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Cell(String),
    Items(Vec<String>),
}

/// A number, or a cell that holds one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Number(i64),
}

impl List {
    fn items(self) -> Vec<String> {
        match self {
            Self::Items(items) => items,
            Self::Cell(text) => {
                let parts = text.split(|c: char| c == ';' || c.is_whitespace());
                parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
        }
    }
}

impl Raw {
    /// What is there is judged by the service, which every record passes anyway.
    fn check(self) -> Result<Imported, String> {
        let maybe = |value: Option<String>| value.filter(|text| !text.trim().is_empty());
        let need = |value, column| maybe(value).ok_or_else(|| format!("{column}: is missing"));
        Ok(Imported {
            name: need(self.name, "name")?,
            org: maybe(self.org),
            team: maybe(self.team),
            user: maybe(self.user),
            prefix: maybe(self.prefix),
            hash: need(self.hash, "hash")?,
            scopes: self.scopes.map(List::items).unwrap_or_default(),
            expires_at: maybe(self.expires_at),
            environment: maybe(self.environment),
            allowed_ips: self.allowed_ips.map(List::items).unwrap_or_default(),
            rate_limit_per_minute: maybe(self.rate_limit_per_minute.map(|number| match number {
                Number::Text(text) => text,
                Number::Number(number) => number.to_string(),
            })),
        })
    }
}

/// Without "line 1": every record is its own text to the parser.
fn not_json(error: &serde_json::Error) -> String {
    let column = format!(" at line {} column {}", error.line(), error.column());
    error.to_string().replace(&column, &format!(" (column {})", error.column()))
}

/// In the order of [`Raw`].
const COLUMNS: [&str; 11] = [
    "name",
    "org",
    "team",
    "user",
    "prefix",
    "hash",
    "scopes",
    "expires_at",
    "environment",
    "allowed_ips",
    "rate_limit_per_minute",
];
const REQUIRED: [&str; 2] = ["name", "hash"];

/// In bytes; a line without an end would fill the memory.
const LONGEST_LINE: u64 = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], form: Form) -> Vec<Line> {
        Records::read(text, form).unwrap().map(Result::unwrap).collect()
    }

    fn ci() -> Imported {
        Imported {
            name: "ci".into(),
            org: Some("acme".into()),
            hash: "sha256:00".into(),
            scopes: vec!["a:read".into(), "b:read".into()],
            rate_limit_per_minute: Some("60".into()),
            ..Imported::default()
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let csv =
            "\u{feff}hash,name,org,scopes,rate_limit_per_minute\nsha256:00, ci ,acme,a:read;b:read,60\n";
        let json = "\u{feff}{\"name\":\"ci\",\"org\":\"acme\",\"hash\":\"sha256:00\",\"scopes\":[\"a:read\",\"b:read\"],\
                    \"rate_limit_per_minute\":60}\n\n";
        assert_eq!(all(csv.as_bytes(), Form::Csv), [Line { number: 2, record: Ok(ci()) }]);
        assert_eq!(all(json.as_bytes(), Form::JsonLines), [Line { number: 1, record: Ok(ci()) }]);
    }

    #[test]
    fn a_wrong_record_names_its_line_and_does_not_stop_the_others() {
        let csv = "name,org,hash,expires_at\n\"a\nb\",o,x,\nc,o\nd,o,,\n,o,x,\nf,,x,2027-01-31T09:30:00Z\n";
        let lines = all(csv.as_bytes(), Form::Csv);
        let numbers: Vec<_> = lines.iter().map(|line| (line.number, line.record.is_ok())).collect();
        assert_eq!(numbers, [(2, true), (4, false), (5, false), (6, false), (7, true)]);

        let json =
            "{\"name\":\"a\",\"org\":\"o\",\"hash\":\"$2b$secret\",\"extra\":1}\nnot json\n{\"name\":\"\"}\n";
        let lines = all(json.as_bytes(), Form::JsonLines);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 2, 3]);
        for line in lines {
            let problem = line.record.unwrap_err();
            assert!(!problem.contains("secret") && !problem.contains("at line"), "{problem}");
        }
    }

    #[test]
    fn a_header_that_is_not_ours_is_refused_as_a_whole() {
        for header in ["name,org\n", "name,hash,scope\n", "name,hash,hash\n", ""] {
            assert!(Records::read(header.as_bytes(), Form::Csv).is_err(), "{header}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_held_in_memory() {
        let endless = io::repeat(b'x');
        let mut records = Records::read(endless, Form::JsonLines).unwrap();
        assert!(records.next().unwrap().is_err());
        assert!(Records::read(io::repeat(b'x'), Form::Csv).is_err());
        let unclosed = b"name,hash\na,b\n\"".chain(io::repeat(b'x'));
        let mut records = Records::read(unclosed, Form::Csv).unwrap();
        assert!(records.next().unwrap().unwrap().record.is_ok());
        assert!(records.next().unwrap().is_err());
    }

    #[test]
    fn many_records_may_be_longer_than_one() {
        let many = format!("name,hash\n{}", "a,b\n".repeat(600_000));
        let mut records = Records::read(many.as_bytes(), Form::Csv).unwrap();
        assert!(records.all(|line| line.unwrap().record.is_ok()));
    }

    #[test]
    fn the_extension_decides() {
        assert_eq!(Form::of(Path::new("a/keys.CSV")), Some(Form::Csv));
        assert_eq!(Form::of(Path::new("keys.jsonl")), Some(Form::JsonLines));
        assert_eq!(Form::of(Path::new("csv")), None);
    }
}
