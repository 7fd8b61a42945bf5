//! The vocabulary: every right that exists on a platform, and which right brings which others.
//!
//! The control plane's own rights stand first, at the same place in every profile, so that code may name them
//! as constants; the platform's follow in the order of their names. Names are exact and case-sensitive.

use std::collections::HashMap;

use super::read::{Entry, Section};
use crate::domain::permission::{Permission, PermissionSet};

/// Most permissions a profile may have: a set is four words of bits.
pub const MOST_PERMISSIONS: usize = 256;
const LONGEST_NAME: usize = 64;

macro_rules! control {
    ($($index:literal $constant:ident $name:literal $text:literal;)*) => {
        /// The control plane's own rights, which every profile knows.
        pub mod control {
            use crate::domain::permission::Permission;

            $(#[doc = concat!("`", $name, "`: ", $text, ".")]
            pub const $constant: Permission = Permission::new($index);)*
        }

        const CONTROL: &[(Permission, &str, &str)] = &[$((control::$constant, $name, $text)),*];
    };
}

control! {
    0 ORG_CREATE "org:create" "Create organizations";
    1 ORG_UPDATE "org:update" "Change the organization";
    2 ORG_DELETE "org:delete" "Delete the organization";
    3 TEAM_MANAGE "team:manage" "Create, change and delete teams";
    4 PROJECT_MANAGE "project:manage" "Create, change and delete projects";
    5 MEMBER_READ "member:read" "See members and their roles";
    6 MEMBER_INVITE "member:invite" "Invite people";
    7 MEMBER_UPDATE "member:update" "Change members and their roles";
    8 MEMBER_REMOVE "member:remove" "Remove members";
    9 ROLE_MANAGE "role:manage" "Create, change and delete custom roles";
    10 GROUP_MANAGE "group:manage" "Create, change and delete groups";
    11 API_KEY_CREATE "api_key:create" "Create API keys";
    12 API_KEY_READ "api_key:read" "See API keys, never their secrets";
    13 API_KEY_UPDATE "api_key:update" "Change API keys";
    14 API_KEY_ROTATE "api_key:rotate" "Rotate API keys";
    15 API_KEY_REVOKE "api_key:revoke" "Revoke API keys";
    16 AUDIT_READ "audit:read" "Read the audit trail";
    17 USAGE_READ "usage:read" "See usage and request logs";
    18 WEBHOOK_MANAGE "webhook:manage" "Manage webhook secrets";
    19 BILLING_MANAGE "billing:manage" "Manage billing and payment methods";
}

/// A name that is not in the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a permission of this platform; names are exact and case-sensitive")]
pub struct UnknownPermission(pub String);

#[derive(Debug, Clone)]
struct Word {
    name: Box<str>,
    text: Box<str>,
    implies: PermissionSet,
    /// Itself and everything that it brings, however far.
    brings: PermissionSet,
}

/// The vocabulary of a profile.
#[derive(Debug, Clone)]
pub struct Permissions {
    words: Vec<Word>,
    index: HashMap<Box<str>, Permission>,
}

impl Permissions {
    /// The permission of this exact name.
    pub fn get(&self, name: &str) -> Option<Permission> {
        self.index.get(name).copied()
    }

    /// Its name; empty for a permission of another profile.
    pub fn name(&self, permission: Permission) -> &str {
        self.word(permission).map_or("", |word| &word.name)
    }

    /// What it allows, for people.
    pub fn text(&self, permission: Permission) -> &str {
        self.word(permission).map_or("", |word| &word.text)
    }

    /// What it brings directly, as the file says.
    pub fn implies(&self, permission: Permission) -> PermissionSet {
        self.word(permission).map_or(PermissionSet::EMPTY, |word| word.implies)
    }

    /// The whole vocabulary.
    pub fn all(&self) -> PermissionSet {
        self.iter().collect()
    }

    /// Every permission, in the order of the vocabulary.
    pub fn iter(&self) -> impl Iterator<Item = Permission> {
        (0..=u8::MAX).map(Permission::new).take(self.words.len())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never: the control plane's own are always there.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The set and everything that its members imply, however far.
    #[must_use]
    pub fn closure(&self, set: PermissionSet) -> PermissionSet {
        set.iter()
            .filter_map(|permission| self.word(permission))
            .fold(set, |all, word| all.union(&word.brings))
    }

    /// The set of these exact names; `*` and `noun:*` are no patterns here.
    pub fn parse_set<I>(&self, names: I) -> Result<PermissionSet, UnknownPermission>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let find = |name: I::Item| {
            let name = name.as_ref();
            let unknown = || UnknownPermission(name.chars().take(LONGEST_NAME).collect());
            self.get(name).ok_or_else(unknown)
        };
        names.into_iter().map(find).collect()
    }

    /// The names of a set, sorted.
    pub fn names(&self, set: PermissionSet) -> Vec<&str> {
        let mut names: Vec<_> = set.iter().map(|permission| self.name(permission)).collect();
        names.sort_unstable();
        names
    }

    fn word(&self, permission: Permission) -> Option<&Word> {
        self.words.get(usize::from(permission.index()))
    }

    /// The control plane's own and those of the file's `[permissions]`.
    pub(super) fn read(section: Section<'_>) -> Self {
        let report = section.report;
        let mut vocabulary = Self { words: Vec::new(), index: HashMap::new() };
        for (_, name, text) in CONTROL {
            vocabulary.add(name, text);
        }
        let mut implications = Vec::new();
        for (name, entry) in section.entries() {
            let key = format!("permissions.\"{name}\"");
            if !is_name(&name) {
                report.fault(key, "is not `noun:verb` of letters, digits, `_`, `-`, `.`, nor `*`", EXAMPLE);
                continue;
            }
            let text = match entry {
                Entry::Text(text) => Some(text),
                Entry::Other(kind) => {
                    report.fault(key, format!("is {kind}, not a text or a table"), EXAMPLE);
                    continue;
                }
                Entry::Section(mut section) => {
                    let text = section.text("text", "text = \"Start scans\"");
                    if let Some(list) = section.optional_list("implies", "implies = [\"scan:read\"]") {
                        implications.push((name.clone(), section.key("implies"), list));
                    }
                    section.end();
                    text
                }
            };
            let text = text.unwrap_or_default();
            if vocabulary.words.len() < MOST_PERMISSIONS || vocabulary.get(&name).is_some() {
                vocabulary.add(&name, &text);
            } else {
                let own = CONTROL.len();
                let problem = format!(
                    "is one too many: at most {MOST_PERMISSIONS} permissions, {own} of them the control plane's own"
                );
                report.fault(key, problem, "");
                return vocabulary;
            }
        }
        for (name, key, list) in implications {
            let Some(permission) = vocabulary.get(&name) else { continue };
            // A pattern means the others; naming itself outright is a circle.
            let others = vocabulary.all().without(permission);
            let implied = select(&vocabulary, others, &list, |problem| {
                report.fault(&*key, problem, "implies = [\"scan:read\"]");
            });
            if let Some(word) = vocabulary.words.get_mut(usize::from(permission.index())) {
                word.implies = implied;
            }
        }
        for (name, through) in vocabulary.close() {
            let key = format!("permissions.\"{name}\".implies");
            report.fault(key, format!("comes back to itself through {through}"), "implies = [\"scan:read\"]");
        }
        vocabulary
    }

    /// Adds a word; one that is there already (the control plane's own) takes the new text.
    fn add(&mut self, name: &str, text: &str) {
        if let Some(word) = self.get(name).and_then(|known| self.words.get_mut(usize::from(known.index()))) {
            word.text = text.into();
        } else if let Ok(index) = u8::try_from(self.words.len()) {
            self.index.insert(name.into(), Permission::new(index));
            self.words.push(Word {
                name: name.into(),
                text: text.into(),
                implies: PermissionSet::EMPTY,
                brings: PermissionSet::EMPTY,
            });
        }
    }

    /// Follows implications to their end (Warshall's algorithm); gives those that run in a circle.
    fn close(&mut self) -> Vec<(String, String)> {
        let mut brings: Vec<_> = self.words.iter().map(|word| word.implies).collect();
        for middle in self.iter() {
            let further = brings[usize::from(middle.index())];
            for reached in &mut brings {
                if reached.contains(middle) {
                    *reached = reached.union(&further);
                }
            }
        }
        let mut circles = Vec::new();
        for (permission, reached) in self.iter().zip(&brings) {
            if reached.contains(permission) {
                let back = |other: &Permission| brings[usize::from(other.index())].contains(permission);
                let through: PermissionSet = reached.iter().filter(back).collect();
                circles.push((self.name(permission).to_owned(), self.names(through).join(", ")));
            }
        }
        for ((word, reached), own) in self.words.iter_mut().zip(brings).zip(0..=u8::MAX) {
            word.brings = reached.with(Permission::new(own));
        }
        circles
    }
}

/// Expands a list of the file within `domain`: exact names, `noun:*`, `*` for all of it, and `!` before any of
/// them to take away. What is taken away must have been there, so that a misspelt exception is noticed.
pub(super) fn select(
    vocabulary: &Permissions,
    domain: PermissionSet,
    list: &[String],
    fault: impl Fn(String),
) -> PermissionSet {
    let find = |pattern: &str| {
        let matching: PermissionSet = match pattern.strip_suffix(EVERYTHING) {
            Some("") => domain,
            Some(noun) if noun.ends_with(':') => {
                domain.iter().filter(|permission| vocabulary.name(*permission).starts_with(noun)).collect()
            }
            _ => vocabulary.get(pattern).into_iter().collect(),
        };
        if matching.is_empty() {
            fault(format!("`{pattern}` is not a permission of this profile"));
        }
        matching
    };
    let (taken, given): (Vec<_>, Vec<_>) = list.iter().partition(|item| item.starts_with(EXCEPT));
    let set = given.into_iter().fold(PermissionSet::EMPTY, |set, pattern| set.union(&find(pattern)));
    taken.into_iter().fold(set, |set, item| {
        let matching = find(item.trim_start_matches(EXCEPT));
        if !matching.is_empty() && !matching.intersects(&set) {
            fault(format!("`{item}` takes nothing away"));
        }
        set.difference(&matching)
    })
}

/// `noun:verb`, or `*` for a permission that stands for all. Also safe in a space-separated header.
fn is_name(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    text == EVERYTHING || text.len() <= LONGEST_NAME && text.contains(':') && text.split(':').all(plain)
}

const EVERYTHING: &str = "*";
const EXCEPT: char = '!';
const EXAMPLE: &str = "\"scan:trigger\" = \"Start scans\"";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_control_planes_own_stand_where_the_constants_say() {
        let report = super::super::read::Report::new("test");
        let vocabulary = Section::root("", &report).map(Permissions::read).unwrap();
        assert_eq!(vocabulary.len(), CONTROL.len());
        for (permission, name, _) in CONTROL {
            assert_eq!(vocabulary.get(name), Some(*permission), "{name}");
        }
    }

    #[test]
    fn names_are_exact_and_fit_a_header() {
        for right in ["scan:read", "Scan:Read", "a.b-c_d:e:f", "*"] {
            assert!(is_name(right), "{right}");
        }
        let long = format!("a:{}", "b".repeat(LONGEST_NAME));
        for wrong in
            ["", ":", "scan", "scan:", ":read", "scan:*", "!a:b", "a b:c", "a:b\r\nX: y", "ä:b", &long]
        {
            assert!(!is_name(wrong), "{wrong}");
        }
    }

    /// A vocabulary with arbitrary implications, each towards a later word, hence without circles.
    fn vocabulary() -> impl Strategy<Value = Permissions> {
        prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 2..40).prop_map(
            |rows| {
                let mut vocabulary = Permissions { words: Vec::new(), index: HashMap::new() };
                for at in 0..rows.len() {
                    vocabulary.add(&format!("noun:{at}"), "text");
                }
                for (at, row) in rows.iter().enumerate().take(rows.len() - 1) {
                    let later = rows.len() - at - 1;
                    vocabulary.words[at].implies = row
                        .iter()
                        .map(|pick| Permission::new(u8::try_from(at + 1 + pick.index(later)).unwrap()))
                        .collect();
                }
                assert_eq!(vocabulary.close(), []);
                vocabulary
            },
        )
    }

    proptest! {
        #[test]
        fn closure_is_idempotent_and_monotone(
            vocabulary in vocabulary(),
            picks: (Vec<prop::sample::Index>, Vec<prop::sample::Index>),
        ) {
            let pick = |picks: &[prop::sample::Index]| -> PermissionSet {
                picks.iter().map(|i| Permission::new(u8::try_from(i.index(vocabulary.len())).unwrap())).collect()
            };
            let (some, more) = (pick(&picks.0), pick(&picks.0).union(&pick(&picks.1)));
            let closed = vocabulary.closure(some);
            prop_assert!(some.is_subset_of(&closed));
            prop_assert_eq!(vocabulary.closure(closed), closed);
            prop_assert!(closed.is_subset_of(&vocabulary.closure(more)));
            for permission in closed {
                prop_assert!(vocabulary.implies(permission).is_subset_of(&closed));
            }
        }
    }
}
