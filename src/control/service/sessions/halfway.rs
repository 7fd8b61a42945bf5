//! Signing in by two pages: the password on the first, a code on the second.
//!
//! What lies between them is kept by the browser, sealed for it: that this account's password was right, and until when
//! that counts. It opens nothing by itself, and nothing is kept here for those who never come back.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{SignIn, SignedIn, prove::Proved};
use crate::{
    control::service::{Control, ServiceError},
    domain::{
        id::{SessionId, UserId},
        key::token::Digest,
        time::Timestamp,
    },
    store::users::{self, PasswordHash, User},
};

/// What came of the first page.
#[derive(Debug)]
pub enum Step {
    /// Nothing more was asked for.
    SignedIn(Box<SignedIn>),
    /// A code is; this goes with it.
    Code(String),
}

/// Somebody whose password was right on the first page.
#[derive(Debug)]
pub struct Halfway {
    user: UserId,
    /// Which password it was: another one since, and this is void.
    password: String,
}

impl Control {
    /// The first page: [`sign_in`](Self::sign_in) without a code. `browser` is what nobody else's browser has.
    pub async fn sign_in_first(
        &self,
        asked: &SignIn,
        browser: &str,
        from: Option<IpAddr>,
    ) -> Result<Step, ServiceError> {
        let proved = self.prove_password(&asked.email, &asked.password, from).await?;
        let until = self.clock().now().after(LIFETIME).seconds();
        let text = format!("{}\n{until}\n{}", proved.user.id, named(&proved.hash));
        match self.enter(proved, None, asked.replaces, from).await {
            Err(ServiceError::SecondFactorRequired) => {
                let sealed = self.0.parts.seal_key.seal(&place(browser), text.as_bytes());
                let sealed = sealed.map_err(|error| ServiceError::Secret(error.into()))?;
                Ok(Step::Code(URL_SAFE_NO_PAD.encode(sealed)))
            }
            entered => entered.map(|made| Step::SignedIn(Box::new(made))),
        }
    }

    /// Who comes back from the first page, unless it is too long ago, or was another browser.
    pub fn halfway(&self, sealed: &str, browser: &str) -> Option<Halfway> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let text = self.0.parts.seal_key.open(&place(browser), &sealed).ok()?;
        let mut lines = std::str::from_utf8(&text).ok()?.split('\n');
        let (user, until) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
        let password = lines.next()?.to_owned();
        let now: Timestamp = self.clock().now();
        (now.seconds() < until).then_some(Halfway { user, password })
    }

    /// The second page.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in) does.
    pub async fn sign_in_second(
        &self,
        halfway: &Halfway,
        code: &str,
        replaces: Option<SessionId>,
        from: Option<IpAddr>,
    ) -> Result<SignedIn, ServiceError> {
        let mut conn = self.store().read().await?;
        let user = users::find(&mut conn, halfway.user).await?.filter(User::active);
        let hash = users::password(&mut conn, halfway.user).await?;
        drop(conn);
        let hash = hash.filter(|hash| named(hash) == halfway.password);
        let (user, hash) = user.zip(hash).ok_or(ServiceError::WrongPassword)?;
        let attempt = self.attempt(&user.email, from)?;
        self.enter(Proved::before(user, hash, attempt), Some(code), replaces, from).await
    }
}

/// A password by its hash, which has a salt.
fn named(hash: &PasswordHash) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(&hash.0).bytes())
}

fn place(browser: &str) -> String {
    format!("half a sign-in {browser}")
}

/// For a person to find their phone, or the sheet with the recovery codes.
const LIFETIME: Duration = Duration::from_secs(300);
