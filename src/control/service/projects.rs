//! Projects.

use serde_json::json;

use super::{
    Caller, Control, Page, PageOf, ServiceError, caller::Who, fields, keys::revoke_within, orgs, teams,
    work::Deed,
};
use crate::{
    domain::{
        boundary::Boundary,
        id::{OrgId, ProjectId, TeamId},
        profile::control,
    },
    store::{
        Conn,
        changes::Subject,
        projects,
        projects::{Filter, Project},
    },
};

/// A new project.
#[derive(Debug, Clone, Default)]
pub struct NewProject {
    /// The team, by id or slug.
    pub team_id: String,
    /// Its name for people.
    pub name: String,
    /// Its name in commands; made from the name when left out.
    pub slug: Option<String>,
}

const LONGEST_NAME: usize = 100;

impl Control {
    /// Makes a project.
    pub async fn create_project(&self, caller: &Caller, new: &NewProject) -> Result<Project, ServiceError> {
        let mut work = self.begin(caller).await?;
        let team = teams::find(&mut work.tx, &work.who, None, &new.team_id).await?;
        work.who.require(self.profile(), control::PROJECT_MANAGE, &Boundary::Team(team.org_id, team.id))?;
        let name = fields::name("name", &new.name, LONGEST_NAME)?;
        let slug = match &new.slug {
            Some(slug) => fields::slug(slug)?,
            None => free_slug(&mut work.tx, team.id, &name).await?,
        };
        let id = ProjectId::new(work.now);
        let project = Project { id, org_id: team.org_id, team_id: team.id, slug, name, created_at: work.now };
        refuse_taken(&mut work.tx, &project).await?;
        projects::insert(&mut work.tx, &project).await?;
        work.record(deed(&project, "create", "project.created")).await?;
        // Keys of the team reach the new project.
        work.changed(&Subject::Org(project.org_id)).await?;
        work.finish(&project).await?;
        Ok(project)
    }

    /// The projects that the caller can see, of one organization or team or of all; those with this slug, where one is
    /// said.
    pub async fn list_projects(
        &self,
        caller: &Caller,
        org: Option<&str>,
        team: Option<&str>,
        slug: Option<&str>,
        page: &Page,
    ) -> Result<PageOf<Project>, ServiceError> {
        let (limit, mut after) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let org = match org {
            Some(named) => Some(orgs::find(&mut conn, &who, named).await?.id),
            None => who.org(),
        };
        let team = match team {
            Some(named) => Some(teams::find(&mut conn, &who, org, named).await?.id),
            None => None,
        };
        let (filter, mut items) = (Filter { org, team }, Vec::new());
        if let Some(slug) = slug {
            let found = projects::find_by_slug(&mut conn, filter, slug).await?;
            items.extend(found.into_iter().filter(|project| sees(&who, project)));
            return Ok(PageOf { items, next_cursor: None });
        }
        // Read on until the part is full: what is hidden from the caller shows in no empty part and no cursor.
        while items.len() <= usize::try_from(limit).unwrap_or(usize::MAX) {
            let found = projects::list(&mut conn, filter, after, limit + 1).await?;
            let Some(last) = found.last() else { break };
            after = Some(last.id);
            items.extend(found.into_iter().filter(|project| sees(&who, project)));
        }
        Ok(PageOf::cut(items, limit, |project| project.id.to_string()))
    }

    /// The project with this id or slug.
    pub async fn find_project(&self, caller: &Caller, named: &str) -> Result<Project, ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        find(&mut conn, &who, Filter::default(), named).await
    }

    /// Gives a project another name, another slug, or both.
    pub async fn rename_project(
        &self,
        caller: &Caller,
        named: &str,
        name: Option<&str>,
        slug: Option<&str>,
    ) -> Result<Project, ServiceError> {
        let mut work = self.begin(caller).await?;
        let mut project = find(&mut work.tx, &work.who, Filter::default(), named).await?;
        let team = Boundary::Team(project.org_id, project.team_id);
        work.who.require(self.profile(), control::PROJECT_MANAGE, &team)?;
        let name = name.map(|name| fields::name("name", name, LONGEST_NAME)).transpose()?;
        project.name = name.unwrap_or(project.name);
        project.slug = slug.map(fields::slug).transpose()?.unwrap_or(project.slug);
        refuse_taken(&mut work.tx, &project).await?;
        projects::rename(&mut work.tx, project.id, &project.name, &project.slug).await?;
        work.record(deed(&project, "update", "project.updated")).await?;
        work.finish(&project).await?;
        Ok(project)
    }

    /// Deletes a project with its keys.
    pub async fn delete_project(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let project = find(&mut work.tx, &work.who, Filter::default(), named).await?;
        let team = Boundary::Team(project.org_id, project.team_id);
        work.who.require(self.profile(), control::PROJECT_MANAGE, &team)?;
        let whole = Boundary::Project(project.org_id, project.team_id, project.id);
        let revoked = revoke_within(&mut work, &whole).await?;
        projects::delete(&mut work.tx, project.id).await?;
        let mut deleted = deed(&project, "delete", "project.deleted");
        deleted.detail["keys_revoked"] = revoked.into();
        work.record(deleted).await?;
        work.changed(&Subject::Org(project.org_id)).await?;
        work.finish(&()).await
    }
}

/// The project with this id or slug, where `filter` allows, unless it is not the caller's to know of.
pub(super) async fn find(
    conn: &mut Conn,
    who: &Who,
    filter: Filter,
    named: &str,
) -> Result<Project, ServiceError> {
    let reach = Filter { org: filter.org.or(who.org()), ..filter };
    let mut found = match named.parse() {
        Ok(id) => projects::find(conn, id).await?.into_iter().collect(),
        Err(_) => projects::find_by_slug(conn, reach, named).await?,
    };
    found.retain(|project| sees(who, project) && inside(filter, project));
    match (found.pop(), found.pop()) {
        (Some(project), None) => Ok(project),
        (Some(_), Some(_)) => Err(ServiceError::field(
            "project_id",
            format!("several projects are called `{named}`: use the id"),
        )),
        _ => Err(ServiceError::not_found("project", named)),
    }
}

fn inside(filter: Filter, project: &Project) -> bool {
    let fits = |wanted: Option<OrgId>, own| wanted.is_none_or(|wanted| wanted == own);
    fits(filter.org, project.org_id) && filter.team.is_none_or(|team: TeamId| team == project.team_id)
}

/// Those with a role on the organization see all its projects, others those of their teams.
fn sees(who: &Who, project: &Project) -> bool {
    match who {
        Who::Operator => true,
        Who::Person(person, _) => person.sees_team(project.org_id, project.team_id),
        Who::Key(holder, _) => {
            let whole = Boundary::Project(project.org_id, project.team_id, project.id);
            holder.key.boundary.covers(&whole)
        }
    }
}

async fn refuse_taken(conn: &mut Conn, project: &Project) -> Result<(), ServiceError> {
    let filter = Filter { org: Some(project.org_id), team: Some(project.team_id) };
    let same = projects::find_by_slug(conn, filter, &project.slug).await?;
    if same.iter().any(|other| other.id != project.id) {
        return Err(ServiceError::Conflict(format!("the slug `{}` is taken", project.slug)));
    }
    Ok(())
}

async fn free_slug(conn: &mut Conn, team: TeamId, name: &str) -> Result<String, ServiceError> {
    let base = fields::slug_of(name, "project");
    for number in 1..100 {
        let slug = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        let filter = Filter { org: None, team: Some(team) };
        if projects::find_by_slug(conn, filter, &slug).await?.is_empty() {
            return Ok(slug);
        }
    }
    Err(ServiceError::field("slug", "choose one: those made from the name are taken"))
}

fn deed(project: &Project, action: &'static str, event: &'static str) -> Deed {
    Deed {
        org: project.org_id,
        team: Some(project.team_id),
        table: "projects",
        target: project.id.to_string(),
        action,
        event,
        detail: json!({ "slug": project.slug, "name": project.name }),
    }
}
