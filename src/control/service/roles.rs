//! Roles: those that the profile ships, as far as the caller may see them, and those that an organization makes for
//! itself (R001_06).
//!
//! A role that somebody holds is not deleted: it is taken from its holders first, so that nobody loses rights, and no
//! later role of the same name gives any, without a line in the trail that says to whom.

use serde_json::json;

use super::{
    Caller, Control, Page, PageOf, ServiceError,
    caller::Who,
    fields, orgs,
    rights::Rights,
    work::{Deed, Work},
};
use crate::{
    domain::{
        boundary::Boundary,
        id::{OrgId, RoleId},
        permission::PermissionSet,
        profile::{Profile, control},
        role::{self, Level},
        time::Timestamp,
    },
    store::{Conn, changes::Subject, roles, roles::Role},
};

/// A new role.
#[derive(Debug, Clone, Default)]
pub struct NewRole {
    /// The organization, by id or slug; may be left out where there is only one.
    pub org: Option<String>,
    /// Its name, unlike that of any other role.
    pub name: String,
    /// Exactly what it gives; what that implies comes with it.
    pub permissions: Vec<String>,
}

/// What to change about a role; what is not named stays.
#[derive(Debug, Clone, Default)]
pub struct RoleChanges {
    /// Its name; whoever holds it goes on holding it.
    pub name: Option<String>,
    /// Exactly what it gives.
    pub permissions: Option<Vec<String>>,
}

/// A role as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RoleDetail {
    /// A custom role's id; one of the profile's is named by its name.
    pub id: String,
    /// Whose it is; none: the profile's.
    pub org_id: Option<OrgId>,
    /// The name by which it is given.
    pub name: String,
    /// What it is for, as far as the profile says.
    pub text: Option<String>,
    /// Where it is held; none: where it is given.
    pub level: Option<Level>,
    /// What it gives: all of it for the profile's, what was chosen for a custom one.
    pub permissions: Vec<String>,
    /// Whether an organization made it.
    pub custom: bool,
    /// Whether a key may carry it.
    pub on_keys: bool,
    /// When it was made; none: with the profile.
    pub created_at: Option<Timestamp>,
}

const LONGEST_NAME: usize = 64;
/// Every look-up of a key reads the roles of its organization.
const MOST_ROLES: i64 = 200;

impl Control {
    /// Makes a role out of what the caller holds.
    pub async fn create_role(&self, caller: &Caller, new: &NewRole) -> Result<RoleDetail, ServiceError> {
        let mut work = self.begin(caller).await?;
        let org = orgs::find_or_only(&mut work.tx, &work.who, "org", new.org.as_deref()).await?.id;
        let profile = self.profile();
        authorise(profile, &work.who, org)?;
        let permissions = wanted(profile, &new.permissions)?;
        covered(profile, &work.who, org, &permissions)?;
        let name = free_name(profile, &mut work.tx, org, &new.name, None).await?;
        if roles::count(&mut work.tx, org).await? >= MOST_ROLES {
            return Err(ServiceError::LimitReached(format!(
                "an organization has at most {MOST_ROLES} roles"
            )));
        }
        let role = Role { id: RoleId::new(work.now), org_id: org, name, permissions, created_at: work.now };
        roles::insert(&mut work.tx, &role).await?;
        let detail = json!({ "name": role.name, "permissions": role.permissions });
        work.record(deed(&role, "create", "role.created", detail)).await?;
        work.changed(&Subject::Org(org)).await?;
        let detail = custom(profile, role);
        work.finish(&detail).await?;
        Ok(detail)
    }

    /// The roles that the caller may see: the profile's, then those of the organization, or of all; those with this
    /// name, where one is said.
    pub async fn list_roles(
        &self,
        caller: &Caller,
        org: Option<&str>,
        name: Option<&str>,
        page: &Page,
    ) -> Result<PageOf<RoleDetail>, ServiceError> {
        let (limit, after) = (page.limit()?, page.after::<String>()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let org = match org {
            Some(named) => Some(orgs::find(&mut conn, &who, named).await?.id),
            None => who.org(),
        };
        let profile = self.profile();
        may_read(profile, &who)?;
        let visible = profile.roles.iter().filter(|role| sees(&who, role));
        let mut all: Vec<RoleDetail> = visible.map(|role| shipped(profile, role)).collect();
        let own = roles::list(&mut conn, org).await?;
        all.extend(own.into_iter().map(|role| custom(profile, role)));
        all.retain(|role| name.is_none_or(|name| role.name.eq_ignore_ascii_case(name)));
        if let Some(after) = after {
            // All there are fit in memory; a cursor that names none of them begins at the end.
            let seen = all.iter().position(|role| role.id == after).map_or(all.len(), |at| at + 1);
            all.drain(..seen);
        }
        Ok(PageOf::cut(all, limit, |role| role.id.clone()))
    }

    /// The role with this id or name.
    pub async fn find_role(&self, caller: &Caller, named: &str) -> Result<RoleDetail, ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let profile = self.profile();
        may_read(profile, &who)?;
        match profile.roles.get(named).filter(|role| sees(&who, role)) {
            Some(role) => Ok(shipped(profile, role)),
            None => Ok(custom(profile, find(&mut conn, &who, named).await?)),
        }
    }

    /// Gives a custom role another name, other permissions, or both; whoever holds it has what it gives by the next
    /// request.
    pub async fn update_role(
        &self,
        caller: &Caller,
        named: &str,
        changes: &RoleChanges,
    ) -> Result<RoleDetail, ServiceError> {
        let mut work = self.begin(caller).await?;
        let (profile, mut role) = (self.profile(), self.own_role(&mut work, named).await?);
        let before = role.clone();
        if let Some(permissions) = &changes.permissions {
            role.permissions = wanted(profile, permissions)?;
            covered(profile, &work.who, role.org_id, &role.permissions)?;
            roles::set_permissions(&mut work.tx, role.id, &role.permissions).await?;
        }
        if let Some(name) = &changes.name {
            role.name = free_name(profile, &mut work.tx, role.org_id, name, Some(role.id)).await?;
            roles::rename(&mut work.tx, &before, &role.name).await?;
        }
        let said = |role: &Role| json!({ "name": role.name, "permissions": role.permissions });
        let detail = json!({ "before": said(&before), "after": said(&role) });
        work.record(deed(&role, "update", "role.updated", detail)).await?;
        work.changed(&Subject::Org(role.org_id)).await?;
        let detail = custom(profile, role);
        work.finish(&detail).await?;
        Ok(detail)
    }

    /// Deletes a custom role that nobody holds.
    ///
    /// # Errors
    /// `conflict` while a person, a group or a working key holds it.
    pub async fn delete_role(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let role = self.own_role(&mut work, named).await?;
        let uses = roles::uses(&mut work.tx, role.org_id, &role.name, work.now).await?;
        if uses != roles::Uses::default() {
            let roles::Uses { members, groups, keys, invitations } = uses;
            return Err(ServiceError::Conflict(format!(
                "`{}` is in use ({members} people, {groups} groups, {keys} keys, {invitations} invitations): \
                 take it away from them first",
                role.name
            )));
        }
        roles::delete(&mut work.tx, role.id).await?;
        let detail = json!({ "name": role.name, "permissions": role.permissions });
        work.record(deed(&role, "delete", "role.deleted", detail)).await?;
        work.changed(&Subject::Org(role.org_id)).await?;
        work.finish(&()).await
    }

    /// A custom role that the caller may change or delete: one all of which they hold.
    async fn own_role(&self, work: &mut Work<'_>, named: &str) -> Result<Role, ServiceError> {
        if let Some(role) = self.profile().roles.get(named).filter(|role| sees(&work.who, role)) {
            if let Some(org) = work.who.org() {
                authorise(self.profile(), &work.who, org)?;
            }
            return Err(ServiceError::Conflict(format!("`{}` is part of the profile", role.name)));
        }
        let role = find(&mut work.tx, &work.who, named).await?;
        authorise(self.profile(), &work.who, role.org_id)?;
        covered(self.profile(), &work.who, role.org_id, &role.permissions)?;
        Ok(role)
    }
}

/// People choose among roles; a key has a reason to look only where it works with them.
fn may_read(profile: &Profile, who: &Who) -> Result<(), ServiceError> {
    let Who::Key(holder, _) = who else { return Ok(()) };
    let reasons = [control::ROLE_MANAGE, control::MEMBER_READ, control::API_KEY_CREATE];
    if reasons.iter().any(|reason| holder.standing.permissions.contains(*reason)) {
        return Ok(());
    }
    who.require(profile, control::ROLE_MANAGE, &holder.key.boundary)
}

/// Refuses those who may not administer roles there.
fn authorise(profile: &Profile, who: &Who, org: OrgId) -> Result<(), ServiceError> {
    who.require(profile, control::ROLE_MANAGE, &Boundary::Org(org))?;
    match who {
        // A role has no end and no networks: what a key put into one would outlive the key and reach beyond it.
        Who::Key(..) => Err(ServiceError::Forbidden("an API key may not change roles".into())),
        Who::Operator | Who::Person(..) => Ok(()),
    }
}

/// Refuses a role beyond what the caller holds (R001_06).
fn covered(profile: &Profile, who: &Who, org: OrgId, permissions: &[String]) -> Result<(), ServiceError> {
    let rights = Rights::default();
    let gives = rights.book(profile).of_custom(permissions);
    let Some(held) = who.grant(&Boundary::Org(org)) else { return Ok(()) };
    let beyond = gives.difference(&held.permissions);
    if beyond.is_empty() {
        return Ok(());
    }
    let lacking = profile.permissions.names(beyond).join(", ");
    Err(ServiceError::Forbidden(format!("nobody gives more than they hold, and you do not hold {lacking}")))
}

/// These permissions, sorted and once each, if custom roles may have them.
fn wanted(profile: &Profile, names: &[String]) -> Result<Vec<String>, ServiceError> {
    let Some(allowed) = &profile.members.custom_roles else {
        return Err(ServiceError::Conflict("this profile has no custom roles".into()));
    };
    let listed = |set: PermissionSet| profile.permissions.names(set).join(", ");
    let set = profile.permissions.parse_set(names);
    let set = set.map_err(|unknown| {
        ServiceError::field("permissions", format!("{unknown}; expected some of {}", listed(*allowed)))
    })?;
    let beyond = set.difference(allowed);
    if set.is_empty() || !beyond.is_empty() {
        return Err(ServiceError::field("permissions", format!("expected some of {}", listed(*allowed))));
    }
    Ok(profile.permissions.names(set).into_iter().map(str::to_owned).collect())
}

/// A name that can be told from every other role's, in lists, in headers and on command lines.
async fn free_name(
    profile: &Profile,
    conn: &mut Conn,
    org: OrgId,
    name: &str,
    own: Option<RoleId>,
) -> Result<String, ServiceError> {
    let name = fields::name("name", name, LONGEST_NAME)?;
    // It goes to backends in a header, and stands in lists that are separated by commas.
    if !name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic() && byte != b',') {
        return Err(ServiceError::field("name", "expected printable ASCII characters without commas"));
    }
    let same = |other: &str| other.eq_ignore_ascii_case(&name);
    // `none` stands for no role at all, and an id must never be readable as a name.
    if same("none") || name.parse::<RoleId>().is_ok() {
        return Err(ServiceError::field("name", "this name means something else"));
    }
    if profile.roles.iter().any(|role| same(&role.name) || same(&role.title)) {
        return Err(ServiceError::Conflict(format!("`{name}` is a role of the profile")));
    }
    let taken = roles::find_by_name(conn, Some(org), &name).await?;
    if taken.iter().any(|role| Some(role.id) != own) {
        return Err(ServiceError::Conflict(format!("there is a role `{name}` already")));
    }
    Ok(name)
}

/// The custom role with this id or name, unless it is not the caller's to know of.
async fn find(conn: &mut Conn, who: &Who, named: &str) -> Result<Role, ServiceError> {
    let mut found = match named.parse() {
        Ok(id) => roles::find(conn, id).await?.into_iter().collect(),
        Err(_) => roles::find_by_name(conn, who.org(), named).await?,
    };
    found.retain(|role| who.sees(role.org_id));
    match (found.pop(), found.pop()) {
        (Some(role), None) => Ok(role),
        (Some(_), Some(_)) => {
            Err(ServiceError::Conflict(format!("several organizations have a role `{named}`: use the id")))
        }
        _ => Err(ServiceError::not_found("role", named)),
    }
}

fn sees(who: &Who, role: &role::Role) -> bool {
    who.org().is_none_or(|org| {
        let place = match who {
            Who::Key(holder, _) => holder.key.boundary,
            Who::Operator | Who::Person(..) => Boundary::Org(org),
        };
        who.sees_role(role, &place)
    })
}

fn shipped(profile: &Profile, role: &role::Role) -> RoleDetail {
    RoleDetail {
        id: role.name.to_string(),
        org_id: None,
        name: role.name.to_string(),
        text: Some(role.text.to_string()),
        level: Some(role.level),
        permissions: profile.permissions.names(role.permissions).into_iter().map(str::to_owned).collect(),
        custom: false,
        on_keys: role.on_keys,
        created_at: None,
    }
}

fn custom(profile: &Profile, role: Role) -> RoleDetail {
    RoleDetail {
        id: role.id.to_string(),
        org_id: Some(role.org_id),
        name: role.name,
        text: None,
        level: None,
        permissions: role.permissions,
        custom: true,
        on_keys: profile.members.custom_roles_on_keys,
        created_at: Some(role.created_at),
    }
}

fn deed(role: &Role, action: &'static str, event: &'static str, detail: serde_json::Value) -> Deed {
    Deed { org: role.org_id, team: None, table: "roles", target: role.id.to_string(), action, event, detail }
}
