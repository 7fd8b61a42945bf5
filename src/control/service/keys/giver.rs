//! Who gives a key, and so what it can hold at most.

use super::{
    super::{
        caller::{KeyHolder, Person, Who},
        users,
    },
    NewKey,
};
use crate::{
    control::service::ServiceError,
    domain::{
        access::Networks,
        boundary::Boundary,
        id::{OrgId, TeamId},
        key::grant::Grant,
        permission::PermissionSet,
        profile::{Authority, Owner, Profile, control},
    },
    store::{Conn, users::User},
};

/// Who gives the key: its rights come from here and never go beyond.
pub(super) enum Giver<'w> {
    /// The operator, for a key of the organization that names no person.
    Operator,
    Person(Box<Person>),
    Key(&'w KeyHolder),
}

impl Giver<'_> {
    pub(super) fn permissions(&self, profile: &Profile, boundary: &Boundary) -> PermissionSet {
        self.grant(profile, boundary).permissions
    }

    /// Everything that the giver could give in `boundary`.
    pub(super) fn grant(&self, profile: &Profile, boundary: &Boundary) -> Grant {
        match self {
            Self::Operator => Grant {
                boundary: *boundary,
                permissions: profile.permissions.all(),
                expires_at: None,
                networks: Networks::default(),
                rate: None,
            },
            Self::Person(person) => person.grant(boundary),
            Self::Key(holder) => holder.grant(),
        }
    }

    /// Whether a key of this boundary is theirs to issue (R002_04).
    pub(super) fn may_issue(&self, profile: &Profile, boundary: &Boundary) -> Result<(), ServiceError> {
        match self {
            // A key mints inside its own boundary; whether it may mint at all is the permission's matter.
            Self::Operator | Self::Key(_) if profile.keys.boundaries.contains(&boundary.kind()) => {}
            Self::Operator | Self::Key(_) => return Err(not_issued(boundary)),
            Self::Person(person) => may_issue(profile, person, boundary)?,
        }
        if matches!(self, Self::Operator)
            || self.permissions(profile, boundary).contains(control::API_KEY_CREATE)
        {
            return Ok(());
        }
        Err(ServiceError::Lacks("api_key:create".into()))
    }

    /// The person behind the key.
    pub(super) async fn user(&self, conn: &mut Conn) -> Result<Option<User>, ServiceError> {
        match self {
            Self::Operator => Ok(None),
            Self::Person(person) => Ok(Some(person.user.clone())),
            Self::Key(holder) => match holder.issuer() {
                Some(id) => Ok(crate::store::users::find(conn, id).await?),
                None => Ok(None),
            },
        }
    }

    /// The team that they can only mean.
    pub(super) fn only_team(&self) -> Option<(OrgId, TeamId)> {
        match self {
            Self::Operator => None,
            Self::Person(person) => {
                let mut teams = person.in_teams.keys().copied();
                let only = match (teams.next(), teams.next()) {
                    (Some(team), None) => Some(team),
                    _ => None,
                };
                person.acts_in.or(only).map(|team| (person.user.org_id, team))
            }
            Self::Key(holder) => {
                let boundary = holder.key.boundary;
                boundary.team().map(|team| (boundary.org(), team))
            }
        }
    }
}

/// Whether one of this person's roles may issue keys of this boundary (R002_04).
pub(super) fn may_issue(profile: &Profile, person: &Person, boundary: &Boundary) -> Result<(), ServiceError> {
    let kind = boundary.kind();
    let by_role = person.roles(boundary).any(|role| profile.keys.may_issue(kind, Some(role)));
    if by_role || profile.keys.may_issue(kind, None) { Ok(()) } else { Err(not_issued(boundary)) }
}

fn not_issued(boundary: &Boundary) -> ServiceError {
    ServiceError::Forbidden(format!("this role may not issue keys with scope {}", boundary.kind()))
}

/// The person in whose name a key is made. The operator names one, and is bound by that person's rights: what a role
/// may not issue cannot be had by asking the operator, who can give another role instead.
pub(super) async fn giver<'w>(
    conn: &mut Conn,
    profile: &Profile,
    who: &'w Who,
    new: &NewKey,
) -> Result<Giver<'w>, ServiceError> {
    let person = match who {
        Who::Key(holder, _) => {
            return match &new.user {
                None => Ok(Giver::Key(holder)),
                Some(_) => Err(ServiceError::field("user_id", "a key mints keys for its own holder only")),
            };
        }
        Who::Person(person, _) => {
            let named = match &new.user {
                Some(named) => Some(users::find(conn, who, named).await?.id),
                None => None,
            };
            if named.is_some_and(|id| id != person.user.id) {
                return Err(ServiceError::Forbidden("keys are made in one's own name".into()));
            }
            person.clone()
        }
        Who::Operator => match &new.user {
            Some(named) => {
                let user = users::find(conn, who, named).await?;
                if !user.active() {
                    return Err(ServiceError::Conflict(format!("{} is deactivated", user.email)));
                }
                Box::new(Person::read(conn, profile, user).await?)
            }
            None if (profile.keys.owner, profile.keys.authority) == (Owner::Org, Authority::Key) => {
                return Ok(Giver::Operator);
            }
            None => {
                return Err(ServiceError::field("user_id", "name the user whose key it is, by e-mail or id"));
            }
        },
    };
    Ok(Giver::Person(person))
}
