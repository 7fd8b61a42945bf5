//! A person's second factor: begun, confirmed by a code, and taken off again.
//!
//! Beginning asks for the password again, and ending for the password and a code (ASVS 5.0 7.5.1): a session alone, left
//! open or stolen, changes nothing of how its person proves who they are. Until a code has shown that an app has the
//! secret it is not asked for, so nobody locks themselves out by a picture that they did not take.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{deed, end_all, end_all_but, own};
use crate::{
    control::service::{Caller, Control, ServiceError, users::find, work::Work},
    domain::{
        id::{SessionId, UserId},
        profile::control,
        second_factor::{Code, RECOVERY_CODES, RecoveryCode, TotpSecret, place},
        time::Timestamp,
    },
    store::{
        Conn,
        second_factors::{self, SecondFactor},
        users::{self, User},
    },
};

/// How it stands with somebody's second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct SecondFactorView {
    /// Whether it is asked for.
    pub enabled: bool,
    /// Since when.
    pub enabled_at: Option<Timestamp>,
    /// How many recovery codes are not used yet.
    pub recovery_codes_left: u64,
}

/// What an authenticator app has to know; shown now and never again.
pub struct Enrolment {
    /// Everything, as apps take it in.
    pub uri: Zeroizing<String>,
    /// The secret, as people type it.
    pub secret: Zeroizing<String>,
    /// Until then a code has to confirm it.
    pub confirm_before: Timestamp,
}

/// From a look at the phone to the first code.
const TO_CONFIRM: Duration = Duration::from_secs(900);

impl Control {
    /// How it stands with the caller's.
    pub async fn second_factor(
        &self,
        caller: &Caller,
        id: SessionId,
    ) -> Result<SecondFactorView, ServiceError> {
        let (user, _) = person(caller)?;
        let mut conn = self.store().read().await?;
        own(&mut conn, id, user).await?;
        let enabled_at = second_factors::find(&mut conn, user).await?.and_then(|factor| factor.since);
        let recovery_codes_left = second_factors::recovery_codes_left(&mut conn, user).await?;
        Ok(SecondFactorView { enabled: enabled_at.is_some(), enabled_at, recovery_codes_left })
    }

    /// Begins one for the caller, in place of one that was begun and not confirmed.
    ///
    /// # Errors
    /// As signing in does; [`ServiceError::Conflict`] when they have one.
    pub async fn enrol_second_factor(
        &self,
        caller: &Caller,
        id: SessionId,
        password: &str,
    ) -> Result<Enrolment, ServiceError> {
        let (user, ip) = self.asking(caller, |factor, _| refuse_second(factor)).await?;
        let proved = self.prove_password(&user.email, password, ip).await?;
        let (mut work, user) = self.begin_as(caller).await?;
        own(&mut work.tx, id, user.id).await?;
        refuse_second(in_force(&mut work.tx, user.id).await?.as_ref())?;
        let now = work.now;
        self.complete(&mut work.tx, now, proved, None).await?;
        let secret = TotpSecret::generate().map_err(|error| ServiceError::Secret(error.into()))?;
        let sealed = self.0.parts.seal_key.seal(&place(user.id), secret.bytes());
        let sealed = sealed.map_err(|error| ServiceError::Secret(error.into()))?;
        second_factors::begin(&mut work.tx, user.id, &sealed, now).await?;
        // What is shown once is not kept for a request that comes twice.
        work.finish(&()).await?;
        let uri = secret.uri(&self.issuer(), &user.email);
        Ok(Enrolment { uri, secret: secret.reveal(), confirm_before: now.after(TO_CONFIRM) })
    }

    /// Puts it in force, by a code that shows that somebody's app has it; the recovery codes. The caller's other
    /// sessions, which nobody has shown it for, end (ASVS 5.0 7.4.3).
    ///
    /// # Errors
    /// [`ServiceError::WrongCode`], counted with wrong passwords; [`ServiceError::Conflict`] when none was begun.
    pub async fn confirm_second_factor(
        &self,
        caller: &Caller,
        id: SessionId,
        code: &str,
    ) -> Result<Vec<String>, ServiceError> {
        let (mut work, user) = self.begin_as(caller).await?;
        own(&mut work.tx, id, user.id).await?;
        let now = work.now;
        let begun = second_factors::find(&mut work.tx, user.id).await?;
        refuse_second(begun.as_ref().filter(|factor| factor.since.is_some()))?;
        let begun = begun.filter(|factor| now.since(factor.created_at) < TO_CONFIRM).ok_or_else(|| {
            ServiceError::Conflict("no second factor was begun, or too long ago: begin again".into())
        })?;
        let secret = self.secret(user.id, &begun)?;
        // Somebody else's session must not guess its way to the recovery codes.
        let attempt = self.attempt(&user.email, work.who.ip())?;
        let step = match code.parse() {
            Ok(Code::Totp(code)) => secret.step(code, now, None),
            _ => None,
        };
        let step = step.ok_or(ServiceError::WrongCode)?;
        // Right, but no proof of the password: what was wrong before stays counted.
        attempt.withdrawn();
        second_factors::confirm(&mut work.tx, user.id, step, now).await?;
        let codes = renew(&mut work, user.id).await?;
        let detail = json!({ "email": user.email, "kind": "totp" });
        work.record(deed(&user, None, "enable", "second_factor.enabled", detail)).await?;
        end_all_but(&mut work, &user, Some(id)).await?;
        work.finish(&()).await?;
        Ok(codes)
    }

    /// Takes the caller's off. Their other sessions end.
    ///
    /// # Errors
    /// As signing in does; [`ServiceError::NotFound`] when there is none in force.
    pub async fn remove_second_factor(
        &self,
        caller: &Caller,
        id: SessionId,
        password: &str,
        code: &str,
    ) -> Result<(), ServiceError> {
        let (mut work, user) = self.proved_both(caller, id, password, code).await?;
        second_factors::remove(&mut work.tx, user.id).await?;
        work.record(disabled(&user)).await?;
        end_all_but(&mut work, &user, Some(id)).await?;
        work.finish(&()).await
    }

    /// Other recovery codes in place of all the caller had.
    ///
    /// # Errors
    /// As [`remove_second_factor`](Self::remove_second_factor) does.
    pub async fn renew_recovery_codes(
        &self,
        caller: &Caller,
        id: SessionId,
        password: &str,
        code: &str,
    ) -> Result<Vec<String>, ServiceError> {
        let (mut work, user) = self.proved_both(caller, id, password, code).await?;
        let codes = renew(&mut work, user.id).await?;
        let detail = json!({ "email": user.email });
        work.record(deed(&user, None, "update", "second_factor.recovery_renewed", detail)).await?;
        work.finish(&()).await?;
        Ok(codes)
    }

    /// Takes the second factor off somebody who has lost all of it, and signs them out.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for oneself: that would be a way around it for whoever has one's session.
    pub async fn reset_second_factor(&self, caller: &Caller, named: &str) -> Result<(), ServiceError> {
        let mut work = self.begin(caller).await?;
        let user = find(&mut work.tx, &work.who, named).await?;
        self.may_touch(&mut work, &user, control::MEMBER_UPDATE).await?;
        if work.who.user() == Some(user.id) {
            let how = "your own second factor is removed with your password and a code, at /v1/session/second-factor/remove";
            return Err(ServiceError::Forbidden(how.into()));
        }
        if second_factors::remove(&mut work.tx, user.id).await? {
            work.record(disabled(&user)).await?;
            end_all(&mut work, &user).await?;
        }
        work.finish(&()).await
    }

    /// The transaction of somebody who has shown their password and a code.
    async fn proved_both(
        &self,
        caller: &Caller,
        id: SessionId,
        password: &str,
        code: &str,
    ) -> Result<(Work<'_>, User), ServiceError> {
        let (user, ip) = self.asking(caller, require_one).await?;
        let proved = self.prove_password(&user.email, password, ip).await?;
        let (mut work, user) = self.begin_as(caller).await?;
        own(&mut work.tx, id, user.id).await?;
        require_one(in_force(&mut work.tx, user.id).await?.as_ref(), &user)?;
        let now = work.now;
        self.complete(&mut work.tx, now, proved, Some(code)).await?.record(&mut work, &user).await?;
        Ok((work, user))
    }

    /// Who asks, if what they have `fits`: a look that costs no hash.
    async fn asking(
        &self,
        caller: &Caller,
        fits: impl FnOnce(Option<&SecondFactor>, &User) -> Result<(), ServiceError>,
    ) -> Result<(User, Option<IpAddr>), ServiceError> {
        let (id, ip) = person(caller)?;
        let mut conn = self.store().read().await?;
        let user = users::find(&mut conn, id).await?.ok_or_else(|| ServiceError::not_found("user", id))?;
        fits(in_force(&mut conn, id).await?.as_ref(), &user)?;
        Ok((user, ip))
    }

    /// What apps show beside the codes: where people sign in. A colon would end it (and is in addresses alone).
    fn issuer(&self) -> String {
        let uri: Option<http::Uri> = self.settings().public_url.parse().ok();
        let host = uri.as_ref().and_then(http::Uri::host).filter(|host| !host.contains(':'));
        host.unwrap_or("Latchgate").to_owned()
    }
}

async fn in_force(conn: &mut Conn, user: UserId) -> Result<Option<SecondFactor>, ServiceError> {
    Ok(second_factors::find(conn, user).await?.filter(|factor| factor.since.is_some()))
}

fn refuse_second(factor: Option<&SecondFactor>) -> Result<(), ServiceError> {
    let text = "a second factor is in force: remove it first, or renew its recovery codes";
    if factor.is_some() { Err(ServiceError::Conflict(text.into())) } else { Ok(()) }
}

fn require_one(factor: Option<&SecondFactor>, user: &User) -> Result<(), ServiceError> {
    if factor.is_some() { Ok(()) } else { Err(ServiceError::not_found("second factor of", &user.email)) }
}

fn person(caller: &Caller) -> Result<(UserId, Option<IpAddr>), ServiceError> {
    match *caller {
        Caller::User { id, ip, .. } => Ok((id, ip)),
        _ => Err(ServiceError::Forbidden("only a person has a second factor".into())),
    }
}

/// Makes new recovery codes; their texts.
async fn renew(work: &mut Work<'_>, user: UserId) -> Result<Vec<String>, ServiceError> {
    let codes: Result<Vec<_>, _> = (0..RECOVERY_CODES).map(|_| RecoveryCode::generate()).collect();
    let codes = codes.map_err(|error| ServiceError::Secret(error.into()))?;
    let digests: Vec<_> = codes.iter().map(RecoveryCode::digest).collect();
    second_factors::set_recovery_codes(&mut work.tx, user, &digests).await?;
    Ok(codes.iter().map(RecoveryCode::reveal).collect())
}

fn disabled(user: &User) -> crate::control::service::work::Deed {
    let detail: Value = json!({ "email": user.email, "kind": "totp" });
    deed(user, None, "disable", "second_factor.disabled", detail)
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrolment(..)")
    }
}
