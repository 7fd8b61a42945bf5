//! How a key's requests prove whose they are: by the key itself, or by a signature that it makes.

use crate::domain::{
    id::KeyId,
    key::signing::{Algorithm, PublicKey},
    time::Timestamp,
};
use crate::store::{
    db::{Columns, Conn, Db, hex, readable, unhex},
    error::StoreError,
};

/// How a request has to carry the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityLevel {
    /// As it is (R001_04).
    Standard,
    /// As a signature over the request (R001_05).
    Advanced(Signing),
}

/// What verifies the signatures.
#[derive(Clone, PartialEq, Eq)]
pub enum Signing {
    /// The full key, sealed for its row.
    Sealed(Vec<u8>),
    /// The public half.
    Public(PublicKey),
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm().as_str())
    }
}

impl Signing {
    /// How its signatures are made.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sealed(_) => Algorithm::HmacSha256,
            Self::Public(_) => Algorithm::Ed25519,
        }
    }
}

impl SecurityLevel {
    /// The name used in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Advanced(_) => "advanced",
        }
    }

    /// What verifies signatures, where the key makes them.
    pub const fn signing(&self) -> Option<&Signing> {
        match self {
            Self::Standard => None,
            Self::Advanced(signing) => Some(signing),
        }
    }

    /// From its two columns. A key that signs and has nothing to verify that with is damaged: taken for one of the
    /// other level it could be sent as it is.
    pub(super) fn read(columns: &Columns<'_>) -> Result<Self, StoreError> {
        let signing = columns.maybe_text("signing")?;
        match (columns.text("security_level")?.as_str(), signing) {
            ("standard", None) => Ok(Self::Standard),
            ("advanced", Some(text)) => {
                let signing = parse(&text).ok_or_else(|| columns.bad("signing", "not as it was written"));
                signing.map(Self::Advanced)
            }
            ("standard" | "advanced", _) => Err(columns.bad("signing", "does not fit security_level")),
            _ => Err(columns.bad("security_level", "expected standard or advanced")),
        }
    }

    pub(super) fn signing_text(&self) -> Option<String> {
        let signing = self.signing()?;
        let bytes = match signing {
            Signing::Sealed(sealed) => hex(sealed),
            Signing::Public(public) => hex(public.bytes()),
        };
        Some(format!("{} {bytes}", signing.algorithm().as_str()))
    }
}

fn parse(text: &str) -> Option<Signing> {
    let (algorithm, bytes) = text.split_once(' ')?;
    let bytes = unhex(bytes)?;
    match algorithm {
        "hmac-sha256" => Some(Signing::Sealed(bytes)),
        "ed25519" => PublicKey::from_bytes(bytes.try_into().ok()?).ok().map(Signing::Public),
        _ => None,
    }
}

/// A key whose requests are verified by a sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Which.
    pub id: KeyId,
    /// Its public characters.
    pub prefix: String,
    /// Sealed for its row.
    pub secret: Vec<u8>,
}

/// The row that a sealed secret belongs to.
pub fn signing_place(id: KeyId) -> String {
    format!("api_keys {id}")
}

/// Every working key of that kind, for whoever asks whether the secret file still opens them.
pub async fn sealed(conn: &mut Conn, now: Timestamp) -> Result<Vec<SealedKey>, StoreError> {
    let rows = sqlx::query::<Db>(
        "SELECT id, prefix, signing FROM api_keys WHERE signing LIKE 'hmac-sha256 %' AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > $1) AND (grace_until IS NULL OR grace_until > $1) ORDER BY id",
    )
    .bind(now.micros())
    .fetch_all(conn)
    .await?;
    Ok(readable(&rows, |row| {
        let columns = Columns::of(row, "api_keys", "id");
        match parse(&columns.text("signing")?) {
            Some(Signing::Sealed(secret)) => {
                Ok(SealedKey { id: columns.parse("id")?, prefix: columns.text("prefix")?, secret })
            }
            _ => Err(columns.bad("signing", "not as it was written")),
        }
    }))
}
