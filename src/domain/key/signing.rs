//! What verifies the requests of a key that is never sent (R001_05): a secret that both sides know, or the public half
//! of a pair of which this side never sees the other.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// How a signature is made: named as RFC 9421 section 6.2 does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// With a secret that both sides know.
    HmacSha256,
    /// With a pair of keys on edwards25519 (RFC 8032).
    Ed25519,
}

impl Algorithm {
    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// What verifies a key's signatures, ready for use.
#[derive(Clone)]
pub enum Verifier {
    /// The full key is the secret.
    Secret(SigningSecret),
    /// The public half.
    Public(PublicKey),
}

impl Verifier {
    /// The only algorithm that this can verify; what a request says of it decides nothing.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::HmacSha256,
            Self::Public(_) => Algorithm::Ed25519,
        }
    }

    /// Whether the holder of the key signed exactly this.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(secret) => secret.verify(message, signature),
            Self::Public(public) => public.verify(message, signature),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({})", self.algorithm().as_str())
    }
}

/// A full key as signing secret. Never prints; wiped on drop.
#[derive(Clone)]
pub struct SigningSecret(Zeroizing<String>);

impl SigningSecret {
    /// The full key, out of its seal.
    pub fn new(key: &Zeroizing<Vec<u8>>) -> Option<Self> {
        let text = std::str::from_utf8(key).ok().filter(|text| !text.is_empty())?;
        Some(Self(Zeroizing::new(text.to_owned())))
    }

    /// HMAC-SHA-256 (RFC 9421 section 3.3.3), compared in constant time and never cut.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return false };
        hmac.update(message);
        hmac.verify_slice(signature).is_ok()
    }

    /// Whether this is SHA-256 of the key, the nonce and the timestamp, one after the other (R001_11).
    pub fn proves(&self, nonce_and_timestamp: &str, digest: &[u8; 32]) -> bool {
        let mut hash = Sha256::new();
        hash.update(self.0.as_bytes());
        hash.update(nonce_and_timestamp.as_bytes());
        hash.finalize().ct_eq(digest).into()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(..)")
    }
}

/// An Ed25519 public key that a signature under it means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_LENGTH]);

/// Text that is no public key for signatures here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPublicKey {
    /// Not PEM, or not one block of it.
    #[error("expected one PEM block: -----BEGIN PUBLIC KEY----- ... -----END PUBLIC KEY-----")]
    Pem,
    /// The private half, which nobody but its owner may have.
    #[error("this is a private key: keep it, and make another pair, because this one has been sent")]
    Private,
    /// Another algorithm, or not what RFC 8410 writes.
    #[error("expected an Ed25519 key (RFC 8410), such as `openssl genpkey -algorithm ed25519` makes")]
    Algorithm,
    /// A point under which anybody can make signatures, or one written in a second way.
    #[error("this key is no safe point of the curve: make another pair")]
    Weak,
}

impl PublicKey {
    /// From a `SubjectPublicKeyInfo` in PEM (RFC 7468 section 13).
    pub fn from_pem(text: &str) -> Result<Self, BadPublicKey> {
        if text.len() > LONGEST_PEM {
            return Err(BadPublicKey::Pem);
        }
        if text.contains("PRIVATE KEY") {
            return Err(BadPublicKey::Private);
        }
        let inside = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let base64: String = inside.ok_or(BadPublicKey::Pem)?.split_ascii_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| BadPublicKey::Pem)?;
        let key = der.strip_prefix(SUBJECT_PUBLIC_KEY_INFO.as_slice()).ok_or(BadPublicKey::Algorithm)?;
        Self::from_bytes(key.try_into().map_err(|_| BadPublicKey::Algorithm)?)
    }

    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Result<Self, BadPublicKey> {
        let mut y = bytes;
        // The last bit is the sign of the other coordinate.
        y[KEY_LENGTH - 1] &= 0x7f;
        let not_reduced = y[1..KEY_LENGTH - 1].iter().all(|byte| *byte == 0xff)
            && y[KEY_LENGTH - 1] == 0x7f
            && y[0] >= 0xed;
        if not_reduced || SMALL_ORDER.contains(&y) {
            return Err(BadPublicKey::Weak);
        }
        Ok(Self(bytes))
    }

    /// Its 32 bytes.
    pub const fn bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

const KEY_LENGTH: usize = 32;
const LONGEST_PEM: usize = 4096;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// RFC 8410 section 4: a sequence of the algorithm's identifier (1.3.101.112, without parameters) and 32 bytes.
const SUBJECT_PUBLIC_KEY_INFO: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The points whose order divides eight, without their sign. Under them anybody can make a signature that verifies.
const SMALL_ORDER: [[u8; KEY_LENGTH]; 5] = [
    // Order 4: y is 0.
    [0; KEY_LENGTH],
    // Order 1: y is 1.
    one(),
    // Order 8, twice.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    // Order 2: y is -1.
    minus_one(),
];

const fn one() -> [u8; KEY_LENGTH] {
    let mut y = [0; KEY_LENGTH];
    y[0] = 1;
    y
}

const fn minus_one() -> [u8; KEY_LENGTH] {
    let mut y = [0xff; KEY_LENGTH];
    y[0] = 0xec;
    y[KEY_LENGTH - 1] = 0x7f;
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9421 appendix B.1.4.
    const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
                               MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n\
                               -----END PUBLIC KEY-----";
    /// RFC 9421 appendix B.1.5, as the base64 of its bytes.
    const SHARED: &str =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    /// RFC 9421 appendix B.2.6.
    const BASE_ED25519: &str = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\
        \"@authority\": example.com\n\"content-type\": application/json\n\"content-length\": 18\n\
        \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
        ;created=1618884473;keyid=\"test-key-ed25519\"";
    /// RFC 9421 appendix B.2.5.
    const BASE_HMAC: &str = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\
        \"content-type\": application/json\n\"@signature-params\": (\"date\" \"@authority\" \"content-type\")\
        ;created=1618884473;keyid=\"test-shared-secret\"";

    fn decode(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).unwrap()
    }

    #[test]
    fn the_signatures_of_rfc_9421_verify() {
        let public = Verifier::Public(PublicKey::from_pem(ED25519_PEM).unwrap());
        let signature = decode(
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
        );
        assert!(public.verify(BASE_ED25519.as_bytes(), &signature));
        assert!(!public.verify(&BASE_ED25519.as_bytes()[1..], &signature));
        assert!(!public.verify(BASE_ED25519.as_bytes(), &signature[..63]));

        // Its secret is no text, as ours are: the HMAC itself is what is compared.
        let mut hmac = Hmac::<Sha256>::new_from_slice(&decode(SHARED)).unwrap();
        hmac.update(BASE_HMAC.as_bytes());
        let expected = decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
        assert_eq!(hmac.finalize().into_bytes().as_slice(), expected);
    }

    #[test]
    fn a_mac_is_compared_whole() {
        let secret = SigningSecret::new(&Zeroizing::new(b"osk_key".to_vec())).unwrap();
        let mut hmac = Hmac::<Sha256>::new_from_slice(b"osk_key").unwrap();
        hmac.update(b"message");
        let tag = hmac.finalize().into_bytes().to_vec();
        let secret = Verifier::Secret(secret);
        assert!(secret.verify(b"message", &tag));
        for wrong in [&tag[..31], &tag[..0], &[tag.as_slice(), &[0]].concat(), &[0; 32]] {
            assert!(!secret.verify(b"message", wrong), "{} bytes", wrong.len());
        }
        assert_eq!(format!("{secret:?}"), "Verifier(hmac-sha256)");
    }

    #[test]
    fn a_public_key_for_everybody_s_signatures_is_none() {
        let mut weak: Vec<[u8; 32]> = SMALL_ORDER.to_vec();
        for low in 0xed..=0xff {
            weak.push(minus_one());
            weak.last_mut().unwrap()[0] = low;
        }
        for y in weak {
            for sign in [0, 0x80] {
                let mut point = y;
                point[31] |= sign;
                assert_eq!(PublicKey::from_bytes(point), Err(BadPublicKey::Weak), "{point:02x?}");
            }
        }
    }

    #[test]
    fn other_pems_are_refused() {
        let body = ED25519_PEM.lines().nth(1).unwrap();
        let wrap = |body: &str| format!("{BEGIN}\n{body}\n{END}\n");
        assert!(PublicKey::from_pem(&wrap(body)).is_ok());
        assert!(PublicKey::from_pem(&format!("\r\n{}\r\n", wrap(body).replace('\n', "\r\n"))).is_ok());
        let x25519 = STANDARD
            .encode([&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0][..], &[9; 32]].concat());
        let long = STANDARD.encode([&SUBJECT_PUBLIC_KEY_INFO[..], &[9; 33]].concat());
        let short = STANDARD.encode([&SUBJECT_PUBLIC_KEY_INFO[..], &[9; 31]].concat());
        for other in [x25519, long, short, String::new(), STANDARD.encode([0x30])] {
            assert_eq!(PublicKey::from_pem(&wrap(&other)), Err(BadPublicKey::Algorithm), "{other}");
        }
        let twice = format!("{0}{0}", wrap(body));
        for none in
            ["", "x", body, BEGIN, END, &wrap("!"), &wrap(&body[1..]), &twice, &wrap(&"A".repeat(9000))]
        {
            assert_eq!(PublicKey::from_pem(none), Err(BadPublicKey::Pem), "{none}");
        }
        let private = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----";
        assert_eq!(PublicKey::from_pem(private), Err(BadPublicKey::Private));
    }
}
