//! `/v1/users`: the people of the caller's organization, or of the team that they act in.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    shape::{Kind, Shape, field},
};
use crate::control::service::NewUser;

const HELD: Shape = Shape {
    name: "HeldRole",
    fields: &[
        field("team_id", Kind::Id, "In which team; null: in the organization.").or_null(),
        field("role", Kind::Text, "Which; null: none of one's own.").or_null(),
    ],
};

pub(super) const USER: Shape = Shape {
    name: "User",
    fields: &[
        field("id", Kind::Id, "Their id."),
        field("org_id", Kind::Id, "Their organization."),
        field("email", Kind::Text, "Their e-mail address."),
        field("name", Kind::Text, "Their name."),
        field("active", Kind::Flag, "Whether they, and the keys that are theirs, may act."),
        field("created_at", Kind::Time, "When they were added."),
        field(
            "memberships",
            Kind::Many(&HELD),
            "Their roles, as far as the caller may see where they are held.",
        ),
        field("groups", Kind::Texts, "The groups they are in, whose roles are theirs too."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_users",
        verb: Verb::Get,
        path: "/v1/users",
        text: "The people of the organization. Who may read those of the team that they act in alone gets these, with what \
               they are in that team and nothing of others.",
        query: &[field("email", Kind::Text, "With this e-mail address, in any case.")],
        body: &[],
        answer: Answer::Page(&USER),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_user",
        verb: Verb::Post,
        path: "/v1/users",
        text: "Adds a person with a role. Who acts in one team adds them there.",
        query: &[],
        body: &[
            field("email", Kind::Text, "Their e-mail address.").required(),
            field("name", Kind::Name(100), "Their name.").required(),
            field("password", Kind::Text, "15 to 256 characters; without one they cannot sign in with one."),
            field(
                "role",
                Kind::Text,
                "Their role, in the organization or in the team as the profile has it.",
            ),
            field(
                "team_id",
                Kind::Id,
                "The team in which the role is held; when left out the one that the caller acts in, or the only one.",
            ),
        ],
        answer: Answer::Made(&USER),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "get_user",
        verb: Verb::Get,
        path: "/v1/users/{user_id}",
        text: "A person, as the list shows them.",
        query: &[],
        body: &[],
        answer: Answer::One(&USER),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "update_user",
        verb: Verb::Patch,
        path: "/v1/users/{user_id}",
        text: "Gives a person another name, lets them act, or stops them and the keys that are theirs.",
        query: &[],
        body: &[
            field("name", Kind::Name(100), "Their name."),
            field("active", Kind::Flag, "Whether they may act."),
        ],
        answer: Answer::One(&USER),
        run: |call| Box::pin(update(call)),
    },
    Operation {
        id: "delete_user",
        verb: Verb::Delete,
        path: "/v1/users/{user_id}",
        text: "Removes a person; the keys that are theirs are revoked.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(delete(call)),
    },
];

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let (org, email) = (call.org(), call.query.text("email"));
    Ok(list.answer(&call.control.list_users(call.caller(), org.as_deref(), email, &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let new = NewUser {
        org: call.org(),
        email: call.body.sure("email"),
        name: call.body.sure("name"),
        password: call.body.owned("password"),
        team_id: call.body.owned("team_id"),
        role: call.body.owned("role"),
    };
    object(&call.control.create_user(call.caller(), &new).await?)
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.find_user(call.caller(), call.id("user_id")?).await?)
}

async fn update(call: Call) -> Result<Value, ApiError> {
    let (name, active) = (call.body.text("name"), call.body.flag("active"));
    object(&call.control.update_user(call.caller(), call.id("user_id")?, name, active).await?)
}

async fn delete(call: Call) -> Result<Value, ApiError> {
    call.control.remove_user(call.caller(), call.id("user_id")?).await?;
    Ok(Value::Null)
}
