//! Signing in with a password, and with a second factor where there is one.
//!
//! There is one answer to whoever does not get in - no such account, no password, a wrong one, deactivated, no longer a
//! member of anything - and it takes as long for each.

use std::net::IpAddr;

use serde_json::json;
use zeroize::Zeroizing;

use super::{SessionView, deed, prove::Proved};
use crate::{
    control::service::{Caller, Control, ServiceError, attempts, work::Work},
    domain::{id::SessionId, session::SessionToken},
    store::{
        memberships,
        sessions::{self, Session},
        users::{self, User},
    },
};

/// Who wants to sign in.
pub struct SignIn {
    /// Their e-mail address.
    pub email: String,
    /// Their password.
    pub password: Zeroizing<String>,
    /// A code of their second factor, or a recovery code.
    pub code: Option<Zeroizing<String>>,
    /// The session that they sign in from: it ends, so that nobody who knew it is signed in with them.
    pub replaces: Option<SessionId>,
}

/// A session that was just made.
#[derive(Debug)]
pub struct SignedIn {
    /// What proves it; shown now and never again.
    pub token: SessionToken,
    /// What it is.
    pub view: SessionView,
}

impl Control {
    /// Makes a session for whoever knows the password, and has the second factor where there is one.
    ///
    /// # Errors
    /// [`ServiceError::WrongPassword`] whatever was wrong, [`ServiceError::TooManyFailures`] without a look at it;
    /// to whoever knows the password alone [`ServiceError::SecondFactorRequired`] and [`ServiceError::WrongCode`].
    pub async fn sign_in(&self, asked: &SignIn, from: Option<IpAddr>) -> Result<SignedIn, ServiceError> {
        let proved = self.prove_password(&asked.email, &asked.password, from).await?;
        let code = asked.code.as_ref().map(|code| code.as_str());
        self.enter(proved, code, asked.replaces, from).await
    }

    /// The same for somebody whose password was right.
    pub(super) async fn enter(
        &self,
        proved: Proved,
        code: Option<&str>,
        replaces: Option<SessionId>,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, ServiceError> {
        let user = proved.user.clone();
        let mut work = self.begin(&Caller::User { id: user.id, ip: from, team: None }).await?;
        let now = work.now;
        let besides = self.complete(&mut work.tx, now, proved, code).await?;
        besides.record(&mut work, &user).await?;
        let (token, session) =
            self.open(&mut work, &user, besides.name().map(|name| ("second_factor", name))).await?;
        let view = self.view(&mut work.tx, session.id).await?;
        // The token is not part of what is kept for a request that comes twice.
        work.finish(&()).await?;
        if let Some(old) = replaces {
            self.end_replaced(old, from).await?;
        }
        Ok(SignedIn { token, view })
    }

    /// Ends the session that somebody signed in from, whosever it was.
    pub(super) async fn end_replaced(&self, id: SessionId, from: Option<IpAddr>) -> Result<(), ServiceError> {
        let mut conn = self.store().read().await?;
        let Some(held) = sessions::find(&mut conn, id).await? else { return Ok(()) };
        drop(conn);
        let caller = Caller::User { id: held.session.user_id, ip: from, team: None };
        match self.sign_out(&caller, id).await {
            // They may not act any more, and so may none of their sessions.
            Err(ServiceError::Forbidden(_)) => Ok(()),
            done => done,
        }
    }

    /// A new session of a person who has proved who they are. They act where they last chose to, if they still may,
    /// else in the first of their teams, else in the organization. `proof` says what proved it, where it was more than a
    /// password, or something else.
    pub(super) async fn open(
        &self,
        work: &mut Work<'_>,
        user: &User,
        proof: Option<(&str, &str)>,
    ) -> Result<(SessionToken, Session), ServiceError> {
        let held = memberships::of_user(&mut work.tx, user.id).await?;
        if held.is_empty() {
            let client = work.who.ip().unwrap_or(attempts::NOWHERE);
            tracing::info!(%client, "user.sign_in_failed");
            return Err(ServiceError::WrongPassword);
        }
        let last = users::last_team(&mut work.tx, user.id).await?;
        let mut own = held.iter().filter_map(|membership| membership.team_id);
        let team_id = own.clone().find(|team| Some(*team) == last).or_else(|| own.next());
        let session = Session {
            id: SessionId::new(work.now),
            user_id: user.id,
            org_id: user.org_id,
            team_id,
            created_at: work.now,
            expires_at: work.now.after(self.settings().sessions.lifetime),
            last_seen_at: work.now,
            ended_at: None,
        };
        let token = SessionToken::generate().map_err(|error| ServiceError::Secret(error.into()))?;
        sessions::insert(&mut work.tx, &session, &token.digest()).await?;
        let mut detail = json!({ "email": user.email, "session": session.id });
        if let Some((name, value)) = proof {
            detail[name] = json!(value);
        }
        work.record(deed(user, team_id, "sign_in", "user.signed_in", detail)).await?;
        Ok((token, session))
    }
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}
