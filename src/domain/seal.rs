//! Secrets that have to be read again: a signing secret, the link in a mail that is not delivered yet.
//!
//! They are stored sealed (AES-256-GCM) under a key derived from the operator's secret file, each bound to the row
//! it belongs to: a copy of the database without that file shows nothing, and a sealed text moved to another row
//! does not open there.

use std::{fmt, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::{Zeroize as _, Zeroizing};

use super::key::secret::RootSecret;

const FINGERPRINT_LENGTH: usize = 8;

/// Seals and opens. Cheap to clone.
#[derive(Clone)]
pub struct SealKey {
    key: Arc<RandomizedNonceKey>,
    fingerprint: [u8; FINGERPRINT_LENGTH],
}

/// The cipher failed to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret could not be sealed")]
pub struct SealFailed;

/// Why a sealed secret does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// It needs the secret file that it was sealed under.
    #[error("it was sealed under another secret file")]
    OtherSecret,
    /// It was changed, cut, or sealed for another place.
    #[error("it was damaged, or belongs elsewhere")]
    Damaged,
}

impl SealKey {
    /// The key for sealing.
    pub fn derive(root: &RootSecret) -> Result<Self, SealFailed> {
        let key = root.derive::<32>("latchgate seal v1");
        let fingerprint = root.derive::<FINGERPRINT_LENGTH>("latchgate seal v1 fingerprint");
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*key).map_err(|_| SealFailed)?;
        Ok(Self { key: Arc::new(key), fingerprint: *fingerprint })
    }

    /// Seals for `place`: what names the row, such as `mails 0192f7c4-...`. Fingerprint, nonce, cipher text and tag.
    pub fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, SealFailed> {
        let mut text = Vec::with_capacity(secret.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(secret);
        let nonce = self.key.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut text);
        let Ok(nonce) = nonce else {
            text.zeroize();
            return Err(SealFailed);
        };
        Ok([self.fingerprint.as_slice(), nonce.as_ref().as_slice(), &text].concat())
    }

    /// What was sealed for `place`.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let (fingerprint, rest) = sealed.split_at_checked(FINGERPRINT_LENGTH).ok_or(NotOpened::Damaged)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(NotOpened::Damaged)?;
        if fingerprint != self.fingerprint {
            return Err(NotOpened::OtherSecret);
        }
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut text);
        let length = opened.map_err(|_| NotOpened::Damaged)?.len();
        text.truncate(length);
        Ok(text)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealKey {
        SealKey::derive(&RootSecret::parse(&[byte; 32]).unwrap()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_alone() {
        let sealed = key(1).seal("mails 1", b"a secret").unwrap();
        assert_eq!(&*key(1).open("mails 1", &sealed).unwrap(), b"a secret");
        assert_eq!(key(1).open("mails 2", &sealed), Err(NotOpened::Damaged));
        assert_eq!(key(2).open("mails 1", &sealed), Err(NotOpened::OtherSecret));
        assert!(!sealed.windows(8).any(|part| part == b"a secret"));
        assert_ne!(key(1).seal("mails 1", b"a secret").unwrap(), sealed, "each with a nonce of its own");
    }

    #[test]
    fn no_byte_of_it_can_be_changed() {
        let sealed = key(1).seal("mails 1", b"a secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key(1).open("mails 1", &changed).is_err(), "byte {at}");
            assert!(key(1).open("mails 1", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(&*key(1).open("mails 1", &key(1).seal("mails 1", b"").unwrap()).unwrap(), b"");
        assert_eq!(format!("{:?}", key(1)), "SealKey(..)");
    }
}
