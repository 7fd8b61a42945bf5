//! `[store]`: where state lives, and the secret that protects it.

use std::path::{Path, PathBuf};

use super::raw::{Findings, Item, Problem, Section};

/// The store's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The database.
    pub url: StoreUrl,
    /// 32 random bytes, from which the keys for look-up MACs are derived.
    pub secret_file: PathBuf,
}

/// Which database, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A file of this machine.
    Sqlite(PathBuf),
}

impl StoreUrl {
    /// The database file.
    pub fn path(&self) -> &Path {
        let Self::Sqlite(path) = self;
        path
    }
}

impl Store {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let findings = section.findings();
        let url = section.read("url", r#""sqlite://latchgate.db""#, |item| store_url(item, findings));
        let secret_file = section.read("secret_file", r#""secret.key""#, |item| file(item, findings));
        let store = Self {
            url: url.unwrap_or_else(|| StoreUrl::Sqlite(findings.resolve("latchgate.db"))),
            secret_file: secret_file.unwrap_or_else(|| findings.resolve("secret.key")),
        };
        if store.url.path() == store.secret_file {
            section.refuse("secret_file", "is the same file as the database", r#""secret.key""#);
        }
        store
    }
}

/// The refusals here never print the URL: it may hold a password.
fn store_url(item: &Item, findings: &Findings) -> Result<StoreUrl, Problem> {
    let text = item.text()?;
    if ["postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err("PostgreSQL is not supported in this version, only sqlite://".to_owned());
    }
    let Some(path) = text.strip_prefix("sqlite://") else {
        return Err("must begin with sqlite://".to_owned());
    };
    if path == ":memory:" {
        return Err("must name a file: a store in memory would forget every key at the end".to_owned());
    }
    if path.is_empty() || path.ends_with('/') {
        return Err("must name a file".to_owned());
    }
    if path.contains(['?', '#', '\0']) {
        return Err("takes a file name alone, without options".to_owned());
    }
    Ok(StoreUrl::Sqlite(findings.resolve(path)))
}

fn file(item: &Item, findings: &Findings) -> Result<PathBuf, Problem> {
    match item.text()? {
        "" => Err("must name a file".to_owned()),
        name if name.contains('\0') => Err("is not a file name".to_owned()),
        name => Ok(findings.resolve(name)),
    }
}
