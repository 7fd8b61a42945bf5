//! Why a decision was no.

use crate::domain::permission::Permission;

/// A refusal by [`decide`](super::decide()). Whoever reads it has proved the credential, except where noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credential where one is needed.
    #[error("a credential is required")]
    Missing,
    /// The credential was revoked, or whoever it belongs to is gone.
    #[error("the credential was revoked")]
    Revoked,
    /// The credential's time, or its grace after a rotation, is over.
    #[error("the credential has expired")]
    Expired,
    /// The session was signed out or is over, or whoever signed in may no longer act there.
    #[error("the session has ended")]
    SessionEnded,
    /// The client's address is outside the credential's networks.
    #[error("the credential may not be used from this address")]
    Address,
    /// The path names a team or project that the credential is not for.
    #[error("the credential is bound to another team or project")]
    Boundary,
    /// The credential does not hold the permission.
    #[error("the credential does not hold the permission that this needs")]
    Scope(Permission),
}

impl Denied {
    /// The stable, documented code; also the metric label.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "credential_missing",
            Self::Revoked => "credential_revoked",
            Self::Expired => "credential_expired",
            Self::SessionEnded => "session_expired",
            Self::Address => "ip_not_allowed",
            Self::Boundary => "boundary_mismatch",
            Self::Scope(_) => "scope_insufficient",
        }
    }
}
