//! What is wrong with a configuration: every fault at once, each with its file, its key and a valid example.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One fault. Its text never holds a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file, as it was named to us.
    pub file: PathBuf,
    /// The environment variable that gave the value, when it was not the file.
    pub variable: Option<String>,
    /// The dotted key, such as `route[2].require.GET`; empty when the fault is the file's as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// TOML that would be accepted in its place; empty where leaving the key out is the remedy.
    pub example: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        if let Some(variable) = &self.variable {
            write!(f, " (from {variable})")?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.example.is_empty() {
            f.write_str("\n  for example:")?;
            for line in self.example.lines() {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

/// All faults of one configuration; never empty. The command line answers it with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    pub(super) fn new(faults: Vec<ConfigError>) -> Option<Self> {
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// A fault of the file as a whole: unreadable, or not TOML.
    pub(super) fn whole_file(file: &Path, problem: String, example: &str) -> Self {
        Self(vec![ConfigError {
            file: file.to_owned(),
            variable: None,
            key: String::new(),
            problem,
            example: example.to_owned(),
        }])
    }

    /// Each fault, in the order in which the sections are read.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Something that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The dotted key.
    pub key: String,
    /// What it means for the operator.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}
