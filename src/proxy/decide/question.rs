//! What a proxy asks about, as the request that it got.
//!
//! A proxy that asks overwrites the headers by which it asks; those of the other family, which it does not know, it
//! passes on as its client sent them. So whatever says anything of the request has to say the same: a client that adds
//! a family of its own can only spoil its own request. For the same reason `X-Forwarded-Host` is the host's name only
//! beside `X-Forwarded-Uri` and where nothing else is said; otherwise it is the question's own `Host`.

use http::{
    HeaderName, HeaderValue, Method, Uri, Version,
    header::HOST,
    uri::{PathAndQuery, Scheme},
};
use http_body::Body as _;

use super::Form;
use crate::proxy::{body::Inbound, fields::Fields, reject::Refusal, request::Request, reserved};

/// Why nobody can tell what is asked; 400 `request_malformed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// Nothing says what the request was.
    #[error(
        "the proxy did not say what it asks about: set X-Forwarded-Method, X-Forwarded-Uri and X-Forwarded-Host, or \
         X-Original-Method and X-Original-URI"
    )]
    Missing,
    /// A method without a target, or the other way round.
    #[error(
        "only one of method and target was said: set X-Forwarded-Method and X-Forwarded-Uri, or both X-Original-"
    )]
    Half,
    /// Two things say different requests.
    #[error("the headers that say what is asked about disagree: the proxy must set or remove each of them")]
    Disagree,
    /// One of them came twice.
    #[error("a header that says what is asked about came more than once")]
    Repeated,
    /// One of them is no method, no target or no host.
    #[error("what is asked about is no HTTP request")]
    Unreadable,
}

/// The request that is asked about, with the headers of the question, and without a body: one that is known to have
/// none, or one that is not shown here.
pub(super) fn read(question: Request<Inbound>, form: Form) -> Result<Request<Inbound>, Refusal> {
    let (method, target, host) = asked(&question, form)?;
    let body = body(&method, question.body.is_end_stream());
    let mut fields = question.fields;
    if let Some(host) = host {
        fields.insert(HOST, host);
    }
    Ok(Request { method, target, version: Version::HTTP_11, fields, flaw: None, body })
}

/// The body of a request with this method, of which the proxy shows none, or something.
pub(super) fn body(method: &Method, shows_none: bool) -> Inbound {
    let means_none = matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    if means_none && shows_none { Inbound::default() } else { Inbound::Elsewhere }
}

/// Method, target in origin form, and host.
fn asked(question: &Request<Inbound>, form: Form) -> Result<(Method, Uri, Option<HeaderValue>), Refusal> {
    let fields = &question.fields;
    let in_path = match form {
        Form::Envoy => Some(Claim::in_path(&question.method, &question.target).ok_or(Unclear::Missing)?),
        Form::Plain | Form::Nginx => None,
    };
    let original = Claim::of(fields, &X_ORIGINAL_METHOD, &X_ORIGINAL_URI)?;
    let forwarded = Claim::of(fields, &X_FORWARDED_METHOD, &X_FORWARDED_URI)?;
    let alone = in_path.is_none() && original.is_none();
    let mut claims = [in_path, original, forwarded].into_iter().flatten();
    let claim = claims.next().ok_or(Unclear::Missing)?;
    if claims.any(|other| other != claim) {
        return Err(Unclear::Disagree.into());
    }
    let method = Method::from_bytes(claim.method).map_err(|_| Unclear::Unreadable)?;
    let (target, named) = target(claim.target)?;
    let host = host(fields, alone, named.as_ref())?;
    Ok((method, target, host))
}

/// What one family of headers says, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim<'a> {
    method: &'a [u8],
    target: &'a [u8],
}

impl<'a> Claim<'a> {
    fn of(fields: &'a Fields, method: &HeaderName, target: &HeaderName) -> Result<Option<Self>, Unclear> {
        match (only(fields, method)?, only(fields, target)?) {
            (None, None) => Ok(None),
            (Some(method), Some(target)) => {
                Ok(Some(Self { method: method.as_bytes(), target: target.as_bytes() }))
            }
            _ => Err(Unclear::Half),
        }
    }

    /// What follows the prefix; none where it is not written as we write it.
    fn in_path(method: &'a Method, uri: &'a Uri) -> Option<Self> {
        let rest = uri.path_and_query()?.as_str().strip_prefix(reserved::ENVOY)?;
        rest.starts_with('/').then(|| Self { method: method.as_str().as_bytes(), target: rest.as_bytes() })
    }
}

/// The one value of a header. Not even the same twice: whoever asks sets it, once.
fn only<'a>(fields: &'a Fields, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Unclear> {
    let mut values = fields.get_all(name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Unclear::Repeated),
    }
}

/// Path and query, and the authority of a target in absolute form.
pub(super) fn target(text: &[u8]) -> Result<(Uri, Option<HeaderValue>), Refusal> {
    // `Uri` drops a fragment without a word.
    if text.contains(&b'#') {
        return Err(Refusal::PathAmbiguous);
    }
    let uri = Uri::try_from(text).map_err(|_| Unclear::Unreadable)?;
    let named = match (uri.scheme(), uri.authority()) {
        (None, None) if text.starts_with(b"/") => None,
        (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {
            Some(HeaderValue::try_from(authority.as_str()).map_err(|_| Unclear::Unreadable)?)
        }
        _ => return Err(Unclear::Unreadable.into()),
    };
    let place = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    Ok((place.into(), named))
}

/// Whom the request was for, where that is not the question's own `Host`. `alone`: nothing but `X-Forwarded-*` says
/// anything; `in_target`: the authority of an absolute target.
fn host(
    fields: &Fields,
    alone: bool,
    in_target: Option<&HeaderValue>,
) -> Result<Option<HeaderValue>, Unclear> {
    let said = only(fields, &X_FORWARDED_HOST)?;
    let host = match (said, alone) {
        (Some(said), true) => Some(said),
        (None, true) => in_target.or_else(|| fields.get(&HOST)),
        (_, false) => fields.get(&HOST),
    };
    let differs =
        |other: &HeaderValue| host.is_none_or(|host| !host.as_bytes().eq_ignore_ascii_case(other.as_bytes()));
    if said.is_some_and(differs) || in_target.is_some_and(differs) {
        return Err(Unclear::Disagree);
    }
    Ok(host.cloned())
}

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
