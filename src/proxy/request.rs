//! A request on its way through the gateway.

use http::{Method, Uri, Version};

use super::{fields::Fields, wire::Flaw};

/// A request. What answers in the gateway's own house has it as the library's.
#[derive(Debug, Clone, Default)]
pub struct Request<B> {
    /// What it asks to be done.
    pub method: Method,
    /// With what, as it came.
    pub target: Uri,
    /// In which version it came.
    pub version: Version,
    /// What it says beside.
    pub fields: Fields,
    /// What is wrong with it, if anything is.
    pub flaw: Option<Flaw>,
    /// What comes behind its head.
    pub body: B,
}

impl<B> Request<B> {
    /// The same head with what is made of its body.
    pub fn map<C>(self, body: impl FnOnce(B) -> C) -> Request<C> {
        let Self { method, target, version, fields, flaw, body: from } = self;
        Request { method, target, version, fields, flaw, body: body(from) }
    }
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (mut parts, body) = request.into_parts();
        Self {
            method: parts.method,
            target: parts.uri,
            version: parts.version,
            fields: parts.headers.into(),
            flaw: parts.extensions.remove(),
            body,
        }
    }
}

/// Whoever gets it so has no eye for flaws: only one without any is to be handed on.
impl<B> From<Request<B>> for http::Request<B> {
    fn from(request: Request<B>) -> Self {
        let mut made = Self::new(request.body);
        *made.method_mut() = request.method;
        *made.uri_mut() = request.target;
        *made.version_mut() = request.version;
        *made.headers_mut() = request.fields.into();
        made
    }
}
