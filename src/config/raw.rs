//! The raw step: a TOML tree with the environment laid over it, read key by key.
//!
//! Deriving `Deserialize` would stop at the first fault and would not know the dotted key of it. A [`Section`]
//! instead notes each fault and reads on, so that one run of `check` shows all of them. What a section was not
//! asked for is an unknown key: there is no way to forget that check, it happens when the section has been read.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Display,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    error::{ConfigError, Warning},
    suggest,
};

/// What has been found wrong so far, and where values came from.
#[derive(Debug)]
pub(super) struct Findings {
    file: PathBuf,
    /// Dotted key -> the environment variable that set it.
    variables: BTreeMap<String, String>,
    faults: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Findings {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            variables: BTreeMap::new(),
            faults: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Remembers that a variable set this key; the variable that had set it before, if any.
    pub(super) fn set_by(&mut self, key: String, variable: &str) -> Option<String> {
        self.variables.insert(key, variable.to_owned())
    }

    pub(super) fn refuse(
        &self,
        key: impl Into<String>,
        problem: impl Into<String>,
        example: impl Into<String>,
    ) {
        let key = key.into();
        self.push(self.variable(&key), key, problem.into(), example.into());
    }

    /// A fault of a file that this one names.
    pub(super) fn refuse_elsewhere(&self, fault: ConfigError) {
        self.faults.borrow_mut().push(fault);
    }

    fn push(&self, variable: Option<String>, key: String, problem: Problem, example: String) {
        self.faults.borrow_mut().push(ConfigError {
            file: self.file.clone(),
            variable,
            key,
            problem,
            example,
        });
    }

    pub(super) fn warn(&self, key: impl Into<String>, text: impl Into<String>) {
        self.warnings.borrow_mut().push(Warning { key: key.into(), text: text.into() });
    }

    /// A path in the configuration is relative to its file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    pub(super) fn into_parts(self) -> (Vec<ConfigError>, Vec<Warning>) {
        (self.faults.into_inner(), self.warnings.into_inner())
    }

    /// The variable behind this key: its own, that of what holds it, or that of something inside it.
    fn variable(&self, key: &str) -> Option<String> {
        let within = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.variables
            .iter()
            .find(|(set, _)| within(set, key) || within(key, set))
            .map(|(_, variable)| variable.clone())
    }
}

/// Why a value is not accepted, in words that follow the key.
pub(super) type Problem = String;

/// One value, together with whether it is text from the environment (then text may stand for a number or a list).
#[derive(Debug, Clone)]
pub(super) struct Item {
    value: Value,
    from_environment: bool,
}

impl Item {
    pub(super) fn text(&self) -> Result<&str, Problem> {
        self.value.as_str().ok_or_else(|| self.unexpected("text in quotes"))
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        let given = match &self.value {
            Value::String(text) if self.from_environment => text.parse().ok(),
            value => value.as_bool(),
        };
        given.ok_or_else(|| self.unexpected("true or false"))
    }

    /// A whole number within these bounds.
    pub(super) fn number<N: TryFrom<i64> + PartialOrd + Display>(
        &self,
        bounds: RangeInclusive<N>,
    ) -> Result<N, Problem> {
        let given = match &self.value {
            Value::String(text) if self.from_environment => text.trim().parse().ok(),
            value => value.as_integer(),
        };
        let given: i64 = given.ok_or_else(|| self.unexpected("a whole number"))?;
        N::try_from(given)
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| format!("{given} is not from {} to {}", bounds.start(), bounds.end()))
    }

    pub(super) fn is_text(&self) -> bool {
        let inline = |text: &str| text.trim_start().starts_with(['{', '[']);
        self.value.as_str().is_some_and(|text| !(self.from_environment && inline(text)))
    }

    fn list(&self) -> Result<Vec<Self>, Problem> {
        match self.structured()? {
            // What stands inside is TOML, also when a variable holds it.
            Value::Array(values) => {
                Ok(values.into_iter().map(|value| Self { value, from_environment: false }).collect())
            }
            _ => Err(self.unexpected("a list in brackets")),
        }
    }

    pub(super) fn table(&self) -> Result<Table, Problem> {
        match self.structured()? {
            Value::Table(table) => Ok(table),
            _ => Err(self.unexpected("a table")),
        }
    }

    /// Lists and tables come through the environment as TOML.
    fn structured(&self) -> Result<Value, Problem> {
        match &self.value {
            Value::String(text) if self.from_environment => {
                text.parse().map_err(|error: toml::de::Error| format!("is not TOML: {}", error.message()))
            }
            value => Ok(value.clone()),
        }
    }

    fn unexpected(&self, wanted: &str) -> Problem {
        match &self.value {
            Value::String(_) if self.from_environment => format!("expected {wanted}"),
            value => format!("expected {wanted}, found {}", named(value)),
        }
    }
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// One table of the file while it is being read.
#[derive(Debug)]
pub(super) struct Section<'f> {
    findings: &'f Findings,
    /// Dotted, without the last dot; empty for the file itself.
    path: String,
    /// The line under which its keys stand in a file.
    header: String,
    table: Table,
    asked: Vec<&'static str>,
}

impl<'f> Section<'f> {
    /// Reads the whole tree; what the reader leaves behind is refused.
    pub(super) fn whole<T>(findings: &'f Findings, table: Table, read: impl FnOnce(&mut Self) -> T) -> T {
        Self::run(findings, String::new(), String::new(), table, read)
    }

    fn run<T>(
        findings: &'f Findings,
        path: String,
        header: String,
        table: Table,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut section = Self { findings, path, header, table, asked: Vec::new() };
        let outcome = read(&mut section);
        section.finish();
        outcome
    }

    /// Whether a key is there at all.
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.contains_key(key)
    }

    /// One value. Absent or refused: none; a refusal is noted, so a default in its place never runs.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&Item) -> Result<T, Problem>,
    ) -> Option<T> {
        let item = self.take(key)?;
        parse(&item).map_err(|problem| self.refuse(key, problem, example)).ok()
    }

    /// One value that must be there.
    pub(super) fn need<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&Item) -> Result<T, Problem>,
    ) -> Option<T> {
        if !self.has(key) {
            self.refuse(key, "is missing", example);
            return None;
        }
        self.read(key, example, parse)
    }

    /// A list of values, each with its own fault.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&Item) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        let items = self.read(key, example, Item::list)?;
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match parse(item) {
                Ok(value) => values.push(value),
                Err(problem) => self.findings.refuse(
                    format!("{}[{index}]", self.path_of(key)),
                    problem,
                    self.example(key, example),
                ),
            }
        }
        Some(values)
    }

    /// A list that must be there and hold something.
    pub(super) fn need_list<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&Item) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        if !self.has(key) {
            self.refuse(key, "is missing", example);
        }
        let empty = Cell::new(true);
        let values = self.list(key, example, |item| {
            empty.set(false);
            parse(item)
        })?;
        if empty.get() {
            self.refuse(key, "is empty", example);
        }
        Some(values)
    }

    /// A table inside this one; absent, it is read as an empty one and gives the defaults.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let path = self.path_of(key);
        let header = match self.header.trim_matches(['[', ']']) {
            "" => format!("[{key}]"),
            outer => format!("[{outer}.{key}]"),
        };
        let table = self.take(key).and_then(|item| {
            let example = format!("{header}\n");
            item.table().map_err(|problem| self.findings.refuse(path.as_str(), problem, example)).ok()
        });
        Self::run(self.findings, path, header, table.unwrap_or_default(), read)
    }

    /// `[[key]]` tables, in the order of the file.
    pub(super) fn sections<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let header = match self.header.trim_matches(['[', ']']) {
            "" => format!("[[{key}]]"),
            outer => format!("[[{outer}.{key}]]"),
        };
        let items = match self.take(key).map(|item| item.list()) {
            None => return Vec::new(),
            Some(Ok(items)) => items,
            Some(Err(_)) => {
                self.findings.refuse(
                    self.path_of(key),
                    format!("is written as {header}, once for each"),
                    header,
                );
                return Vec::new();
            }
        };
        let mut outcomes = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            match item.table() {
                Ok(table) => {
                    outcomes.push(Self::run(self.findings, path, header.clone(), table, &mut read));
                }
                Err(problem) => self.findings.refuse(path, problem, header.clone()),
            }
        }
        outcomes
    }

    pub(super) fn refuse(&self, key: &str, problem: impl Into<String>, example: &str) {
        let top = key.split(['.', '[']).next().unwrap_or(key);
        self.findings.refuse(self.path_of(key), problem, self.example(top, example));
    }

    pub(super) fn warn(&self, key: &str, text: impl Into<String>) {
        self.findings.warn(self.path_of(key), text);
    }

    pub(super) fn findings(&self) -> &'f Findings {
        self.findings
    }

    /// The dotted key of one of its keys.
    pub(super) fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Item> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let value = self.table.remove(key)?;
        let from_environment = self.findings.variables.contains_key(&self.path_of(key));
        Some(Item { value, from_environment })
    }

    /// The lines that would be accepted; an empty value says that there are none to show.
    fn example(&self, key: &str, value: &str) -> String {
        match (self.header.as_str(), value) {
            (_, "") => String::new(),
            ("", value) => format!("{key} = {value}"),
            (header, value) => format!("{header}\n{key} = {value}"),
        }
    }

    fn finish(self) {
        for key in self.table.keys() {
            let hint = suggest::did_you_mean(key, self.asked.iter().copied());
            let printed =
                if key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) && !key.is_empty() {
                    key.clone()
                } else {
                    format!("{key:?}")
                };
            let known = self.asked.join(", ");
            self.findings.push(
                self.findings.variable(&self.path_of(key)),
                self.path_of(&printed),
                format!("is not a key of this version{hint}; known here: {known}"),
                String::new(),
            );
        }
    }
}
