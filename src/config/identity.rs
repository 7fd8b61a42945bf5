//! `[identity]`: the headers by which an upstream learns who calls.
//!
//! Every name here is removed from what clients send and set from the decision, so a name that something else
//! depends on (framing, credentials, the gateway's own headers) would break or open a hole: it is refused.

use http::HeaderName;

use super::raw::{Item, Problem, Section};

/// The names of the identity headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The organization.
    pub tenant: HeaderName,
    /// The team.
    pub team: HeaderName,
    /// The project.
    pub project: HeaderName,
    /// The person behind the credential.
    pub user: HeaderName,
    /// Their role.
    pub role: HeaderName,
    /// Where the credential acts: `org`, `team` or `project`.
    pub scope: HeaderName,
    /// What it may do: permission names, separated by spaces, sorted.
    pub scopes: HeaderName,
    /// The public prefix of a key.
    pub credential: HeaderName,
    /// How the caller proved itself, such as `api_key`.
    pub method: HeaderName,
    /// Whether upstreams are told once more, in a signed token.
    pub assertion: bool,
    /// Whether the credential is passed on to the upstream.
    pub forward_credentials: bool,
}

impl Identity {
    /// All names: what is removed from every request of a client.
    pub fn names(&self) -> [&HeaderName; 9] {
        let Self { tenant, team, project, user, role, scope, scopes, credential, method, .. } = self;
        [tenant, team, project, user, role, scope, scopes, credential, method]
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut name = |key, default: &'static str| {
            let given = section.read(key, &format!("{default:?}"), header_name);
            given.unwrap_or_else(|| HeaderName::from_static(default))
        };
        let mut identity = Self {
            tenant: name("tenant", "x-tenant-id"),
            team: name("team", "x-team-id"),
            project: name("project", "x-project-id"),
            user: name("user", "x-user-id"),
            role: name("role", "x-role"),
            scope: name("scope", "x-scope"),
            scopes: name("scopes", "x-scopes"),
            credential: name("credential", "x-credential-id"),
            method: name("method", "x-auth-method"),
            assertion: false,
            forward_credentials: false,
        };
        identity.assertion = section.read("assertion", "false", Item::boolean).unwrap_or(false);
        identity.forward_credentials =
            section.read("forward_credentials", "false", Item::boolean).unwrap_or(false);
        identity.refuse_doubles(section);
        identity
    }

    /// Servers that hand headers on as variables (CGI, WSGI) cannot tell `X-Team-Id` from `X_Team_Id`.
    fn refuse_doubles(&self, section: &Section<'_>) {
        let names = self.names();
        for (index, name) in names.iter().enumerate() {
            let folded = fold(name.as_str());
            let earlier =
                names.iter().zip(KEYS).take(index).find(|(other, _)| fold(other.as_str()) == folded);
            if let Some((_, earlier)) = earlier {
                let key = KEYS.get(index).copied().unwrap_or_default();
                let problem = format!("`{name}` is also the header of identity.{earlier}");
                section.refuse(key, problem, &format!("\"x-caller-{key}\""));
            }
        }
    }
}

/// The form in which names are the same to a server that turns headers into variables: lower case, and every
/// character but letters and digits as `-`.
pub fn fold(name: &str) -> String {
    let dashed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(dashed).collect()
}

fn header_name(item: &Item) -> Result<HeaderName, Problem> {
    let text = item.text()?;
    let name: HeaderName = text.parse().map_err(|_| format!("{text:?} is not a header name"))?;
    let folded = fold(name.as_str());
    if RESERVED.contains(&folded.as_str())
        || RESERVED_FAMILIES.iter().any(|family| folded.starts_with(family))
    {
        return Err(format!("`{name}` has a meaning of its own in HTTP or to the gateway"));
    }
    Ok(name)
}

/// The keys in the order of [`Identity::names`].
const KEYS: [&str; 9] =
    ["tenant", "team", "project", "user", "role", "scope", "scopes", "credential", "method"];

/// Hop-by-hop and framing fields (RFC 9110 section 7.6.1, RFC 9112), credentials, and what the gateway sets itself.
const RESERVED: &[&str] = &[
    "accept",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "pragma",
    "range",
    "referer",
    "server",
    "set-cookie",
    "signature",
    "signature-input",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-api-key",
    "x-latchgate-assertion",
    "x-real-ip",
    "x-request-id",
    "x-xdr-auth-id",
];

const RESERVED_FAMILIES: &[&str] =
    &["accept-", "access-control-", "content-", "if-", "proxy-", "sec-", "x-forwarded-", "x-original-"];
