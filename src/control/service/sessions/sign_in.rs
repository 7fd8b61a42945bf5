//! Signing in with a password.
//!
//! There is one answer to whoever does not get in - no such account, no password, a wrong one, deactivated, no longer a
//! member of anything - and it takes as long for each.

use std::net::IpAddr;

use serde_json::json;
use zeroize::Zeroizing;

use super::{SessionView, deed};
use crate::{
    control::service::{
        Caller, Control, ServiceError,
        attempts::{self, Wait},
        work::Work,
    },
    domain::{id::SessionId, session::SessionToken},
    store::{
        memberships,
        sessions::{self, Session},
        users::{self, PasswordHash, User},
    },
};

/// Who wants to sign in.
pub struct SignIn {
    /// Their e-mail address.
    pub email: String,
    /// Their password.
    pub password: Zeroizing<String>,
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
    /// Makes a session for whoever knows the password.
    ///
    /// # Errors
    /// [`ServiceError::WrongPassword`] whatever was wrong, [`ServiceError::TooManyFailures`] without a look at it.
    pub async fn sign_in(&self, asked: &SignIn, from: Option<IpAddr>) -> Result<SignedIn, ServiceError> {
        let (user, hash) = self.prove_password(&asked.email, &asked.password, from).await?;
        let mut work = self.begin(&Caller::User { id: user.id, ip: from, team: None }).await?;
        // What was proved is the password of a moment ago.
        let now = users::password(&mut work.tx, user.id).await?;
        if now.map(|hash| hash.0) != Some(hash.0) {
            return Err(ServiceError::WrongPassword);
        }
        let (token, session) = self.open(&mut work, &user, None).await?;
        let view = self.view(&mut work.tx, session.id).await?;
        // The token is not part of what is kept for a request that comes twice.
        work.finish(&()).await?;
        if let Some(old) = asked.replaces {
            self.end_replaced(old, from).await?;
        }
        Ok(SignedIn { token, view })
    }

    /// Whose password this is: somebody's who may act.
    pub(in crate::control::service) async fn prove_password(
        &self,
        email: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<(User, PasswordHash), ServiceError> {
        let address = from.unwrap_or(attempts::NOWHERE);
        let attempt = self.0.attempts.begin(email, address, self.settings().failures_per_address);
        let attempt = attempt.map_err(|Wait(wait)| {
            tracing::info!(client = %address, "user.sign_in_throttled");
            ServiceError::TooManyFailures { wait }
        })?;
        match self.whose(email, password).await {
            Ok(Some(found)) => {
                attempt.succeeded();
                Ok(found)
            }
            Ok(None) => {
                tracing::info!(client = %address, "user.sign_in_failed");
                Err(ServiceError::WrongPassword)
            }
            Err(error) => {
                attempt.withdrawn();
                Err(error)
            }
        }
    }

    async fn whose(&self, email: &str, password: &str) -> Result<Option<(User, PasswordHash)>, ServiceError> {
        let mut conn = self.store().read().await?;
        let found = users::find_to_sign_in(&mut conn, email.trim()).await?;
        // The hash takes its time; the connection is for others meanwhile.
        drop(conn);
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
        let right = self.0.hashing.is_password(hash.clone(), password).await?;
        Ok(user.zip(hash).filter(|(user, _)| right && user.active()))
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
    /// else in the first of their teams, else in the organization. `vouched_by` is who proved it, where it was not a
    /// password.
    pub(super) async fn open(
        &self,
        work: &mut Work<'_>,
        user: &User,
        vouched_by: Option<&str>,
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
        if let Some(by) = vouched_by {
            detail["vouched_by"] = json!(by);
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
