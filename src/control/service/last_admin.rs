//! Somebody is left: no change takes the administrators' role from the last one who can act (case 168).
//!
//! Asked is not who the change names but what it leaves: of places that had an administrator before it, none may be
//! without one after it, in the same transaction. So it does not matter in which way a role goes - taken away, its
//! holder stopped or removed, a group emptied, changed or deleted - and of two changes at once that would each leave
//! somebody and together nobody, the second is refused.
//!
//! Every role of the profile's highest rank counts, since such roles stand beside each other; and it counts whether it
//! is held directly or carried by a group, because both may do the same. The operator is not asked: they can give back
//! what they take.

use super::{caller::Who, error::ServiceError};
use crate::{
    domain::{
        id::{OrgId, TeamId},
        profile::Profile,
        role::Level,
    },
    store::{Conn, memberships},
};

/// Places that have an administrator, before a change.
#[derive(Debug)]
#[must_use = "the change has to be judged after it is made"]
pub(super) struct Administered {
    org: OrgId,
    /// None: the organization itself.
    places: Vec<Option<TeamId>>,
}

impl Administered {
    /// Of the organization and these teams, those in which a role of the highest rank is held, and by somebody.
    pub(super) async fn before(
        profile: &Profile,
        conn: &mut Conn,
        who: &Who,
        org: OrgId,
        teams: impl IntoIterator<Item = TeamId>,
    ) -> Result<Self, ServiceError> {
        let mut places = Vec::new();
        if !matches!(who, Who::Operator) {
            let held_in = |level| profile.roles.of_highest_rank().any(|role| role.level == level);
            let teams = teams.into_iter().map(Some).filter(|_| held_in(Level::Team));
            for place in held_in(Level::Org).then_some(None).into_iter().chain(teams) {
                if has_one(profile, conn, org, place).await? {
                    places.push(place);
                }
            }
        }
        Ok(Self { org, places })
    }

    /// Refuses a change after which one of them has none.
    pub(super) async fn still(self, profile: &Profile, conn: &mut Conn) -> Result<(), ServiceError> {
        for place in self.places {
            if !has_one(profile, conn, self.org, place).await? {
                let names: Vec<_> = profile.roles.of_highest_rank().map(|role| &*role.name).collect();
                let (names, place) =
                    (names.join(" or "), if place.is_some() { "team" } else { "organization" });
                return Err(ServiceError::Conflict(format!(
                    "nobody in the {place} would be {names} any more: give the role to somebody else first"
                )));
            }
        }
        Ok(())
    }
}

async fn has_one(
    profile: &Profile,
    conn: &mut Conn,
    org: OrgId,
    team: Option<TeamId>,
) -> Result<bool, ServiceError> {
    for role in profile.roles.of_highest_rank() {
        let held = match (role.level, team) {
            // What is held on the organization counts in each of its teams.
            (Level::Org, _) => {
                memberships::is_held(conn, org, None, &role.name).await?
                    || (profile.members.groups && memberships::is_carried(conn, org, &role.name).await?)
            }
            (Level::Team, Some(team)) => memberships::is_held(conn, org, Some(team), &role.name).await?,
            (Level::Team, None) => false,
        };
        if held {
            return Ok(true);
        }
    }
    Ok(false)
}
