//! By what a credential is found.

use std::fmt;

use crate::domain::key::token::Digest;

/// The name under which a presented credential is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The public characters of a key of the platform's own shape.
    Public(Box<str>),
    /// A key of a foreign shape: by its digest, or by characters with which an imported key begins.
    Foreign {
        /// SHA-256 of the whole key.
        digest: Digest,
        /// Its first characters.
        leading: Leading,
    },
    /// A session: by the SHA-256 of its token, which only its bearer has.
    Session(Digest),
}

impl Lookup {
    /// What failures are counted against: what was sent, never what was found. A budget that only keys have would tell
    /// which exist.
    pub(in crate::proxy) fn named(&self) -> Option<&str> {
        match self {
            Self::Public(public) => Some(public),
            Self::Foreign { leading, .. } => Some(leading.as_str()),
            Self::Session(_) => None,
        }
    }
}

/// The first characters of a foreign key: part of a secret, so they never print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Leading(Box<str>);

impl Leading {
    /// The longest prefix that an imported key may be found by.
    pub const LONGEST: usize = 20;

    /// The first characters of a key that is printable ASCII.
    pub fn of(key: &str) -> Self {
        Self(key.get(..Self::LONGEST).unwrap_or(key).into())
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leading(..)")
    }
}
