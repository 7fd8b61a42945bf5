//! How requests carry a key: as it is, or as a signature made with a secret or with a pair of keys.
//!
//! Every new text of a key is made here, with what will prove it.

use super::NewKey;
use crate::{
    control::service::{Control, ServiceError},
    domain::{
        id::KeyId,
        key::{
            secret::{KeyHash, Mac},
            signing::PublicKey,
            token::Token,
        },
    },
    store::keys::{self, SecurityLevel, Signing},
};

/// How a key is to be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As it is (R001_04).
    Sent,
    /// As a MAC under the key (R001_05).
    Secret,
    /// As a signature by the holder's pair of keys, of which this is the public half.
    Pair(PublicKey),
}

impl Way {
    /// As a new key asks for it.
    pub(super) fn wanted(new: &NewKey) -> Result<Self, ServiceError> {
        match (new.security_level.as_deref(), new.public_key.as_deref()) {
            (None | Some("standard"), None) => Ok(Self::Sent),
            (None | Some("standard"), Some(_)) => {
                Err(ServiceError::field("public_key", "only keys with security_level advanced have one"))
            }
            (Some("advanced"), None) => Ok(Self::Secret),
            (Some("advanced"), Some(pem)) => public_key(pem).map(Self::Pair),
            (Some(_), _) => Err(ServiceError::field("security_level", "expected standard or advanced")),
        }
    }

    /// As the successor of a key is carried: as the key was, by another secret or pair.
    pub(super) fn again(level: &SecurityLevel, pem: Option<&str>) -> Result<Self, ServiceError> {
        match (level, pem) {
            (SecurityLevel::Standard, None) => Ok(Self::Sent),
            (SecurityLevel::Advanced(Signing::Sealed(_)), None) => Ok(Self::Secret),
            (SecurityLevel::Advanced(Signing::Public(old)), Some(pem)) => {
                let new = public_key(pem)?;
                if new == *old {
                    return Err(ServiceError::field(
                        "public_key",
                        "the key has this one already: make a new pair",
                    ));
                }
                Ok(Self::Pair(new))
            }
            (SecurityLevel::Advanced(Signing::Public(_)), None) => {
                let message = "a key that signs with a pair needs the public half of the new one";
                Err(ServiceError::field("public_key", message))
            }
            (_, Some(_)) => {
                Err(ServiceError::field("public_key", "only keys that sign with a pair have one"))
            }
        }
    }
}

fn public_key(pem: &str) -> Result<PublicKey, ServiceError> {
    PublicKey::from_pem(pem).map_err(|error| ServiceError::field("public_key", error.to_string()))
}

/// The text of a new key, and what proves it.
pub(super) struct Forged {
    /// Its public characters.
    pub(super) prefix: String,
    /// The full key; none where nothing of it is ever sent.
    pub(super) token: Option<Token>,
    pub(super) hash: KeyHash,
    pub(super) mac: Option<Mac>,
    way: Way,
}

impl Control {
    /// A new key of the profile's shape whose public characters nobody has.
    pub(super) async fn forge(&self, way: Way) -> Result<Forged, ServiceError> {
        for _ in 0..16 {
            let token = self.profile().keys.shape.generate();
            let token = token.map_err(|error| ServiceError::Secret(error.into()))?;
            let mut conn = self.store().read().await?;
            if !keys::find_any(&mut conn, token.public()).await?.is_empty() {
                continue;
            }
            drop(conn);
            let prefix = token.public().to_owned();
            if let Way::Pair(_) = way {
                return Ok(Forged { prefix, token: None, hash: KeyHash::Nothing, mac: None, way });
            }
            let (token, hash) = self.0.hashing.key(token, self.settings().bcrypt_cost).await?;
            let mac = self.0.parts.mac_key.mac(token.reveal());
            return Ok(Forged { prefix, token: Some(token), hash, mac: Some(mac), way });
        }
        Err(ServiceError::Conflict("no free prefix was found: the profile's public part is too short".into()))
    }

    /// How the key in this row is carried, with what verifies its signatures.
    pub(super) fn level(&self, forged: &Forged, id: KeyId) -> Result<SecurityLevel, ServiceError> {
        match (forged.way, &forged.token) {
            (Way::Sent, _) => Ok(SecurityLevel::Standard),
            (Way::Pair(public), _) => Ok(SecurityLevel::Advanced(Signing::Public(public))),
            (Way::Secret, token) => {
                let secret = token.as_ref().map_or("", Token::reveal);
                let sealed = self.0.parts.seal_key.seal(&keys::signing_place(id), secret.as_bytes());
                let sealed = sealed.map_err(|error| ServiceError::Secret(error.into()))?;
                Ok(SecurityLevel::Advanced(Signing::Sealed(sealed)))
            }
        }
    }
}
