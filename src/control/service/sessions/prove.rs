//! Whether it is them: the password first, then what the account asks for besides.
//!
//! Whoever proves a password goes through here, whatever for, and it counts as right when all of it was: a way to be
//! told that the password alone is right, and to begin anew with guessing, would leave six digits to be guessed.

use std::net::IpAddr;

use serde_json::json;

use super::deed;
use crate::{
    control::service::{
        Control, ServiceError,
        attempts::{self, Attempt, Wait},
        work::Work,
    },
    domain::{
        id::UserId,
        second_factor::{self, Code, TotpSecret},
        time::Timestamp,
    },
    store::{
        Tx,
        second_factors::{self, SecondFactor},
        users::{self, PasswordHash, User},
    },
};

/// Somebody whose password was right a moment ago. Nothing is theirs yet.
pub(in crate::control::service) struct Proved {
    pub(in crate::control::service) user: User,
    pub(super) hash: PasswordHash,
    /// Under way until the rest is judged.
    attempt: Option<Attempt>,
}

/// What somebody showed besides their password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::service) enum Besides {
    /// Nothing was asked for.
    Nothing,
    /// A code of their app.
    App,
    /// A recovery code; they have so many left.
    RecoveryCode { left: u64 },
}

impl Control {
    /// Whose password this is: somebody's who may act.
    pub(in crate::control::service) async fn prove_password(
        &self,
        email: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Proved, ServiceError> {
        let attempt = self.attempt(email, from)?;
        match self.whose(email, password).await {
            Ok(Some((user, hash))) => Ok(Proved { user, hash, attempt: Some(attempt) }),
            Ok(None) => {
                tracing::info!(client = %attempt.address(), "user.sign_in_failed");
                Err(ServiceError::WrongPassword)
            }
            Err(error) => {
                attempt.withdrawn();
                Err(error)
            }
        }
    }

    /// One more try at this account: as good as wrong until it is known to be right.
    pub(super) fn attempt(&self, email: &str, from: Option<IpAddr>) -> Result<Attempt, ServiceError> {
        let address = from.unwrap_or(attempts::NOWHERE);
        let attempt = self.0.attempts.begin(email, address, self.settings().failures_per_address);
        attempt.map_err(|Wait(wait)| {
            tracing::info!(client = %address, "user.sign_in_throttled");
            ServiceError::TooManyFailures { wait }
        })
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

    /// The rest of the proof, in the transaction of what it is for: what is used up by it is used up with that, or not
    /// at all, and of two who use it at once one does.
    pub(in crate::control::service) async fn complete(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        mut proved: Proved,
        code: Option<&str>,
    ) -> Result<Besides, ServiceError> {
        // Gone, if nobody waits for the end of this: then it counts as wrong.
        let attempt = proved.attempt.take();
        let judged = self.judge_rest(tx, now, &proved, code).await;
        match (&judged, attempt) {
            (Ok(_), Some(attempt)) => attempt.succeeded(),
            (Err(ServiceError::WrongCode), Some(attempt)) => {
                tracing::info!(client = %attempt.address(), user = %proved.user.id, "user.second_factor_failed");
            }
            (Err(_), Some(attempt)) => attempt.withdrawn(),
            (_, None) => {}
        }
        judged
    }

    async fn judge_rest(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        proved: &Proved,
        code: Option<&str>,
    ) -> Result<Besides, ServiceError> {
        let user = proved.user.id;
        // What was proved is the password of a moment ago.
        if users::password(tx, user).await?.map(|hash| hash.0).as_ref() != Some(&proved.hash.0) {
            return Err(ServiceError::WrongPassword);
        }
        let factor = second_factors::find(tx, user).await?.filter(|factor| factor.since.is_some());
        let Some(factor) = factor else { return Ok(Besides::Nothing) };
        let code = code.filter(|code| !code.trim().is_empty()).ok_or(ServiceError::SecondFactorRequired)?;
        match code.parse().map_err(|_| ServiceError::WrongCode)? {
            Code::Totp(code) => match self.secret(user, &factor)?.step(code, now, factor.last_step) {
                Some(step) if second_factors::take_step(tx, user, step).await? => Ok(Besides::App),
                _ => Err(ServiceError::WrongCode),
            },
            Code::Recovery(code) => {
                if !second_factors::take_recovery_code(tx, user, &code).await? {
                    return Err(ServiceError::WrongCode);
                }
                Ok(Besides::RecoveryCode { left: second_factors::recovery_codes_left(tx, user).await? })
            }
        }
    }

    /// What makes their codes. Under another secret file nobody can tell; recovery codes still can be.
    pub(super) fn secret(&self, user: UserId, factor: &SecondFactor) -> Result<TotpSecret, ServiceError> {
        let opened = self.0.parts.seal_key.open(&second_factor::place(user), &factor.sealed);
        let opened =
            opened.inspect_err(|error| tracing::error!(%user, %error, "user.second_factor_unreadable"));
        let opened = opened.map_err(|error| ServiceError::Secret(error.into()))?;
        TotpSecret::from_bytes(&opened)
            .ok_or_else(|| ServiceError::Secret("not the length of a secret".into()))
    }
}

/// The password was right, and nothing more was judged.
impl Drop for Proved {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.withdrawn();
        }
    }
}

impl Proved {
    /// Somebody whose password was right in an earlier step of the same sign-in.
    pub(super) const fn before(user: User, hash: PasswordHash, attempt: Attempt) -> Self {
        Self { user, hash, attempt: Some(attempt) }
    }
}

impl Besides {
    /// As the audit trail names it.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::App => Some("totp"),
            Self::RecoveryCode { .. } => Some("recovery_code"),
        }
    }

    /// Says in the audit trail that a recovery code is gone.
    pub(in crate::control::service) async fn record(
        self,
        work: &mut Work<'_>,
        user: &User,
    ) -> Result<(), ServiceError> {
        let Self::RecoveryCode { left } = self else { return Ok(()) };
        let detail = json!({ "email": user.email, "left": left });
        work.record(deed(user, None, "use", "second_factor.recovery_used", detail)).await
    }
}
