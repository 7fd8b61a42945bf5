//! `--name value`, all the way.

use std::{collections::HashMap, error::Error, fs, str::FromStr};

/// What stands behind the role.
pub struct Options(HashMap<String, String>);

impl Options {
    /// Takes pairs apart; a name without a value is an error.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = HashMap::new();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").ok_or_else(|| format!("unexpected {argument}"))?;
            let value = arguments.next().ok_or_else(|| format!("--{name} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    /// The value, if it was given.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value as a number or an address, or `default`.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T, Box<dyn Error>> {
        match self.given(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name} {text}").into()),
        }
    }

    /// A value that there is no default for.
    pub fn needed<T: FromStr>(&self, name: &str) -> Result<T, Box<dyn Error>> {
        let text = self.given(name).ok_or_else(|| format!("--{name} is missing"))?;
        text.parse().map_err(|_| format!("--{name} {text}").into())
    }

    /// Numbers with commas between them.
    pub fn list<T: FromStr>(&self, name: &str) -> Result<Vec<T>, Box<dyn Error>> {
        let words = self.given(name).unwrap_or_default().split(',').filter(|word| !word.is_empty());
        words.map(|word| word.parse().map_err(|_| format!("--{name} {word}").into())).collect()
    }

    /// The keys of a file, one a line.
    pub fn keys(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let file: String = self.needed("keys")?;
        let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let keys: Vec<_> = text.lines().map(str::to_owned).collect();
        if keys.is_empty() { Err(format!("{file} holds no key").into()) } else { Ok(keys) }
    }
}
