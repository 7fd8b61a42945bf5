//! Where a new key acts.

use super::{
    super::{caller::Who, orgs, projects, teams},
    NewKey,
    giver::Giver,
};
use crate::{
    control::service::ServiceError,
    domain::{
        boundary::{Boundary, BoundaryKind},
        profile::Profile,
    },
    store::{
        Conn,
        projects::{Filter, Project},
        teams::Team,
    },
};

/// Where the key acts. What is not said is filled in as narrowly as it is clear.
pub(super) async fn boundary(
    conn: &mut Conn,
    profile: &Profile,
    who: &Who,
    giver: &Giver<'_>,
    new: &NewKey,
) -> Result<Boundary, ServiceError> {
    let own = match giver {
        Giver::Person(person) => Some(person.user.org_id),
        Giver::Key(holder) => Some(holder.key.boundary.org()),
        Giver::Operator => None,
    };
    let org = match (own, &new.org) {
        (Some(own), None) => Some(own),
        (own, Some(named)) => {
            let org = orgs::find(conn, who, named).await?.id;
            if own.is_some_and(|own| own != org) {
                return Err(ServiceError::field("org", "the user belongs to another organization"));
            }
            Some(org)
        }
        (None, None) => None,
    };
    let project = match &new.project_id {
        Some(named) => Some(projects::find(conn, who, Filter { org, team: None }, named).await?),
        None => None,
    };
    let team = match (&new.team_id, &project) {
        (Some(named), _) => Some(teams::find(conn, who, org, named).await?),
        (None, Some(project)) => teams_of(conn, who, project).await?,
        (None, None) => None,
    };
    if let (Some(team), Some(project)) = (&team, &project)
        && project.team_id != team.id
    {
        return Err(ServiceError::field("project_id", "the project belongs to another team"));
    }
    let kind = match &new.scope {
        Some(text) => {
            text.parse().map_err(|_| ServiceError::field("scope", "expected org, team or project"))?
        }
        None => default_kind(profile, giver, project.is_some(), team.is_some()),
    };
    if !profile.keys.boundaries.contains(&kind) {
        let known: Vec<_> = profile.keys.boundaries.iter().map(|kind| kind.as_str()).collect();
        return Err(ServiceError::field("scope", format!("this profile has {}", known.join(", "))));
    }
    let team = team.map(|team| (team.org_id, team.id)).or_else(|| giver.only_team());
    match kind {
        BoundaryKind::Org if new.team_id.is_some() || new.project_id.is_some() => {
            Err(ServiceError::field("scope", "an org key names neither team nor project"))
        }
        BoundaryKind::Org => Ok(Boundary::Org(match org {
            Some(org) => org,
            None => orgs::find_or_only(conn, who, "org", None).await?.id,
        })),
        BoundaryKind::Team if new.project_id.is_some() => {
            Err(ServiceError::field("scope", "a team key names no project"))
        }
        BoundaryKind::Team => match team {
            Some((org, team)) => Ok(Boundary::Team(org, team)),
            None => Err(ServiceError::field("team_id", "name the team that the key is bound to")),
        },
        BoundaryKind::Project => match project {
            Some(project) => Ok(Boundary::Project(project.org_id, project.team_id, project.id)),
            None => Err(ServiceError::field("project_id", "name the project that the key is bound to")),
        },
    }
}

async fn teams_of(conn: &mut Conn, who: &Who, project: &Project) -> Result<Option<Team>, ServiceError> {
    let named = project.team_id.to_string();
    teams::find(conn, who, Some(project.org_id), &named).await.map(Some)
}

/// The narrowest boundary that the profile has and the request makes clear.
fn default_kind(profile: &Profile, giver: &Giver<'_>, project: bool, team: bool) -> BoundaryKind {
    let has = |kind| profile.keys.boundaries.contains(&kind);
    if let Giver::Key(holder) = giver
        && !project
        && !team
    {
        return holder.key.boundary.kind();
    }
    if project && has(BoundaryKind::Project) {
        BoundaryKind::Project
    } else if has(BoundaryKind::Team) && (team || giver.only_team().is_some() || !has(BoundaryKind::Org)) {
        BoundaryKind::Team
    } else if has(BoundaryKind::Org) {
        BoundaryKind::Org
    } else {
        BoundaryKind::Project
    }
}
