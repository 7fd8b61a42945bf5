//! The public keys of an issuer (RFC 7517), and the one question that is asked of them.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

use super::Compact;

/// The keys by which an issuer's tokens are proved. Public, so they may be printed.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<SigningKey>);

/// One key.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// Its name in the set.
    pub id: String,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
    /// The whole key as it was published: a set that changes a key under the same name has changed it.
    published: Value,
}

/// What was sent instead of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKeySet {
    /// Another document.
    #[error("it is no key set: an object with a list `keys` is expected")]
    Shape,
    /// So many that trying them would be work.
    #[error("it holds more than {MOST} keys")]
    TooMany,
}

impl KeySet {
    /// Reads a set. Keys that cannot prove a signature here - other types, shared secrets, keys for encryption,
    /// keys without a name - are left out, as RFC 7517 section 5 asks. A set may be empty: then nothing is proved.
    pub fn parse(document: &Value) -> Result<Self, NotAKeySet> {
        let keys = document.get("keys").and_then(Value::as_array).ok_or(NotAKeySet::Shape)?;
        if keys.len() > MOST {
            return Err(NotAKeySet::TooMany);
        }
        Ok(Self(keys.iter().filter_map(SigningKey::parse).collect()))
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key of this name is there.
    pub fn names(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    /// Whether every key of this set stands unchanged in the other.
    pub fn lives_on_in(&self, newer: &Self) -> bool {
        self.0.iter().all(|key| newer.0.iter().any(|other| other.published == key.published))
    }

    /// The names, for the log.
    pub fn ids(&self) -> BTreeSet<&str> {
        self.0.iter().map(|key| key.id.as_str()).collect()
    }

    /// Whether one of these keys has signed the token. Costs a signature check, tens of microseconds, when the name
    /// of the key and the algorithm fit, and nothing otherwise.
    pub(super) fn signed(&self, token: &Compact<'_>) -> bool {
        let (Some(id), Some(algorithm)) = (token.key_id(), token.header.text("alg").and_then(algorithm))
        else {
            return false;
        };
        let fits = |key: &&SigningKey| key.id == id && key.algorithms.contains(&algorithm);
        // A name may stand for keys of several types; one of them is meant.
        self.0.iter().filter(fits).any(|key| {
            let checked = crypto::verify(token.signature, token.message.as_bytes(), &key.key, algorithm);
            checked.unwrap_or(false)
        })
    }
}

impl SigningKey {
    fn parse(published: &Value) -> Option<Self> {
        let key: Jwk = serde_json::from_value(published.clone()).ok()?;
        let common = &key.common;
        let id = common.key_id.clone().filter(|id| !id.is_empty())?;
        let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        let algorithms = match &key.algorithm {
            AlgorithmParameters::RSA(rsa) if bytes(&rsa.n) >= SHORTEST_MODULUS => RSA,
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        let algorithms = match published.get("alg") {
            None => algorithms,
            Some(named) => {
                let named = algorithm(named.as_str()?)?;
                let at = algorithms.iter().position(|algorithm| *algorithm == named)?;
                &algorithms[at..=at]
            }
        };
        let decoding = DecodingKey::from_jwk(&key).ok()?;
        signs.then(|| Self { id, algorithms, key: decoding, published: published.clone() })
    }
}

/// The algorithms that exist here. Shared secrets (HS256) and `none` do not.
fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        // RFC 9864 gives EdDSA with this curve a name of its own.
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        _ => return None,
    })
}

fn bytes(base64url: &str) -> usize {
    URL_SAFE_NO_PAD.decode(base64url).map_or(0, |bytes| bytes.len())
}

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// In bytes: 2048 bits.
const SHORTEST_MODULUS: usize = 256;

/// Providers publish two or three.
const MOST: usize = 100;
