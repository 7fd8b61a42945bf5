//! Who asks: a credential becomes a caller of the use cases.
//!
//! How a key is proved - shape, memory, MAC, bcrypt on its pool, failure budgets, the same wait for whatever was wrong -
//! is the node's, one way for both planes ([`Node`]). What the proved key may do is decided by the one function that
//! the gateway asks too.

use std::{net::IpAddr, pin::Pin, sync::Arc};

use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::{
    answer::Answering,
    error::{ApiError, Unproved},
};
use crate::{
    control::service::{Caller, Control},
    domain::{
        access::{self, Action, Denied, Method, Principal, Target},
        id::{KeyId, OrgId},
        permission::Permission,
        profile::Profile,
        time::Timestamp,
    },
    runtime::client_ip::Client,
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

    /// Takes the key out of a request's headers.
    ///
    /// # Errors
    /// [`Unproved::Conflict`] for two that differ.
    fn credential(&self, headers: &mut HeaderMap) -> Result<Option<Zeroizing<String>>, Unproved>;

    /// Whose key this is, whatever its state.
    fn prove<'a>(&'a self, key: &'a str, client: IpAddr) -> Pending<'a, Result<Arc<dyn Proved>, Unproved>>;

    /// A caller was let in or turned away: `ok`, or the code of the refusal.
    fn decided(&self, outcome: &str);

    /// A request was answered.
    fn log(&self, line: AccessRecord);
}

/// A key whose secret was proved.
pub trait Proved: Send + Sync {
    /// Which.
    fn id(&self) -> KeyId;

    /// Everything that a decision needs.
    fn principal(&self) -> &Principal;

    /// Takes one request from its rate limit and counts it as a use; its headers go on the answer. False: the limit
    /// is reached.
    fn enter(&self, client: Option<IpAddr>, now: Timestamp, headers: &mut HeaderMap) -> bool;
}

/// A caller who was let in.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// For the use cases.
    pub(super) caller: Caller,
    /// Names the caller wherever callers are kept apart.
    pub(super) name: String,
    /// The tenant.
    pub(super) org: OrgId,
}

/// Finds out who asks and whether they may ask at all. What they may do, each use case decides.
pub(super) async fn identify(
    node: &dyn Node,
    peer: IpAddr,
    headers: &mut HeaderMap,
    answering: &mut Answering,
) -> Result<Known, ApiError> {
    let known = admit(node, peer, headers, answering).await;
    node.decided(known.as_ref().err().map_or("ok", ApiError::code));
    known
}

async fn admit(
    node: &dyn Node,
    peer: IpAddr,
    headers: &mut HeaderMap,
    answering: &mut Answering,
) -> Result<Known, ApiError> {
    let client = node.client(peer, headers);
    answering.line.client_ip = client.address;
    let key = node.credential(headers).map_err(ApiError::Unproved)?;
    let key = key.ok_or(ApiError::Denied(Denied::Missing))?;
    answering.line.auth_method = Some(Method::ApiKey);
    let proved = node.prove(&key, client.address.unwrap_or(peer)).await.map_err(|unproved| {
        failed(answering, node.control().profile(), &key, unproved);
        ApiError::Unproved(unproved)
    })?;
    let (now, principal) = (node.control().clock().now(), proved.principal());
    let line = &mut answering.line;
    line.credential = HeaderValue::from_str(&principal.credential).ok();
    line.tenant = HeaderValue::from_str(&principal.boundary.org().to_string()).ok();
    line.team = principal.boundary.team().and_then(|team| HeaderValue::from_str(&team.to_string()).ok());
    judge(principal, None, client.address, now).map_err(|denied| {
        if matches!(denied, Denied::Revoked | Denied::Expired) {
            let prefix = Some(principal.credential.clone());
            answering.line.auth_failure = Some(AuthFailure { prefix, reason: denied.code() });
        }
        ApiError::Denied(denied)
    })?;
    if !proved.enter(client.address, now, &mut answering.headers) {
        return Err(ApiError::RateLimited);
    }
    let id = proved.id();
    Ok(Known {
        caller: Caller::Key { id, ip: client.address },
        name: format!("key {id}"),
        org: proved.principal().boundary.org(),
    })
}

/// Nobody's credential gets a line of its own in the log, with what it had of public characters (R002_14).
fn failed(answering: &mut Answering, profile: &Profile, key: &str, unproved: Unproved) {
    if matches!(unproved, Unproved::StoreUnavailable | Unproved::Overloaded) {
        return;
    }
    let prefix: Option<Box<str>> =
        profile.keys.shape.parse(key).ok().map(|presented| presented.public.into());
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
