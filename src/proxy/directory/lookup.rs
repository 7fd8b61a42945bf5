//! By what a credential is found.

use std::{fmt, sync::Arc};

use crate::domain::{key::token::Digest, time::Timestamp};

/// The name under which a presented credential is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The public characters of a key of the platform's own shape.
    Public(Box<str>),
    /// A key of a foreign shape: by its digest, or by characters with which an imported key begins.
    Foreign(Box<Foreign>),
    /// A session: by the SHA-256 of its token, which only its bearer has.
    Session(Box<Digest>),
    /// A person, for whom somebody else's token speaks.
    Vouched(Arc<Vouched>),
    /// The organization for which a webhook calls.
    Webhook(Box<Webhook>),
}

/// What is looked for of a key of a foreign shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// SHA-256 of the whole key.
    pub digest: Digest,
    /// Its first characters.
    pub leading: Leading,
}

/// A webhook and whom it calls for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Webhook {
    /// The webhook's name.
    pub name: Arc<str>,
    /// The organization, by slug or id.
    pub org: Arc<str>,
}

impl Lookup {
    /// That of a key of a foreign shape, which is printable ASCII.
    pub fn foreign(digest: Digest, key: &str) -> Self {
        Self::Foreign(Box::new(Foreign { digest, leading: Leading::of(key) }))
    }

    /// That of a webhook of this name, for this organization.
    pub fn webhook(name: &Arc<str>, org: &Arc<str>) -> Self {
        Self::Webhook(Box::new(Webhook { name: Arc::clone(name), org: Arc::clone(org) }))
    }

    /// What failures are counted against: what was sent, never what was found. A budget that only keys have would tell
    /// which exist.
    pub(in crate::proxy) fn named(&self) -> Option<&str> {
        match self {
            Self::Public(public) => Some(public),
            Self::Foreign(foreign) => Some(foreign.leading.as_str()),
            Self::Session(_) | Self::Vouched(_) | Self::Webhook(_) => None,
        }
    }
}

/// What a proved token says: who it speaks for, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Vouched {
    /// Whose it is.
    pub email: Box<str>,
    /// What names the token in public.
    pub credential: Box<str>,
    /// From this moment on it is refused.
    pub ends_at: Timestamp,
    token: Digest,
}

impl Vouched {
    /// Of a token with this digest. Its own name is used where it can stand in a header and a log as it is; otherwise the
    /// beginning of its digest, which tells nothing about it.
    pub fn new(email: String, id: Option<String>, ends_at: Timestamp, token: Digest) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let name = id.filter(|id| (1..=LONGEST_NAME).contains(&id.len()) && id.bytes().all(plain));
        let beginning = token.bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let credential = name.unwrap_or_else(|| format!("{beginning:016x}"));
        Self { email: email.into(), credential: credential.into(), ends_at, token }
    }
}

/// In characters; a UUID has 36.
const LONGEST_NAME: usize = 64;

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
