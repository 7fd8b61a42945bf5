//! What the gateway answers itself, below `/.latchgate/`. No route reaches there.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;

use super::{body::Body, decide::Form, directory::Record, reject::Refusal};
use crate::{
    config::{Credentials, Webhooks},
    domain::{
        access::{Action, Target},
        profile::Profile,
    },
};

/// What every path of ours begins with.
const PREFIX: &str = "/.latchgate";
/// What Envoy puts before the path that it asks about. Its own word, so that no path behind it reads as another form.
pub const ENVOY: &str = "/.latchgate/decide/envoy";

/// Something that the gateway answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// Who the caller is, as the gateway sees it.
    WhoAmI,
    /// The keys by which assertions are verified.
    KeySet,
    /// Whether a request that another proxy got may be forwarded by it.
    Decide(Form),
    /// Whatever else is there: pages, which are the control plane's.
    Page,
}

/// What `whoami` is judged by: any valid credential will do.
pub const ANYBODY: Action<'static> =
    Action { public: false, permission: None, target: Target { team: None, project: None } };

/// And with which.
pub const ACCEPTED: Credentials =
    Credentials::OneOf { api_key: true, session: true, jwt: true, webhooks: Webhooks::NONE };

impl Reserved {
    /// What stands at a path in normal form; `None` where the routes decide.
    pub fn find(path: &str, method: &Method) -> Result<Option<Self>, Refusal> {
        let Some(rest) = path.strip_prefix(PREFIX) else { return Ok(None) };
        match rest {
            "/whoami" if matches!(*method, Method::GET | Method::HEAD) => Ok(Some(Self::WhoAmI)),
            "/jwks.json" if matches!(*method, Method::GET | Method::HEAD) => Ok(Some(Self::KeySet)),
            "/whoami" | "/jwks.json" => {
                Err(Refusal::MethodNotAllowed { allow: HeaderValue::from_static("GET, HEAD") })
            }
            "/decide" => Ok(Some(Self::Decide(Form::Plain))),
            "/decide/nginx" => Ok(Some(Self::Decide(Form::Nginx))),
            _ if path.strip_prefix(ENVOY).is_some_and(|asked| asked.starts_with('/')) => {
                Ok(Some(Self::Decide(Form::Envoy)))
            }
            "" | "/" => Err(Refusal::NotFound),
            _ if rest.starts_with('/') => Ok(Some(Self::Page)),
            _ => Ok(None),
        }
    }
}

/// Tells an admitted caller who they are.
pub fn who_am_i(caller: &Record, profile: &Profile) -> Response<Body> {
    let mut text = serde_json::to_vec(&WhoAmI::of(caller, profile)).unwrap_or_default();
    text.push(b'\n');
    let mut response = Response::new(Body::from(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A principal as JSON.
#[derive(Serialize)]
struct WhoAmI<'a> {
    method: &'static str,
    credential: &'a str,
    tenant: String,
    team: Option<String>,
    project: Option<String>,
    user: Option<String>,
    role: Option<&'a str>,
    scope: &'static str,
    scopes: Vec<&'a str>,
    expires_at: Option<String>,
}

impl<'a> WhoAmI<'a> {
    fn of(caller: &'a Record, profile: &'a Profile) -> Self {
        let principal = &caller.principal;
        let boundary = &principal.boundary;
        Self {
            method: principal.method.as_str(),
            credential: &principal.credential,
            tenant: boundary.org().to_string(),
            team: boundary.team().map(|id| id.to_string()),
            project: boundary.project().map(|id| id.to_string()),
            user: principal.user.map(|id| id.to_string()),
            role: principal.role.as_deref(),
            scope: boundary.kind().as_str(),
            scopes: profile.permissions.names(principal.permissions),
            expires_at: principal.life.ends_at().map(|end| end.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_ours() {
        let find = |path| Reserved::find(path, &Method::GET);
        assert_eq!(find("/.latchgate/whoami"), Ok(Some(Reserved::WhoAmI)));
        for nothing in ["/.latchgate", "/.latchgate/"] {
            assert_eq!(find(nothing), Err(Refusal::NotFound), "{nothing}");
        }
        for page in ["/.latchgate/sign-in", "/.latchgate/x", "/.latchgate/whoami/"] {
            assert_eq!(find(page), Ok(Some(Reserved::Page)), "{page}");
        }
        for (path, form) in [
            ("/.latchgate/decide", Form::Plain),
            ("/.latchgate/decide/nginx", Form::Nginx),
            ("/.latchgate/decide/envoy/", Form::Envoy),
            ("/.latchgate/decide/envoy/nginx", Form::Envoy),
        ] {
            assert_eq!(find(path), Ok(Some(Reserved::Decide(form))), "{path}");
        }
        for routed in ["/", "/x/.latchgate/whoami", "/.latchgatex", "/.Latchgate/whoami"] {
            assert_eq!(find(routed), Ok(None), "{routed}");
        }
        assert!(matches!(
            Reserved::find("/.latchgate/whoami", &Method::POST),
            Err(Refusal::MethodNotAllowed { .. })
        ));
    }
}
