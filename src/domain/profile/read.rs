//! Reads a profile's text into plain values and remembers every fault on the way.
//!
//! An operator who writes a fifth platform should see all that is wrong at once, each with the dotted
//! path of its key and a line that would be right. A deserializer stops at the first fault, so this
//! walks the table itself: whoever reads a key takes it out, and what is left at the end is unknown.

use std::{cell::RefCell, fmt};

use toml::{Table, Value};

/// One fault of a profile file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileError {
    /// The file, or the name of the shipped profile.
    pub origin: String,
    /// Dotted path of the key, such as `role.viewer.permissions`; a line for text that is no TOML.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// A line that would be right; empty where the problem already says what to do.
    pub example: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key, self.problem)?;
        if self.example.is_empty() { Ok(()) } else { write!(f, "; for example: {}", self.example) }
    }
}

impl std::error::Error for ProfileError {}

/// Every fault of a profile file; prints one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileErrors(Vec<ProfileError>);

impl ProfileErrors {
    /// The faults, in the order of the checks.
    pub fn iter(&self) -> std::slice::Iter<'_, ProfileError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ProfileErrors {
    type Item = &'a ProfileError;
    type IntoIter = std::slice::Iter<'a, ProfileError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ProfileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProfileErrors {}

/// Collects faults while a file is read.
pub(super) struct Report {
    origin: String,
    faults: RefCell<Vec<ProfileError>>,
}

impl Report {
    pub(super) fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), faults: RefCell::default() }
    }

    pub(super) fn fault(&self, key: impl Into<String>, problem: impl Into<String>, example: &str) {
        self.faults.borrow_mut().push(ProfileError {
            origin: self.origin.clone(),
            key: key.into(),
            problem: problem.into(),
            example: example.to_owned(),
        });
    }

    /// The value, if it could be built and nothing was wrong anywhere.
    pub(super) fn verdict<T>(self, built: Option<T>) -> Result<T, ProfileErrors> {
        let faults = self.faults.into_inner();
        match built {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(ProfileErrors(faults)),
        }
    }
}

/// A table of the file with its path; every read takes the key out.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    known: Vec<&'static str>,
    pub(super) report: &'a Report,
}

impl<'a> Section<'a> {
    /// The whole file, or one fault that names the line.
    pub(super) fn root(text: &str, report: &'a Report) -> Option<Self> {
        match text.parse::<Table>() {
            Ok(table) => Some(Self { path: String::new(), table, known: Vec::new(), report }),
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                report.fault(format!("line {line}"), error.message().trim().replace('\n', " "), "");
                None
            }
        }
    }

    /// The dotted path of a key in here.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn fault(&self, key: &str, problem: impl Into<String>, example: &str) {
        self.report.fault(self.key(key), problem, example);
    }

    /// From here on faults call this section by its name instead of its number.
    pub(super) fn call(&mut self, path: String) {
        self.path = path;
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn required(&mut self, key: &'static str, example: &str) -> Option<Value> {
        let value = self.take(key);
        if value.is_none() {
            self.fault(key, "is missing", example);
        }
        value
    }

    /// A text that must be there and say something.
    pub(super) fn text(&mut self, key: &'static str, example: &str) -> Option<String> {
        let value = self.required(key, example)?;
        self.as_text(key, value, example)
    }

    /// A text that may be left out.
    pub(super) fn optional_text(&mut self, key: &'static str, example: &str) -> Option<String> {
        let value = self.take(key)?;
        self.as_text(key, value, example)
    }

    fn as_text(&self, key: &str, value: Value, example: &str) -> Option<String> {
        match value {
            Value::String(text) if !text.trim().is_empty() && text.len() <= LONGEST_TEXT => Some(text),
            Value::String(text) if text.len() > LONGEST_TEXT => {
                self.fault(key, format!("is longer than {LONGEST_TEXT} bytes"), example);
                None
            }
            Value::String(_) => {
                self.fault(key, "is empty", example);
                None
            }
            other => {
                self.fault(key, format!("is {}, not a text", kind(&other)), example);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let example = words.first().map(|(word, _)| format!("{key} = \"{word}\"")).unwrap_or_default();
        let text = self.text(key, &example)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.fault(key, format!("`{text}` is not one of {}", one_of(words)), &example);
        }
        found
    }

    /// Several of a few words; none when left out.
    pub(super) fn words<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], example: &str) -> Vec<T> {
        let mut found = Vec::new();
        for text in self.optional_list(key, example).unwrap_or_default() {
            match words.iter().find(|(word, _)| *word == text) {
                Some((_, value)) => found.push(*value),
                None => self.fault(key, format!("`{text}` is not one of {}", one_of(words)), example),
            }
        }
        found
    }

    /// Yes or no; no when left out.
    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        match self.take(key) {
            None => false,
            Some(Value::Boolean(flag)) => flag,
            Some(other) => {
                let problem = format!("is {}, not true or false", kind(&other));
                self.fault(key, problem, &format!("{key} = true"));
                false
            }
        }
    }

    /// A number that must be there, within limits (both allowed).
    pub(super) fn number(&mut self, key: &'static str, limits: (u32, u32), example: &str) -> Option<u32> {
        let value = self.required(key, example)?;
        self.as_number(key, &value, limits, example)
    }

    /// A number that may be left out.
    pub(super) fn optional_number(
        &mut self,
        key: &'static str,
        limits: (u32, u32),
        example: &str,
    ) -> Option<u32> {
        let value = self.take(key)?;
        self.as_number(key, &value, limits, example)
    }

    /// A list of numbers; empty when left out.
    pub(super) fn numbers(&mut self, key: &'static str, limits: (u32, u32), example: &str) -> Vec<u32> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => {
                values.iter().filter_map(|value| self.as_number(key, value, limits, example)).collect()
            }
            Some(other) => {
                self.fault(key, format!("is {}, not a list", kind(&other)), example);
                Vec::new()
            }
        }
    }

    fn as_number(&self, key: &str, value: &Value, (low, high): (u32, u32), example: &str) -> Option<u32> {
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (low..=high).contains(number));
        if number.is_none() {
            self.fault(key, format!("is not a whole number from {low} to {high}"), example);
        }
        number
    }

    /// A list of texts that must be there; it may be empty, its members may not.
    pub(super) fn list(&mut self, key: &'static str, example: &str) -> Option<Vec<String>> {
        let value = self.required(key, example)?;
        self.as_list(key, value, example)
    }

    /// A list of texts that may be left out.
    pub(super) fn optional_list(&mut self, key: &'static str, example: &str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        self.as_list(key, value, example)
    }

    fn as_list(&self, key: &str, value: Value, example: &str) -> Option<Vec<String>> {
        let Value::Array(values) = value else {
            self.fault(key, format!("is {}, not a list of texts", kind(&value)), example);
            return None;
        };
        let mut list: Vec<String> = Vec::with_capacity(values.len());
        for value in values {
            let Some(text) = self.as_text(key, value, example) else { continue };
            if list.contains(&text) {
                self.fault(key, format!("names `{text}` twice"), example);
            } else {
                list.push(text);
            }
        }
        Some(list)
    }

    /// A table inside this one that must be there.
    pub(super) fn section(&mut self, key: &'static str, example: &str) -> Option<Self> {
        let value = self.required(key, example)?;
        self.as_section(self.key(key), value, example)
    }

    fn as_section(&self, path: String, value: Value, example: &str) -> Option<Self> {
        if let Value::Table(table) = value {
            return Some(Self { path, table, known: Vec::new(), report: self.report });
        }
        self.report.fault(path, format!("is {}, not a table", kind(&value)), example);
        None
    }

    /// The tables of a `[[list]]`, in the order of the file; none when left out.
    pub(super) fn sections(&mut self, key: &'static str, example: &str) -> Vec<Self> {
        let values = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(other) => {
                self.fault(key, format!("is {}, not a list of tables", kind(&other)), example);
                return Vec::new();
            }
        };
        let path = |at| format!("{}[{at}]", self.key(key));
        let read = |(at, value)| self.as_section(path(at), value, example);
        values.into_iter().enumerate().filter_map(read).collect()
    }

    /// All that is left: the entries of a table whose keys are free.
    pub(super) fn entries(self) -> impl Iterator<Item = (String, Entry<'a>)> {
        let Self { path, table, report, .. } = self;
        table.into_iter().map(move |(name, value)| {
            let path = format!("{path}.\"{name}\"");
            let entry = match value {
                Value::String(text) => Entry::Text(text),
                Value::Table(table) => Entry::Section(Self { path, table, known: Vec::new(), report }),
                other => Entry::Other(kind(&other)),
            };
            (name, entry)
        })
    }

    /// Refuses what nobody asked for: a misspelt key must not pass for a default.
    pub(super) fn end(self) {
        for unknown in self.table.keys() {
            let known = self.known.join(", ");
            self.fault(unknown, format!("is not a key of a profile; known here: {known}"), "");
        }
    }
}

/// An entry of a table with free keys.
pub(super) enum Entry<'a> {
    Text(String),
    Section(Section<'a>),
    Other(&'static str),
}

fn one_of<T>(words: &[(&str, T)]) -> String {
    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Texts are names and one-line descriptions.
const LONGEST_TEXT: usize = 1_000;
