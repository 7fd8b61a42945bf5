//! What a new password may not be, by NIST SP 800-63B-4: short, or one that others would try first.
//!
//! No rules of composition, no end of life, and never cut: whoever guesses has to guess all of it.

/// Fewer characters fall to guessing where the password is all there is.
pub const SHORTEST: usize = 15;
/// More nobody types; hashing is bounded.
pub const LONGEST: usize = 256;
/// The same in UTF-8.
pub const LONGEST_BYTES: usize = 1024;

/// Why a password is not accepted as a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Too few characters, or too many.
    #[error("expected {SHORTEST} to {LONGEST} characters, of any kind")]
    Length,
    /// On the lists that guessing begins with.
    #[error("this one is on every list of common passwords: choose another")]
    Common,
    /// Made of the e-mail address, or of the name of this product.
    #[error("it is little more than the e-mail address or the name of this product: choose another")]
    Context,
}

/// Whether somebody with this e-mail address may choose the password.
pub fn accept(password: &str, email: &str) -> Result<(), Weak> {
    let length = password.chars().count();
    if !(SHORTEST..=LONGEST).contains(&length) || password.len() > LONGEST_BYTES {
        return Err(Weak::Length);
    }
    let folded = password.to_lowercase();
    let email = email.to_lowercase();
    let (local, domain) = email.split_once('@').unwrap_or((&email, ""));
    // Words of one or two letters stand in everything.
    let named = [&*email, local, domain].into_iter().filter(|word| word.len() > 2);
    if is_made_of(&folded, named.chain([PRODUCT])) {
        return Err(Weak::Context);
    }
    let bare: String = folded.chars().filter(|character| character.is_alphanumeric()).collect();
    if COMMON.lines().any(|line| line == bare) || is_made_of(&folded, COMMON_WORDS.iter().copied()) {
        return Err(Weak::Common);
    }
    Ok(())
}

/// Whether nothing is left without these words but digits and marks. Text without a letter is made of none.
fn is_made_of<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> bool {
    let mut rest = text.to_owned();
    for word in words {
        rest = rest.replace(word, "");
    }
    rest != text && !rest.chars().any(char::is_alphabetic)
}

const PRODUCT: &str = "latchgate";
/// Longest first: what one of them leaves must not hide another.
const COMMON_WORDS: &[&str] = &[
    "administrator",
    "qwertyuiop",
    "asdfghjkl",
    "password",
    "passwort",
    "iloveyou",
    "welcome",
    "zxcvbnm",
    "letmein",
    "qwertz",
    "qwerty",
    "azerty",
    "secret",
    "admin",
    "login",
];
/// Letters and digits in lower case, one on a line.
const COMMON: &str = include_str!("common_passwords.txt");

#[cfg(test)]
mod tests {
    use super::*;

    const EMAIL: &str = "ana.lopez@acme.example";

    /// L318.
    #[test]
    fn length_is_all_that_is_asked_of_it() {
        for right in [
            "fifteen chars ok",
            "ünïcödé passwörd 🚀",
            &"x".repeat(15),
            &"x".repeat(64),
            &"ab ".repeat(66),
            &"🚀".repeat(256),
            "               ",
        ] {
            assert_eq!(accept(right, EMAIL), Ok(()), "{right}");
        }
        for wrong in ["", "fourteen chars", &"x".repeat(257)] {
            assert_eq!(accept(wrong, EMAIL), Err(Weak::Length), "{wrong}");
        }
    }

    #[test]
    fn what_others_try_first_is_refused() {
        for common in [
            "passwordpassword",
            "Password-123456789",
            "qwertyuiopasdfghjkl",
            "123456789012345",
            "111111111111111",
            "1Q2W3E4R5T6Y7U8I9O0P",
            "i love you i love you",
            "administrator123",
        ] {
            assert_eq!(accept(common, EMAIL), Err(Weak::Common), "{common}");
        }
        for context in
            ["ana.lopez@acme.example", "Ana.Lopez-20261121", "latchgate-latchgate", "LatchGate12345678"]
        {
            assert_eq!(accept(context, EMAIL), Err(Weak::Context), "{context}");
        }
        for fine in ["latchgate is a fine gate", "my password is long", "ana.lopez likes cats"] {
            assert_eq!(accept(fine, EMAIL), Ok(()), "{fine}");
        }
    }

    #[test]
    fn the_list_is_in_the_form_that_is_looked_for() {
        for line in COMMON.lines() {
            assert!(line.len() >= SHORTEST, "{line}");
            assert!(line.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{line}");
        }
    }
}
