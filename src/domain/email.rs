//! E-mail addresses with one reading, and the domains they belong to.
//!
//! The forms of RFC 5321 that nobody uses and that programs read differently (quotes, comments, literals) are
//! refused. A domain in other scripts is kept as the ASCII form in which the mail travels (IDNA), so that two
//! spellings of one domain are one text.

use std::{fmt, str::FromStr};

const LONGEST: usize = 254;

/// A checked address, as its owner writes it but for a domain in other scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    text: String,
    at: usize,
}

/// A domain, in lower case and in ASCII: two that are the same are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailDomain(String);

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as ana@example.com")]
pub struct NotAnEmail;

/// Text that is no domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a domain such as example.com")]
pub struct NotADomain;

impl Email {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The exact domain of the mailbox.
    pub fn domain(&self) -> MailDomain {
        MailDomain(self.text[self.at + 1..].to_ascii_lowercase())
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        let (local, domain) = text.split_once('@').ok_or(NotAnEmail)?;
        let local_fits = (1..=64).contains(&local.len())
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && local
                .chars()
                .all(|character| character.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(character));
        if !local_fits {
            return Err(NotAnEmail);
        }
        let ascii = MailDomain::from_str(domain).map_err(|_| NotAnEmail)?;
        let domain = if domain.is_ascii() { domain } else { &ascii.0 };
        let text = format!("{local}@{domain}");
        if text.len() > LONGEST {
            return Err(NotAnEmail);
        }
        Ok(Self { at: local.len(), text })
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl MailDomain {
    /// The domain.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MailDomain {
    type Err = NotADomain;

    fn from_str(text: &str) -> Result<Self, NotADomain> {
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        // Letters and digits of any script; IDNA alone would also map odd dots and signs into plain ones.
        let plain = |character: char| character.is_alphanumeric() || matches!(character, '-' | '.');
        if !text.chars().all(plain) {
            return Err(NotADomain);
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| NotADomain)?.to_ascii_lowercase();
        if ascii.len() <= 253 && ascii.split('.').all(label) { Ok(Self(ascii)) } else { Err(NotADomain) }
    }
}

impl fmt::Display for MailDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> String {
        text.parse::<Email>().unwrap().domain().to_string()
    }

    #[test]
    fn addresses_have_one_reading() {
        assert_eq!("Ana.B+ci@Acme.example".parse::<Email>().unwrap().as_str(), "Ana.B+ci@Acme.example");
        for wrong in [
            "",
            "ana",
            "@x.example",
            "ana@",
            "a@b@c.example",
            "a@ok.example@evil.example",
            "a b@c.example",
            "a@c..example",
            "a@c.example.",
            "a@-c.example",
            "a@c.example\n",
            "a@c.example\r\nBcc: b@c.example",
            "a\n@c.example",
            "\"a b\"@c.example",
            ".a@c.example",
            "a..b@c.example",
            "<a@c.example>",
            "a@[127.0.0.1]",
            "a@c_d.example",
            "a@c.example,b@c.example",
            "a@ok\u{3002}example",
            "a@ok.example\u{200b}",
            "a@xn--a.example",
            &format!("{}@c.example", "a".repeat(65)),
            &format!("a@{}.example", "c".repeat(64)),
            &format!("a@{}", ["c".repeat(60).as_str(); 5].join(".")),
        ] {
            assert_eq!(wrong.parse::<Email>(), Err(NotAnEmail), "{wrong:?}");
        }
    }

    #[test]
    fn a_domain_is_compared_in_the_form_in_which_mail_travels() {
        assert_eq!(domain("a@OK.Example"), "ok.example");
        assert_eq!(domain("a@Bücher.example"), "xn--bcher-kva.example");
        assert_eq!("a@bücher.example".parse::<Email>().unwrap().as_str(), "a@xn--bcher-kva.example");
        assert_eq!("BÜCHER.example".parse::<MailDomain>().unwrap().as_str(), "xn--bcher-kva.example");
        assert_ne!(domain("a@оk.example"), "ok.example", "a Cyrillic letter is another letter");
        for wrong in ["", ".", "a@b.example", "*.example.com", ".example.com", "http://example.com", "a b"] {
            assert_eq!(wrong.parse::<MailDomain>(), Err(NotADomain), "{wrong:?}");
        }
    }
}
