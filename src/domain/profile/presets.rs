//! Ready-made lists of scopes for keys (R000_13).

use super::{
    keys::KeyRules,
    permissions::{Permissions, select},
    read::Section,
    roles::name,
};
use crate::domain::permission::PermissionSet;

/// A ready-made list of scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name in the API.
    pub name: Box<str>,
    /// Its name for people.
    pub title: Box<str>,
    /// What it is for, for people.
    pub text: Box<str>,
    /// Its scopes as listed, implications not applied, all of them grantable.
    pub scopes: PermissionSet,
}

/// The presets of a profile, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Presets(Vec<Preset>);

impl Presets {
    /// The preset of this exact name.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.iter().find(|preset| *preset.name == *name)
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Preset> {
        self.0.iter()
    }

    /// Reads every `[[preset]]`; patterns mean what keys may hold, so `*` is full access for a key.
    pub(super) fn read(root: &mut Section<'_>, vocabulary: &Permissions, keys: Option<&KeyRules>) -> Self {
        let grantable = keys.map_or_else(|| vocabulary.all(), |keys| keys.grantable);
        let mut presets = Self::default();
        for section in root.sections("preset", "[[preset]]") {
            let Some(preset) = read_one(section, vocabulary, grantable) else { continue };
            if presets.get(&preset.name).is_some() {
                root.fault("preset", format!("`{}` is there twice", preset.name), "");
            } else {
                presets.0.push(preset);
            }
        }
        presets
    }
}

impl<'a> IntoIterator for &'a Presets {
    type Item = &'a Preset;
    type IntoIter = std::slice::Iter<'a, Preset>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn read_one(mut section: Section<'_>, vocabulary: &Permissions, grantable: PermissionSet) -> Option<Preset> {
    let name = name(&mut section, "name = \"read_only\"");
    if let Some(name) = &name {
        section.call(format!("preset.{name}"));
    }
    let title = section.text("title", "title = \"Read Only\"");
    let text = section.text("text", "text = \"Read everything\"");
    let example = "scopes = [\"scan:read\", \"report:*\"]";
    let list = section.list("scopes", example).unwrap_or_default();
    let fault = |problem| section.fault("scopes", problem, example);
    let scopes = select(vocabulary, grantable, &list, fault);
    if list.is_empty() {
        fault("a key of this preset could not do anything".to_owned());
    }
    let beyond = vocabulary.closure(scopes).difference(&grantable);
    if !beyond.is_empty() {
        fault(format!("gives what `keys.scopes` does not allow: {}", vocabulary.names(beyond).join(", ")));
    }
    section.end();
    Some(Preset { name: name?.into(), title: title?.into(), text: text?.into(), scopes })
}
