//! Who is asking, as proved.

use std::{fmt, ops::Deref, sync::Arc};

use super::Networks;
use crate::domain::{
    boundary::Boundary,
    id::{KeyId, OrgId, ProjectId, SessionId, UserId},
    key::state::Term,
    permission::PermissionSet,
    session::Activity,
    time::Timestamp,
};

/// How a caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// An API key, sent as it is.
    ApiKey,
    /// A request signed with a key, which was not sent.
    Signed,
    /// A person's session.
    Session,
    /// A bearer token of a configured identity provider.
    Jwt,
    /// A platform that signs what it sends.
    Webhook,
}

impl Method {
    /// The name used in headers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Signed => "signed",
            Self::Session => "session",
            Self::Jwt => "jwt",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a proved credential is, as far as anybody keeps something for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialId {
    /// An API key.
    Key(KeyId),
    /// A person's session.
    Session(SessionId),
    /// A person, whom somebody else has vouched for.
    Person(UserId),
    /// A webhook of this organization.
    Webhook(OrgId),
}

/// Whether the person or organization that a credential speaks for is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// It is.
    Present,
    /// Removed, deactivated, or without any membership that the credential stands on.
    Gone,
}

impl Principal {
    /// Whether it is a session that has rested too long.
    #[inline]
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.activity.as_ref().is_some_and(|activity| activity.is_over(now))
    }
}

/// A proved caller with everything a decision needs, so that deciding asks nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// How it proved itself.
    pub method: Method,
    /// What names the credential in public: a key's prefix, a session's id.
    pub credential: Box<str>,
    /// When it ends.
    pub life: Term,
    /// For a session: how long it has rested.
    pub activity: Option<Box<Activity>>,
    /// What it may, where and for whom. Many credentials have the same, and share it.
    pub rights: Arc<Rights>,
}

/// Whose a credential is, where it may act, and what it may do there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rights {
    /// Where it may act.
    pub boundary: Boundary,
    /// For a team: its projects, sorted; a project in a path must be one of them.
    pub team_projects: Box<[ProjectId]>,
    /// The person it speaks for, if any.
    pub user: Option<UserId>,
    /// The role it acts with, if one.
    pub role: Option<Box<str>>,
    /// What it may do, implications and caps applied.
    pub permissions: PermissionSet,
    /// Whether whoever it speaks for is still there.
    pub holder: Holder,
    /// From where it may be used.
    pub networks: Networks,
}

/// Its rights are its own, however many share them.
impl Deref for Principal {
    type Target = Rights;

    #[inline]
    fn deref(&self) -> &Rights {
        &self.rights
    }
}
