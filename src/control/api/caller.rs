//! Who asks: a credential becomes a caller of the use cases.
//!
//! How a credential is proved - for a key: shape, memory, MAC, bcrypt on its pool, failure budgets, the same wait for
//! whatever was wrong - is the node's, one way for both planes ([`Node`]). What whoever proved it may do is decided by
//! the one function that the gateway asks too.

use std::{net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Uri};
use zeroize::Zeroizing;

use super::{
    answer::Answering,
    error::{ApiError, Unproved},
};
use crate::{
    control::service::{Caller, Control},
    domain::{
        access::{self, Action, CredentialId, Denied, Method, Principal, Target},
        id::{OrgId, SessionId},
        permission::Permission,
        profile::Profile,
        time::Timestamp,
    },
    runtime::{client_ip::Client, origin},
    telemetry::access_log::{AccessRecord, AuthFailure},
};

/// A result that is waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the API needs of the node that it runs on.
pub trait Node: Send + Sync + 'static {
    /// The use cases under the configuration in force.
    fn control(&self) -> Control;

    /// Who is at the other end: the peer, or the hop that a trusted proxy names.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client;

    /// Takes the credential out of a request's headers.
    ///
    /// # Errors
    /// [`Unproved::Conflict`] for two that differ.
    fn credential(&self, headers: &mut HeaderMap) -> Result<Option<Presented>, Unproved>;

    /// Whose this is, whatever its state.
    fn prove<'a>(
        &'a self,
        presented: &'a Presented,
        client: IpAddr,
    ) -> Pending<'a, Result<Arc<dyn Proved>, Unproved>>;

    /// How clients reach the gateway, where the configuration says so.
    fn public_url(&self) -> Option<Uri>;

    /// How long it may take to find out who asks, and then to do what is asked.
    fn patience(&self) -> Duration;

    /// A caller with this kind of credential was let in or turned away: `ok`, or the code of the refusal.
    fn decided(&self, method: Option<Method>, outcome: &str);
}

/// A credential as it was sent. Wiped on drop.
pub struct Presented {
    /// What it claims to be.
    pub kind: PresentedAs,
    /// All of it.
    pub text: Zeroizing<String>,
    /// Whether it came in a cookie, which browsers send without being asked.
    pub by_cookie: bool,
}

/// What a credential claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresentedAs {
    /// An API key.
    Key,
    /// A session's token.
    Session,
    /// A token of an identity provider.
    Token,
}

impl PresentedAs {
    const fn method(self) -> Method {
        match self {
            Self::Key => Method::ApiKey,
            Self::Session => Method::Session,
            Self::Token => Method::Jwt,
        }
    }
}

/// A credential that was proved.
pub trait Proved: Send + Sync {
    /// Which.
    fn id(&self) -> CredentialId;

    /// Everything that a decision needs.
    fn principal(&self) -> &Principal;

    /// Takes one request from its rate limit, if it has one, and counts it as a use, as `line` knows of it by now; its
    /// headers go on the answer. False: the limit is reached.
    fn enter(&self, line: &AccessRecord, now: Timestamp, headers: &mut HeaderMap) -> bool;
}

/// A caller who was let in.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// For the use cases.
    pub(super) caller: Caller,
    /// Names the caller wherever callers are kept apart.
    pub(super) name: String,
    /// The tenant; none: the operator, who sees all of them.
    pub(super) org: Option<OrgId>,
    /// The session that they call with.
    pub(super) session: Option<SessionId>,
    /// Whether that came in a cookie.
    pub(super) by_cookie: bool,
}

impl Known {
    fn anonymous(ip: Option<IpAddr>) -> Self {
        let caller = Caller::Anonymous { ip };
        Self { caller, name: "anonymous".to_owned(), org: None, session: None, by_cookie: false }
    }
}

/// What is known of a request before its headers are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'r> {
    pub(super) peer: IpAddr,
    pub(super) method: &'r http::Method,
}

/// Finds out who asks and whether they may ask at all; what is `open` may be asked by somebody unknown. What they may
/// do, each use case decides.
pub(super) async fn identify(
    node: &dyn Node,
    asked: Asked<'_>,
    headers: &mut HeaderMap,
    answering: &mut Answering,
    open: bool,
) -> Result<Known, ApiError> {
    let known = admit(node, asked, headers, answering).await;
    if open && matches!(known, Err(ApiError::Denied(Denied::Missing))) {
        return Ok(Known::anonymous(answering.line.client_ip));
    }
    node.decided(answering.line.auth_method, known.as_ref().err().map_or("ok", ApiError::code));
    known
}

/// Whoever asks for what anybody may ask for. The session that they sign in from, if they show one that works, is to
/// end.
pub(super) async fn visit(
    node: &dyn Node,
    asked: Asked<'_>,
    headers: &mut HeaderMap,
    answering: &mut Answering,
) -> Result<Known, ApiError> {
    let ip = node.client(asked.peer, headers).address;
    answering.line.client_ip = ip;
    answering.line.auth_method = Some(Method::Session);
    // Who signs somebody in from another site makes them work in an account that is not theirs. Forms, which do not
    // always say where they come from, are no JSON.
    if origin::is_told(headers) && !origin::is_own(asked.method, headers, node.public_url().as_ref()) {
        return Err(ApiError::CrossSite);
    }
    let mut known = Known::anonymous(ip);
    let presented = node.credential(headers).ok().flatten();
    if let Some(presented) = presented.filter(|presented| presented.kind == PresentedAs::Session)
        && let Ok(proved) = node.prove(&presented, ip.unwrap_or(asked.peer)).await
        && let CredentialId::Session(session) = proved.id()
    {
        known.session = Some(session);
        known.by_cookie = presented.by_cookie;
    }
    Ok(known)
}

async fn admit(
    node: &dyn Node,
    asked: Asked<'_>,
    headers: &mut HeaderMap,
    answering: &mut Answering,
) -> Result<Known, ApiError> {
    let client = node.client(asked.peer, headers);
    answering.line.client_ip = client.address;
    let presented = node.credential(headers).map_err(ApiError::Unproved)?;
    let presented = presented.ok_or(ApiError::Denied(Denied::Missing))?;
    answering.line.auth_method = Some(presented.kind.method());
    if presented.by_cookie && !origin::is_own(asked.method, headers, node.public_url().as_ref()) {
        return Err(ApiError::CrossSite);
    }
    let proved = node.prove(&presented, client.address.unwrap_or(asked.peer)).await.map_err(|unproved| {
        failed(answering, node.control().profile(), &presented, unproved);
        ApiError::Unproved(unproved)
    })?;
    let (now, principal) = (node.control().clock().now(), proved.principal());
    let line = &mut answering.line;
    line.credential = HeaderValue::from_str(&principal.credential).ok();
    line.tenant = HeaderValue::from_str(&principal.boundary.org().to_string()).ok();
    line.team = principal.boundary.team().and_then(|team| HeaderValue::from_str(&team.to_string()).ok());
    judge(principal, None, client.address, now).map_err(|denied| {
        if matches!(denied, Denied::Revoked | Denied::Expired | Denied::SessionEnded) {
            let prefix = Some(principal.credential.clone());
            answering.line.auth_failure = Some(AuthFailure { prefix, reason: denied.code() });
        }
        ApiError::Denied(denied)
    })?;
    if !proved.enter(&answering.line, now, &mut answering.headers) {
        return Err(ApiError::RateLimited);
    }
    let (ip, boundary) = (client.address, proved.principal().boundary);
    let (caller, name) = match (proved.id(), proved.principal().user) {
        (CredentialId::Key(id), _) => (Caller::Key { id, ip }, format!("key {id}")),
        (CredentialId::Session(_) | CredentialId::Person(_), Some(id)) => {
            let team = boundary.team();
            let place = team.map_or_else(String::new, |team| format!(" in {team}"));
            (Caller::User { id, ip, team }, format!("user {id}{place}"))
        }
        // Nobody's, or what no use case is for.
        (CredentialId::Session(_) | CredentialId::Person(_) | CredentialId::Webhook(_), _) => {
            return Err(ApiError::Unproved(Unproved::Invalid));
        }
    };
    let session = match proved.id() {
        CredentialId::Session(session) => Some(session),
        CredentialId::Key(_) | CredentialId::Person(_) | CredentialId::Webhook(_) => None,
    };
    Ok(Known { caller, name, org: Some(boundary.org()), session, by_cookie: presented.by_cookie })
}

/// Nobody's credential gets a line of its own in the log, with what it had of public characters (R002_14).
fn failed(answering: &mut Answering, profile: &Profile, presented: &Presented, unproved: Unproved) {
    if matches!(unproved, Unproved::StoreUnavailable | Unproved::IssuerUnavailable | Unproved::Overloaded) {
        return;
    }
    let prefix: Option<Box<str>> =
        profile.keys.shape.parse(&presented.text).ok().map(|presented| presented.public.into());
    answering.line.credential = prefix.as_deref().and_then(|prefix| HeaderValue::from_str(prefix).ok());
    answering.line.auth_failure = Some(AuthFailure { prefix, reason: unproved.code() });
}

/// What the gateway would say of this key, whatever path it is used on.
pub(super) fn judge(
    principal: &Principal,
    permission: Option<Permission>,
    client: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), Denied> {
    let action = Action { public: false, permission, target: Target::default() };
    access::decide(Some(principal), &action, client, now).map(|_permit| ())
}
