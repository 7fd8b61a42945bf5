//! The process environment, read here and nowhere else, and laid over the file.

use std::{collections::BTreeMap, ffi::OsString, fmt, fs, io::Read};

use toml::{Table, Value};

use super::raw::Findings;

/// The variables the program looks at. Tests build their own; `Debug` shows names only, values may be secrets.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// The variables of this process that concern us: `LATCHGATE_*` and a few conventions of the platform.
    pub fn from_process() -> Self {
        let ours = |name: &str| name.starts_with(PREFIX) || CONVENTIONS.contains(&name);
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| ours(name))
            .collect();
        Self { variables }
    }

    /// No variable at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// One more variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// A variable that is no configuration key, such as `LATCHGATE_TOKEN` or `NO_COLOR`; none when it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.to_str()
    }

    /// Lays every `LATCHGATE_SECTION__KEY` over the file's tree. A name that leads nowhere becomes an unknown key.
    pub(super) fn lay_over(&self, table: &mut Table, findings: &mut Findings) {
        for (name, value) in &self.variables {
            let Some(path) = key_path(name) else { continue };
            let Some(text) = value.to_str() else {
                findings.refuse(name.as_str(), "is not UTF-8", "");
                continue;
            };
            if path.len() > DEEPEST || path.iter().any(String::is_empty) {
                findings.refuse(name.as_str(), "names no key", "");
                continue;
            }
            match self.secret_from_file(name, &path, text, findings) {
                Ok(Some((path, text))) => set(table, &path, text, name, findings),
                Ok(None) => set(table, &path, text.to_owned(), name, findings),
                Err(problem) => findings.refuse(name.as_str(), problem, ""),
            }
        }
    }

    /// `..._FILE` of a secret key: the key and what the file holds.
    fn secret_from_file(
        &self,
        name: &str,
        path: &[String],
        file: &str,
        findings: &Findings,
    ) -> Result<Option<(Vec<String>, String)>, String> {
        let Some(plain) = name.strip_suffix("_FILE") else { return Ok(None) };
        let mut path = path.to_owned();
        let Some(key) = path.pop().and_then(|key| key.strip_suffix("_file").map(str::to_owned)) else {
            return Ok(None);
        };
        path.push(key);
        if !SECRETS.contains(&path.join(".").as_str()) {
            return Ok(None);
        }
        if self.variables.contains_key(plain) {
            return Err(format!("and {plain} both give {}: set one of them", path.join(".")));
        }
        let file = findings.resolve(file);
        let mut text = String::new();
        fs::File::open(&file)
            .and_then(|opened| opened.take(LONGEST_SECRET).read_to_string(&mut text))
            .map_err(|error| format!("names {}, which cannot be read: {error}", file.display()))?;
        Ok(Some((path, text.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// `LATCHGATE_AUTH__CACHE_CAPACITY` -> `auth`, `cache_capacity`. Names without `__` belong to others
/// (`LATCHGATE_TOKEN`, what Kubernetes sets for a service of our name), but for the keys that stand in no section.
fn key_path(name: &str) -> Option<Vec<String>> {
    let key = name.strip_prefix(PREFIX)?;
    let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
    (path.len() > 1 || TOP_LEVEL.contains(&key)).then_some(path)
}

/// Puts the text at this place of the tree. Numbers lead into lists: `LATCHGATE_ROUTE__0__HOST`.
fn set(table: &mut Table, path: &[String], text: String, variable: &str, findings: &mut Findings) {
    let mut place = Value::Table(std::mem::take(table));
    let outcome = descend(&mut place, path, String::new(), text);
    if let Value::Table(whole) = place {
        *table = whole;
    }
    match outcome {
        Ok(key) => {
            if let Some(earlier) = findings.set_by(key.clone(), variable) {
                findings.refuse(variable, format!("and {earlier} both give {key}: set one of them"), "");
            }
        }
        Err(problem) => findings.refuse(variable, problem, ""),
    }
}

/// The dotted key under which the text now stands.
fn descend(place: &mut Value, path: &[String], walked: String, text: String) -> Result<String, String> {
    let Some((step, rest)) = path.split_first() else {
        *place = Value::String(text);
        return Ok(walked);
    };
    match place {
        Value::Table(table) => {
            // A variable cannot tell `get` from `GET`; methods are the only keys with capitals.
            let known = table.keys().find(|key| key.eq_ignore_ascii_case(step)).cloned();
            let written =
                || if walked.ends_with(".require") { step.to_ascii_uppercase() } else { step.clone() };
            let key = known.unwrap_or_else(written);
            let walked = if walked.is_empty() { key.clone() } else { format!("{walked}.{key}") };
            let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            descend(inner, rest, walked, text)
        }
        Value::Array(list) => {
            let count = list.len();
            let index = step.parse().ok().filter(|index: &usize| *index < count);
            match index.and_then(|index| Some((index, list.get_mut(index)?))) {
                Some((index, inner)) => descend(inner, rest, format!("{walked}[{index}]"), text),
                None => {
                    Err(format!("`{walked}` is a list of {count}, so `{step}` must be a number below that"))
                }
            }
        }
        _ => Err(format!("`{walked}` is a single value, there is no `{step}` in it")),
    }
}

const PREFIX: &str = "LATCHGATE_";

/// Variables of the platform that the program honours.
const CONVENTIONS: &[&str] = &["NO_COLOR", "LISTEN_FDNAMES"];

/// Keys outside any section.
const TOP_LEVEL: &[&str] = &["PROFILE", "UPSTREAM", "ROUTE"];

/// No key has more parts; a bound, so that no name can exhaust the stack.
const DEEPEST: usize = 8;

/// Values that may be secret: also taken from the file that `..._FILE` names. (`store.secret_file` is a path
/// by itself.)
const SECRETS: &[&str] = &["audit.alert_webhook", "mail.url", "store.url"];

/// In bytes.
const LONGEST_SECRET: u64 = 64 * 1024;
