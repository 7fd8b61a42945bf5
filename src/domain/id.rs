//! Typed identifiers: a team's id cannot be passed where a user's is meant.
//!
//! All are UUIDs of version 7 (RFC 9562), so that rows sort by creation.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use super::time::Timestamp;

/// Text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected a UUID such as 0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e")]
pub struct NotAnId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, ordered by `now`; its random bits come from the operating system.
            pub fn new(now: Timestamp) -> Self {
                Self(version_7(now))
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                hyphenated(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

ids! {
    /// An organization: the tenant.
    OrgId;
    /// A team of an organization.
    TeamId;
    /// A project of a team.
    ProjectId;
    /// A person.
    UserId;
    /// An API key.
    KeyId;
    /// A person's session.
    SessionId;
    /// A custom role.
    RoleId;
    /// A group of people.
    GroupId;
    /// A row of the audit trail.
    AuditId;
    /// A request of the control plane.
    RequestId;
    /// An invitation.
    InvitationId;
    /// A mail that waits for its delivery.
    MailId;
}

/// The position of a row in the change feed; grows by one with every change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChangeId(pub i64);

/// The one accepted spelling, so that two texts never name the same object.
fn hyphenated(text: &str) -> Result<Uuid, NotAnId> {
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(NotAnId);
    }
    Uuid::try_parse(text).map_err(|_| NotAnId)
}

fn version_7(now: Timestamp) -> Uuid {
    let micros = now.micros().max(0).unsigned_abs();
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_accepts_no_other_spelling() {
        let id = OrgId::new(Timestamp::from_micros(1_700_000_000_000_000));
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "x", &id.uuid().simple().to_string(), &format!("{{{id}}}")] {
            assert_eq!(wrong.parse::<OrgId>(), Err(NotAnId), "{wrong}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let early = KeyId::new(Timestamp::from_micros(1_000_000));
        let late = KeyId::new(Timestamp::from_micros(2_000_000));
        assert!(early < late);
    }
}
