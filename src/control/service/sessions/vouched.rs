//! Signing in by the word of an identity provider.

use std::net::IpAddr;

use super::SignedIn;
use crate::{
    control::service::{
        Caller, Control, ServiceError,
        attempts::{self, Brought, Wait},
    },
    domain::id::SessionId,
    store::users::{self, User},
};

/// Somebody for whom a provider vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VouchedFor {
    /// Their e-mail address, as the provider has verified it.
    pub email: String,
    /// The provider.
    pub by: String,
    /// The session that they sign in from: it ends.
    pub replaces: Option<SessionId>,
}

impl Control {
    /// Somebody brings a provider's answer, which is not judged yet. Wrong ones count as wrong passwords of their
    /// address do.
    ///
    /// # Errors
    /// [`ServiceError::TooManyFailures`].
    pub fn bring_answer(&self, from: Option<IpAddr>) -> Result<Brought, ServiceError> {
        let address = from.unwrap_or(attempts::NOWHERE);
        let brought = self.0.attempts.bring(address, self.settings().failures_per_address);
        brought.map_err(|Wait(wait)| {
            tracing::info!(client = %address, "user.sign_in_throttled");
            ServiceError::TooManyFailures { wait }
        })
    }

    /// Makes a session for whoever has this e-mail address. Nobody gets an account by it. How many factors somebody
    /// has to show is the provider's to say, so ours is not asked for; such a session takes it off no more than any.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] where nobody may act who has this address. Whoever asks has proved that it is theirs.
    pub async fn sign_in_vouched(
        &self,
        vouched: &VouchedFor,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, ServiceError> {
        let mut conn = self.store().read().await?;
        let user = users::find_by_email(&mut conn, vouched.email.trim()).await?;
        drop(conn);
        let nobody = || {
            ServiceError::Forbidden(format!(
                "{} vouches for {}, who has no active account here",
                vouched.by, vouched.email
            ))
        };
        let user = user.filter(User::active).ok_or_else(nobody)?;
        let mut work = self.begin(&Caller::User { id: user.id, ip: from, team: None }).await?;
        let (token, session) = match self.open(&mut work, &user, Some(("vouched_by", &vouched.by))).await {
            Err(ServiceError::WrongPassword) => return Err(nobody()),
            opened => opened?,
        };
        let view = self.view(&mut work.tx, session.id).await?;
        work.finish(&()).await?;
        if let Some(old) = vouched.replaces {
            self.end_replaced(old, from).await?;
        }
        Ok(SignedIn { token, view })
    }
}
