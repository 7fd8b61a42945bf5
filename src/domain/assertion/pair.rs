//! A key pair on the curve P-256: the private half signs and never leaves, the public half is a JWK (RFC 7517).

use std::fmt;

use aws_lc_rs::{
    rand::{SecureRandom as _, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Claims;

/// Signs assertions.
pub struct Pair {
    id: String,
    /// The header of its tokens, encoded.
    header: String,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

/// The cipher failed to run, or the bytes are no pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key pair cannot be made, read or used")]
pub struct PairFailed;

impl Pair {
    /// A new pair, and its private half to be sealed.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), PairFailed> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| PairFailed)?;
        let private = pair.to_pkcs8v1().map_err(|_| PairFailed)?;
        let private = Zeroizing::new(private.as_ref().to_vec());
        Ok((Self::of(pair), private))
    }

    /// The pair with this private half (PKCS #8).
    pub fn read(private: &[u8]) -> Result<Self, PairFailed> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private)
            .map(Self::of)
            .map_err(|_| PairFailed)
    }

    fn of(pair: EcdsaKeyPair) -> Self {
        let (x, y) = coordinates(&pair);
        // RFC 7638: the members in this order, without white space.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(members));
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "ES256", "kid": id, "typ": "JWT" }).to_string());
        Self { id, header, key: pair, random: SystemRandom::new() }
    }

    /// Its name: the thumbprint of the public half.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        let (x, y) = coordinates(&self.key);
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.id, "alg": "ES256", "use": "sig" })
    }

    /// A name for one token.
    pub fn token_id(&self) -> Result<String, PairFailed> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes).map_err(|_| PairFailed)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The token that says this. Costs some twenty microseconds.
    pub fn sign(&self, claims: &Claims<'_>) -> Result<String, PairFailed> {
        let claims = serde_json::to_vec(claims).map_err(|_| PairFailed)?;
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&self.random, token.as_bytes()).map_err(|_| PairFailed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }
}

/// An uncompressed point: a byte that says so, and 32 for each coordinate.
fn coordinates(pair: &EcdsaKeyPair) -> (String, String) {
    let point = pair.public_key().as_ref();
    let (x, y) = point.get(1..).and_then(|both| both.split_at_checked(32)).unwrap_or_default();
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({}, ..)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_the_same_when_it_is_read_again_and_never_prints() {
        let (pair, private) = Pair::generate().unwrap();
        let again = Pair::read(&private).unwrap();
        assert_eq!((again.id(), again.jwk()), (pair.id(), pair.jwk()));
        let jwk = pair.jwk();
        assert_eq!(jwk["x"].as_str().map(str::len), Some(43));
        assert_eq!(jwk["y"].as_str().map(str::len), Some(43));
        assert!(jwk.get("d").is_none(), "nothing private");
        assert_eq!(format!("{pair:?}"), format!("Pair({}, ..)", pair.id()));
        assert_ne!(Pair::generate().unwrap().0.id(), pair.id());
        assert!(Pair::read(&private[1..]).is_err() && Pair::read(b"").is_err());
    }
}
