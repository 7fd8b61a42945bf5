//! A key of an identity provider that is made up for a test: its published half, and tokens signed with it.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeySize, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
        RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A signing key with its name.
pub(crate) struct Signer {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// An RSA key of 2048 bits.
    pub(crate) fn rsa(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            pair: Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))),
        }
    }

    /// A key on P-256: the quickest to make.
    pub(crate) fn p256(id: &str) -> Self {
        Self::ec(id, &ECDSA_P256_SHA256_FIXED_SIGNING, "ES256")
    }

    /// A key on P-384.
    pub(crate) fn p384(id: &str) -> Self {
        Self::ec(id, &ECDSA_P384_SHA384_FIXED_SIGNING, "ES384")
    }

    /// An Ed25519 key.
    pub(crate) fn ed25519(id: &str) -> Self {
        Self { id: id.to_owned(), pair: Pair::Ed(Ed25519KeyPair::generate().expect("a key")) }
    }

    fn ec(id: &str, curve: &'static EcdsaSigningAlgorithm, name: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            pair: Pair::Ec(Box::new(EcdsaKeyPair::generate(curve).expect("a key")), name),
        }
    }

    /// The algorithm it signs with unless told otherwise.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_, name) => name,
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public half, as a key set holds it.
    pub(crate) fn published(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let parts = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": encode(parts.n), "e": encode(parts.e)})
            }
            Pair::Ec(pair, name) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let curve = if *name == "ES256" { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())}),
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// What the public half looks like to whoever would use it as a shared secret.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ec(pair, _) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// A token with the header that belongs to this key.
    pub(crate) fn token(&self, payload: &Value) -> String {
        self.token_with(&self.header(), payload)
    }

    /// The header that belongs to this key.
    pub(crate) fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": self.algorithm(), "kid": self.id})
    }

    /// A token with any header. The algorithm it names is used if it is one of this key's.
    pub(crate) fn token_with(&self, header: &Value, payload: &Value) -> String {
        self.signed(&encode(header.to_string()), &encode(payload.to_string()), header["alg"].as_str())
    }

    /// A token of two parts that are already encoded.
    pub(crate) fn signed(&self, header: &str, payload: &str, algorithm: Option<&str>) -> String {
        let message = format!("{header}.{payload}");
        let signature = self.sign(message.as_bytes(), algorithm.unwrap_or_default());
        format!("{message}.{}", encode(signature))
    }

    fn sign(&self, message: &[u8], algorithm: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    "RS512" => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).expect("a key");
                signature
            }
            Pair::Ec(pair, _) => pair.sign(&random, message).expect("a key").as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// A set of the published halves.
pub(crate) fn key_set(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.published()).collect::<Vec<_>>()})
}

/// Base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
