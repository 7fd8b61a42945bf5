//! `/v1/teams/{team_id}/projects` and `/v1/projects/{project_id}`.

use serde_json::Value;

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, object},
    orgs::NAMES,
    shape::{Kind, Shape, field},
    teams::NEW,
};
use crate::control::service::NewProject;

const PROJECT: Shape = Shape {
    name: "Project",
    fields: &[
        field("id", Kind::Id, "Its id."),
        field("org_id", Kind::Id, "The organization."),
        field("team_id", Kind::Id, "The team."),
        field("slug", Kind::Text, "Its name in commands, unique in the team."),
        field("name", Kind::Text, "Its name for people."),
        field("created_at", Kind::Time, "When it was made."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        id: "list_all_projects",
        verb: Verb::Get,
        path: "/v1/projects",
        text: "The projects that the caller can see, whatever their team.",
        query: &[
            field("team_id", Kind::Id, "Of this team."),
            field("slug", Kind::Text, "With this slug, which is unique in a team alone."),
        ],
        body: &[],
        answer: Answer::Page(&PROJECT),
        run: |call| Box::pin(list_all(call)),
    },
    Operation {
        id: "list_projects",
        verb: Verb::Get,
        path: "/v1/teams/{team_id}/projects",
        text: "The projects of a team that the caller can see.",
        query: &[],
        body: &[],
        answer: Answer::Page(&PROJECT),
        run: |call| Box::pin(list(call)),
    },
    Operation {
        id: "create_project",
        verb: Verb::Post,
        path: "/v1/teams/{team_id}/projects",
        text: "Makes a project.",
        query: &[],
        body: NEW,
        answer: Answer::Made(&PROJECT),
        run: |call| Box::pin(create(call)),
    },
    Operation {
        id: "get_project",
        verb: Verb::Get,
        path: "/v1/projects/{project_id}",
        text: "A project.",
        query: &[],
        body: &[],
        answer: Answer::One(&PROJECT),
        run: |call| Box::pin(get(call)),
    },
    Operation {
        id: "update_project",
        verb: Verb::Patch,
        path: "/v1/projects/{project_id}",
        text: "Gives a project another name, another slug, or both.",
        query: &[],
        body: NAMES,
        answer: Answer::One(&PROJECT),
        run: |call| Box::pin(update(call)),
    },
    Operation {
        id: "delete_project",
        verb: Verb::Delete,
        path: "/v1/projects/{project_id}",
        text: "Deletes a project with its keys.",
        query: &[],
        body: &[],
        answer: Answer::Done,
        run: |call| Box::pin(delete(call)),
    },
];

async fn list_all(call: Call) -> Result<Value, ApiError> {
    let list = call.list();
    let page = list.page(&call.query)?;
    let (org, team, slug) = (call.org(), call.query.text("team_id"), call.query.text("slug"));
    Ok(list.answer(&call.control.list_projects(call.caller(), org.as_deref(), team, slug, &page).await?))
}

async fn list(call: Call) -> Result<Value, ApiError> {
    let (list, team) = (call.list(), call.id("team_id")?);
    let page = list.page(&call.query)?;
    Ok(list.answer(&call.control.list_projects(call.caller(), None, Some(team), None, &page).await?))
}

async fn create(call: Call) -> Result<Value, ApiError> {
    let team_id = call.id("team_id")?.to_owned();
    let new = NewProject { team_id, name: call.body.sure("name"), slug: call.body.owned("slug") };
    object(&call.control.create_project(call.caller(), &new).await?)
}

async fn get(call: Call) -> Result<Value, ApiError> {
    object(&call.control.find_project(call.caller(), call.id("project_id")?).await?)
}

async fn update(call: Call) -> Result<Value, ApiError> {
    let (name, slug) = (call.body.text("name"), call.body.text("slug"));
    object(&call.control.rename_project(call.caller(), call.id("project_id")?, name, slug).await?)
}

async fn delete(call: Call) -> Result<Value, ApiError> {
    call.control.delete_project(call.caller(), call.id("project_id")?).await?;
    Ok(Value::Null)
}
