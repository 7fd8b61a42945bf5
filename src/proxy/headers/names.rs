//! Which header names mean something to the gateway, however they are spelled.
//!
//! Servers that hand headers on as variables (CGI, WSGI, PHP) cannot tell `X-Tenant-Id` from `X_Tenant_Id` or
//! `X.Tenant.Id`, so a list of exact names is a list of holes. A name is looked up by its folded form: lower
//! case, and every character but letters and digits as `-`. The look-up allocates nothing, and a name that shares
//! neither length nor first letter with any on the list, nearly every one, costs two array reads.

use http::HeaderName;

/// What becomes of a header with such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The gateway says it, nobody else: always removed, then perhaps set.
    Ours,
    /// For this connection only (RFC 9110 section 7.6.1), or about it: always removed.
    Hop,
    /// Believed from trusted proxies only.
    Forwarding,
    /// The plain name is dealt with elsewhere, another spelling of it is always removed.
    Alias,
    /// The fields that a trailer announces (RFC 9110 section 6.6.2): stays, without the forbidden ones.
    Announcement,
}

/// A set of names, each with its class.
#[derive(Debug)]
pub(super) struct Names {
    /// By length: which first letters occur.
    first: [u32; LENGTHS],
    /// By length: the names.
    known: [Vec<(Box<[u8]>, Class)>; LENGTHS],
    /// Beginnings of whole families of names.
    families: Vec<(&'static [u8], Class)>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { first: [0; LENGTHS], known: [const { Vec::new() }; LENGTHS], families: Vec::new() }
    }

    /// With these as well. The first class that is given to a name stays.
    pub(super) fn with<T: AsRef<str>>(mut self, class: Class, names: impl IntoIterator<Item = T>) -> Self {
        for name in names {
            let folded: Box<[u8]> = name.as_ref().bytes().map(fold).collect();
            let slot = slot(folded.len());
            if let Some(&initial) = folded.first()
                && self.known[slot].iter().all(|(known, _)| *known != folded)
            {
                self.first[slot] |= letter(initial);
                self.known[slot].push((folded, class));
            }
        }
        self
    }

    /// With every name that begins with this, which must begin with `x` and be folded already.
    pub(super) fn with_family(mut self, class: Class, beginning: &'static str) -> Self {
        debug_assert!(beginning.starts_with('x'), "only names that begin with x are asked for their family");
        self.families.push((beginning.as_bytes(), class));
        self
    }

    /// The class of a name, and whether it is spelled plainly.
    #[inline]
    pub(super) fn find(&self, name: &HeaderName) -> Option<(Class, bool)> {
        let name = name.as_str().as_bytes();
        let initial = *name.first()?;
        let slot = slot(name.len());
        if self.first[slot] & letter(initial) != 0 {
            for (known, class) in &self.known[slot] {
                if same(known, name) && known.len() == name.len() {
                    return Some((*class, **known == *name));
                }
            }
        }
        if initial == b'x' { self.family(name) } else { None }
    }

    fn family(&self, name: &[u8]) -> Option<(Class, bool)> {
        let (beginning, class) = self
            .families
            .iter()
            .find(|(beginning, _)| name.len() > beginning.len() && same(beginning, name))?;
        Some((*class, name.starts_with(beginning) && name.iter().all(|&byte| fold(byte) == byte)))
    }
}

const LENGTHS: usize = 64;

/// Names of 63 bytes and more share the last slot.
fn slot(length: usize) -> usize {
    length.min(LENGTHS - 1)
}

/// One bit for each letter; digits and signs share what is left.
fn letter(byte: u8) -> u32 {
    1 << (fold(byte) & 31)
}

const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// Whether a name, once folded, begins with this.
fn same(folded: &[u8], name: &[u8]) -> bool {
    folded.iter().zip(name).all(|(&known, &byte)| known == fold(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::new()
            .with(Class::Ours, ["X-Tenant-Id", "X-Corp-Org", &"Long-".repeat(20)])
            .with(Class::Alias, ["Content-Length", "X-Tenant-Id"])
            .with_family(Class::Forwarding, "x-forwarded-")
    }

    fn find(name: &str) -> Option<(Class, bool)> {
        names().find(&name.parse().unwrap())
    }

    #[test]
    fn every_spelling_is_found() {
        for sign in "!#$%&'*+.^_`|~-".chars() {
            let spelled = format!("X{sign}Tenant{sign}Id");
            assert_eq!(find(&spelled), Some((Class::Ours, sign == '-')), "{spelled}");
            let spelled = format!("x{sign}Forwarded{sign}Anything");
            assert_eq!(find(&spelled), Some((Class::Forwarding, sign == '-')), "{spelled}");
        }
        assert_eq!(find("x-CORP-org"), Some((Class::Ours, true)));
        assert_eq!(find("content_length"), Some((Class::Alias, false)));
        assert_eq!(find(&"long_".repeat(20)), Some((Class::Ours, false)));
    }

    #[test]
    fn neighbours_are_left_alone() {
        for name in [
            "x-tenant-i",
            "x-tenant-idd",
            "tenant-id",
            "xtenantid",
            "x-forwarded",
            "x-forwarded-",
            "accept",
            "x",
            "_",
        ] {
            assert_eq!(find(name), None, "{name}");
        }
        assert_eq!(find(&"long-".repeat(21)), None);
    }

    proptest! {
        #[test]
        fn the_quick_look_agrees_with_the_slow_one(name in "[xX][-_.~a-zA-Z0-9]{1,20}|[!-~&&[^\"(),/:;<=>?@\\[\\]{}\\\\]]{1,70}") {
            let folded: String = name.bytes().map(|byte| char::from(fold(byte))).collect();
            let listed = ["x-tenant-id", "x-corp-org", "content-length"].contains(&folded.as_str());
            let family = folded.len() > 12 && folded.starts_with("x-forwarded-");
            prop_assert_eq!(find(&name).is_some(), listed || family);
        }
    }
}
