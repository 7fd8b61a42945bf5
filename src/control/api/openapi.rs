//! The OpenAPI 3.1 document, written from the tables that the router and the checks are made of.

use serde_json::{Map, Value, json};

use super::{
    generate::is_served,
    operation::{Answer, Operation, all},
    page,
    shape::{Field, Kind, Shape},
};
use crate::domain::{profile::Compat, session::cookie_name};

/// What the document is called, by which a client knows that it has found the API.
pub const TITLE: &str = "Latchgate admin API";

/// The document of what a platform has that imitates these interfaces; with all of them it is the whole.
pub fn document(compat: &[Compat]) -> Value {
    let mut schemas = Map::new();
    schemas.insert("Problem".into(), problem());
    let mut paths = Map::new();
    for operation in all().filter(|operation| is_served(compat, operation.path)) {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.verb.as_str()] = described(operation, &mut schemas);
    }
    paths.insert(
        "/v1/openapi.json".into(),
        json!({ "get": {
            "operationId": "get_openapi",
            "summary": "This document.",
            "security": [],
            "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": { "schema": { "type": "object" } } } } },
        } }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keys, and what they stand on. Times are RFC 3339 UTC, ids UUIDs, errors RFC 9457 problem details with a stable `code`. What is not the caller's to know of is 404.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "api_key": [] }, { "bearer": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "api_key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "bearer": { "type": "http", "scheme": "bearer", "description": "A key, or a session's token." },
                "session": { "type": "apiKey", "in": "cookie", "name": cookie_name(false) },
            },
        },
    })
}

fn described(operation: &Operation, schemas: &mut Map<String, Value>) -> Value {
    let mut parameters: Vec<Value> = names(operation.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": named(name) }))
        .collect();
    let paged = if matches!(operation.answer, Answer::Page(_)) { page::FIELDS } else { &[] };
    for field in operation.query.iter().chain(paged) {
        parameters.push(json!({
            "name": field.name, "in": "query", "description": field.text, "schema": kind(field.kind, false, schemas),
        }));
    }
    if operation.changes() {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header",
            "description": "The same key and body within 24 hours is carried out once.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        }));
    }
    let mut entry = json!({
        "operationId": operation.id,
        "summary": operation.text,
        "parameters": parameters,
        "responses": responses(operation, schemas),
    });
    if operation.open() {
        entry["security"] = json!([{}, { "bearer": [] }]);
    }
    if !operation.body.is_empty() {
        let required = operation.body.iter().any(|field| field.required);
        entry["requestBody"] = json!({
            "required": required,
            "content": { "application/json": { "schema": object(operation.body, false, schemas) } },
        });
    }
    entry
}

/// What stands in braces in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn responses(operation: &Operation, schemas: &mut Map<String, Value>) -> Value {
    let (status, schema) = match operation.answer {
        Answer::One(shape) => ("200", Some(reference(shape, schemas))),
        Answer::Made(shape) => ("201", Some(reference(shape, schemas))),
        Answer::Page(shape) => {
            let items = reference(shape, schemas);
            let page = json!({
                "type": "object",
                "required": ["items", "next_cursor"],
                "properties": {
                    "items": { "type": "array", "items": items },
                    "next_cursor": { "type": ["string", "null"] },
                },
            });
            ("200", Some(page))
        }
        Answer::Reply(shape, _) => {
            let reply = reference(shape, schemas);
            let whole = json!({ "type": "object", "required": ["reply"], "properties": { "reply": reply } });
            ("200", Some(whole))
        }
        Answer::Done => ("204", None),
    };
    let problem = json!({
        "description": "Refused.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let done = match schema {
        Some(schema) => {
            json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } })
        }
        None => json!({ "description": "Done." }),
    };
    json!({ (status): done, "default": problem })
}

fn reference(shape: &'static Shape, schemas: &mut Map<String, Value>) -> Value {
    if !schemas.contains_key(shape.name) {
        let schema = object(shape.fields, true, schemas);
        schemas.insert(shape.name.to_owned(), schema);
    }
    json!({ "$ref": format!("#/components/schemas/{}", shape.name) })
}

/// `whole`: an answer has all of its fields, a request those that are required and none that are unknown.
fn object(fields: &[Field], whole: bool, schemas: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = kind(field.kind, whole, schemas);
        if field.nullable {
            schema = match schema.get("type").and_then(Value::as_str).map(str::to_owned) {
                Some(name) if schema.get("enum").is_none() => {
                    schema["type"] = json!([name, "null"]);
                    schema
                }
                _ => json!({ "anyOf": [schema, { "type": "null" }] }),
            };
        }
        schema["description"] = field.text.into();
        properties.insert(field.name.to_owned(), schema);
    }
    // The full key is not in a repeated answer.
    let always = |field: &&Field| if whole { field.name != "key" || field.nullable } else { field.required };
    let required: Vec<&str> = fields.iter().filter(always).map(|field| field.name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// What stands in a path.
fn named(name: &str) -> Value {
    // One of the profile's roles has its name there.
    let id = if name == "role_id" { Kind::Text } else { Kind::Id };
    kind(id, false, &mut Map::new())
}

fn kind(kind: Kind, whole: bool, schemas: &mut Map<String, Value>) -> Value {
    match kind {
        Kind::Text if whole => json!({ "type": "string" }),
        Kind::Text => json!({ "type": "string", "pattern": TEXT }),
        Kind::Id => json!({ "type": "string", "format": "uuid" }),
        Kind::Name(longest) => json!({ "type": "string", "pattern": NAME, "maxLength": longest }),
        Kind::Between(low, high) => {
            json!({ "type": "integer", "format": "int64", "minimum": low, "maximum": high })
        }
        Kind::Whole => json!({ "type": "integer", "format": "int64" }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::Texts => json!({ "type": "array", "items": self::kind(Kind::Text, whole, schemas) }),
        Kind::Choice(known) => json!({ "type": "string", "enum": known }),
        Kind::Anything => json!({}),
        Kind::One(shape) if whole => reference(shape, schemas),
        Kind::One(shape) => object(shape.fields, false, schemas),
        Kind::Many(shape) => json!({ "type": "array", "items": reference(shape, schemas) }),
    }
}

/// What is refused in requests: the null character; in names besides, what is nothing but blank.
const TEXT: &str = "^[^\\u0000]*$";
const NAME: &str = "^[^\\u0000]*[^\\u0000\\s][^\\u0000]*$";

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string", "description": "Stable." },
            "request_id": { "type": "string" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": { "field": { "type": "string" }, "message": { "type": "string" } },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_one_name_and_one_place() {
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        for operation in all() {
            assert!(names.insert(operation.id), "{}", operation.id);
            assert!(places.insert((operation.path, operation.verb.as_str())), "{}", operation.path);
        }
        let document = document(&[Compat::Cortex]);
        assert_eq!(
            document["paths"].as_object().unwrap().len(),
            places.iter().map(|(path, _)| path).collect::<BTreeSet<_>>().len() + 1
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&[Compat::Cortex]);
        let text = document.to_string();
        for name in text.split("#/components/schemas/").skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
