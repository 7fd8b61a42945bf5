//! `credentials` of a route: who may ask at all.

use super::{
    raw::{Item, Problem, Section},
    suggest,
    webhook::{self, Webhooks},
};

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Anybody: nothing is checked and no identity is passed on.
    Public,
    /// Whoever presents one of these.
    OneOf {
        /// An API key.
        api_key: bool,
        /// A session of a person.
        session: bool,
        /// A bearer token of one of `[[jwt]]`.
        jwt: bool,
        /// What a platform proves itself by, for one of these.
        webhooks: Webhooks,
    },
}

impl Credentials {
    /// Whether an API key will do.
    pub const fn accept_keys(self) -> bool {
        matches!(self, Self::OneOf { api_key: true, .. })
    }

    /// Whether a person's session will do.
    pub const fn accept_sessions(self) -> bool {
        matches!(self, Self::OneOf { session: true, .. })
    }

    /// Whether a token of an identity provider is looked at.
    pub const fn accept_tokens(self) -> bool {
        matches!(self, Self::OneOf { jwt: true, .. })
    }

    /// Whether nothing will do but a platform's webhook.
    pub const fn only_webhooks(self) -> bool {
        matches!(self, Self::OneOf { api_key: false, session: false, jwt: false, .. })
    }

    /// The webhooks that will do.
    #[inline]
    pub const fn webhooks(self) -> Webhooks {
        match self {
            Self::Public => Webhooks::NONE,
            Self::OneOf { webhooks, .. } => webhooks,
        }
    }
}

const DEFAULT: Credentials =
    Credentials::OneOf { api_key: true, session: true, jwt: false, webhooks: Webhooks::NONE };
const EXAMPLE: &str = r#"["api_key", "session"]"#;

/// Reads the list, in which webhooks go by their names.
pub(super) fn read(section: &mut Section<'_>, known: &webhook::Known) -> Credentials {
    let Some(names) = section.list("credentials", EXAMPLE, |item| kind(item, known)) else { return DEFAULT };
    if let Some((_, double)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        section.refuse("credentials", format!("names {double} twice"), EXAMPLE);
    }
    let holds = |name: &str| names.iter().any(|held| held == name);
    match (holds(PUBLIC), names.len()) {
        (true, 1) => Credentials::Public,
        (true, _) => {
            section.refuse(
                "credentials",
                "\"none\" makes the route public, so it stands alone",
                r#"["none"]"#,
            );
            DEFAULT
        }
        // Kinds that were refused are not in the list; their refusal has been noted.
        (false, 0) => {
            section.refuse(
                "credentials",
                "names no kind that is accepted; a public route has [\"none\"]",
                EXAMPLE,
            );
            DEFAULT
        }
        (false, _) => Credentials::OneOf {
            api_key: holds("api_key"),
            session: holds("session"),
            jwt: holds("jwt"),
            webhooks: known.among(&names),
        },
    }
}

fn kind(item: &Item, known: &webhook::Known) -> Result<String, Problem> {
    let text = item.text()?;
    if let Some(name) = text.strip_prefix(WEBHOOK) {
        known.find(name)?;
    } else if !KINDS.contains(&text) {
        let hint = suggest::did_you_mean(text, KINDS);
        return Err(format!(
            "{text:?} is not a kind of credential{hint}; a webhook is written \"webhook:NAME\""
        ));
    }
    Ok(text.to_owned())
}

const PUBLIC: &str = "none";
const KINDS: [&str; 4] = ["api_key", "session", "jwt", PUBLIC];
/// Before a webhook's name.
pub(super) const WEBHOOK: &str = "webhook:";
