//! An identity provider that is made up: keys that tests choose, published where the gateway looks for them.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    rawup::{Answer, Upstream},
    setup::Setup,
};

#[path = "../../../src/domain/jwt/tests/signer.rs"]
mod signer;

pub(crate) use signer::{Signer, encode, key_set};

/// What it calls itself.
pub const ISSUER: &str = "https://idp.example.com/";

/// A provider with the keys that it publishes; none: it is down.
pub struct Issuer {
    pub server: Upstream,
    published: Arc<Mutex<Option<Value>>>,
}

impl Issuer {
    /// Publishes these keys.
    pub fn with(signers: &[&Signer]) -> Self {
        let published = Arc::new(Mutex::new(Some(key_set(signers))));
        let said = Arc::clone(&published);
        let server = Upstream::start(move |_| match &*said.lock().expect("keys") {
            Some(keys) => Answer::ok(&keys.to_string()),
            None => Answer::status("503 Service Unavailable", "{}"),
        });
        Self { server, published }
    }

    /// From now on, these.
    pub fn publish(&self, signers: &[&Signer]) {
        *self.published.lock().expect("keys") = Some(key_set(signers));
    }

    /// From now on it answers nobody.
    pub fn fail(&self) {
        *self.published.lock().expect("keys") = None;
    }

    /// How often its keys were read.
    pub fn asked(&self) -> usize {
        self.server.count()
    }

    /// With this provider as one of the gateway's.
    pub fn known_to(&self, setup: Setup) -> Setup {
        setup.issuer(ISSUER, &format!("jwks_url = \"{}/jwks\"\nrefresh = \"1s\"", self.server.url()))
    }
}

/// What a good token of this person says, for five minutes from `now`.
pub fn claims(email: &str, now: i64) -> Value {
    json!({
        "iss": ISSUER, "aud": "latchgate", "sub": "1", "email": email, "email_verified": true,
        "jti": "t-1", "iat": now - 5, "exp": now + 300,
    })
}
