//! A session as its person sees it.

use crate::{
    control::service::{Control, ServiceError},
    domain::{
        access::Holder,
        id::{OrgId, SessionId, TeamId, UserId},
        time::Timestamp,
    },
    store::{
        Conn, groups, memberships, orgs,
        sessions::{self, Held},
        teams, users,
    },
};

/// A session as shown to the person whose it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SessionView {
    /// Its id, as logs and upstreams see it.
    pub id: SessionId,
    /// Who.
    pub user: Named,
    /// Their organization.
    pub org: Place<OrgId>,
    /// The team they act in; none: the organization.
    pub active_team: Option<Place<TeamId>>,
    /// The teams they belong to, in which they could act.
    pub teams: Vec<Place<TeamId>>,
    /// The role that says most about what they may do there.
    pub role: Option<String>,
    /// The names of the groups they are in.
    pub groups: Vec<String>,
    /// What they may do there.
    pub permissions: Vec<String>,
    /// When they have to sign in again, whatever they do.
    pub expires_at: Timestamp,
}

/// A person by name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Named {
    /// Their id.
    pub id: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
}

/// An organization or a team by name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Place<I> {
    /// Its id.
    pub id: I,
    /// Its name in commands.
    pub slug: String,
    /// Its name for people.
    pub name: String,
}

impl Control {
    pub(super) async fn view(&self, conn: &mut Conn, id: SessionId) -> Result<SessionView, ServiceError> {
        let gone = || ServiceError::not_found("session", id);
        let Held { session, person } = sessions::find(conn, id).await?.ok_or_else(gone)?;
        let user = users::find(conn, session.user_id).await?.ok_or_else(gone)?;
        let org = orgs::find(conn, session.org_id).await?.ok_or_else(gone)?;
        let standing = person.standing(self.profile());
        if standing.holder == Holder::Gone {
            return Err(gone());
        }
        let mut own = Vec::new();
        for team in memberships::of_user(conn, user.id).await?.into_iter().filter_map(|held| held.team_id) {
            own.extend(place(conn, team).await?);
        }
        let active_team = match person.boundary.team() {
            Some(team) => place(conn, team).await?,
            None => None,
        };
        let groups = groups::of_user(conn, user.id).await?.into_iter().map(|group| group.name).collect();
        let permissions = self.profile().permissions.names(standing.permissions);
        Ok(SessionView {
            id,
            user: Named { id: user.id, email: user.email, name: user.name },
            org: Place { id: org.id, slug: org.slug, name: org.name },
            active_team,
            teams: own,
            role: standing.role.map(Into::into),
            groups,
            permissions: permissions.into_iter().map(str::to_owned).collect(),
            expires_at: session.expires_at,
        })
    }
}

async fn place(conn: &mut Conn, team: TeamId) -> Result<Option<Place<TeamId>>, ServiceError> {
    let team = teams::find(conn, team).await?;
    Ok(team.map(|team| Place { id: team.id, slug: team.slug, name: team.name }))
}
