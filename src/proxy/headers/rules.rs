//! The names that the gateway knows, made once from the configuration.

use std::fmt;

use http::{HeaderName, HeaderValue, header::VIA};

use super::{
    Phrase,
    names::{Class, Names},
};

/// How headers are edited; one for each configuration, shared by all workers.
#[derive(Debug)]
pub struct HeaderRules {
    pub(super) request: Names,
    pub(super) response: Names,
    pub(super) trailers: Names,
    pub(super) pseudonym: Pseudonym,
    /// The name of the session's cookie.
    pub(super) cookie: &'static str,
}

impl HeaderRules {
    /// Rules that keep these names, those of the identity headers, and this cookie for the gateway alone.
    pub fn new<'a>(
        identity: impl IntoIterator<Item = &'a HeaderName>,
        pseudonym: Pseudonym,
        cookie: &'static str,
    ) -> Self {
        let identity: Vec<_> = identity.into_iter().map(HeaderName::as_str).collect();
        let request = Names::new()
            .with(Class::Ours, &identity)
            .with(Class::Ours, OVERRIDES)
            .with(Class::Ours, ["forwarded", "x-client-cert-subject"])
            .with(Class::Hop, HOP_BY_HOP)
            .with(Class::Announcement, ["trailer"])
            .with(Class::Alias, FRAMING)
            .with(Class::Alias, CREDENTIALS)
            .with(Class::Alias, ["x-request-id"])
            .with(Class::Forwarding, FORWARDING)
            .with_family(Class::Forwarding, "x-forwarded-")
            .with_family(Class::Ours, "x-latchgate-");
        let response = Names::new().with(Class::Hop, HOP_BY_HOP).with(Class::Announcement, ["trailer"]);
        let trailers = Names::new()
            .with(Class::Ours, &identity)
            .with(Class::Ours, OVERRIDES)
            .with(Class::Ours, ["forwarded", "x-client-cert-subject", "x-request-id", "trailer"])
            .with(Class::Ours, HOP_BY_HOP)
            .with(Class::Ours, FRAMING)
            .with(Class::Ours, CREDENTIALS)
            .with(Class::Ours, FORWARDING)
            .with(Class::Ours, NEVER_IN_TRAILERS)
            .with_family(Class::Ours, "x-forwarded-")
            .with_family(Class::Ours, "x-latchgate-");
        Self { request, response, trailers, pseudonym, cookie }
    }
}

/// The name by which this process knows itself in `Via`, to see a request that comes back. Without a version
/// (nobody needs to know), and different in each process, so that one gateway in front of another is no loop.
#[derive(Clone)]
pub struct Pseudonym {
    name: Box<str>,
    pub(super) one_zero: Phrase,
    pub(super) one_one: Phrase,
    pub(super) two: Phrase,
}

impl Pseudonym {
    /// A name made from these random bits. Make one for each process and keep it when the configuration changes.
    pub fn new(random: u64) -> Self {
        let name = format!("latchgate-{random:016x}").into_boxed_str();
        let via = |version: &str| {
            let value = HeaderValue::try_from(format!("{version} {name}"));
            value.map(|value| (VIA, value)).into_iter().collect()
        };
        let (one_zero, one_one, two) = (via("1.0"), via("1.1"), via("2"));
        Self { name, one_zero, one_one, two }
    }

    /// Whether a line of `Via` names it.
    pub(super) fn is_in(&self, line: &HeaderValue) -> bool {
        let name = self.name.as_bytes();
        line.as_bytes().windows(name.len()).any(|part| part == name)
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// RFC 9110 section 7.6.1, and what older or rarer programs use in its place. `Expect` was dealt with when the
/// body was asked for; `Proxy-Authorization` was for us, if for anybody.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Where another spelling would give a careless server a second length. (Names without a sign have one spelling.)
const FRAMING: [&str; 2] = ["content-length", "content-type"];

/// The plain ones were taken out before; `X_API_KEY` would reach the upstream as a credential nobody checked.
const CREDENTIALS: [&str; 4] = ["x-api-key", "x-xdr-auth-id", "x-xdr-nonce", "x-xdr-timestamp"];

/// Names that make frameworks route a request by something else than its method and path, behind the gateway's
/// back.
const OVERRIDES: [&str; 8] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-middleware-subrequest",
];

/// Who sent it, says the sender.
pub(super) const FORWARDING: [&str; 6] = [
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-real-ip",
];

/// Fields that steer framing, routing, caching, credentials or how the body is read (RFC 9110 section 6.5.1): a
/// backend that merges trailers into headers would take them for checked.
const NEVER_IN_TRAILERS: [&str; 27] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "cookie",
    "date",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "retry-after",
    "set-cookie",
    "status",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];
