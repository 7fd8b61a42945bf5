//! `/v1/teams`.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    orgs::NAMES,
    shape::{Field, Kind, Shape, field},
};
use crate::control::service::NewTeam;

const TEAM: Shape = Shape {
    name: "Team",
    fields: &[
        field("id", Kind::Id, "Its id."),
        field("org_id", Kind::Id, "The organization."),
        field("slug", Kind::Text, "Its name in commands, unique in the organization."),
        field("name", Kind::Text, "Its name for people."),
        field("created_at", Kind::Time, "When it was made."),
    ],
};

/// What a new object needs.
pub(super) const NEW: &[Field] = &[
    field("name", Kind::Name(100), "Its name for people.").required(),
    field("slug", Kind::Text, "Its name in commands; made from the name when left out."),
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_teams",
        verb: Verb::Get,
        path: "/v1/teams",
        text: "The teams that the caller can see, in the order in which they were made.",
        query: &[field("slug", Kind::Text, "With this slug.")],
        body: &[],
        answer: Answer::Page(&TEAM),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_team",
        verb: Verb::Post,
        path: "/v1/teams",
        text: "Makes a team.",
        query: &[],
        body: NEW,
        answer: Answer::Made(&TEAM),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "get_team",
        verb: Verb::Get,
        path: "/v1/teams/{team_id}",
        text: "A team.",
        query: &[],
        body: &[],
        answer: Answer::One(&TEAM),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "update_team",
        verb: Verb::Patch,
        path: "/v1/teams/{team_id}",
        text: "Gives a team another name, another slug, or both.",
        query: &[],
        body: NAMES,
        answer: Answer::One(&TEAM),
        run: |call| Box::pin(update(call)),
    },
    Operation {
        id: "delete_team",
        verb: Verb::Delete,
        path: "/v1/teams/{team_id}",
        text: "Deletes a team with its projects, memberships and keys.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(delete(call)),
    },
];

async fn list(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let (org, slug) = (call.org(), call.query.text("slug"));
    Ok(list.answer(&call.control.list_teams(call.caller(), org.as_deref(), slug, &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let new = NewTeam { org: call.org(), name: call.body.sure("name"), slug: call.body.owned("slug") };
    object(&call.control.create_team(call.caller(), &new).await?)
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.find_team(call.caller(), call.id("team_id")?).await?)
}

async fn update(call: Call) -> Result<Value, ApiError> {
    let (name, slug) = (call.body.text("name"), call.body.text("slug"));
    object(&call.control.rename_team(call.caller(), call.id("team_id")?, name, slug).await?)
}

async fn delete(call: Call) -> Result<Value, ApiError> {
    call.control.delete_team(call.caller(), call.id("team_id")?).await?;
    Ok(Value::Null)
}
