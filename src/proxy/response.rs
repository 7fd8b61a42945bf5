//! An answer on its way through the gateway.

use http::StatusCode;
use hyper::ext::ReasonPhrase;

use super::fields::Fields;

/// An answer. What the gateway itself answers, it has as the library's.
#[derive(Debug)]
pub struct Response<B> {
    /// What became of the request.
    pub status: StatusCode,
    /// The words beside it, where they are not the usual ones.
    pub reason: Option<ReasonPhrase>,
    /// What it says beside.
    pub fields: Fields,
    /// What comes behind its head.
    pub body: B,
}

impl<B> Response<B> {
    /// The same head with what is made of its body.
    pub fn map<C>(self, body: impl FnOnce(B) -> C) -> Response<C> {
        let Self { status, reason, fields, body: from } = self;
        Response { status, reason, fields, body: body(from) }
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (mut parts, body) = response.into_parts();
        Self { status: parts.status, reason: parts.extensions.remove(), fields: parts.headers.into(), body }
    }
}

impl<B> From<Response<B>> for http::Response<B> {
    fn from(response: Response<B>) -> Self {
        let mut made = Self::new(response.body);
        *made.status_mut() = response.status;
        *made.headers_mut() = response.fields.into();
        if let Some(reason) = response.reason {
            made.extensions_mut().insert(reason);
        }
        made
    }
}
