//! People signing in and out, and where they act (R000_04, R000_16).

mod halfway;
mod password;
mod prove;
mod second_factors;
mod sign_in;
mod view;
mod vouched;

use serde_json::json;

pub(super) use self::prove::Proved;
pub use self::{
    halfway::{Halfway, Step},
    second_factors::{Enrolment, SecondFactorView},
    sign_in::{SignIn, SignedIn},
    view::{Named, Place, SessionView},
    vouched::VouchedFor,
};
use super::{
    Caller, Control, ServiceError,
    caller::Who,
    teams, users,
    work::{Deed, Work},
};
use crate::{
    domain::{
        id::{SessionId, TeamId, UserId},
        profile::control,
    },
    store::{
        Conn, StoreError,
        changes::Subject,
        memberships,
        sessions::{self, Held},
        users::User,
    },
};

impl Control {
    /// The caller's session.
    pub async fn session(&self, caller: &Caller, id: SessionId) -> Result<SessionView, ServiceError> {
        let mut conn = self.store().read().await?;
        let who = Who::read(&mut conn, self.profile(), caller, self.clock().now()).await?;
        let held = sessions::find(&mut conn, id).await?;
        if held.is_none_or(|held| who.user() != Some(held.session.user_id)) {
            return Err(ServiceError::not_found("session", id));
        }
        self.view(&mut conn, id).await
    }

    /// Ends the caller's session.
    pub async fn sign_out(&self, caller: &Caller, id: SessionId) -> Result<(), ServiceError> {
        let (mut work, user) = self.begin_as(caller).await?;
        end_own(&mut work, id, user.id).await?;
        work.finish(&()).await
    }

    /// Lets the caller's session act in another of their teams (R000_04), or, with none, in the organization on which
    /// they hold a role.
    pub async fn switch_team(
        &self,
        caller: &Caller,
        id: SessionId,
        team: Option<&str>,
    ) -> Result<SessionView, ServiceError> {
        let (mut work, user) = self.begin_as(caller).await?;
        let held = own(&mut work.tx, id, user.id).await?;
        let team = if let Some(named) = team {
            Some(teams::find(&mut work.tx, &work.who, Some(user.org_id), named).await?.id)
        } else {
            let held = memberships::of_user(&mut work.tx, user.id).await?;
            if held.iter().all(|membership| membership.team_id.is_some()) {
                let refusal = "you hold no role on the organization: name a team";
                return Err(ServiceError::Forbidden(refusal.into()));
            }
            None
        };
        if team != held.session.team_id {
            sessions::set_team(&mut work.tx, id, team).await?;
            crate::store::users::set_last_team(&mut work.tx, user.id, team).await?;
            let detail = json!({ "email": user.email, "session": id, "before": held.session.team_id });
            work.record(deed(&user, team, "update", "user.team_switched", detail)).await?;
            work.changed(&held.session.changed()).await?;
        }
        let view = self.view(&mut work.tx, id).await?;
        work.finish(&view).await?;
        Ok(view)
    }

    /// Signs a person out wherever they are signed in.
    pub async fn end_sessions(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let user = users::find(&mut work.tx, &work.who, named).await?;
        if work.who.user() != Some(user.id) {
            self.may_touch(&mut work, &user, control::MEMBER_UPDATE).await?;
        }
        end_all(&mut work, &user).await?;
        work.finish(&()).await
    }

    /// A person at work on their own session, wherever they act.
    async fn begin_as(&self, caller: &Caller) -> Result<(Work<'_>, User), ServiceError> {
        let Caller::User { id, ip, .. } = *caller else {
            return Err(ServiceError::Forbidden("only a person has a session".into()));
        };
        let work = self.begin(&Caller::User { id, ip, team: None }).await?;
        match &work.who {
            Who::Person(person, _) => {
                let user = person.user.clone();
                Ok((work, user))
            }
            Who::Operator | Who::Key(..) => Err(ServiceError::not_found("user", id)),
        }
    }
}

/// Ends a person's every session, and says so.
pub(super) async fn end_all(work: &mut Work<'_>, user: &User) -> Result<(), ServiceError> {
    end_all_but(work, user, None).await
}

/// The same, but for this one.
async fn end_all_but(work: &mut Work<'_>, user: &User, kept: Option<SessionId>) -> Result<(), ServiceError> {
    let ended = sessions::end_of_user(&mut work.tx, user.id, kept, work.now).await?;
    if ended > 0 {
        let detail = json!({ "email": user.email, "sessions": ended });
        work.record(deed(user, None, "sign_out", "user.signed_out", detail)).await?;
        work.changed(&Subject::Org(user.org_id)).await?;
    }
    Ok(())
}

/// Ends those of a person's sessions that act in a place in which they hold nothing any more.
pub(super) async fn end_in(
    work: &mut Work<'_>,
    user: UserId,
    team: Option<TeamId>,
) -> Result<(), StoreError> {
    sessions::end_of_member(&mut work.tx, user, team, work.now).await
}

async fn end_own(work: &mut Work<'_>, id: SessionId, user: UserId) -> Result<(), ServiceError> {
    let held = match own(&mut work.tx, id, user).await {
        Err(ServiceError::NotFound { .. }) => return Ok(()),
        held => held?,
    };
    if sessions::end(&mut work.tx, id, work.now).await? {
        let user = crate::store::users::find(&mut work.tx, user).await?;
        let user = user.ok_or_else(|| ServiceError::not_found("session", id))?;
        let detail = json!({ "email": user.email, "session": id });
        let team = held.session.team_id;
        work.record(deed(&user, team, "sign_out", "user.signed_out", detail)).await?;
        work.changed(&held.session.changed()).await?;
    }
    Ok(())
}

/// The session with this id, if it is that person's.
async fn own(conn: &mut Conn, id: SessionId, user: UserId) -> Result<Held, ServiceError> {
    let held = sessions::find(conn, id).await?.filter(|held| held.session.user_id == user);
    held.ok_or_else(|| ServiceError::not_found("session", id))
}

fn deed(
    user: &User,
    team: Option<TeamId>,
    action: &'static str,
    event: &'static str,
    detail: serde_json::Value,
) -> Deed {
    Deed { org: user.org_id, team, table: "users", target: user.id.to_string(), action, event, detail }
}
