//! Invitations: a role that waits for whoever reads the mail at an address.
//!
//! Who may invite whom is the profile's table, as for promotions, and nobody gives more than they hold. What was
//! true when somebody was invited is judged again when they accept: an invitation is a wish of its inviter, and
//! worth what the inviter may do on that day.

mod accept;
mod invite;

use serde_json::json;

pub(super) use self::invite::Wanted;
pub use self::{
    accept::{Acceptance, Accepted, OpenInvitation},
    invite::{InviteTo, NewInvitation},
};
use super::{
    Caller, Control, Page, PageOf, ServiceError, caller::Who, members, orgs, rights::Rights, teams,
    work::Deed,
};
use crate::{
    domain::{
        id::{InvitationId, OrgId, TeamId, UserId},
        invitation::Status,
        profile::control,
        time::Timestamp,
    },
    store::{Conn, Tx, invitations, invitations::Invitation, mails, users},
};

/// An invitation as shown. The token is in no view: it is in the mail alone.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InvitationView {
    /// Its id.
    pub id: InvitationId,
    /// Into which organization.
    pub org_id: OrgId,
    /// Into which team; none: into the organization itself.
    pub team_id: Option<TeamId>,
    /// Whom.
    pub email: String,
    /// With which role; none: with what groups give.
    pub role: Option<String>,
    /// What has become of it.
    pub status: Status,
    /// The address of who invited, or `operator`.
    pub invited_by: String,
    /// When.
    pub created_at: Timestamp,
    /// From then on it cannot be accepted.
    pub expires_at: Timestamp,
}

impl Control {
    /// The invitations into a team, or into the organization itself.
    pub async fn list_invitations(
        &self,
        caller: &Caller,
        org: Option<&str>,
        team: Option<&str>,
        page: &Page,
    ) -> Result<PageOf<InvitationView>, ServiceError> {
        let (limit, after) = (page.limit()?, page.after()?);
        let mut conn = self.store().read().await?;
        let now = self.clock().now();
        let who = Who::read(&mut conn, self.profile(), caller, now).await?;
        let place = match team {
            Some(named) => {
                let team = teams::find(&mut conn, &who, None, named).await?;
                (team.org_id, Some(team.id))
            }
            None => (orgs::find_or_only(&mut conn, &who, "org", org).await?.id, None),
        };
        who.require(self.profile(), control::MEMBER_INVITE, &members::boundary(place.0, place.1))?;
        let found = invitations::list(&mut conn, place, after, limit + 1).await?;
        let part = PageOf::cut(found, limit, |invitation| invitation.id.to_string());
        let mut items = Vec::with_capacity(part.items.len());
        for invitation in part.items {
            items.push(view(&mut conn, invitation, now).await?);
        }
        Ok(PageOf { items, next_cursor: part.next_cursor })
    }

    /// Takes an invitation back: its link is dead, and its mail is not sent if it has not been. Again is no error.
    pub async fn revoke_invitation(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let unknown = || ServiceError::not_found("invitation", named);
        let id: InvitationId = named.parse().map_err(|_| unknown())?;
        let invitation = invitations::find(&mut work.tx, id).await?;
        let invitation = invitation.filter(|found| work.who.sees(found.org_id)).ok_or_else(unknown)?;
        if let Some(team) = invitation.team_id {
            teams::find(&mut work.tx, &work.who, None, &team.to_string()).await.map_err(|_| unknown())?;
        }
        let place = members::boundary(invitation.org_id, invitation.team_id);
        work.who.require(self.profile(), control::MEMBER_INVITE, &place)?;
        let rights = Rights::of_org(&mut work.tx, self.profile(), invitation.org_id).await?;
        let book = rights.book(self.profile());
        members::may_change(&book, &work.who, &place, None, invitation.role.as_deref())?;
        let ended = invitation.life.revoke(work.now);
        let life = ended.map_err(|error| ServiceError::Conflict(error.to_string()))?;
        if invitations::end(&mut work.tx, id, &life).await? {
            mails::withdraw(&mut work.tx, id).await?;
            let detail = json!({ "email": invitation.email, "role": invitation.role });
            work.record(deed(&invitation, "revoke", "invitation.revoked", detail)).await?;
        }
        work.finish(&()).await
    }
}

/// Which links are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    /// Those into one place: a team, or (none) the organization itself.
    Place(Option<TeamId>),
    /// Those anywhere into the organization.
    Anywhere,
}

/// Kills the links that would bring this person back.
pub(super) async fn close(
    tx: &mut Tx,
    org: OrgId,
    email: &str,
    into: Into,
    now: Timestamp,
) -> Result<Vec<Invitation>, ServiceError> {
    let mut open = invitations::open_for(tx, org, email).await?;
    open.retain(|invitation| into == Into::Anywhere || into == Into::Place(invitation.team_id));
    for invitation in &open {
        // Nobody has ended one that is open.
        if let Ok(life) = invitation.life.revoke(now) {
            invitations::end(tx, invitation.id, &life).await?;
            mails::withdraw(tx, invitation.id).await?;
        }
    }
    Ok(open)
}

async fn view(
    conn: &mut Conn,
    invitation: Invitation,
    now: Timestamp,
) -> Result<InvitationView, ServiceError> {
    Ok(InvitationView {
        invited_by: inviter(conn, invitation.invited_by).await?,
        id: invitation.id,
        org_id: invitation.org_id,
        team_id: invitation.team_id,
        email: invitation.email,
        role: invitation.role,
        status: invitation.life.status(now),
        created_at: invitation.created_at,
        expires_at: invitation.life.expires_at,
    })
}

async fn inviter(conn: &mut Conn, id: Option<UserId>) -> Result<String, ServiceError> {
    let Some(id) = id else { return Ok("operator".to_owned()) };
    Ok(users::find(conn, id).await?.map_or_else(String::new, |user| user.email))
}

fn deed(
    invitation: &Invitation,
    action: &'static str,
    event: &'static str,
    detail: serde_json::Value,
) -> Deed {
    Deed {
        org: invitation.org_id,
        team: invitation.team_id,
        table: "invitations",
        target: invitation.id.to_string(),
        action,
        event,
        detail,
    }
}
