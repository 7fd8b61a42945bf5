//! `[invitations]`: whom people may invite, how many at a time, and for how long a link lives.

use std::{num::NonZeroU32, time::Duration};

use super::{
    quantity::timeout,
    raw::{Item, Problem, Section},
};
use crate::domain::email::{Email, MailDomain};

/// Settings of invitations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitations {
    /// The only domains whose addresses may be invited; empty: any.
    pub allowed_domains: Vec<MailDomain>,
    /// How many one person may make in a rolling hour.
    pub per_hour: NonZeroU32,
    /// How long a link can be used.
    pub expires: Duration,
}

impl Invitations {
    /// Whether this address may be invited: its domain is one of the list, not a part of one.
    pub fn allow(&self, email: &Email) -> bool {
        self.allowed_domains.is_empty() || self.allowed_domains.contains(&email.domain())
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let per_hour = section.read("per_hour", "20", |item| item.number(1..=10_000));
        Self {
            allowed_domains: section
                .list("allowed_domains", r#"["example.com"]"#, domain)
                .unwrap_or_default(),
            per_hour: per_hour.and_then(NonZeroU32::new).unwrap_or(PER_HOUR),
            expires: section.read("expires", r#""7d""#, timeout).unwrap_or(EXPIRES),
        }
    }
}

impl Default for Invitations {
    fn default() -> Self {
        Self { allowed_domains: Vec::new(), per_hour: PER_HOUR, expires: EXPIRES }
    }
}

fn domain(item: &Item) -> Result<MailDomain, Problem> {
    let text = item.text()?;
    text.parse().map_err(|error| format!("{text:?}: {error}, without @ and wildcards"))
}

/// R000_09.
const PER_HOUR: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// R000_10.
const EXPIRES: Duration = Duration::from_secs(7 * 24 * 3600);
