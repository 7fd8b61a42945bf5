//! What a person may do somewhere: a name for a set of rights.

use std::fmt;

use super::permission::PermissionSet;

/// Where a role is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// In the whole organization.
    Org,
    /// In one team; another team may see the same person in another role (R000_03).
    Team,
}

impl Level {
    /// The name used in files and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Team => "team",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A role that the profile ships. Custom roles live in the store and have neither rank nor level of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name in files, headers and the API.
    pub name: Box<str>,
    /// Its name for people.
    pub title: Box<str>,
    /// What it is for, for people.
    pub text: Box<str>,
    /// Where it is held.
    pub level: Level,
    /// Higher is more; roles of the same rank stand beside each other.
    pub rank: u32,
    /// All that it holds, inherited and implied included.
    pub permissions: PermissionSet,
    /// Only holders of these roles see and give it; none: everybody who may give roles at all (R001_08).
    pub visible_to: Option<Box<[Box<str>]>>,
    /// Whether a key may carry it.
    pub on_keys: bool,
}

/// A role that an organization made for itself (R001_06).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRole {
    /// Its name, unlike any other of the organization and of the profile.
    pub name: Box<str>,
    /// The names of what it was given; what they imply comes with them.
    pub permissions: Vec<String>,
}

impl Role {
    /// Whether it is at most `other`: neither a higher rank nor a right that `other` lacks.
    pub fn within(&self, other: &Self) -> bool {
        self.rank <= other.rank && self.permissions.is_subset_of(&other.permissions)
    }

    /// Whether somebody in this role (none: without a direct one) sees and may give it.
    pub fn is_visible_to(&self, role: Option<&str>) -> bool {
        self.visible_to
            .as_ref()
            .is_none_or(|list| role.is_some_and(|role| list.iter().any(|one| **one == *role)))
    }
}
