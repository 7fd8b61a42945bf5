//! Who asks: a credential becomes a caller of the use cases.
//!
//! How a credential is proved - for a key: shape, memory, MAC, bcrypt on its pool, failure budgets, the same wait for
//! whatever was wrong - is the node's, one way for both planes ([`Node`]). What whoever proved it may do is decided by
//! the one function that the gateway asks too.

use std::{net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, Request, Uri, request};
use zeroize::Zeroizing;

use super::{
    answer::Answering,
    asked::Asked,
    error::{ApiError, Unproved},
};
use crate::{
    control::{
        oidc::Oidc,
        service::{Caller, Control},
    },
    domain::{
        access::{self, Action, CredentialId, Denied, Method, Principal, Target},
        id::{OrgId, SessionId},
        permission::Permission,
        profile::Profile,
        time::Timestamp,
    },
    runtime::{
        client_ip::{Client, Connection},
        origin,
    },
    telemetry::access_log::{AccessRecord, AuthFailure, Word},
};

/// A result that is waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the API needs of the node that it runs on.
pub trait Node: Send + Sync + 'static {
    /// The use cases under the configuration in force.
    fn control(&self) -> Control;

    /// Who is at the other end: the peer, or the hop that a trusted proxy names.
    fn client(&self, connection: Connection, headers: &HeaderMap) -> Client;

    /// Takes the credential out of a request's headers.
    ///
    /// # Errors
    /// [`Unproved::Conflict`] for two that differ.
    fn credential(&self, head: &mut Head<'_>) -> Result<Option<Presented>, Unproved>;

    /// Whose this is, whatever its state.
    fn prove<'a>(
        &'a self,
        presented: &'a Presented,
        client: IpAddr,
    ) -> Pending<'a, Result<Arc<dyn Proved>, Unproved>>;

    /// How clients reach the gateway, where the configuration says so.
    fn public_url(&self) -> Option<Uri>;

    /// The identity provider that people sign in by, where there is one.
    fn oidc(&self) -> Option<Arc<Oidc>>;

    /// How long it may take to find out who asks, and then to do what is asked.
    fn patience(&self) -> Duration;

    /// A caller with this kind of credential was let in or turned away: `ok`, or the code of the refusal.
    fn decided(&self, method: Option<Method>, outcome: &str);
}

/// A request's head, as far as it may say who asks.
pub struct Head<'a> {
    /// Its method.
    pub method: &'a http::Method,
    /// Its target, byte for byte.
    pub target: &'a Uri,
    /// Its headers.
    pub headers: &'a mut HeaderMap,
    /// Whose it is.
    pub client: &'a Client,
    /// Whether its connection is encrypted, and ends here.
    pub tls: bool,
    /// Whether a body follows.
    pub has_body: bool,
}

/// A signature over a request, said to be by somebody's key.
pub trait Signature: Send + Sync {
    /// Whose it is, whatever its state.
    fn prove(&self, client: IpAddr) -> Pending<'_, Result<Arc<dyn Proved>, Unproved>>;

    /// The last step for a proved caller: the body is what was signed, and the request was not here before.
    fn complete<'a>(
        &'a self,
        proved: &'a dyn Proved,
        body: &'a [u8],
        client: IpAddr,
    ) -> Pending<'a, Result<(), Unproved>>;

    /// The public characters of the key that it names.
    fn keyid(&self) -> Option<&str>;
}

/// A credential as it was sent. Wiped on drop.
pub struct Presented {
    /// What it claims to be.
    pub kind: PresentedAs,
    /// All of it.
    pub text: Zeroizing<String>,
    /// Whether it came in a cookie, which browsers send without being asked.
    pub by_cookie: bool,
    /// In place of a text.
    pub signature: Option<Box<dyn Signature>>,
}

impl Presented {
    /// A key as it is.
    pub fn key(text: Zeroizing<String>) -> Self {
        Self { kind: PresentedAs::Key, text, by_cookie: false, signature: None }
    }
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
    /// A signature by a key.
    Signature,
}

impl PresentedAs {
    const fn method(self) -> Method {
        match self {
            Self::Key => Method::ApiKey,
            Self::Session => Method::Session,
            Self::Token => Method::Jwt,
            Self::Signature => Method::Signed,
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
pub(in crate::control) struct Known {
    /// For the use cases.
    pub(in crate::control) caller: Caller,
    /// Names the caller wherever callers are kept apart.
    pub(super) name: String,
    /// The tenant; none: the operator, who sees all of them.
    pub(super) org: Option<OrgId>,
    /// The session that they call with.
    pub(in crate::control) session: Option<SessionId>,
    /// Whether that came in a cookie.
    pub(super) by_cookie: bool,
}

impl Known {
    fn anonymous(ip: Option<IpAddr>) -> Self {
        let caller = Caller::Anonymous { ip };
        Self { caller, name: "anonymous".to_owned(), org: None, session: None, by_cookie: false }
    }
}

/// Finds out who asks and whether they may ask at all; what is `open` may be asked by somebody unknown. What they may
/// do, each use case decides.
pub(super) async fn identify(
    node: &dyn Node,
    asked: &mut Asked,
    answering: &mut Answering,
    open: bool,
) -> Result<Known, ApiError> {
    let known = admit(node, asked, answering).await;
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
    asked: &mut Asked,
    answering: &mut Answering,
) -> Result<Known, ApiError> {
    let client = node.client(asked.connection, &asked.parts.headers);
    answering.line.client_ip = client.address;
    answering.line.auth_method = Some(Method::Session);
    let request::Parts { method, headers, .. } = &asked.parts;
    // Who signs somebody in from another site makes them work in an account that is not theirs. Forms, which do not
    // always say where they come from, are no JSON.
    if origin::is_told(headers) && !origin::is_own(method, headers, node.public_url().as_ref()) {
        return Err(ApiError::CrossSite);
    }
    let mut known = Known::anonymous(client.address);
    let presented = asked.credential(node, &client).ok().flatten();
    if let Some(presented) = presented.filter(|presented| presented.kind == PresentedAs::Session)
        && let Ok(proved) = node.prove(&presented, client.address.unwrap_or(asked.connection.ip)).await
        && let CredentialId::Session(session) = proved.id()
    {
        known.session = Some(session);
        known.by_cookie = presented.by_cookie;
    }
    Ok(known)
}

/// Who has signed in and looks at a page of ours. A page is for whoever comes: who shows nothing, or what is over, is
/// not turned away, and nothing is counted or noted. To look is all that is judged here, whatever the request does.
pub(in crate::control) async fn session_of(
    node: &dyn Node,
    connection: Connection,
    headers: &HeaderMap,
    answering: &mut Answering,
) -> Option<Known> {
    let mut look = Request::new(Body::empty());
    look.headers_mut().clone_from(headers);
    let line = answering.line.clone();
    let known = admit(node, &mut Asked::new(connection, look), answering).await;
    let known = known.ok().filter(|known| known.session.is_some());
    if known.is_none() {
        answering.line = line;
    }
    known
}

async fn admit(node: &dyn Node, asked: &mut Asked, answering: &mut Answering) -> Result<Known, ApiError> {
    let client = node.client(asked.connection, &asked.parts.headers);
    answering.line.client_ip = client.address;
    let address = client.address.unwrap_or(asked.connection.ip);
    let presented = asked.credential(node, &client).map_err(ApiError::Unproved)?;
    let presented = presented.ok_or(ApiError::Denied(Denied::Missing))?;
    answering.line.auth_method = Some(presented.kind.method());
    if presented.by_cookie {
        let request::Parts { method, headers, .. } = &asked.parts;
        if !origin::is_own(method, headers, node.public_url().as_ref()) {
            return Err(ApiError::CrossSite);
        }
    }
    let proved = match &presented.signature {
        Some(signature) => signature.prove(address).await,
        None => node.prove(&presented, address).await,
    };
    let proved = proved.map_err(|unproved| {
        failed(answering, node.control().profile(), &presented, unproved);
        ApiError::Unproved(unproved)
    })?;
    let (now, principal) = (node.control().clock().now(), proved.principal());
    let line = &mut answering.line;
    line.say(Word::Credential, &*principal.credential);
    (line.tenant, line.team) = (Some(principal.boundary.org()), principal.boundary.team());
    judge(principal, None, client.address, now).map_err(|denied| {
        if matches!(denied, Denied::Revoked | Denied::Expired | Denied::SessionEnded) {
            let prefix = Some(principal.credential.clone());
            answering.line.auth_failure = Some(AuthFailure { prefix, reason: denied.code() });
        }
        ApiError::Denied(denied)
    })?;
    if let Some(signature) = &presented.signature {
        let body = asked.bytes().await?;
        signature.complete(&*proved, body, address).await.map_err(|unproved| {
            failed(answering, node.control().profile(), &presented, unproved);
            ApiError::Unproved(unproved)
        })?;
    }
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
    let prefix: Option<Box<str>> = match &presented.signature {
        Some(signature) => signature.keyid().map(Into::into),
        None => profile.keys.shape.parse(&presented.text).ok().map(|presented| presented.public.into()),
    };
    answering.line.note(Word::Credential, prefix.as_deref().map(str::as_bytes));
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
