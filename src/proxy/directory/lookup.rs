//! By what a key is found.

use std::fmt;

use crate::domain::key::token::Digest;

/// The name under which a presented key is looked for.
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
