//! `profile`: the rules of the platform, by the name of a shipped one or as a file of its own.

use super::{
    error::ConfigError,
    raw::{Findings, Item, Problem, Section},
    suggest,
};
use crate::domain::{permission::Permission, profile::Profile};

/// The profile that `profile` names; none when it cannot be used, which has been noted.
pub(super) fn read(whole: &mut Section<'_>) -> Option<Profile> {
    let findings = whole.findings();
    let source = if whole.has("profile") {
        whole.read("profile", EXAMPLE, |item| source(item, findings))?
    } else {
        Source::shipped(DEFAULT)?
    };
    match Profile::parse(&source.text, &source.origin) {
        Ok(profile) => Some(profile),
        Err(faults) => {
            for fault in &faults {
                findings.refuse_elsewhere(ConfigError {
                    file: fault.origin.clone().into(),
                    variable: None,
                    key: fault.key.clone(),
                    problem: fault.problem.clone(),
                    example: fault.example.clone(),
                });
            }
            None
        }
    }
}

/// The permissions that routes may name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vocabulary<'p>(Option<&'p Profile>);

impl<'p> Vocabulary<'p> {
    pub(super) fn of(profile: Option<&'p Profile>) -> Self {
        Self(profile)
    }

    /// Without a usable profile every name passes: its own fault is noted, the routes are not to blame.
    pub(super) fn permission(self, name: &str) -> Result<Permission, Problem> {
        let Some(profile) = self.0 else { return Ok(Permission::new(0)) };
        profile.permissions.get(name).ok_or_else(|| {
            let mut hint = suggest::did_you_mean(name, self.names());
            if hint.is_empty() {
                hint = format!("; it has {}", self.names().collect::<Vec<_>>().join(" "));
            }
            format!("{name:?} is not a permission of the profile {}{hint}", profile.name)
        })
    }

    /// A name that exists, for examples: of the platform's own, which stand last.
    pub(super) fn example(self) -> &'p str {
        self.names().last().unwrap_or("scan:read")
    }

    fn names(self) -> impl Iterator<Item = &'p str> {
        self.0.into_iter().flat_map(|profile| {
            profile.permissions.iter().map(|permission| profile.permissions.name(permission))
        })
    }
}

/// A profile's text and what its faults call it.
struct Source {
    text: String,
    origin: String,
}

impl Source {
    fn shipped(name: &str) -> Option<Self> {
        let text = Profile::shipped(name)?;
        Some(Self { text: text.to_owned(), origin: format!("profile {name}") })
    }
}

/// A value with a slash or ending in `.toml` is a path, so a slip in a name is not taken for a missing file.
fn source(item: &Item, findings: &Findings) -> Result<Source, Problem> {
    let given = item.text()?;
    let extension = std::path::Path::new(given).extension();
    if !given.contains('/') && extension.is_none_or(|extension| extension != "toml") {
        return Source::shipped(given).ok_or_else(|| {
            let known = Profile::SHIPPED.map(|(name, _)| name);
            let hint = suggest::did_you_mean(given, known);
            format!("{given:?} is not one of {}, nor the path of a .toml file{hint}", known.join(", "))
        });
    }
    let path = findings.resolve(given);
    let text = super::read_text(&path)
        .map_err(|error| format!("names {}, which cannot be read: {error}", path.display()))?;
    Ok(Source { text, origin: path.display().to_string() })
}

const DEFAULT: &str = "offload";
const EXAMPLE: &str = "\"offload\"";
