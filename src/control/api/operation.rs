//! What the API can do, one entry each. The router, the checks and the OpenAPI document are made of these tables.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderValue;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    audit,
    caller::{Known, Node, Pending},
    error::ApiError,
    generate, groups,
    input::Input,
    invitations, keys, members, orgs,
    page::List,
    permissions, presets, projects, requests, roles, second_factors, sessions,
    shape::{Field, Shape},
    teams, users,
};
use crate::{
    control::service::{Caller, Control},
    domain::id::KeyId,
};

/// One thing that can be asked for.
pub(super) struct Operation {
    /// Its name for generated clients.
    pub(super) id: &'static str,
    pub(super) verb: Verb,
    /// With `{names}` for what stands in their place.
    pub(super) path: &'static str,
    /// One line for the reader of the document.
    pub(super) text: &'static str,
    /// What may stand in the query; lists take `limit` and `cursor` besides.
    pub(super) query: &'static [Field],
    /// What may stand in the body; none: nothing.
    pub(super) body: &'static [Field],
    pub(super) answer: Answer,
    pub(super) run: fn(Call) -> Pending<'static, Result<Value, ApiError>>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// As OpenAPI spells it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// What is answered when it goes well.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// 200 with an object.
    One(&'static Shape),
    /// 201 with an object.
    Made(&'static Shape),
    /// 200 with a part of a list.
    Page(&'static Shape),
    /// 200 with `reply`, which is made of what the use case answered, now or before.
    Reply(&'static Shape, fn(&Value) -> Value),
    /// 204.
    Done,
}

impl Operation {
    /// Whether it changes state, and so takes `Idempotency-Key`.
    pub(super) fn changes(&self) -> bool {
        let shown_once = second_factors::SHOWN_ONCE.contains(&self.id);
        self.verb != Verb::Get && self.id != "verify_key" && !shown_once && !self.open()
    }

    /// Whether it may be asked for without a credential: what is sent proves who asks.
    pub(super) fn open(&self) -> bool {
        matches!(self.id, "accept_invitation" | sessions::SIGN_IN)
    }
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Operation> {
    [
        orgs::OPERATIONS,
        teams::OPERATIONS,
        projects::OPERATIONS,
        users::OPERATIONS,
        members::OPERATIONS,
        invitations::OPERATIONS,
        roles::OPERATIONS,
        groups::OPERATIONS,
        keys::OPERATIONS,
        generate::OPERATIONS,
        presets::OPERATIONS,
        permissions::OPERATIONS,
        audit::OPERATIONS,
        requests::OPERATIONS,
        sessions::OPERATIONS,
        second_factors::OPERATIONS,
    ]
    .into_iter()
    .flatten()
}

/// A request that was read and whose caller is known.
pub(super) struct Call {
    pub(super) control: Control,
    /// None: nothing runs here that could prove a key, and the operator does not ask for it.
    pub(super) node: Option<Arc<dyn Node>>,
    pub(super) peer: IpAddr,
    pub(super) known: Known,
    pub(super) path: String,
    /// What stands in the path, by name.
    pub(super) names: Vec<(String, String)>,
    pub(super) query: Input,
    pub(super) body: Input,
    /// To be set by the answer.
    pub(super) cookies: Cookies,
}

/// Cookies for the answer of a request that is under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Cookies(Arc<Mutex<Vec<HeaderValue>>>);

impl Cookies {
    pub(super) fn set(&self, cookie: Option<HeaderValue>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(cookie);
    }

    pub(super) fn take(&self) -> Vec<HeaderValue> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Call {
    pub(super) const fn caller(&self) -> &Caller {
        &self.known.caller
    }

    /// What stands in the path.
    pub(super) fn name(&self, name: &str) -> Option<&str> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// An id in the path; what is no id names nothing.
    pub(super) fn id(&self, name: &str) -> Result<&str, ApiError> {
        // All ids have one form; whose it is, the use case finds out.
        self.name(name).filter(|text| text.parse::<KeyId>().is_ok()).ok_or(ApiError::NotFound)
    }

    /// The organization that is meant: the caller's, or the one that the operator chose; none: all of them.
    pub(super) fn org(&self) -> Option<String> {
        self.known.org.map(|org| org.to_string())
    }

    /// Whose failure budget a wrong key counts against.
    pub(super) const fn client(&self) -> IpAddr {
        match &self.known.caller {
            Caller::Key { ip: Some(ip), .. }
            | Caller::User { ip: Some(ip), .. }
            | Caller::Anonymous { ip: Some(ip) } => *ip,
            _ => self.peer,
        }
    }

    pub(super) fn list(&self) -> List {
        List::new(self.control.clone(), &self.known.name, &self.path, &self.query)
    }
}

/// An object as it goes out.
pub(super) fn object(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value)
        .map_err(|error| ApiError::Service(crate::control::service::ServiceError::Secret(error.into())))
}

/// A list that is known whole.
pub(super) fn whole(items: &[Value]) -> Value {
    json!({ "items": items, "next_cursor": null })
}
