//! Teams.

use serde_json::json;

use super::{
    Caller, Control, Page, PageOf, ServiceError,
    caller::Who,
    fields,
    keys::revoke_within,
    last_admin::Administered,
    orgs,
    work::{Deed, Work},
};
use crate::{
    domain::{
        boundary::Boundary,
        id::{OrgId, TeamId},
        profile::control,
    },
    store::{Conn, changes::Subject, teams, teams::Team},
};

/// A new team.
#[derive(Debug, Clone, Default)]
pub struct NewTeam {
    /// The organization, by id or slug; may be left out where there is only one.
    pub org: Option<String>,
    /// Its name for people.
    pub name: String,
    /// Its name in commands; made from the name when left out.
    pub slug: Option<String>,
}

const LONGEST_NAME: usize = 100;

impl Control {
    /// Makes a team.
    pub async fn create_team(&self, caller: &Caller, new: &NewTeam) -> Result<Team, ServiceError> {
        let mut work = self.begin(caller).await?;
        if !self.profile().has_teams() {
            return Err(ServiceError::Conflict("this profile has no teams".into()));
        }
        let org = orgs::find_or_only(&mut work.tx, &work.who, "org", new.org.as_deref()).await?;
        work.who.require(self.profile(), control::TEAM_MANAGE, &Boundary::Org(org.id))?;
        let name = fields::name("name", &new.name, LONGEST_NAME)?;
        let slug = match &new.slug {
            Some(slug) => fields::slug(slug)?,
            None => free_slug(&mut work.tx, org.id, &name).await?,
        };
        let team = Team { id: TeamId::new(work.now), org_id: org.id, slug, name, created_at: work.now };
        refuse_taken(&mut work.tx, &team).await?;
        teams::insert(&mut work.tx, &team).await?;
        work.record(deed(&team, "create", "team.created")).await?;
        work.finish(&team).await?;
        Ok(team)
    }

    /// The teams that the caller can see, of one organization or of all; those with this slug, where one is said.
    pub async fn list_teams(
        &self,
        caller: &Caller,
        org: Option<&str>,
        slug: Option<&str>,
        page: &Page,
    ) -> Result<PageOf<Team>, ServiceError> {
        let (limit, mut after) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let org = match org {
            Some(named) => Some(orgs::find(&mut conn, &who, named).await?.id),
            None => who.org(),
        };
        let mut items = Vec::new();
        if let Some(slug) = slug {
            items.extend(
                teams::find_by_slug(&mut conn, org, slug).await?.into_iter().filter(|team| sees(&who, team)),
            );
            return Ok(PageOf { items, next_cursor: None });
        }
        // Read on until the part is full: what is hidden from the caller shows in no empty part and no cursor.
        while items.len() <= usize::try_from(limit).unwrap_or(usize::MAX) {
            let found = teams::list(&mut conn, org, after, limit + 1).await?;
            let Some(last) = found.last() else { break };
            after = Some(last.id);
            items.extend(found.into_iter().filter(|team| knows(&who, team)));
        }
        Ok(PageOf::cut(items, limit, |team| team.id.to_string()))
    }

    /// The team with this id or slug.
    pub async fn find_team(&self, caller: &Caller, named: &str) -> Result<Team, ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        find_where(&mut conn, &who, None, named, knows).await
    }

    /// Gives a team another name, another slug, or both.
    pub async fn rename_team(
        &self,
        caller: &Caller,
        named: &str,
        name: Option<&str>,
        slug: Option<&str>,
    ) -> Result<Team, ServiceError> {
        let mut work = self.begin(caller).await?;
        let mut team = find(&mut work.tx, &work.who, None, named).await?;
        work.who.require(self.profile(), control::TEAM_MANAGE, &Boundary::Team(team.org_id, team.id))?;
        team.name =
            name.map(|name| fields::name("name", name, LONGEST_NAME)).transpose()?.unwrap_or(team.name);
        team.slug = slug.map(fields::slug).transpose()?.unwrap_or(team.slug);
        refuse_taken(&mut work.tx, &team).await?;
        teams::rename(&mut work.tx, team.id, &team.name, &team.slug).await?;
        work.record(deed(&team, "update", "team.updated")).await?;
        work.changed(&Subject::Org(team.org_id)).await?;
        work.finish(&team).await?;
        Ok(team)
    }

    /// Deletes a team with its projects, memberships and keys.
    pub async fn delete_team(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let team = find(&mut work.tx, &work.who, None, named).await?;
        work.who.require(self.profile(), control::TEAM_MANAGE, &Boundary::Org(team.org_id))?;
        let revoked = revoke_within(&mut work, &Boundary::Team(team.org_id, team.id)).await?;
        // Somebody's only place may be there, and by it what groups give them.
        let administered =
            Administered::before(self.profile(), &mut work.tx, &work.who, team.org_id, []).await?;
        teams::delete(&mut work.tx, team.id).await?;
        administered.still(self.profile(), &mut work.tx).await?;
        let mut deleted = deed(&team, "delete", "team.deleted");
        deleted.detail["keys_revoked"] = revoked.into();
        work.record(deleted).await?;
        work.changed(&Subject::Org(team.org_id)).await?;
        work.finish(&()).await
    }
}

/// The first team of a new organization.
pub(super) async fn first(work: &mut Work<'_>, org: OrgId) -> Result<TeamId, ServiceError> {
    let (id, slug, name) = (TeamId::new(work.now), "default".to_owned(), "Default".to_owned());
    let team = Team { id, org_id: org, slug, name, created_at: work.now };
    teams::insert(&mut work.tx, &team).await?;
    work.record(deed(&team, "create", "team.created")).await?;
    Ok(team.id)
}

/// The team with this id or slug, in `org` where that is known, unless it is not the caller's to know of.
pub(super) async fn find(
    conn: &mut Conn,
    who: &Who,
    org: Option<OrgId>,
    named: &str,
) -> Result<Team, ServiceError> {
    find_where(conn, who, org, named, sees).await
}

async fn find_where(
    conn: &mut Conn,
    who: &Who,
    org: Option<OrgId>,
    named: &str,
    fits: fn(&Who, &Team) -> bool,
) -> Result<Team, ServiceError> {
    let mut found = match named.parse() {
        Ok(id) => teams::find(conn, id).await?.into_iter().collect(),
        Err(_) => teams::find_by_slug(conn, org.or(who.org()), named).await?,
    };
    found.retain(|team| fits(who, team) && org.is_none_or(|org| team.org_id == org));
    match (found.pop(), found.pop()) {
        (Some(team), None) => Ok(team),
        (Some(_), Some(_)) => {
            Err(ServiceError::field("team_id", format!("several teams are called `{named}`: use the id")))
        }
        _ => Err(ServiceError::not_found("team", named)),
    }
}

/// Those with a role on the organization see all its teams, others their own (R000_01).
fn sees(who: &Who, team: &Team) -> bool {
    match who {
        Who::Operator => true,
        Who::Person(person, _) => person.sees_team(team.org_id, team.id),
        Who::Key(holder, _) => {
            let boundary = holder.key.boundary;
            boundary.org() == team.org_id && boundary.team().is_none_or(|own| own == team.id)
        }
    }
}

/// Of a team that they belong to, people know that it exists wherever they act: it is where they can switch to.
fn knows(who: &Who, team: &Team) -> bool {
    sees(who, team) || matches!(who, Who::Person(person, _) if person.belongs_to.contains(&team.id))
}

async fn refuse_taken(conn: &mut Conn, team: &Team) -> Result<(), ServiceError> {
    let same = teams::find_by_slug(conn, Some(team.org_id), &team.slug).await?;
    if same.iter().any(|other| other.id != team.id) {
        return Err(ServiceError::Conflict(format!("the slug `{}` is taken", team.slug)));
    }
    Ok(())
}

async fn free_slug(conn: &mut Conn, org: OrgId, name: &str) -> Result<String, ServiceError> {
    let base = fields::slug_of(name, "team");
    for number in 1..100 {
        let slug = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        if teams::find_by_slug(conn, Some(org), &slug).await?.is_empty() {
            return Ok(slug);
        }
    }
    Err(ServiceError::field("slug", "choose one: those made from the name are taken"))
}

fn deed(team: &Team, action: &'static str, event: &'static str) -> Deed {
    Deed {
        org: team.org_id,
        team: Some(team.id),
        table: "teams",
        target: team.id.to_string(),
        action,
        event,
        detail: json!({ "slug": team.slug, "name": team.name }),
    }
}
