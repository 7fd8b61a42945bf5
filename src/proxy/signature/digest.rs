//! `Content-Digest` (RFC 9530): what a body has to be.

use http::HeaderName;
use sfv::{Dictionary, ListEntry, Parser};
use sha2::{Digest as _, Sha256, Sha512};

use crate::proxy::fields::Fields;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Digests that a body must have, all of them; at least one.
#[derive(Debug)]
pub(super) struct Digests {
    sha_256: Option<Vec<u8>>,
    sha_512: Option<Vec<u8>>,
}

impl Digests {
    /// Those of a request's `Content-Digest`; none where it has none that counts. Algorithms of which the registry
    /// says that they are broken, and unknown ones, are read over.
    pub(super) fn read(fields: &Fields) -> Option<Self> {
        let mut digests = Self { sha_256: None, sha_512: None };
        for line in fields.get_all(&CONTENT_DIGEST) {
            let members: Dictionary = Parser::new(line.as_bytes()).parse().ok()?;
            for (algorithm, member) in members {
                let known = match algorithm.as_str() {
                    "sha-256" => &mut digests.sha_256,
                    "sha-512" => &mut digests.sha_512,
                    _ => continue,
                };
                let ListEntry::Item(item) = member else { return None };
                // Twice the same algorithm, and two servers may each believe another one.
                if known.replace(item.bare_item.as_byte_sequence()?.to_vec()).is_some() {
                    return None;
                }
            }
        }
        (digests.sha_256.is_some() || digests.sha_512.is_some()).then_some(digests)
    }

    pub(super) fn fit(&self, body: &[u8]) -> bool {
        self.sha_256.as_ref().is_none_or(|digest| Sha256::digest(body).as_slice() == digest.as_slice())
            && self.sha_512.as_ref().is_none_or(|digest| Sha512::digest(body).as_slice() == digest.as_slice())
    }
}
