//! `/v1/api-keys`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    caller::Presented,
    error::{ApiError, Unproved},
    key_shape::{CREATED, KEY, NEW, RATE, USAGE, VERDICT},
    operation::{Answer, Call, Operation, Verb, object},
    shape::{Field, Kind, field},
};
use crate::{
    control::service::{Caller, Created, KeyChanges, KeyFilter, NewKey},
    domain::{access::CredentialId, key::state::Status},
};

const ROTATION: &[Field] = &[
    field(
        "grace_hours",
        Kind::Between(0, 2160),
        "How long the old key goes on working; as configured when left out.",
    ),
    field(
        "public_key",
        Kind::Text,
        "For a key that signs with a pair: the public half of the new one, as PEM.",
    ),
];

const STATUSES: &[&str] = &["active", "rotating", "expired", "revoked"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_keys",
        verb: Verb::Get,
        path: "/v1/api-keys",
        text: "The keys that the caller can see, newest first, revoked and expired ones included.",
        query: &[
            field("team_id", Kind::Id, "Bound to this team, or to a project of it."),
            field("project_id", Kind::Id, "Bound to this project."),
            field("user_id", Kind::Id, "Of this person."),
            field("prefix", Kind::Text, "With these public characters."),
            field("status", Kind::Choice(STATUSES), "In this state."),
            field("q", Kind::Text, "With this text in name, prefix, description or environment."),
        ],
        body: &[],
        answer: Answer::Page(&KEY),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_key",
        verb: Verb::Post,
        path: "/v1/api-keys",
        text: "Makes a key, within what the caller holds. The full key is in this answer and nowhere else.",
        query: &[],
        body: NEW,
        answer: Answer::Made(&CREATED),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "verify_key",
        verb: Verb::Post,
        path: "/v1/api-keys/verify",
        text: "Whether a key is good, for services that do not sit behind the gateway.",
        query: &[],
        body: &[
            field("key", Kind::Text, "The full key.").required(),
            field("scopes", Kind::Texts, "What it has to hold."),
            field(
                "ip",
                Kind::Text,
                "The address it was used from; without it, keys bound to networks do not pass.",
            ),
        ],
        answer: Answer::One(&VERDICT),
        run: |call| Box::pin(verify(call)),
    },
    Operation {
        id: "rotate_self",
        verb: Verb::Post,
        path: "/v1/api-keys/self/rotate",
        text: "A successor for the calling key itself. Until that is used, asking again replaces it.",
        query: &[],
        body: ROTATION,
        answer: Answer::Made(&CREATED),
        run: |call| Box::pin(rotate_self(call)),
    },
    Operation {
        id: "get_key",
        verb: Verb::Get,
        path: "/v1/api-keys/{key_id}",
        text: "A key.",
        query: &[],
        body: &[],
        answer: Answer::One(&KEY),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "update_key",
        verb: Verb::Patch,
        path: "/v1/api-keys/{key_id}",
        text: "Changes labels and limits of a key, never what it may do or where.",
        query: &[],
        body: &[
            field("name", Kind::Name(80), "Its label."),
            field("description", Kind::Text, "What it is for; null takes it away.").or_null(),
            field("environment", Kind::Text, "A label such as `production`; null takes it away.").or_null(),
            field("allowed_ips", Kind::Texts, "From where it may call; empty: from everywhere."),
            field("rate_limit_per_minute", RATE, "How often it may call; null: no limit of its own.")
                .or_null(),
        ],
        answer: Answer::One(&KEY),
        run: |call| Box::pin(update(call)),
    },
    Operation {
        id: "delete_key",
        verb: Verb::Delete,
        path: "/v1/api-keys/{key_id}",
        text: "Revokes a key, as `revoke` does.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(delete(call)),
    },
    Operation {
        id: "rotate_key",
        verb: Verb::Post,
        path: "/v1/api-keys/{key_id}/rotate",
        text: "A successor with the same rights; the old key works on for its grace.",
        query: &[],
        body: ROTATION,
        answer: Answer::Made(&CREATED),
        run: |call| Box::pin(rotate(call)),
    },
    Operation {
        id: "revoke_key",
        verb: Verb::Post,
        path: "/v1/api-keys/{key_id}/revoke",
        text: "Ends a key and what it made - keys that it minted, a successor by which it renewed itself - at once and for \
               ever. A successor that somebody else made works on.",
        query: &[],
        body: &[],
        answer: Answer::One(&KEY),
        run: |call| Box::pin(revoke(call)),
    },
    Operation {
        id: "get_key_usage",
        verb: Verb::Get,
        path: "/v1/api-keys/{key_id}/usage",
        text: "How often a key was used, when and from where.",
        query: &[field(
            "window",
            Kind::Text,
            "How far back, such as 30m, 24h or 7d; 24h unless said, 90d at most.",
        )],
        body: &[],
        answer: Answer::One(&USAGE),
        run: |call| Box::pin(usage(call)),
    },
];

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let status = Status::ALL.into_iter().find(|status| Some(status.as_str()) == call.query.text("status"));
    let filter = KeyFilter {
        org: call.org(),
        team_id: call.query.owned("team_id"),
        project_id: call.query.owned("project_id"),
        user: call.query.owned("user_id"),
        prefix: call.query.owned("prefix"),
        status,
        q: call.query.owned("q"),
    };
    Ok(list.answer(&call.control.list_keys(call.caller(), &filter, &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let body = &call.body;
    let new = NewKey {
        user: body.owned("user_id"),
        org: call.org(),
        name: body.sure("name"),
        description: body.owned("description"),
        scope: body.owned("scope"),
        team_id: body.owned("team_id"),
        project_id: body.owned("project_id"),
        scopes: body.texts("scopes"),
        preset: body.owned("preset"),
        roles: body.texts("roles"),
        expires_in_days: body.whole("expires_in_days"),
        expires_at: body.time("expires_at"),
        environment: body.owned("environment"),
        rate_limit_per_minute: body.whole("rate_limit_per_minute"),
        allowed_ips: body.texts("allowed_ips").unwrap_or_default(),
        security_level: body.owned("security_level"),
        effective_role: body.owned("effective_role"),
        public_key: body.owned("public_key"),
    };
    shown_once(&call.control.create_key(call.caller(), &new).await?)
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.find_key(call.caller(), call.id("key_id")?).await?)
}

async fn update(call: Call) -> Result<Value, ApiError> {
    let body = &call.body;
    let changes = KeyChanges {
        name: body.owned("name"),
        description: body.change("description"),
        environment: body.change("environment"),
        rate_limit_per_minute: body
            .names("rate_limit_per_minute")
            .then(|| body.whole("rate_limit_per_minute")),
        allowed_ips: body.texts("allowed_ips"),
    };
    object(&call.control.update_key(call.caller(), call.id("key_id")?, &changes).await?)
}

async fn delete(call: Call) -> Result<Value, ApiError> {
    call.control.revoke_key(call.caller(), call.id("key_id")?).await?;
    Ok(Value::Null)
}

async fn revoke(call: Call) -> Result<Value, ApiError> {
    object(&call.control.revoke_key(call.caller(), call.id("key_id")?).await?)
}

async fn rotate(call: Call) -> Result<Value, ApiError> {
    let id = call.id("key_id")?;
    renewed(&call, id).await
}

async fn rotate_self(call: Call) -> Result<Value, ApiError> {
    let Caller::Key { id, .. } = call.caller() else {
        return Err(ApiError::NotFound);
    };
    renewed(&call, &id.to_string()).await
}

async fn renewed(call: &Call, id: &str) -> Result<Value, ApiError> {
    let pem = call.body.text("public_key");
    shown_once(&call.control.rotate_key_to(call.caller(), id, grace(call), pem).await?)
}

async fn usage(call: Call) -> Result<Value, ApiError> {
    let window = call.query.text("window");
    object(&call.control.key_usage(call.caller(), call.id("key_id")?, window).await?)
}

/// What is no key of the caller's world is one that nobody holds.
async fn verify(call: Call) -> Result<Value, ApiError> {
    let control = &call.control;
    control.may_verify(call.caller()).await?;
    let ip = match call.body.text("ip").map(str::parse::<std::net::IpAddr>) {
        None => None,
        Some(Ok(ip)) => Some(ip.to_canonical()),
        Some(Err(_)) => return Err(super::error::Wrong::new("ip", "expected an IP address").into()),
    };
    let scopes = call.body.texts("scopes").unwrap_or_default();
    let permissions = &control.profile().permissions;
    let scopes = permissions
        .parse_set(&scopes)
        .map_err(|unknown| super::error::Wrong::new("scopes", unknown.to_string()))?;
    let text = zeroize::Zeroizing::new(call.body.sure("key"));
    let key = Presented::key(text);
    let verdict = |code: &str, key: Value| json!({ "valid": code == "ok", "code": code, "key": key });
    let Some(node) = &call.node else { return Err(ApiError::NotFound) };
    let proved = match node.prove(&key, call.client()).await {
        Ok(proved) => proved,
        Err(unproved @ (Unproved::StoreUnavailable | Unproved::Overloaded)) => {
            return Err(ApiError::Unproved(unproved));
        }
        Err(unproved) => return Ok(verdict(unproved.code(), Value::Null)),
    };
    let view = match proved.id() {
        CredentialId::Key(id) => control.verified_key(call.caller(), id).await?,
        CredentialId::Session(_) | CredentialId::Person(_) | CredentialId::Webhook(_) => None,
    };
    let Some(view) = view else { return Ok(verdict(Unproved::Invalid.code(), Value::Null)) };
    let now = control.clock().now();
    let asked = std::iter::once(None).chain(scopes.iter().map(Some));
    let denied = asked
        .map(|permission| super::caller::judge(proved.principal(), permission, ip, now))
        .find_map(Result::err);
    Ok(verdict(denied.map_or("ok", |denied| denied.code()), object(&view)?))
}

fn grace(call: &Call) -> Option<Duration> {
    // What is negative is refused as what is too long is.
    let hours = call.body.whole("grace_hours")?;
    Some(Duration::from_secs(u64::try_from(hours).map_or(u64::MAX, |hours| hours.saturating_mul(3600))))
}

/// The object with the full key: what is answered now and never again.
pub(super) fn shown_once(created: &Created) -> Result<Value, ApiError> {
    let mut shown = object(&created.key)?;
    shown["key"] = created.full().into();
    Ok(shown)
}
