//! `/v1/presets`: ready-made lists of scopes.

use serde_json::{Value, json};

use super::{
    error::ApiError,
    operation::{Answer, Call, Operation, Verb, whole},
    shape::{Kind, Shape, field},
};

const PRESET: Shape = Shape {
    name: "Preset",
    fields: &[
        field("name", Kind::Text, "Its name in requests."),
        field("title", Kind::Text, "Its name for people."),
        field("text", Kind::Text, "What it is for."),
        field("scopes", Kind::Texts, "What a key made from it holds."),
    ],
};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    id: "list_presets",
    verb: Verb::Get,
    path: "/v1/presets",
    text: "Ready-made lists of scopes for new keys; all of them in one part.",
    query: &[],
    body: &[],
    answer: Answer::Page(&PRESET),
    run: |call| Box::pin(async move { list(&call) }),
}];

fn list(call: &Call) -> Result<Value, ApiError> {
    let profile = call.control.profile();
    let preset = |preset: &crate::domain::profile::Preset| {
        json!({ "name": preset.name, "title": preset.title, "text": preset.text,
                "scopes": profile.permissions.names(preset.scopes) })
    };
    call.list().page(&call.query)?;
    Ok(whole(&profile.presets.iter().map(preset).collect::<Vec<_>>()))
}
