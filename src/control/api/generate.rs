//! `POST /public_api/v1/api_keys/generate`: keys minted in the words of an existing platform, for its clients, where
//! the profile says `compat = ["cortex"]` (R001_12).
//!
//! It is another spelling of a new key and nothing more: what may be minted, and by whom, is decided where it always
//! is.

use serde_json::{Value, json};

use super::{
    error::{ApiError, Wrong},
    keys::shown_once,
    operation::{Answer, Call, Operation, Verb},
    shape::{Kind, Shape, field},
};
use crate::{
    control::service::{FieldError, NewKey, ServiceError},
    domain::{
        profile::{Compat, Profile},
        time::Timestamp,
    },
};

const WANTED: Shape = Shape {
    name: "GenerateApiKey",
    fields: &[
        field("roles", Kind::Texts, "What it may do, by the names of roles.").required(),
        field("security_level", Kind::Text, "How requests carry it; `standard` unless said."),
        field("expiration", Kind::Whole, "When it ends, in milliseconds since 1970; 0: never by itself."),
        field("comment", Kind::Text, "What it is for; its first 80 characters are its name.").or_null(),
    ],
};

const GENERATED: Shape = Shape {
    name: "GeneratedApiKey",
    fields: &[
        field("id", Kind::Text, "Its public characters, which go into `x-xdr-auth-id`."),
        field("key", Kind::Text, "The full key, this once; absent from a repeated answer."),
        field("uuid", Kind::Id, "Its id in the rest of this API."),
        field("roles", Kind::Texts, "The roles attached to it.").or_null(),
        field("security_level", Kind::Choice(&["standard", "advanced"]), "How requests have to carry it."),
        field("expiration", Kind::Whole, "When it ends, in milliseconds since 1970; 0: never by itself."),
        field("comment", Kind::Text, "What it is for.").or_null(),
        field("created_at", Kind::Time, "When it was made."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    id: "generate_key",
    verb: Verb::Post,
    path: "/public_api/v1/api_keys/generate",
    text: "Makes a key as the clients of an existing platform ask for one, within what the caller holds. Only where \
           the profile says so; elsewhere 404.",
    query: &[],
    body: &[field("request_data", Kind::One(&WANTED), "The key that is wanted.").required()],
    answer: Answer::Reply(&GENERATED, reply),
    run: |call| Box::pin(generate(call)),
}];

/// Whether a platform that imitates `compat` has this path; all but this one belong to every platform.
pub(in crate::control) fn is_served(compat: &[Compat], path: &str) -> bool {
    compat.contains(&Compat::Cortex) || OPERATIONS.iter().all(|operation| operation.path != path)
}

async fn generate(call: Call) -> Result<Value, ApiError> {
    let wanted = call.body.inner("request_data");
    let comment = wanted.owned("comment");
    let new = NewKey {
        name: name(comment.as_deref().unwrap_or_default()),
        description: comment,
        roles: wanted.texts("roles").map(|roles| by_name(call.control.profile(), roles)),
        expires_at: expiration(wanted.whole("expiration").unwrap_or_default())?,
        security_level: wanted.owned("security_level"),
        ..NewKey::default()
    };
    match call.control.create_key(call.caller(), &new).await {
        Ok(created) => shown_once(&created),
        Err(ServiceError::InvalidField(wrong)) => {
            Err(ApiError::Fields(wrong.into_iter().map(theirs).collect()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer in the platform's words, made of a key object: one that was just made, or one that was kept.
fn reply(key: &Value) -> Value {
    let expiration = key["expires_at"].as_str().and_then(|end| end.parse::<Timestamp>().ok());
    let mut reply = json!({
        "id": key["prefix"],
        "uuid": key["id"],
        "roles": key["roles"],
        "security_level": key["security_level"],
        "expiration": expiration.map_or(0, |end| end.micros().div_euclid(1000)),
        "comment": key["description"],
        "created_at": key["created_at"],
    });
    if let Some(full) = key.get("key") {
        reply["key"] = full.clone();
    }
    json!({ "reply": reply })
}

/// A label on one line, from a text that may have several.
fn name(comment: &str) -> String {
    let plain = comment.trim().chars().map(|character| if character.is_control() { ' ' } else { character });
    let name: String = plain.take(LONGEST_NAME).collect();
    if name.is_empty() { UNNAMED.to_owned() } else { name }
}

/// That platform shows built-in roles by their titles, and no custom role can have the title of one.
fn by_name(profile: &Profile, roles: Vec<String>) -> Vec<String> {
    let named = |role: String| {
        let titled = profile.roles.iter().find(|shipped| *shipped.title == *role);
        titled.map_or(role, |shipped| shipped.name.to_string())
    };
    roles.into_iter().map(named).collect()
}

fn expiration(millis: i64) -> Result<Option<Timestamp>, ApiError> {
    if millis == 0 {
        return Ok(None);
    }
    let end = millis.checked_mul(1000).filter(|micros| *micros > 0).map(Timestamp::from_micros);
    let expected = "expected milliseconds since 1970, or 0 for a key that does not end by itself";
    end.map(Some).ok_or_else(|| Wrong::new("request_data.expiration", expected).into())
}

/// A field that the use case found wrong, by the name under which it was sent.
fn theirs(wrong: FieldError) -> Wrong {
    let field = match wrong.field {
        "name" | "description" => "comment",
        "expires_at" => "expiration",
        other => other,
    };
    Wrong::new(format!("request_data.{field}"), wrong.message)
}

const LONGEST_NAME: usize = 80;
const UNNAMED: &str = "Generated";
