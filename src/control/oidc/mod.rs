//! Signing in by an identity provider (OpenID Connect, the code flow with PKCE).
//!
//! [`Oidc::start`] sends a browser to the provider, [`Oidc::finish`] judges what it brings back and says whose e-mail
//! address the provider vouches for. Whether that person has an account here, and the session, is the use cases'
//! business: nothing is created by itself.
//!
//! What an answer must pass: the browser still holds the sealed attempt that it began here (no answer of somebody else's
//! sign-in), its `state` is that attempt's, of which no sign-in came before, the provider names itself if it names anybody (no
//! mix-up, RFC 9207), the code is redeemed with the attempt's verifier (no stolen code), and the identity token is signed
//! by the provider, for us, now, with the attempt's nonce and a verified e-mail address.

mod attempt;
mod provider;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::{
    attempt::{Attempt, Finished, LIFETIME},
    provider::{Known, Provider, Redeemed, encoded},
};
use crate::{
    config,
    control::api::decode,
    domain::{
        seal::SealKey,
        time::{Clock, Timestamp},
    },
    runtime::jwks::Keeping,
};

/// Signs people in by one provider.
pub struct Oidc {
    provider: Provider,
    redirect_uri: String,
    seal: SealKey,
    clock: Clock,
    insecure_cookie: bool,
    finished: Finished,
    /// Codes being redeemed.
    places: Arc<Semaphore>,
}

/// A browser's way to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Where it is sent.
    pub location: String,
    /// A whole `Set-Cookie`.
    pub cookie: String,
}

/// Who came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Whose address the provider vouches for.
    pub email: String,
    /// Where they wanted to go, if they said so.
    pub return_to: Option<String>,
}

/// Why nobody was signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The provider cannot be asked, or not used as it is. Says nothing about the person.
    #[error("the identity provider cannot be used: {0}")]
    Unavailable(String),
    /// More sign-ins are under way than are worth the work.
    #[error("too many sign-ins are under way")]
    Overloaded,
    /// The browser holds no attempt that this answer belongs to: it is too old, was used, or was begun elsewhere.
    #[error("the sign-in was begun elsewhere, too long ago, or is over")]
    NotBegun,
    /// The provider did not sign them in, say because they declined.
    #[error("the identity provider did not sign in: {0}")]
    Declined(String),
    /// What the provider answered cannot be believed.
    #[error("the identity provider's answer cannot be believed: {0}")]
    NotBelieved(String),
}

impl Oidc {
    /// Signs in by this provider, which sends browsers back to `base`, the gateway's own address.
    pub fn new(
        config: config::Oidc,
        base: &str,
        insecure_cookie: bool,
        seal: SealKey,
        keeping: Keeping,
    ) -> Self {
        Self {
            redirect_uri: redirect_uri(base),
            clock: keeping.clock.clone(),
            provider: Provider::new(config, keeping),
            seal,
            insecure_cookie,
            finished: Finished::default(),
            places: Arc::new(Semaphore::new(REDEEMING)),
        }
    }

    /// Whether it was made of the same.
    pub fn is(&self, config: &config::Oidc, base: &str, insecure_cookie: bool) -> bool {
        self.provider.config == *config
            && self.redirect_uri == redirect_uri(base)
            && self.insecure_cookie == insecure_cookie
    }

    /// Who vouches.
    pub fn issuer(&self) -> &str {
        self.provider.config.issuer.as_str()
    }

    /// The host of its address, for people.
    pub fn host(&self) -> &str {
        let issuer = self.issuer();
        issuer.split('/').nth(2).unwrap_or(issuer)
    }

    /// Begins a sign-in that remembers where the browser wants to go; whether it may go there, others judge.
    pub async fn start(&self, return_to: Option<&str>) -> Result<Started, OidcError> {
        let known = self.provider.known().await?;
        let failed = |error: &dyn std::fmt::Display| OidcError::Unavailable(error.to_string());
        let attempt = Attempt::begin(return_to, self.clock.now()).map_err(|error| failed(&error))?;
        let sealed = attempt.seal(&self.seal).map_err(|error| failed(&error))?;
        let cookie = self.set_cookie(&sealed, LIFETIME.as_secs());
        Ok(Started { location: self.location(&known, &attempt), cookie })
    }

    /// Judges what a browser brings back: the callback's query, and the value of the cookie [`Self::cookie_name`].
    pub async fn finish(&self, query: &str, cookie: Option<&str>) -> Result<Vouched, OidcError> {
        let now: Timestamp = self.clock.now();
        let attempt =
            cookie.and_then(|sealed| Attempt::open(sealed, &self.seal, now)).ok_or(OidcError::NotBegun)?;
        let answer = Answer::read(query).ok_or(OidcError::NotBegun)?;
        if !same(&answer.state, &attempt.state) || self.finished.knows(&attempt) {
            return Err(OidcError::NotBegun);
        }
        let _place = self.places.try_acquire().map_err(|_| OidcError::Overloaded)?;
        let known = self.provider.known().await?;
        let named = match &answer.issuer {
            Some(issuer) => issuer == self.provider.config.issuer.as_str(),
            None => !known.names_itself,
        };
        if !named {
            return Err(OidcError::NotBelieved("it is another provider's".to_owned()));
        }
        let code = answer.outcome.map_err(OidcError::Declined)?;
        let redeemed = Redeemed {
            code: &code,
            verifier: &attempt.verifier,
            redirect_uri: &self.redirect_uri,
            nonce: &attempt.nonce,
        };
        let email = self.provider.redeem(&known, &redeemed).await?;
        // Of two that came at once with codes that are both good, one is it.
        if !self.finished.note(&attempt, now) {
            return Err(OidcError::NotBegun);
        }
        Ok(Vouched { email, return_to: attempt.return_to.clone() })
    }

    /// The cookie that holds an attempt. `__Host-` keeps other hosts of the same domain from setting it.
    pub const fn cookie_name(&self) -> &'static str {
        if self.insecure_cookie { "latchgate-oidc" } else { "__Host-latchgate-oidc" }
    }

    /// A whole `Set-Cookie` that ends the attempt.
    pub fn ended_cookie(&self) -> String {
        self.set_cookie("", 0)
    }

    /// Lax, because the browser comes back from another site, by a link.
    fn set_cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.insecure_cookie { "" } else { "; Secure" };
        format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.cookie_name())
    }

    fn location(&self, known: &Known, attempt: &Attempt) -> String {
        let config = &self.provider.config;
        let (scopes, challenge) = (config.scopes.join(" "), attempt.challenge());
        let parameters = [
            ("response_type", "code"),
            ("client_id", config.client_id.as_str()),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &scopes),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let mut location = known.authorization.to_string();
        let mut separator = if location.contains('?') { '&' } else { '?' };
        for (name, value) in parameters {
            location.push(separator);
            location.push_str(name);
            location.push('=');
            location.push_str(&encoded(value));
            separator = '&';
        }
        location
    }
}

/// Whether the provider answers, and is one that people could sign in by.
pub async fn reach(config: &config::Oidc, keeping: &Keeping) -> Result<(), OidcError> {
    Provider::new(config.clone(), keeping.clone()).reach().await
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Oidc({})", self.provider.config.issuer)
    }
}

fn redirect_uri(base: &str) -> String {
    format!("{}{CALLBACK}", base.trim_end_matches('/'))
}

/// What the provider says by way of the browser.
struct Answer {
    state: String,
    issuer: Option<String>,
    /// The code, or the name of an error.
    outcome: Result<String, String>,
}

impl Answer {
    /// Reads a query in which nothing that counts stands twice.
    fn read(query: &str) -> Option<Self> {
        let [mut state, mut code, mut error, mut issuer] = [const { None }; 4];
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "state" => &mut state,
                "code" => &mut code,
                "error" => &mut error,
                "iss" => &mut issuer,
                _ => continue,
            };
            if place.replace(decode(value)?).is_some() {
                return None;
            }
        }
        let outcome = match (code, error) {
            (Some(code), None) if !code.is_empty() => Ok(code),
            (None, Some(error)) => Err(error.chars().filter(char::is_ascii_graphic).take(64).collect()),
            _ => return None,
        };
        Some(Self { state: state?, issuer, outcome })
    }
}

fn same(one: &str, other: &str) -> bool {
    subtle::ConstantTimeEq::ct_eq(one.as_bytes(), other.as_bytes()).into()
}

/// Where the provider sends browsers back to.
pub const CALLBACK: &str = "/.latchgate/oidc/callback";

/// Each waits for the provider, for ten seconds at most.
const REDEEMING: usize = 32;
