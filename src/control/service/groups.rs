//! Groups: they carry roles for the people in them (R001_07).
//!
//! Putting a role into a group, and a person into a group, is giving that role: the same rule as for a role that is
//! given directly (`members::may_change`) judges both, and taking either away.

use serde_json::json;

use super::{
    Caller, Control, Page, PageOf, ServiceError,
    caller::Who,
    fields,
    last_admin::Administered,
    members, orgs,
    rights::Rights,
    users,
    work::{Deed, Work},
};
use crate::{
    domain::{
        boundary::Boundary,
        id::{GroupId, OrgId, UserId},
        key::standing::carries,
        profile::{RoleBook, control},
        time::Timestamp,
    },
    store::{Conn, changes::Subject, groups, groups::Group},
};

/// A new group.
#[derive(Debug, Clone, Default)]
pub struct NewGroup {
    /// The organization, by id or slug; may be left out where there is only one.
    pub org: Option<String>,
    /// Its name, unlike that of any other group.
    pub name: String,
    /// The roles that it carries, by name.
    pub roles: Vec<String>,
}

/// What to change about a group; what is not named stays.
#[derive(Debug, Clone, Default)]
pub struct GroupChanges {
    /// Its name.
    pub name: Option<String>,
    /// The roles that it carries instead.
    pub roles: Option<Vec<String>>,
}

/// A group as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GroupView {
    /// Its id.
    pub id: GroupId,
    /// Whose it is.
    pub org_id: OrgId,
    /// Its name.
    pub name: String,
    /// The roles that it carries.
    pub roles: Vec<String>,
    /// Who is in it.
    pub members: Vec<GroupMemberView>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A person in a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GroupMemberView {
    /// Who.
    pub user_id: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
}

const LONGEST_NAME: usize = 80;
const MOST_ROLES: usize = 50;
const MOST_GROUPS: u32 = 500;

impl Control {
    /// Makes a group of roles that the caller may give.
    pub async fn create_group(&self, caller: &Caller, new: &NewGroup) -> Result<GroupView, ServiceError> {
        let mut work = self.begin(caller).await?;
        let org = orgs::find_or_only(&mut work.tx, &work.who, "org", new.org.as_deref()).await?.id;
        self.may_manage_groups(&work.who, org)?;
        let rights = Rights::of_org(&mut work.tx, self.profile(), org).await?;
        let book = rights.book(self.profile());
        let roles = wanted(&book, &new.roles)?;
        let add = roles.iter().map(|role| (None, Some(role.as_str())));
        may_change(&book, &work.who, org, add)?;
        let name = free_name(&mut work.tx, org, &new.name, None).await?;
        let there = groups::list(&mut work.tx, Some(org), None, MOST_GROUPS).await?.len();
        if u32::try_from(there).is_ok_and(|there| there >= MOST_GROUPS) {
            return Err(ServiceError::LimitReached(format!(
                "an organization has at most {MOST_GROUPS} groups"
            )));
        }
        let group = Group { id: GroupId::new(work.now), org_id: org, name, roles, created_at: work.now };
        groups::insert(&mut work.tx, &group).await?;
        let detail = json!({ "name": group.name, "roles": group.roles });
        work.record(deed(&group, "create", "group.created", detail)).await?;
        finish(work, group).await
    }

    /// The groups of one organization or of all that the caller can see; the one with this name, where one is said.
    pub async fn list_groups(
        &self,
        caller: &Caller,
        org: Option<&str>,
        name: Option<&str>,
        page: &Page,
    ) -> Result<PageOf<GroupView>, ServiceError> {
        let (limit, after) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let org = match org {
            Some(named) => Some(orgs::find(&mut conn, &who, named).await?.id),
            None => who.org(),
        };
        if let Some(org) = org {
            self.may_read_groups(&who, org)?;
        }
        let found = match name {
            Some(name) => groups::find_by_name(&mut conn, org, name).await?,
            None => groups::list(&mut conn, org, after, limit + 1).await?,
        };
        let PageOf { items, next_cursor } = PageOf::cut(found, limit, |group| group.id.to_string());
        let mut views = Vec::with_capacity(items.len());
        for group in items {
            views.push(view(&mut conn, group).await?);
        }
        Ok(PageOf { items: views, next_cursor })
    }

    /// The group with this id or name.
    pub async fn find_group(&self, caller: &Caller, named: &str) -> Result<GroupView, ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let group = find(&mut conn, &who, named).await?;
        self.may_read_groups(&who, group.org_id)?;
        view(&mut conn, group).await
    }

    /// Gives a group another name, other roles, or both; what its members hold follows by the next request.
    pub async fn update_group(
        &self,
        caller: &Caller,
        named: &str,
        changes: &GroupChanges,
    ) -> Result<GroupView, ServiceError> {
        let mut work = self.begin(caller).await?;
        let mut group = find(&mut work.tx, &work.who, named).await?;
        let org = group.org_id;
        self.may_manage_groups(&work.who, org)?;
        let before = group.clone();
        if let Some(roles) = &changes.roles {
            let rights = Rights::of_org(&mut work.tx, self.profile(), org).await?;
            let book = rights.book(self.profile());
            group.roles = wanted(&book, roles)?;
            let gone = before.roles.iter().filter(|role| !group.roles.contains(role));
            let new = group.roles.iter().filter(|role| !before.roles.contains(role));
            let gone = gone.map(|role| (Some(role.as_str()), None));
            may_change(&book, &work.who, org, gone.chain(new.map(|role| (None, Some(role.as_str())))))?;
        }
        if let Some(name) = &changes.name {
            group.name = free_name(&mut work.tx, org, name, Some(group.id)).await?;
        }
        let administered = self.administered(&mut work, org).await?;
        groups::update(&mut work.tx, &group).await?;
        administered.still(self.profile(), &mut work.tx).await?;
        let said = |group: &Group| json!({ "name": group.name, "roles": group.roles });
        let detail = json!({ "before": said(&before), "after": said(&group) });
        work.record(deed(&group, "update", "group.updated", detail)).await?;
        finish(work, group).await
    }

    /// Deletes a group; what it carried is taken from everybody in it.
    pub async fn delete_group(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let group = find(&mut work.tx, &work.who, named).await?;
        self.may_manage_groups(&work.who, group.org_id)?;
        self.may_move(&mut work, &group, false).await?;
        let administered = self.administered(&mut work, group.org_id).await?;
        groups::delete(&mut work.tx, group.id).await?;
        administered.still(self.profile(), &mut work.tx).await?;
        let detail = json!({ "name": group.name, "roles": group.roles });
        work.record(deed(&group, "delete", "group.deleted", detail)).await?;
        work.changed(&Subject::Org(group.org_id)).await?;
        work.finish(&()).await
    }

    /// Puts a person into a group. Again changes nothing and is no error.
    pub async fn add_to_group(
        &self,
        caller: &Caller,
        named: &str,
        user: &str,
    ) -> Result<GroupView, ServiceError> {
        self.move_member(caller, named, user, true).await
    }

    /// Takes a person out of a group; keys that stood on its roles shrink by the next request.
    pub async fn remove_from_group(
        &self,
        caller: &Caller,
        named: &str,
        user: &str,
    ) -> Result<GroupView, ServiceError> {
        self.move_member(caller, named, user, false).await
    }

    async fn move_member(
        &self,
        caller: &Caller,
        named: &str,
        user: &str,
        into: bool,
    ) -> Result<GroupView, ServiceError> {
        let mut work = self.begin(caller).await?;
        let group = find(&mut work.tx, &work.who, named).await?;
        self.may_manage_groups(&work.who, group.org_id)?;
        let user = users::find(&mut work.tx, &work.who, user).await?;
        if user.org_id != group.org_id {
            return Err(ServiceError::not_found("user", &user.email));
        }
        self.may_move(&mut work, &group, into).await?;
        let administered = self.administered(&mut work, group.org_id).await?;
        let moved = if into {
            groups::add(&mut work.tx, group.id, user.id, work.now).await?
        } else {
            groups::remove(&mut work.tx, group.id, user.id).await?
        };
        administered.still(self.profile(), &mut work.tx).await?;
        if moved {
            let event = if into { "group.member_added" } else { "group.member_removed" };
            let detail = json!({ "group": group.name, "email": user.email, "roles": group.roles });
            work.record(deed(&group, "update", event, detail)).await?;
        } else if !into {
            return Err(ServiceError::not_found("member", &user.email));
        }
        finish(work, group).await
    }

    /// Whether the caller is one who may give, or take, all that the group carries.
    async fn may_move(&self, work: &mut Work<'_>, group: &Group, into: bool) -> Result<(), ServiceError> {
        let rights = Rights::of_org(&mut work.tx, self.profile(), group.org_id).await?;
        let roles = group.roles.iter().map(|role| Some(role.as_str()));
        let moves = roles.map(|role| if into { (None, role) } else { (role, None) });
        may_change(&rights.book(self.profile()), &work.who, group.org_id, moves)
    }

    /// Groups carry no role that is held in a team.
    async fn administered(&self, work: &mut Work<'_>, org: OrgId) -> Result<Administered, ServiceError> {
        Administered::before(self.profile(), &mut work.tx, &work.who, org, []).await
    }

    fn may_manage_groups(&self, who: &Who, org: OrgId) -> Result<(), ServiceError> {
        who.require(self.profile(), control::GROUP_MANAGE, &Boundary::Org(org))?;
        match who {
            // What a key put into a group would outlive the key and reach beyond it.
            Who::Key(..) => Err(ServiceError::Forbidden("an API key may not change groups".into())),
            _ if self.profile().members.groups => Ok(()),
            _ => Err(ServiceError::Conflict("this profile has no groups".into())),
        }
    }

    fn may_read_groups(&self, who: &Who, org: OrgId) -> Result<(), ServiceError> {
        let place = Boundary::Org(org);
        if who.may(control::GROUP_MANAGE, &place) {
            return Ok(());
        }
        who.require(self.profile(), control::MEMBER_READ, &place)
    }
}

fn may_change<'r>(
    book: &RoleBook<'_>,
    who: &Who,
    org: OrgId,
    moves: impl Iterator<Item = (Option<&'r str>, Option<&'r str>)>,
) -> Result<(), ServiceError> {
    for (old, new) in moves {
        members::may_change(book, who, &Boundary::Org(org), old, new)?;
    }
    Ok(())
}

/// These roles, sorted and once each, if groups can carry them.
fn wanted(book: &RoleBook<'_>, names: &[String]) -> Result<Vec<String>, ServiceError> {
    if names.is_empty() || names.len() > MOST_ROLES {
        return Err(ServiceError::field("roles", format!("name 1 to {MOST_ROLES} roles")));
    }
    for name in names {
        if book.find(name).is_none() {
            return Err(ServiceError::field("roles", format!("there is no role `{name}`")));
        }
        if !carries(book, name) {
            return Err(ServiceError::field("roles", format!("`{name}` is held in a team, not by a group")));
        }
    }
    let mut roles = names.to_vec();
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}

async fn free_name(
    conn: &mut Conn,
    org: OrgId,
    name: &str,
    own: Option<GroupId>,
) -> Result<String, ServiceError> {
    let name = fields::name("name", name, LONGEST_NAME)?;
    if name.parse::<GroupId>().is_ok() {
        return Err(ServiceError::field("name", "an id is no name"));
    }
    let taken = groups::find_by_name(conn, Some(org), &name).await?;
    if taken.iter().any(|group| Some(group.id) != own) {
        return Err(ServiceError::Conflict(format!("there is a group `{name}` already")));
    }
    Ok(name)
}

/// The group with this id or name, unless it is not the caller's to know of.
async fn find(conn: &mut Conn, who: &Who, named: &str) -> Result<Group, ServiceError> {
    let mut found = match named.parse() {
        Ok(id) => groups::find(conn, id).await?.into_iter().collect(),
        Err(_) => groups::find_by_name(conn, who.org(), named).await?,
    };
    found.retain(|group| who.sees(group.org_id));
    match (found.pop(), found.pop()) {
        (Some(group), None) => Ok(group),
        (Some(_), Some(_)) => {
            Err(ServiceError::Conflict(format!("several organizations have a group `{named}`: use the id")))
        }
        _ => Err(ServiceError::not_found("group", named)),
    }
}

async fn view(conn: &mut Conn, group: Group) -> Result<GroupView, ServiceError> {
    let members = groups::members(conn, group.id).await?;
    let shown = |member: groups::GroupMember| GroupMemberView {
        user_id: member.user_id,
        email: member.email,
        name: member.name,
    };
    Ok(GroupView {
        id: group.id,
        org_id: group.org_id,
        name: group.name,
        roles: group.roles,
        members: members.into_iter().map(shown).collect(),
        created_at: group.created_at,
    })
}

async fn finish(mut work: Work<'_>, group: Group) -> Result<GroupView, ServiceError> {
    work.changed(&Subject::Org(group.org_id)).await?;
    let view = view(&mut work.tx, group).await?;
    work.finish(&view).await?;
    Ok(view)
}

fn deed(group: &Group, action: &'static str, event: &'static str, detail: serde_json::Value) -> Deed {
    Deed {
        org: group.org_id,
        team: None,
        table: "groups",
        target: group.id.to_string(),
        action,
        event,
        detail,
    }
}
