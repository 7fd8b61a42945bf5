//! The identity provider: what it says of itself, and what it is asked.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use super::OidcError;
use crate::{
    config::{self, Endpoint},
    domain::jwt::{Compact, Expected, Identity},
    runtime::{
        jwks::{IssuerKeys, Keeping, Published},
        outbound::{Outbound, OutboundError},
    },
};

/// One provider, of which nothing is known before it is needed: it may be down when the gateway starts.
pub(super) struct Provider {
    pub(super) config: config::Oidc,
    keeping: Keeping,
    known: ArcSwapOption<Known>,
    /// Uptime of the last attempt that failed. One asks at a time.
    asking: tokio::sync::Mutex<Option<Duration>>,
}

/// What the provider said of itself.
pub(super) struct Known {
    pub(super) authorization: Endpoint,
    token: Endpoint,
    user_info: Option<Endpoint>,
    /// Whether answers must name their issuer (RFC 9207).
    pub(super) names_itself: bool,
    basic: bool,
    keys: IssuerKeys,
    read_at: Duration,
}

/// OpenID Connect Discovery section 3, as far as it is needed.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What a code is worth.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.id_token.zeroize();
        self.access_token.zeroize();
    }
}

/// A code and what shows that it is ours.
pub(super) struct Redeemed<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) nonce: &'a str,
}

impl Provider {
    pub(super) fn new(config: config::Oidc, keeping: Keeping) -> Self {
        Self { config, keeping, known: ArcSwapOption::empty(), asking: tokio::sync::Mutex::default() }
    }

    /// What the provider says of itself; the last good word for as long as it does not answer.
    pub(super) async fn known(&self) -> Result<Arc<Known>, OidcError> {
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let mut failed_at = self.asking.lock().await;
        // Whoever had the turn before may have asked.
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let (now, old) = (self.keeping.clock.uptime(), self.known.load_full());
        let refused = || OidcError::Unavailable("it was asked a moment ago and did not answer".to_owned());
        if failed_at.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return old.ok_or_else(refused);
        }
        match self.discover(old.as_deref()).await {
            Ok(known) => {
                *failed_at = None;
                let known = Arc::new(known);
                self.known.store(Some(Arc::clone(&known)));
                Ok(known)
            }
            Err(error) => {
                *failed_at = Some(now);
                tracing::warn!(issuer = %self.config.issuer, %error, "the identity provider cannot be used");
                old.ok_or(error)
            }
        }
    }

    /// Whether it answers, with keys that can prove something.
    pub(super) async fn reach(&self) -> Result<(), OidcError> {
        match self.discover(None).await?.keys.read().await {
            Ok(0) => Err(OidcError::Unavailable("it publishes no key that can prove a token".to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(OidcError::Unavailable(error.to_string())),
        }
    }

    /// Who signed in, by their e-mail address.
    pub(super) async fn redeem(&self, known: &Known, redeemed: &Redeemed<'_>) -> Result<String, OidcError> {
        let tokens = self.exchange(known, redeemed).await?;
        let token = Compact::parse(&tokens.id_token).ok_or_else(|| wrong("its token is none"))?;
        let keys =
            known.keys.keys_for(&token).await.map_err(|error| OidcError::Unavailable(error.to_string()))?;
        let expected = Expected { issuer: self.config.issuer.as_str(), audience: &self.config.client_id };
        let now = self.keeping.clock.now();
        let identity = Identity::prove(&token, &keys, &expected, redeemed.nonce, now).map_err(wrong)?;
        if let Some(email) = identity.email() {
            return Ok(email.to_owned());
        }
        let (Some(address), Some(access)) = (&known.user_info, &tokens.access_token) else {
            return Err(wrong("it tells no e-mail address"));
        };
        let info: Value = self.outbound().get_json_as(address.as_str(), access).await.map_err(unavailable)?;
        identity.email_in(&info).map_err(wrong)
    }

    async fn exchange(&self, known: &Known, redeemed: &Redeemed<'_>) -> Result<Tokens, OidcError> {
        let secret = self.secret().await?;
        let id = self.config.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", redeemed.code),
            ("redirect_uri", redeemed.redirect_uri),
            ("code_verifier", redeemed.verifier),
        ];
        // Both halves are encoded as a form's values before they are joined (RFC 6749 section 2.3.1).
        let mut basic = None;
        match &secret {
            Some(secret) if known.basic => basic = Some((encoded(id), Zeroizing::new(encoded(secret)))),
            Some(secret) => form.extend([("client_id", id), ("client_secret", secret.as_str())]),
            None => form.push(("client_id", id)),
        }
        let basic = basic.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
        match self.outbound().post_form(known.token.as_str(), &form, basic).await {
            Ok(answer) => answer.json().map_err(wrong),
            Err(OutboundError::Refused { status: 400..=499, body }) => Err(refused(&body)),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn discover(&self, old: Option<&Known>) -> Result<Known, OidcError> {
        let issuer = self.config.issuer.as_str();
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let said: Metadata = self.outbound().get_json(&address).await.map_err(unavailable)?;
        if said.issuer != issuer {
            let text = format!("it calls itself {:?}, not as oidc.issuer does", said.issuer);
            return Err(OidcError::Unavailable(text));
        }
        let at = |address: &str| Endpoint::parse(address).map_err(OidcError::Unavailable);
        let methods = said.token_endpoint_auth_methods_supported;
        let published = Published::At(at(&said.jwks_uri)?.to_string());
        let keys = match old {
            Some(old) if *old.keys.published() == published => old.keys.clone(),
            _ => {
                let keys = IssuerKeys::new(issuer, published, KEYS_EVERY, self.keeping.clone());
                keys.keep_fresh();
                keys
            }
        };
        Ok(Known {
            authorization: at(&said.authorization_endpoint)?,
            token: at(&said.token_endpoint)?,
            user_info: said.userinfo_endpoint.as_deref().map(at).transpose()?,
            names_itself: said.authorization_response_iss_parameter_supported,
            basic: methods.is_none_or(|all| all.iter().any(|method| method == "client_secret_basic")),
            keys,
            read_at: self.keeping.clock.uptime(),
        })
    }

    /// Read each time, so that a changed one counts without a restart.
    async fn secret(&self) -> Result<Option<Zeroizing<String>>, OidcError> {
        let Some(file) = &self.config.client_secret_file else { return Ok(None) };
        let text = tokio::fs::read_to_string(file).await.map(Zeroizing::new).map_err(|error| {
            tracing::error!(file = %file.display(), %error, "oidc.client_secret_file cannot be read");
            OidcError::Unavailable("the gateway's own secret cannot be read".to_owned())
        })?;
        Ok(Some(Zeroizing::new(text.trim().to_owned())))
    }

    fn fresh(&self) -> Option<Arc<Known>> {
        let now = self.keeping.clock.uptime();
        self.known.load_full().filter(|known| now.saturating_sub(known.read_at) < EVERY)
    }

    const fn outbound(&self) -> &Outbound {
        &self.keeping.outbound
    }
}

/// What the provider says of a code that it does not take: an error's name (RFC 6749 section 5.2), nothing else of it.
fn refused(body: &[u8]) -> OidcError {
    let name = serde_json::from_slice::<Value>(body).ok();
    let name = name.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str).unwrap_or_default();
    let known = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    wrong(format!("it refused the code: {}", if known { name } else { "" }))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(why: impl ToString) -> OidcError {
    OidcError::NotBelieved(why.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: OutboundError) -> OidcError {
    OidcError::Unavailable(error.to_string())
}

/// A value as forms write it.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(|half| char::from(b"0123456789ABCDEF"[usize::from(half)])));
        }
    }
    out
}

/// How long the provider's word about itself counts before it is asked again.
const EVERY: Duration = Duration::from_secs(3600);
/// Between attempts while it does not answer: whoever opens the page must not make us hammer it.
const PAUSE: Duration = Duration::from_secs(5);
const KEYS_EVERY: Duration = Duration::from_secs(300);
