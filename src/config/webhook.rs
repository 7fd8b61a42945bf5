//! `[[webhook]]`: platforms that call, and what they prove themselves by.

use std::{path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::{
    credentials::WEBHOOK,
    raw::{Item, Problem, Section},
    suggest,
    upstream::name,
};
use crate::domain::{
    profile::Profile,
    webhook::{Platform, WebhookSecret},
};

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// How routes, logs and upstreams know it.
    pub name: Arc<str>,
    /// Who calls.
    pub platform: Platform,
    /// What only they know.
    pub secret: WebhookSecret,
    /// The organization that it calls for, by slug or id.
    pub org: Arc<str>,
}

/// Some of the webhooks, by their places in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Webhooks(u64);

/// As many as a set holds.
const MOST: usize = 64;

impl Webhooks {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the one at this place is among them.
    pub fn contains(self, place: usize) -> bool {
        place < MOST && self.0 >> place & 1 == 1
    }

    /// Their places.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MOST).filter(move |place| self.contains(*place))
    }

    fn insert(&mut self, place: usize) {
        self.0 |= 1_u64.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(0);
    }
}

/// The webhooks of a file, those with a fault among them, so that routes may name them.
pub(super) struct Known {
    usable: Vec<Option<Arc<Webhook>>>,
    names: Vec<String>,
}

impl Known {
    /// Reads `[[webhook]]`, in the order of the file.
    pub(super) fn read(whole: &mut Section<'_>, profile: Option<&Profile>) -> Self {
        let mut known = Self { usable: Vec::new(), names: Vec::new() };
        whole.sections("webhook", |section| {
            let name = section.need("name", r#""github-main""#, name);
            let twin = name.as_ref().is_some_and(|name| known.names.contains(name));
            if twin {
                section.refuse("name", "is the name of an earlier webhook", r#""github-2""#);
            }
            if known.usable.len() == MOST {
                section.refuse("", format!("there are more than {MOST} webhooks"), "");
            }
            known.usable.push(read_one(section, name.as_deref(), profile));
            known.names.push(name.unwrap_or_default());
        });
        known
    }

    /// The place of the one with this name.
    pub(super) fn find(&self, named: &str) -> Result<usize, Problem> {
        self.names.iter().position(|name| name == named).ok_or_else(|| {
            let hint = suggest::did_you_mean(named, self.names.iter().map(String::as_str));
            format!("no [[webhook]] is called {named:?}{hint}")
        })
    }

    /// Those that a route's credentials name.
    pub(super) fn among(&self, credentials: &[String]) -> Webhooks {
        let mut set = Webhooks::NONE;
        for name in credentials.iter().filter_map(|text| text.strip_prefix(WEBHOOK)) {
            self.find(name).into_iter().for_each(|place| set.insert(place));
        }
        set
    }

    /// Those that can be used. Where one cannot there is no configuration, so places stay what they are.
    pub(super) fn into_usable(self) -> Vec<Arc<Webhook>> {
        self.usable.into_iter().flatten().collect()
    }
}

fn read_one(
    section: &mut Section<'_>,
    name: Option<&str>,
    profile: Option<&Profile>,
) -> Option<Arc<Webhook>> {
    let findings = section.findings();
    let platform = section.need("kind", r#""github""#, platform);
    let secret = section.need("secret_file", r#""github.secret""#, |item| {
        let text = item.text()?;
        if text.is_empty() {
            return Err("must name a file".to_owned());
        }
        secret(&findings.resolve(text), profile)
    });
    let org = section.need("org", r#""acme""#, org);
    Some(Arc::new(Webhook { name: name?.into(), platform: platform?, secret: secret?, org: org?.into() }))
}

fn platform(item: &Item) -> Result<Platform, Problem> {
    match item.text()? {
        "github" => Ok(Platform::GitHub),
        "gitlab" => Ok(Platform::GitLab),
        other => Err(format!("{other:?} is not github or gitlab")),
    }
}

/// Read with the configuration, so that a reload brings a new one and `check` finds a missing one.
fn secret(file: &Path, profile: Option<&Profile>) -> Result<WebhookSecret, Problem> {
    let shown = file.display();
    let content = super::read_text(file).map(Zeroizing::new);
    let content = content.map_err(|error| format!("names {shown}, which cannot be read: {error}"))?;
    let secret = WebhookSecret::parse(content.as_bytes());
    let secret = secret.map_err(|error| {
        format!("names {shown}, which {error}: make one with `openssl rand -hex 32 > {shown}`")
    })?;
    // Whoever sets up the webhook could otherwise call with it as a key.
    let is_key = |text: &str| profile.is_some_and(|profile| profile.keys.shape.parse(text).is_ok());
    if secret.looks_like(is_key) {
        return Err(format!("names {shown}, which holds an API key: a webhook has a secret of its own"));
    }
    Ok(secret)
}

fn org(item: &Item) -> Result<String, Problem> {
    let text = item.text()?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 || !text.chars().all(plain) {
        return Err(format!("{text:?} is neither a slug nor an id of an organization"));
    }
    Ok(text.to_owned())
}
