//! Who holds which role where.

use serde_json::json;

use super::{
    Caller, Control, Page, PageOf, ServiceError, caller::Who, invitations, last_admin::Administered, orgs,
    rights::Rights, sessions, teams, users, work::Deed,
};
use crate::{
    domain::{
        boundary::Boundary,
        id::{OrgId, TeamId, UserId},
        profile::{Known, RoleBook, control},
        role::Level,
    },
    store::{
        Conn,
        changes::Subject,
        groups, memberships,
        memberships::{Member, Membership},
        users::User,
    },
};

/// A member as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MemberView {
    /// Who.
    pub user_id: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Their role; none: what groups give.
    pub role: Option<String>,
    /// The names of the groups they are in, whose roles are theirs too.
    pub groups: Vec<String>,
    /// Whether they may act.
    pub active: bool,
}

impl Control {
    /// The members of a team, or of the organization itself.
    pub async fn list_members(
        &self,
        caller: &Caller,
        org: Option<&str>,
        team: Option<&str>,
        page: &Page,
    ) -> Result<PageOf<MemberView>, ServiceError> {
        let (limit, after) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let (org, team) = match team {
            Some(named) => {
                let team = teams::find(&mut conn, &who, None, named).await?;
                (team.org_id, Some(team.id))
            }
            None => (orgs::find_or_only(&mut conn, &who, "org", org).await?.id, None),
        };
        who.require(self.profile(), control::MEMBER_READ, &boundary(org, team))?;
        let members = memberships::list(&mut conn, org, team, after, limit + 1).await?;
        let page = PageOf::cut(members, limit, |member| member.membership.user_id.to_string());
        let mut items = Vec::with_capacity(page.items.len());
        for member in page.items {
            items.push(view(&mut conn, member).await?);
        }
        Ok(PageOf { items, next_cursor: page.next_cursor })
    }

    /// Gives a person a role in a team or in the organization, in place of one they may have there; the very next
    /// request is judged by it (R000_11).
    pub async fn set_role(
        &self,
        caller: &Caller,
        user: &str,
        team: Option<&str>,
        role: Option<&str>,
    ) -> Result<MemberView, ServiceError> {
        let mut work = self.begin(caller).await?;
        let user = match (&work.who, team, user.parse::<UserId>()) {
            // Only who may give places there learns whether somebody whom they do not see exists.
            (Who::Person(..), Some(named), Ok(_)) => {
                let team = teams::find(&mut work.tx, &work.who, None, named).await?;
                let place = boundary(team.org_id, Some(team.id));
                work.who.require(self.profile(), control::MEMBER_UPDATE, &place)?;
                users::find_in_org(&mut work.tx, &work.who, user).await?
            }
            _ => users::find(&mut work.tx, &work.who, user).await?,
        };
        let (profile, org) = (self.profile(), user.org_id);
        let rights = Rights::of_org(&mut work.tx, profile, org).await?;
        let book = rights.book(profile);
        let team = place(&book, &mut work.tx, &work.who, org, team, role).await?;
        let held = memberships::of_user(&mut work.tx, user.id).await?;
        let before = held.into_iter().find(|membership| membership.team_id == team);
        let old = before.as_ref().and_then(|membership| membership.role.clone());
        may_give(&book, &work.who, org, team, old.as_deref(), role)?;
        let administered = Administered::before(profile, &mut work.tx, &work.who, org, team).await?;
        let role = role.map(str::to_owned);
        let membership = Membership {
            user_id: user.id,
            org_id: org,
            team_id: team,
            role: role.clone(),
            created_at: work.now,
        };
        memberships::put(&mut work.tx, &membership).await?;
        administered.still(profile, &mut work.tx).await?;
        let (action, event) =
            if before.is_some() { ("update", "member.updated") } else { ("create", "member.added") };
        let detail = json!({ "email": user.email, "role": role, "before": old });
        work.record(deed(&user, team, action, event, detail)).await?;
        work.changed(&Subject::Org(org)).await?;
        let (active, groups) = (user.active(), group_names(&mut work.tx, user.id).await?);
        let view = MemberView { user_id: user.id, email: user.email, name: user.name, role, groups, active };
        work.finish(&view).await?;
        Ok(view)
    }

    /// Refuses whoever may not change members there, and a person who holds no role there.
    pub async fn require_member(
        &self,
        caller: &Caller,
        user: &str,
        team: Option<&str>,
    ) -> Result<(), ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let user = users::find(&mut conn, &who, user).await?;
        let team = match team {
            Some(named) => Some(teams::find(&mut conn, &who, Some(user.org_id), named).await?.id),
            None => None,
        };
        who.require(self.profile(), control::MEMBER_UPDATE, &boundary(user.org_id, team))?;
        let held = memberships::of_user(&mut conn, user.id).await?;
        if held.iter().any(|membership| membership.team_id == team) {
            return Ok(());
        }
        Err(ServiceError::not_found("member", &user.email))
    }

    /// Takes a person out of a team, or takes their role on the organization away.
    pub async fn remove_member(
        &self,
        caller: &Caller,
        user: &str,
        team: Option<&str>,
    ) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let user = users::find(&mut work.tx, &work.who, user).await?;
        let (profile, org) = (self.profile(), user.org_id);
        let team = match team {
            Some(named) => Some(teams::find(&mut work.tx, &work.who, Some(org), named).await?.id),
            None => None,
        };
        let place = boundary(org, team);
        work.who.require(profile, control::MEMBER_REMOVE, &place)?;
        let held = memberships::of_user(&mut work.tx, user.id).await?;
        let before = held.into_iter().find(|membership| membership.team_id == team);
        let before = before.ok_or_else(|| ServiceError::not_found("member", &user.email))?;
        let rights = Rights::of_org(&mut work.tx, profile, org).await?;
        may_change(&rights.book(profile), &work.who, &place, before.role.as_deref(), None)?;
        let administered = Administered::before(profile, &mut work.tx, &work.who, org, team).await?;
        memberships::remove(&mut work.tx, user.id, team).await?;
        sessions::end_in(&mut work, user.id, team).await?;
        // A link that still lies in their mail must not bring them back.
        invitations::close(&mut work.tx, org, &user.email, invitations::Into::Place(team), work.now).await?;
        // Who is a member nowhere is in no group either, or would be back in all of them on the day they return.
        if memberships::of_user(&mut work.tx, user.id).await?.is_empty() {
            let book = rights.book(profile);
            for role in groups::of_user(&mut work.tx, user.id).await?.iter().flat_map(|group| &group.roles) {
                may_change(&book, &work.who, &Boundary::Org(org), Some(role), None)?;
            }
            groups::remove_from_all(&mut work.tx, user.id).await?;
        }
        administered.still(profile, &mut work.tx).await?;
        let detail = json!({ "email": user.email, "before": before.role });
        work.record(deed(&user, team, "delete", "member.removed", detail)).await?;
        work.changed(&Subject::Org(org)).await?;
        work.finish(&()).await
    }
}

/// Where `role` is held: the profile says whether in the organization or in a team, and which team is meant when none
/// is named is clear only where there is one.
pub(super) async fn place(
    book: &RoleBook<'_>,
    conn: &mut Conn,
    who: &Who,
    org: OrgId,
    team: Option<&str>,
    role: Option<&str>,
) -> Result<Option<TeamId>, ServiceError> {
    let level = match role {
        Some(name) => match book.find(name) {
            Some(Known::Shipped(role)) => role.level,
            // One of the organization's own is held where it is given.
            Some(Known::Custom(_)) => team.map_or(Level::Org, |_| Level::Team),
            None => {
                let place = Boundary::Org(org);
                let known = book.profile().roles.iter().filter(|role| who.sees_role(role, &place));
                let known: Vec<_> = known.map(|role| &*role.name).collect();
                let own =
                    if book.profile().members.custom_roles.is_some() { ", or a custom role" } else { "" };
                return Err(ServiceError::field(
                    "role",
                    format!("expected one of {}{own}", known.join(", ")),
                ));
            }
        },
        None if book.profile().members.role_optional => team.map_or(Level::Org, |_| Level::Team),
        None => return Err(ServiceError::field("role", "name the role")),
    };
    match (level, team) {
        (Level::Org, _) => Ok(None),
        (Level::Team, Some(named)) => Ok(Some(teams::find(conn, who, Some(org), named).await?.id)),
        // Whoever acts in one team means that one.
        (Level::Team, None) if who.acting_team().is_some() => Ok(who.acting_team()),
        (Level::Team, None) => {
            let mut some = crate::store::teams::list(conn, Some(org), None, 2).await?;
            match (some.pop(), some.pop()) {
                (Some(only), None) => Ok(Some(only.id)),
                _ => Err(ServiceError::field("team_id", "name the team in which the role is held")),
            }
        }
    }
}

/// Whether the caller may give `role` there, to somebody who holds `old` (R000_06, R003_06).
pub(super) fn may_give(
    book: &RoleBook<'_>,
    who: &Who,
    org: OrgId,
    team: Option<TeamId>,
    old: Option<&str>,
    role: Option<&str>,
) -> Result<(), ServiceError> {
    let place = boundary(org, team);
    who.require(book.profile(), control::MEMBER_UPDATE, &place)?;
    may_change(book, who, &place, old, role)
}

/// Whether the caller is one who may turn `old` into `new` there. The profile's roles are given and taken by those
/// whom it names, an organization's own by those who hold all that is in them; nobody gives more than they hold.
pub(super) fn may_change(
    book: &RoleBook<'_>,
    who: &Who,
    place: &Boundary,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<(), ServiceError> {
    let refusal = || {
        let role = new.or(old).unwrap_or("none");
        ServiceError::Forbidden(format!("your role may not change who is {role}"))
    };
    match who {
        Who::Operator => Ok(()),
        // Keys administer keys, not people.
        Who::Key(..) => Err(ServiceError::Forbidden("an API key may not change members".into())),
        Who::Person(person, _) => {
            let held = person.permissions(place);
            let shipped = |name: &&str| matches!(book.find(name), Some(Known::Shipped(_)));
            let (from, to) = (old.filter(shipped), new.filter(shipped));
            let table = &book.profile().invitations;
            let allowed = (from, to) == (None, None)
                || person.roles(place).any(|by| table.may_change(Some(by), from, to));
            let custom = [old, new].into_iter().flatten().filter(|name| !shipped(name));
            let covered = custom.chain(new).all(|name| book.permissions(name).is_subset_of(&held));
            if allowed && covered { Ok(()) } else { Err(refusal()) }
        }
    }
}

/// The place in which a membership counts.
pub(super) fn boundary(org: OrgId, team: Option<TeamId>) -> Boundary {
    team.map_or(Boundary::Org(org), |team| Boundary::Team(org, team))
}

async fn group_names(conn: &mut Conn, user: UserId) -> Result<Vec<String>, ServiceError> {
    Ok(groups::of_user(conn, user).await?.into_iter().map(|group| group.name).collect())
}

async fn view(conn: &mut Conn, member: Member) -> Result<MemberView, ServiceError> {
    Ok(MemberView {
        groups: group_names(conn, member.membership.user_id).await?,
        user_id: member.membership.user_id,
        email: member.email,
        name: member.name,
        role: member.membership.role,
        active: member.active,
    })
}

fn deed(
    user: &User,
    team: Option<TeamId>,
    action: &'static str,
    event: &'static str,
    detail: serde_json::Value,
) -> Deed {
    Deed { org: user.org_id, team, table: "memberships", target: user.id.to_string(), action, event, detail }
}
