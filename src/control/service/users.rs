//! People: added, deactivated and activated, removed.

use serde_json::json;

use super::{
    Caller, Control, Page, PageOf, ServiceError,
    caller::Who,
    fields, invitations,
    keys::record_ended,
    last_admin::Administered,
    members, orgs,
    rights::Rights,
    sessions, teams,
    work::{Deed, Work},
};
use crate::{
    domain::{
        boundary::Boundary,
        id::{OrgId, TeamId, UserId},
        profile::control,
        time::Timestamp,
    },
    store::{Conn, changes::Subject, groups, keys, memberships, memberships::Membership, users, users::User},
};

/// A new person.
#[derive(Default)]
pub struct NewUser {
    /// The organization, by id or slug; may be left out where there is only one.
    pub org: Option<String>,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Their password; without one they cannot sign in with a password.
    pub password: Option<String>,
    /// The team, by id or slug; may be left out where there is only one.
    pub team_id: Option<String>,
    /// Their role, in the organization or in the team as the profile has it.
    pub role: Option<String>,
}

/// A person as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UserView {
    /// Their id.
    pub id: UserId,
    /// Their organization.
    pub org_id: OrgId,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Whether they, and the keys that are theirs, may act.
    pub active: bool,
    /// When they were added.
    pub created_at: Timestamp,
    /// Their roles.
    pub memberships: Vec<RoleView>,
    /// The names of the groups they are in, whose roles are theirs too.
    pub groups: Vec<String>,
}

/// A role that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RoleView {
    /// In which team; none: in the organization.
    pub team_id: Option<TeamId>,
    /// Which; none: what groups give.
    pub role: Option<String>,
}

const LONGEST_NAME: usize = 100;

impl Control {
    /// Adds a person with a role.
    pub async fn create_user(&self, caller: &Caller, new: &NewUser) -> Result<UserView, ServiceError> {
        let email = fields::email(&new.email)?.to_string();
        let name = fields::name("name", &new.name, LONGEST_NAME)?;
        // The costly part happens before the write lock is taken, and only for those who may.
        let password = match &new.password {
            Some(password) => {
                fields::password(password, &email)?;
                let mut conn = self.store().read().await?;
                let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
                self.place_new(&mut conn, &who, new).await?;
                drop(conn);
                Some(self.0.hashing.password(password).await?)
            }
            None => None,
        };
        let mut work = self.begin(caller).await?;
        let (org, team) = self.place_new(&mut work.tx, &work.who, new).await?;
        if users::find_by_email(&mut work.tx, &email).await?.is_some() {
            return Err(ServiceError::Conflict(format!("somebody has the e-mail address {email}")));
        }
        let user = User {
            id: UserId::new(work.now),
            org_id: org,
            email,
            name,
            created_at: work.now,
            deactivated_at: None,
            removed_at: None,
        };
        users::insert(&mut work.tx, &user, password.as_ref()).await?;
        let membership = Membership {
            user_id: user.id,
            org_id: org,
            team_id: team,
            role: new.role.clone(),
            created_at: work.now,
        };
        memberships::put(&mut work.tx, &membership).await?;
        let detail = json!({ "email": user.email, "role": new.role, "password": password.is_some() });
        work.record(deed(&user, team, "create", "user.created", detail)).await?;
        work.changed(&Subject::Org(org)).await?;
        let view = self.view_for(&mut work.tx, &work.who, user).await?;
        work.finish(&view).await?;
        Ok(view)
    }

    /// Where a new person's role is held, if the caller may give it there.
    async fn place_new(
        &self,
        conn: &mut Conn,
        who: &Who,
        new: &NewUser,
    ) -> Result<(OrgId, Option<TeamId>), ServiceError> {
        let org = match (&new.org, &new.team_id) {
            (None, Some(team)) => teams::find(conn, who, None, team).await?.org_id,
            (named, _) => orgs::find_or_only(conn, who, "org", named.as_deref()).await?.id,
        };
        let role = new.role.as_deref();
        let rights = Rights::of_org(conn, self.profile(), org).await?;
        let book = rights.book(self.profile());
        let team = members::place(&book, conn, who, org, new.team_id.as_deref(), role).await?;
        members::may_give(&book, who, org, team, None, role)?;
        Ok((org, team))
    }

    /// The people that the caller can see: of one organization or of all, or of the one team that they act in; who has
    /// this address, where one is said.
    pub async fn list_users(
        &self,
        caller: &Caller,
        org: Option<&str>,
        email: Option<&str>,
        page: &Page,
    ) -> Result<PageOf<UserView>, ServiceError> {
        let (limit, after) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let org = match org {
            Some(named) => Some(orgs::find(&mut conn, &who, named).await?.id),
            None => who.org(),
        };
        let team = match org {
            Some(org) => self.reads_people(&who, org)?,
            None => None,
        };
        let users = match (email, team) {
            (Some(email), team) => {
                let found = users::find_by_email(&mut conn, email).await?;
                let found = found.filter(|user| org.is_none_or(|org| user.org_id == org));
                match (found, team) {
                    (Some(user), Some(team)) if !is_in(&mut conn, user.id, team).await? => Vec::new(),
                    (found, _) => found.into_iter().collect(),
                }
            }
            (None, Some(team)) => users::list_of_team(&mut conn, team, after, limit + 1).await?,
            (None, None) => users::list(&mut conn, org, after, limit + 1).await?,
        };
        let PageOf { items, next_cursor } = PageOf::cut(users, limit, |user| user.id.to_string());
        let mut views = Vec::with_capacity(items.len());
        for user in items {
            views.push(self.view_for(&mut conn, &who, user).await?);
        }
        Ok(PageOf { items: views, next_cursor })
    }

    /// The person with this id or e-mail address.
    pub async fn find_user(&self, caller: &Caller, named: &str) -> Result<UserView, ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let user = find(&mut conn, &who, named).await?;
        if who.user() != Some(user.id)
            && let Some(team) = self.reads_people(&who, user.org_id)?
            && !is_in(&mut conn, user.id, team).await?
        {
            return Err(ServiceError::not_found("user", named));
        }
        self.view_for(&mut conn, &who, user).await
    }

    /// Whose people the caller may read: the organization's, or (some) those of the team that they act in alone.
    fn reads_people(&self, who: &Who, org: OrgId) -> Result<Option<TeamId>, ServiceError> {
        let reads = |place| who.may(control::MEMBER_READ, &place);
        match who.acting_team() {
            Some(team) if !reads(Boundary::Org(org)) && reads(Boundary::Team(org, team)) => Ok(Some(team)),
            _ => who.require(self.profile(), control::MEMBER_READ, &Boundary::Org(org)).map(|()| None),
        }
    }

    /// A person as the caller sees them: of roles held where the caller may not look, nothing is said (R000_01).
    async fn view_for(&self, conn: &mut Conn, who: &Who, user: User) -> Result<UserView, ServiceError> {
        let all = who.may(control::MEMBER_READ, &Boundary::Org(user.org_id));
        let (team, own) = (who.acting_team().filter(|_| !all), who.user() == Some(user.id));
        let mut view = view(conn, user).await?;
        if team.is_some() {
            view.memberships.retain(|held| held.team_id == team || (own && held.team_id.is_none()));
        }
        Ok(view)
    }

    /// Lets a person act again, or stops them and every key of theirs until then.
    pub async fn set_user_active(
        &self,
        caller: &Caller,
        named: &str,
        active: bool,
    ) -> Result<UserView, ServiceError> {
        self.update_user(caller, named, None, Some(active)).await
    }

    /// Gives a person another name, lets them act or stops them, or both; what is not named stays.
    pub async fn update_user(
        &self,
        caller: &Caller,
        named: &str,
        name: Option<&str>,
        active: Option<bool>,
    ) -> Result<UserView, ServiceError> {
        let name = name.map(|name| fields::name("name", name, LONGEST_NAME)).transpose()?;
        let mut work = self.begin(caller).await?;
        let mut user = find(&mut work.tx, &work.who, named).await?;
        self.may_touch(&mut work, &user, control::MEMBER_UPDATE).await?;
        if let Some(name) = name.filter(|name| *name != user.name) {
            users::rename(&mut work.tx, user.id, &name).await?;
            let detail = json!({ "email": user.email, "name": name, "before": user.name });
            user.name = name;
            work.record(deed(&user, None, "update", "user.updated", detail)).await?;
        }
        if let Some(active) = active.filter(|active| *active != user.active()) {
            let administered = self.administered_by(&mut work, &user).await?;
            user.deactivated_at = (!active).then_some(work.now);
            users::set_deactivated(&mut work.tx, user.id, user.deactivated_at).await?;
            administered.still(self.profile(), &mut work.tx).await?;
            let event = if active { "user.activated" } else { "user.deactivated" };
            work.record(deed(&user, None, "update", event, json!({ "email": user.email }))).await?;
            // Whoever is let back in signs in again.
            if !active {
                sessions::end_all(&mut work, &user).await?;
            }
            work.changed(&Subject::Org(user.org_id)).await?;
        }
        let view = self.view_for(&mut work.tx, &work.who, user).await?;
        work.finish(&view).await?;
        Ok(view)
    }

    /// Removes a person. Keys that are theirs are revoked; the organization's keys go on.
    pub async fn remove_user(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let user = find(&mut work.tx, &work.who, named).await?;
        self.may_touch(&mut work, &user, control::MEMBER_REMOVE).await?;
        let administered = self.administered_by(&mut work, &user).await?;
        sessions::end_all(&mut work, &user).await?;
        let ended = keys::revoke_of_owner(&mut work.tx, user.id, work.now).await?;
        users::remove(&mut work.tx, user.id, work.now).await?;
        administered.still(self.profile(), &mut work.tx).await?;
        // A link that still lies in their mail must not bring them back.
        invitations::close(&mut work.tx, user.org_id, &user.email, invitations::Into::Anywhere, work.now)
            .await?;
        let because = json!({ "because": "its owner was removed" });
        record_ended(&mut work, user.org_id, &ended, &because).await?;
        let detail = json!({ "email": user.email, "keys_revoked": ended.len() });
        work.record(deed(&user, None, "delete", "user.removed", detail)).await?;
        work.changed(&Subject::Org(user.org_id)).await?;
        work.finish(&()).await
    }

    /// Whether the caller may change, stop or remove this person: wherever the person holds a role, the caller has to
    /// be one who could have given it.
    pub(super) async fn may_touch(
        &self,
        work: &mut Work<'_>,
        user: &User,
        permission: crate::domain::permission::Permission,
    ) -> Result<(), ServiceError> {
        let held = memberships::of_user(&mut work.tx, user.id).await?;
        let org = Boundary::Org(user.org_id);
        let rights = Rights::of_org(&mut work.tx, self.profile(), user.org_id).await?;
        let book = rights.book(self.profile());
        if held.is_empty() {
            work.who.require(self.profile(), permission, &org)?;
            members::may_change(&book, &work.who, &org, None, None)?;
        }
        for role in groups::of_user(&mut work.tx, user.id).await?.iter().flat_map(|group| &group.roles) {
            members::may_change(&book, &work.who, &org, Some(role), None)?;
        }
        for membership in held {
            let boundary = members::boundary(user.org_id, membership.team_id);
            work.who.require(self.profile(), permission, &boundary)?;
            members::may_change(&book, &work.who, &boundary, membership.role.as_deref(), None)?;
        }
        Ok(())
    }

    /// The places where this person may be the last one who can administer.
    async fn administered_by(&self, work: &mut Work<'_>, user: &User) -> Result<Administered, ServiceError> {
        let held = memberships::of_user(&mut work.tx, user.id).await?;
        let teams = held.into_iter().filter_map(|membership| membership.team_id);
        Administered::before(self.profile(), &mut work.tx, &work.who, user.org_id, teams).await
    }
}

/// The person with this id or e-mail address who has not been removed, unless not the caller's to know of.
pub(super) async fn find(conn: &mut Conn, who: &Who, named: &str) -> Result<User, ServiceError> {
    let user = find_in_org(conn, who, named).await?;
    // Who is bound to a team knows the people of that team, and whom they speak for.
    if let Some(team) = who.only_team()
        && who.user() != Some(user.id)
        && !is_in(conn, user.id, team).await?
    {
        return Err(ServiceError::not_found("user", named));
    }
    Ok(user)
}

/// The same, wherever in the caller's organization they are. Whoever may give somebody a place in their own team need
/// not have seen them in another one; what they need is the id, which nobody guesses.
pub(super) async fn find_in_org(conn: &mut Conn, who: &Who, named: &str) -> Result<User, ServiceError> {
    let found = match named.parse() {
        Ok(id) => users::find(conn, id).await?,
        Err(_) => users::find_by_email(conn, named).await?,
    };
    found
        .filter(|user| user.removed_at.is_none() && who.sees(user.org_id))
        .ok_or_else(|| ServiceError::not_found("user", named))
}

async fn is_in(conn: &mut Conn, user: UserId, team: TeamId) -> Result<bool, ServiceError> {
    Ok(memberships::of_user(conn, user).await?.iter().any(|held| held.team_id == Some(team)))
}

pub(super) async fn view(conn: &mut Conn, user: User) -> Result<UserView, ServiceError> {
    let memberships = memberships::of_user(conn, user.id).await?;
    let memberships = memberships
        .into_iter()
        .map(|membership| RoleView { team_id: membership.team_id, role: membership.role })
        .collect();
    let groups = groups::of_user(conn, user.id).await?.into_iter().map(|group| group.name).collect();
    Ok(UserView {
        id: user.id,
        org_id: user.org_id,
        active: user.active(),
        email: user.email,
        name: user.name,
        created_at: user.created_at,
        memberships,
        groups,
    })
}

pub(super) fn deed(
    user: &User,
    team: Option<TeamId>,
    action: &'static str,
    event: &'static str,
    detail: serde_json::Value,
) -> Deed {
    Deed { org: user.org_id, team, table: "users", target: user.id.to_string(), action, event, detail }
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewUser").field("email", &self.email).finish_non_exhaustive()
    }
}
