//! What proves a key: the only file that knows how secrets are hashed.
//!
//! Two proofs are kept for each key. The bcrypt hash is the durable one (R002_02): it needs nothing but the
//! row, and survives the loss of every other secret. The MAC is the fast one: HMAC-SHA-256 under a key derived
//! from the operator's secret file, a microsecond instead of fifty milliseconds. A MAC names the secret it was
//! made under, so that "wrong key" and "made under another secret" are never confused.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::token::Presented;

/// Costs that a verification is run at; a stored hash outside is damage, never a reason to burn CPU.
pub const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

const ROOT_LENGTH: usize = 32;
const FINGERPRINT_LENGTH: usize = 8;
const TAG_LENGTH: usize = 32;

/// The operator's secret: 32 random bytes from which working keys are derived. Never prints; wiped on drop.
pub struct RootSecret(Zeroizing<[u8; ROOT_LENGTH]>);

/// A secret file with the wrong content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected exactly 32 random bytes, found {found}: make one with `head -c 32 /dev/urandom > secret.key`"
)]
pub struct BadRootSecret {
    found: usize,
}

impl RootSecret {
    /// The content of the secret file.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRootSecret> {
        let found = bytes.len();
        let bytes: [u8; ROOT_LENGTH] = bytes.try_into().map_err(|_| BadRootSecret { found })?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// A key for one purpose; keys for different purposes tell nothing of each other (RFC 5869).
    pub(in crate::domain) fn derive<const N: usize>(&self, purpose: &str) -> Zeroizing<[u8; N]> {
        let mut key = Zeroizing::new([0; N]);
        // Fails only beyond 255 hash lengths, which no purpose here comes near.
        let expanded = Hkdf::<Sha256>::new(None, &*self.0).expand(purpose.as_bytes(), &mut *key);
        debug_assert!(expanded.is_ok());
        key
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret(..)")
    }
}

/// Makes and checks look-up MACs.
#[derive(Clone)]
pub struct MacKey {
    /// Keyed once: checking clones this state instead of hashing the key again.
    keyed: Hmac<Sha256>,
    fingerprint: [u8; FINGERPRINT_LENGTH],
}

/// What a stored MAC says of a presented key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacVerdict {
    /// It is the key.
    Match,
    /// It is not the key.
    Mismatch,
    /// The MAC was made under another secret and says nothing: ask the hash.
    OtherSecret,
}

impl MacKey {
    /// The key for look-up MACs.
    pub fn derive(root: &RootSecret) -> Self {
        let key = root.derive::<32>("latchgate key look-up mac v1");
        let fingerprint = root.derive::<FINGERPRINT_LENGTH>("latchgate key look-up mac v1 fingerprint");
        Self { keyed: keyed(&key), fingerprint: *fingerprint }
    }

    /// The MAC of a full key.
    pub fn mac(&self, key: &str) -> Mac {
        let mut hmac = self.keyed.clone();
        hmac.update(key.as_bytes());
        Mac { fingerprint: self.fingerprint, tag: hmac.finalize().into_bytes().into() }
    }

    /// Whether a MAC was made under the same secret.
    pub fn made(&self, stored: &Mac) -> bool {
        stored.fingerprint == self.fingerprint
    }

    /// Judges a presented key by a stored MAC, in constant time.
    pub fn check(&self, stored: &Mac, key: &str) -> MacVerdict {
        if !self.made(stored) {
            return MacVerdict::OtherSecret;
        }
        if self.mac(key).tag.ct_eq(&stored.tag).into() { MacVerdict::Match } else { MacVerdict::Mismatch }
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // One block: RFC 2104 pads it with zeros, as HMAC does for any key shorter than a block.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..key.len()].copy_from_slice(key);
    let hmac = Hmac::new(&block);
    block.as_mut_slice().zeroize();
    hmac
}

/// A stored look-up MAC: useless without the secret it was made under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac {
    fingerprint: [u8; FINGERPRINT_LENGTH],
    tag: [u8; TAG_LENGTH],
}

impl Mac {
    /// As stored: fingerprint, then tag.
    pub fn to_bytes(self) -> [u8; FINGERPRINT_LENGTH + TAG_LENGTH] {
        let mut bytes = [0; FINGERPRINT_LENGTH + TAG_LENGTH];
        bytes[..FINGERPRINT_LENGTH].copy_from_slice(&self.fingerprint);
        bytes[FINGERPRINT_LENGTH..].copy_from_slice(&self.tag);
        bytes
    }

    /// From storage; anything but the stored length is damage.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FINGERPRINT_LENGTH + TAG_LENGTH] = bytes.try_into().ok()?;
        let (fingerprint, tag) = bytes.split_at(FINGERPRINT_LENGTH);
        Some(Self { fingerprint: fingerprint.try_into().ok()?, tag: tag.try_into().ok()? })
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// The durable proof of a key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyHash {
    /// `$2a$`, `$2b$` or `$2y$` with its cost.
    Bcrypt(String),
    /// SHA-256 of the whole key: how some platforms keep high-entropy keys; accepted by import.
    Sha256([u8; 32]),
    /// Of a key of which nothing is ever sent, because its holder signs with a pair of keys: no text proves it.
    Nothing,
}

/// Text that is no hash we can verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// Neither form.
    #[error("expected `$2b$<cost>$<53 characters>` or `sha256:<64 hex digits>`")]
    Form,
    /// Would cost too much, or too little to mean anything.
    #[error("bcrypt cost {0} is outside 4 to 14")]
    Cost(u32),
}

/// bcrypt failed to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key could not be hashed: {0}")]
pub struct HashFailed(String);

impl KeyHash {
    /// How [`Nothing`](Self::Nothing) is stored. No hash of a key, so nothing that an import may bring.
    pub const NOTHING: &str = "none";

    /// Hashes a new key. Refuses text that bcrypt would cut at 72 bytes instead of hashing a part of it.
    pub fn bcrypt(key: &str, cost: u32) -> Result<Self, HashFailed> {
        bcrypt::non_truncating_hash(key, cost)
            .map(Self::Bcrypt)
            .map_err(|error| HashFailed(error.to_string()))
    }

    /// From storage or an import.
    pub fn parse(text: &str) -> Result<Self, BadHash> {
        if let Some(hex) = text.strip_prefix("sha256:") {
            return unhex(hex).map(Self::Sha256).ok_or(BadHash::Form);
        }
        let parts: bcrypt::HashParts = text.parse().map_err(|_| BadHash::Form)?;
        let version = ["$2a$", "$2b$", "$2y$"].iter().any(|known| text.starts_with(known));
        if text.len() != 60 || !version {
            return Err(BadHash::Form);
        }
        if !COSTS.contains(&parts.get_cost()) {
            return Err(BadHash::Cost(parts.get_cost()));
        }
        Ok(Self::Bcrypt(text.to_owned()))
    }

    /// Whether verifying takes milliseconds of CPU and belongs on the hashing pool.
    pub const fn is_slow(&self) -> bool {
        matches!(self, Self::Bcrypt(_))
    }

    /// Whether this is the hash of `key`. A hash made elsewhere may cover the secret part alone
    /// (R002_01 leaves it open), so `imported` hashes are tried on that too.
    pub fn verify(&self, key: &Presented<'_>, imported: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Sha256(hash) => Sha256::digest(key.text.as_bytes()).ct_eq(hash).into(),
            Self::Bcrypt(hash) => {
                let proves = |text: &str| bcrypt::non_truncating_verify(text, hash).unwrap_or(false);
                proves(key.text) || (imported && key.secret != key.text && proves(key.secret))
            }
        }
    }
}

/// As stored and imported.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str(Self::NOTHING),
            Self::Bcrypt(hash) => f.write_str(hash),
            Self::Sha256(hash) => {
                f.write_str("sha256:")?;
                hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Bcrypt(_) => "Bcrypt(..)",
            Self::Sha256(_) => "Sha256(..)",
        })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::token::Digest;

    fn key(byte: u8) -> MacKey {
        MacKey::derive(&RootSecret::parse(&[byte; 32]).unwrap())
    }

    fn presented(text: &str) -> Presented<'_> {
        Presented { text, public: "", secret: text.rsplit('_').next().unwrap() }
    }

    #[test]
    fn a_mac_knows_its_key_and_its_secret() {
        let stored = Mac::from_bytes(&key(1).mac("osk_a").to_bytes()).unwrap();
        assert_eq!(key(1).check(&stored, "osk_a"), MacVerdict::Match);
        assert_eq!(key(1).check(&stored, "osk_b"), MacVerdict::Mismatch);
        assert_eq!(key(2).check(&stored, "osk_a"), MacVerdict::OtherSecret);
        assert_eq!(Mac::from_bytes(&[0; 39]), None);
    }

    #[test]
    fn the_mac_is_hmac_sha_256_of_rfc_4231() {
        // RFC 4231 section 4.3: key "Jefe", here padded to 32 bytes, which HMAC's own padding makes the same key.
        let mut jefe = [0; 32];
        jefe[..4].copy_from_slice(b"Jefe");
        let mut hmac = keyed(&jefe);
        hmac.update(b"what do ya want for nothing?");
        let tag = hmac.finalize().into_bytes();
        assert_eq!(tag[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    #[test]
    fn bcrypt_hashes_the_whole_key_or_refuses() {
        let hash = KeyHash::bcrypt("osk_key", 4).unwrap();
        assert!(hash.verify(&presented("osk_key"), false));
        assert!(!hash.verify(&presented("osk_kez"), false));
        assert!(KeyHash::bcrypt(&"a".repeat(73), 4).is_err());
        let longest = "a".repeat(71);
        let hash = KeyHash::bcrypt(&longest, 4).unwrap();
        for suffix in ["b", "ab", &"a".repeat(100)] {
            assert!(!hash.verify(&presented(&format!("{longest}{suffix}")), false), "{suffix}");
        }
    }

    #[test]
    fn an_imported_hash_may_cover_the_secret_alone() {
        let hash = KeyHash::bcrypt("secret", 4).unwrap();
        assert!(hash.verify(&presented("tos_prefix_secret"), true));
        assert!(!hash.verify(&presented("tos_prefix_secret"), false));
    }

    #[test]
    fn hashes_round_trip_and_poison_is_refused() {
        let sha256 = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(KeyHash::parse(&sha256).unwrap().to_string(), sha256);
        let bcrypt = KeyHash::bcrypt("k", 4).unwrap().to_string();
        assert_eq!(KeyHash::parse(&bcrypt).unwrap().to_string(), bcrypt);
        assert_eq!(KeyHash::parse(&bcrypt.replace("$04$", "$31$")), Err(BadHash::Cost(31)));
        for wrong in ["", "x", "$2b$", "sha256:", "sha256:zz", &bcrypt[..59], &format!("{bcrypt}a")] {
            assert_eq!(KeyHash::parse(wrong), Err(BadHash::Form), "{wrong}");
        }
    }

    #[test]
    fn sha_256_is_over_the_whole_key() {
        let hash = KeyHash::Sha256(*Digest::of("legacy-key-1").bytes());
        assert!(hash.verify(&presented("legacy-key-1"), true));
        assert!(!hash.verify(&presented("legacy-key-2"), true));
    }

    #[test]
    fn nothing_secret_prints() {
        let root = RootSecret::parse(&[7; 32]).unwrap();
        assert_eq!(
            format!("{root:?} {:?} {:?}", key(1), key(1).mac("x")),
            "RootSecret(..) MacKey(..) Mac(..)"
        );
        assert_eq!(RootSecret::parse(b"short").unwrap_err().found, 5);
    }
}
