//! The text of an API key: how it is made, and how it is told from everything else.
//!
//! A key reads `<literal><public>_<secret>`: a fixed prefix that scanners recognize, characters that are
//! public and name the key in logs, and the secret. Where the shape has a checksum, the last six characters
//! are the CRC-32 (IEEE) of all before them in base 62, so that a typo or a guess is refused without a look-up.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const CHECKSUM_LENGTH: usize = 6;
const SEPARATOR: char = '_';
const MINIMUM_SECRET_BITS: f64 = 128.0;
/// Longest key of any shape; longer text is refused before anything is computed from it.
const LONGEST_KEY: usize = 128;

/// The characters a part of a key is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `0-9A-Za-z`.
    Base62,
    /// `0-9a-z`.
    Base36,
    /// `0-9a-f`.
    Hex,
    /// `0-9`, the first not `0`, because some clients send the part as an integer.
    Digits,
}

impl Alphabet {
    const fn characters(self) -> &'static [u8] {
        let all = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        match self {
            Self::Base62 => all,
            Self::Base36 => b"0123456789abcdefghijklmnopqrstuvwxyz",
            Self::Hex => b"0123456789abcdef",
            Self::Digits => all.split_at(10).0,
        }
    }

    fn accepts(self, text: &str) -> bool {
        let leading_zero = self == Self::Digits && text.starts_with('0');
        !leading_zero && text.bytes().all(|byte| self.has(byte))
    }

    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Base62 => byte.is_ascii_alphanumeric(),
            Self::Base36 => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
            Self::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Self::Digits => byte.is_ascii_digit(),
        }
    }
}

/// One variable part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Number of characters.
    pub length: usize,
    /// What they are drawn from.
    pub alphabet: Alphabet,
}

impl Part {
    /// Bits of entropy.
    fn bits(self) -> f64 {
        (self.alphabet.characters().len() as f64).log2() * self.length as f64
    }

    /// Characters drawn evenly: a byte that would favour the first ones is thrown away.
    fn draw(self, entropy: &mut Entropy) -> Result<Zeroizing<String>, NoEntropy> {
        let characters = self.alphabet.characters();
        let fair = 256 - 256 % characters.len();
        let mut text = Zeroizing::new(String::with_capacity(self.length));
        while text.len() < self.length {
            let byte = usize::from(entropy.byte()?);
            let leading_zero = self.alphabet == Alphabet::Digits && text.is_empty() && byte % 10 == 0;
            if byte < fair && !leading_zero {
                text.push(char::from(characters[byte % characters.len()]));
            }
        }
        Ok(text)
    }
}

/// A key shape that cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadShape {
    /// The fixed prefix is not recognizable.
    #[error("the literal must be 2 to 16 characters of a-z and 0-9 ending in `_`, such as `osk_`")]
    Literal,
    /// The fixed prefix is not free.
    #[error("the literal `lgs_` is that of sessions: choose another, such as `osk_`")]
    Taken,
    /// The public part does not tell keys apart.
    #[error("the public part must have 6 to 32 characters")]
    Public,
    /// The secret can be guessed.
    #[error("the secret must have at least 128 bits: 32 hex digits, or 22 characters of base 62")]
    Secret,
    /// bcrypt must see every character (it reads 72 bytes, the last of them NUL).
    #[error("the whole key must be at most 71 characters")]
    Length,
}

/// How the keys of a platform look (R000_14, R002_01).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyShape {
    literal: String,
    public: Part,
    secret: Part,
    checksum: bool,
}

impl KeyShape {
    /// Checks that keys of this shape can be told from other text and not be guessed.
    pub fn new(literal: &str, public: Part, secret: Part, checksum: bool) -> Result<Self, BadShape> {
        let word = literal.strip_suffix(SEPARATOR).ok_or(BadShape::Literal)?;
        if !(1..=15).contains(&word.len()) || !Alphabet::Base36.accepts(word) {
            return Err(BadShape::Literal);
        }
        if literal == crate::domain::session::LITERAL {
            return Err(BadShape::Taken);
        }
        if !(6..=32).contains(&public.length) {
            return Err(BadShape::Public);
        }
        if secret.bits() < MINIMUM_SECRET_BITS {
            return Err(BadShape::Secret);
        }
        let shape = Self { literal: literal.to_owned(), public, secret, checksum };
        if shape.key_length() > 71 {
            return Err(BadShape::Length);
        }
        Ok(shape)
    }

    /// The fixed characters that every key begins with.
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// The part that names a key in public.
    pub const fn public(&self) -> Part {
        self.public
    }

    /// A new key; its randomness comes from the operating system.
    pub fn generate(&self) -> Result<Token, NoEntropy> {
        let mut entropy = Entropy::default();
        let public = self.public.draw(&mut entropy)?;
        let secret = self.secret.draw(&mut entropy)?;
        let mut text = Zeroizing::new(String::with_capacity(self.key_length()));
        text.push_str(&self.literal);
        text.push_str(&public);
        text.push(SEPARATOR);
        text.push_str(&secret);
        if self.checksum {
            let sum = checksum(&text);
            text.extend(sum.map(char::from));
        }
        Ok(Token { text, public: self.literal.len()..self.literal.len() + public.len() })
    }

    /// Whether text claims to be a key of this shape, well formed or not.
    pub fn claims(&self, text: &str) -> bool {
        text.starts_with(&self.literal)
    }

    /// Reads a presented key; its checksum is judged here, its secret is not.
    pub fn parse<'a>(&self, text: &'a str) -> Result<Presented<'a>, Malformed> {
        if text.len() != self.key_length() || !text.is_ascii() {
            return Err(Malformed);
        }
        let rest = text.strip_prefix(&self.literal).ok_or(Malformed)?;
        let (public, rest) = rest.split_at(self.public.length);
        let rest = rest.strip_prefix(SEPARATOR).ok_or(Malformed)?;
        let (secret, sum) = rest.split_at(self.secret.length);
        if !self.public.alphabet.accepts(public) || !self.secret.alphabet.accepts(secret) {
            return Err(Malformed);
        }
        if self.checksum && *sum.as_bytes() != checksum(&text[..text.len() - CHECKSUM_LENGTH]) {
            return Err(Malformed);
        }
        Ok(Presented { text, public, secret: rest })
    }

    /// Whether text could be the public part of a key of this shape.
    pub fn accepts_public(&self, text: &str) -> bool {
        text.len() == self.public.length && self.public.alphabet.accepts(text)
    }

    fn key_length(&self) -> usize {
        let sum = if self.checksum { CHECKSUM_LENGTH } else { 0 };
        self.literal.len() + self.public.length + SEPARATOR.len_utf8() + self.secret.length + sum
    }
}

/// Text that is no key of the expected shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of this platform's shape")]
pub struct Malformed;

/// The operating system gave no randomness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct NoEntropy(String);

impl NoEntropy {
    /// For this reason.
    pub fn new(reason: &impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// A well-formed key as somebody sent it: nothing is proved yet.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The whole key.
    pub text: &'a str,
    /// Its public characters.
    pub public: &'a str,
    /// What follows the public part, checksum included.
    pub secret: &'a str,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presented({})", self.public)
    }
}

impl<'a> Presented<'a> {
    /// A key of a foreign shape: all of it is secret, none of it names it.
    pub fn foreign(text: &'a str) -> Result<Self, Malformed> {
        let plausible =
            (16..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if plausible { Ok(Self { text, public: "", secret: text }) } else { Err(Malformed) }
    }
}

/// A key that was just made. Wiped on drop; prints as its public part only.
pub struct Token {
    text: Zeroizing<String>,
    public: std::ops::Range<usize>,
}

impl Token {
    /// The full key, to be shown once (R000_14).
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The characters that may be logged and listed.
    pub fn public(&self) -> &str {
        &self.text[self.public.clone()]
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.public())
    }
}

/// SHA-256 of a presented credential: what caches know it by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Over the whole text, so that no two credentials share one.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Randomness in small gulps.
#[derive(Default)]
struct Entropy {
    pool: Zeroizing<Vec<u8>>,
}

impl Entropy {
    fn byte(&mut self) -> Result<u8, NoEntropy> {
        if self.pool.is_empty() {
            let mut fresh = Zeroizing::new(vec![0; 64]);
            getrandom::fill(&mut fresh).map_err(|error| NoEntropy(error.to_string()))?;
            self.pool = fresh;
        }
        Ok(self.pool.pop().unwrap_or_default())
    }
}

/// CRC-32 (IEEE) in base 62, left-padded with `0` to six characters.
fn checksum(text: &str) -> [u8; CHECKSUM_LENGTH] {
    let digits = Alphabet::Base62.characters();
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut sum = [b'0'; CHECKSUM_LENGTH];
    for place in sum.iter_mut().rev() {
        *place = digits[(rest % 62) as usize];
        rest /= 62;
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn part(length: usize, alphabet: Alphabet) -> Part {
        Part { length, alphabet }
    }

    fn osk() -> KeyShape {
        KeyShape::new("osk_", part(8, Alphabet::Base62), part(32, Alphabet::Base62), true).unwrap()
    }

    fn tos() -> KeyShape {
        KeyShape::new("tos_", part(8, Alphabet::Base36), part(32, Alphabet::Base36), false).unwrap()
    }

    #[test]
    fn a_made_key_is_read_back_and_its_public_part_is_all_that_prints() {
        for shape in [osk(), tos()] {
            let token = shape.generate().unwrap();
            let read = shape.parse(token.reveal()).unwrap();
            assert_eq!(read.public, token.public());
            for printed in [format!("{token:?}"), format!("{read:?}")] {
                assert!(printed.contains(token.public()));
                assert!(!printed.contains(&read.secret[..8]), "{printed}");
            }
        }
    }

    #[test]
    fn the_documented_example_is_a_key() {
        let shape = tos();
        let key = shape.parse("tos_a1b2c3d4_eaff8b91d36c5e0a2f1c4d7e8a9b0c2d").unwrap();
        assert_eq!((key.public, key.secret), ("a1b2c3d4", "eaff8b91d36c5e0a2f1c4d7e8a9b0c2d"));
    }

    #[test]
    fn the_checksum_is_the_documented_one() {
        // CRC-32 of "123456789" is the check value 0xCBF43926 of the IEEE polynomial.
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum("123456789"), *b"3jZRME");
    }

    #[test]
    fn truncated_extended_and_altered_keys_are_malformed() {
        let shape = osk();
        let token = shape.generate().unwrap();
        let key = token.reveal();
        for cut in 0..key.len() {
            assert_eq!(shape.parse(&key[..cut]).unwrap_err(), Malformed);
        }
        for suffix in ["A", " ", "\0", "é", &"A".repeat(100)] {
            assert_eq!(shape.parse(&format!("{key}{suffix}")).unwrap_err(), Malformed);
        }
        for place in 0..key.len() {
            let mut altered = key.as_bytes().to_vec();
            altered[place] = if altered[place] == b'x' { b'y' } else { b'x' };
            assert!(shape.parse(std::str::from_utf8(&altered).unwrap()).is_err(), "place {place}");
        }
        assert!(shape.parse(&"é".repeat(key.len() / 2)).is_err());
    }

    #[test]
    fn secrets_are_unique_and_evenly_drawn() {
        let shape = osk();
        let mut seen = HashSet::new();
        let mut counts: HashMap<char, u32> = HashMap::new();
        for _ in 0..10_000 {
            let token = shape.generate().unwrap();
            let secret = &shape.parse(token.reveal()).unwrap().secret[..32];
            for character in secret.chars() {
                *counts.entry(character).or_default() += 1;
            }
            assert!(seen.insert(token.reveal().to_owned()));
        }
        let expected = f64::from(10_000 * 32) / 62.0;
        let chi_square: f64 = counts.values().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        // 61 degrees of freedom: 120 is beyond the 99.999th percentile.
        assert!(counts.len() == 62 && chi_square < 120.0, "{chi_square}");
    }

    #[test]
    fn an_alphabet_has_exactly_its_characters() {
        for alphabet in [Alphabet::Base62, Alphabet::Base36, Alphabet::Hex, Alphabet::Digits] {
            for byte in 0..=u8::MAX {
                assert_eq!(alphabet.has(byte), alphabet.characters().contains(&byte), "{alphabet:?} {byte}");
            }
        }
    }

    #[test]
    fn digits_never_begin_with_zero() {
        let shape =
            KeyShape::new("cx_", part(8, Alphabet::Digits), part(32, Alphabet::Base62), true).unwrap();
        for _ in 0..500 {
            assert!(!shape.generate().unwrap().public().starts_with('0'));
        }
        assert!(!shape.accepts_public("01234567") && shape.accepts_public("11234567"));
    }

    #[test]
    fn weak_shapes_are_refused() {
        let public = part(8, Alphabet::Base62);
        let new = |literal, public, secret| KeyShape::new(literal, public, secret, true).unwrap_err();
        assert_eq!(new("osk", public, part(32, Alphabet::Base62)), BadShape::Literal);
        assert_eq!(new("O K_", public, part(32, Alphabet::Base62)), BadShape::Literal);
        assert_eq!(new("osk_", part(2, Alphabet::Base62), part(32, Alphabet::Base62)), BadShape::Public);
        assert_eq!(new("osk_", public, part(31, Alphabet::Hex)), BadShape::Secret);
        assert_eq!(new("osk_", public, part(64, Alphabet::Hex)), BadShape::Length);
        assert!(KeyShape::new("osk_", public, part(32, Alphabet::Hex), true).is_ok());
        assert!(KeyShape::new("osk_", public, part(22, Alphabet::Base62), true).is_ok());
    }
}
