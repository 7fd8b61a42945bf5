//! Why a use case was not carried out. What is said here may be shown to whoever asked.

use std::{fmt, time::Duration};

use crate::store::StoreError;

/// A field of the request and what it should have been.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// Its name, as in the API.
    pub field: &'static str,
    /// What is wrong, and what is accepted.
    pub message: String,
}

/// A use case that was not carried out: nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Fields that are not as they have to be.
    #[error("{}", Listed(.0))]
    InvalidField(Vec<FieldError>),
    /// The state of things forbids it.
    #[error("{0}")]
    Conflict(String),
    /// There would be too many.
    #[error("{0}")]
    LimitReached(String),
    /// There is no such thing, or none that the caller may know of.
    #[error("no {what} `{named}`")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// As it was named.
        named: String,
    },
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// The caller may, but not so often.
    #[error("{text}")]
    RateLimited {
        /// How many are accepted.
        text: String,
        /// How long until the next is.
        wait: Duration,
    },
    /// No invitation has this token, or none that can be accepted; told apart by nothing.
    #[error("the invitation is unknown, was used or was taken back: ask for a new one")]
    NotInvited,
    /// The token is right, and too old.
    #[error("the invitation has expired: ask for a new one")]
    InvitationExpired,
    /// The caller lacks a permission, named as the profile names it.
    #[error("this needs the permission {0}")]
    Lacks(String),
    /// Not somebody's password; what else was wrong is told to nobody.
    #[error("the e-mail address or the password is wrong")]
    WrongPassword,
    /// The password is right, and is not all that is asked for.
    #[error("this account has a second factor: send a code of its app, or a recovery code, too")]
    SecondFactorRequired,
    /// Not a code of this account that can be used now; what else was wrong with it is told to nobody.
    #[error("the code is wrong, or was used before: each is taken once")]
    WrongCode,
    /// It was tried too often, here or at this account.
    #[error("too many attempts to sign in: wait {} seconds", .wait.as_secs().max(1))]
    TooManyFailures {
        /// How long until the next one.
        wait: Duration,
    },
    /// More wait than can be served.
    #[error("the gateway is busy")]
    Overloaded,
    /// The same request was carried out before; this was its answer.
    #[error("the same request was carried out before")]
    Replayed(serde_json::Value),
    /// The store did not take or give something.
    #[error(transparent)]
    Store(StoreError),
    /// The machine could not hash or draw random bytes.
    #[error("the secret could not be made")]
    Secret(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ServiceError {
    /// The stable code that the API answers with.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidField(_) => "invalid_field",
            Self::Conflict(_) | Self::Replayed(_) => "conflict",
            Self::LimitReached(_) => "limit_reached",
            Self::NotFound { .. } => "not_found",
            Self::Forbidden(_) => "forbidden",
            Self::RateLimited { .. } => "rate_limited",
            Self::NotInvited | Self::WrongPassword | Self::WrongCode => "credential_invalid",
            Self::SecondFactorRequired => "second_factor_required",
            Self::InvitationExpired => "credential_expired",
            Self::Lacks(_) => "scope_insufficient",
            Self::Store(_) => "store_unavailable",
            Self::TooManyFailures { .. } => "too_many_failures",
            Self::Secret(_) | Self::Overloaded => "overloaded",
        }
    }

    /// One field and what it should have been.
    pub(crate) fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::InvalidField(vec![FieldError { field, message: message.into() }])
    }

    pub(super) fn not_found(what: &'static str, named: impl fmt::Display) -> Self {
        Self::NotFound { what, named: named.to_string() }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(conflict) => Self::Conflict(conflict.to_string()),
            other => Self::Store(other),
        }
    }
}

struct Listed<'a>(&'a [FieldError]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", error.field, error.message)?;
        }
        Ok(())
    }
}
