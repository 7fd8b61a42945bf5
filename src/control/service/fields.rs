//! What the texts that people send have to look like. Each check answers with the text to store.

use super::error::ServiceError;
use crate::domain::{
    email::{Email, NotAnEmail},
    password,
};

type Checked<T> = Result<T, ServiceError>;

/// A name for people: one line, nothing that hides or reorders what follows it.
pub(super) fn name(field: &'static str, text: &str, longest: usize) -> Checked<String> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > longest {
        return Err(ServiceError::field(field, format!("expected 1 to {longest} characters")));
    }
    if text.chars().any(deceptive) {
        return Err(ServiceError::field(field, "control and direction characters are not accepted"));
    }
    Ok(text.to_owned())
}

/// A text that may be left out; empty is left out. Lines may break.
pub(super) fn note(field: &'static str, text: Option<&str>, longest: usize) -> Checked<Option<String>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > longest {
        return Err(ServiceError::field(field, format!("expected at most {longest} characters")));
    }
    if text.chars().any(|character| deceptive(character) && character != '\n') {
        return Err(ServiceError::field(field, "control and direction characters are not accepted"));
    }
    Ok(Some(text.to_owned()))
}

/// A label such as `production`, on one line; may be left out.
pub(super) fn label(field: &'static str, text: Option<&str>) -> Checked<Option<String>> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(|text| name(field, text, 40)).transpose()
}

/// A slug that somebody chose.
pub(super) fn slug(text: &str) -> Checked<String> {
    let edges = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let fits = bytes.len() <= 63
        && edges(bytes.first())
        && edges(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    // An id must never be readable as a slug, or one object could be named in place of another.
    if fits && text.parse::<crate::domain::id::OrgId>().is_err() {
        Ok(text.to_owned())
    } else {
        Err(ServiceError::field("slug", "expected 1 to 63 of a-z, 0-9 and inner `-`, such as payments-eu"))
    }
}

/// A slug made from a name; `fallback` where nothing of the name can be kept.
pub(super) fn slug_of(name: &str, fallback: &str) -> String {
    let mut slug = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 40 {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() { fallback.to_owned() } else { slug.to_owned() }
}

/// An e-mail address.
pub(super) fn email(text: &str) -> Checked<Email> {
    text.trim().parse().map_err(|error: NotAnEmail| ServiceError::field("email", error.to_string()))
}

/// A new password of somebody with this e-mail address.
pub(super) fn password(text: &str, email: &str) -> Checked<()> {
    password::accept(text, email).map_err(|weak| ServiceError::field("password", weak.to_string()))
}

/// Characters that break lines, hide, or turn the direction of the text around them.
fn deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{061C}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_plain_line() {
        assert_eq!(name("name", "  Müller & Söhne 🚀 ", 80).unwrap(), "Müller & Söhne 🚀");
        for wrong in ["", "   ", "a\nb", "a\u{202E}b", "a\0b", &"x".repeat(81)] {
            assert!(name("name", wrong, 80).is_err(), "{wrong:?}");
        }
        assert!(name("name", &"ü".repeat(80), 80).is_ok());
    }

    #[test]
    fn a_slug_is_never_an_id() {
        assert_eq!(slug("payments-eu").unwrap(), "payments-eu");
        for wrong in
            ["", "-a", "a-", "A", "a_b", "a b", "ü", &"a".repeat(64), "0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e"]
        {
            assert!(slug(wrong).is_err(), "{wrong}");
        }
        assert_eq!(slug_of("Payments (EU) / Core", "team"), "payments-eu-core");
        assert_eq!(slug_of("日本", "team"), "team");
        assert!(slug(&slug_of(&"Very long name ".repeat(9), "x")).is_ok());
    }

    #[test]
    fn notes_and_labels_may_be_left_out() {
        assert_eq!(note("description", Some("  "), 9).unwrap(), None);
        assert_eq!(note("description", Some("a\nb"), 9).unwrap().as_deref(), Some("a\nb"));
        assert!(note("description", Some("a\u{1b}[0m"), 9).is_err());
        assert_eq!(label("environment", Some("prod eu")).unwrap().as_deref(), Some("prod eu"));
        assert!(label("environment", Some("prod\neu")).is_err());
    }
}
