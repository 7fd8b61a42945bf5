//! `/v1/docs`: the reference of the API for people, made of the same tables as the router and the OpenAPI document.

use askama::Template;
use serde_json::{Map, Value, json};

use super::{
    error::status_of,
    generate::is_served,
    operation::{Answer, Operation, Verb, all},
    page,
    shape::{Field, Kind, Shape},
};
use crate::{control::console::Assets, domain::profile::Compat};

/// The whole page, for a platform that imitates `compat`. It is the same for everybody.
pub(in crate::control) fn page(assets: &Assets, compat: &[Compat]) -> String {
    let mut shapes = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    for operation in all().filter(|operation| is_served(compat, operation.path)) {
        let name = noun(operation.path);
        let entry = Entry::new(operation, &mut shapes);
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.entries.push(entry),
            None => groups.push(Group { name, entries: vec![entry] }),
        }
    }
    let mut objects = Vec::new();
    // What an object is made of may be objects that were not met yet.
    while let Some(shape) = shapes.pop() {
        if objects.iter().all(|known: &Object| known.name != shape.name) {
            objects.push(Object { name: shape.name, fields: rows(shape.fields, &mut shapes) });
        }
    }
    objects.sort_by_key(|object| object.name);
    let errors = CODES.iter().map(|(code, text)| Error { code, status: status_of(code).as_u16(), text });
    let reference = Reference { assets, groups, objects, errors: errors.collect() };
    // Fails only when memory does.
    reference.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "reference.html", config = "src/control/console/templates/askama.toml")]
struct Reference<'a> {
    assets: &'a Assets,
    groups: Vec<Group>,
    objects: Vec<Object>,
    errors: Vec<Error>,
}

/// What belongs to one noun.
struct Group {
    name: String,
    entries: Vec<Entry>,
}

struct Entry {
    id: &'static str,
    verb: String,
    path: &'static str,
    text: &'static str,
    /// What may stand in the request.
    parts: Vec<Part>,
    answer: String,
    /// The object in the answer.
    object: Option<&'static str>,
    errors: Vec<&'static str>,
    example: String,
}

/// A query or a body.
struct Part {
    title: &'static str,
    /// Tells it from those of other operations.
    label: String,
    rows: Vec<Row>,
}

/// One field.
struct Row {
    name: &'static str,
    kind: String,
    /// The object that it holds.
    object: Option<&'static str>,
    required: bool,
    text: String,
}

struct Object {
    name: &'static str,
    fields: Vec<Row>,
}

struct Error {
    code: &'static str,
    status: u16,
    text: &'static str,
}

impl Entry {
    fn new(operation: &'static Operation, shapes: &mut Vec<&'static Shape>) -> Self {
        let (answer, object) = answer(operation.answer);
        shapes.extend(object);
        let paged = if matches!(operation.answer, Answer::Page(_)) { page::FIELDS } else { &[] };
        let query: Vec<Field> = operation.query.iter().chain(paged).copied().collect();
        let parts = [("Query", query.as_slice()), ("Body", operation.body)];
        let parts = parts.into_iter().filter(|(_, fields)| !fields.is_empty()).map(|(title, fields)| {
            let label = format!("{title} of {}", operation.id);
            Part { title, label, rows: rows(fields, shapes) }
        });
        Self {
            id: operation.id,
            verb: operation.verb.as_str().to_ascii_uppercase(),
            path: operation.path,
            text: operation.text,
            parts: parts.collect(),
            answer,
            object: object.map(|shape| shape.name),
            errors: errors(operation),
            example: example(operation),
        }
    }
}

/// `api-keys` of `/v1/api-keys/{key_id}`, as people write it.
fn noun(path: &str) -> String {
    let name = path.trim_start_matches("/public_api").trim_start_matches("/v1/").split('/').next();
    let name = match name.unwrap_or_default() {
        "org" => "organization".to_owned(),
        "orgs" => "organizations".to_owned(),
        name => name.replace(['-', '_'], " "),
    };
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect::<String>().replace("Api ", "API ")
}

fn answer(answer: Answer) -> (String, Option<&'static Shape>) {
    let (text, shape) = match answer {
        Answer::One(shape) => ("200, an object:", Some(shape)),
        Answer::Made(shape) => ("201, with Location, the new object:", Some(shape)),
        Answer::Page(shape) => ("200, items and next_cursor (null at the end). Each item:", Some(shape)),
        Answer::Reply(shape, _) => ("200, reply, which is:", Some(shape)),
        Answer::Done => ("204, nothing.", None),
    };
    (text.to_owned(), shape)
}

fn rows(fields: &[Field], shapes: &mut Vec<&'static Shape>) -> Vec<Row> {
    fields.iter().map(|field| row(field, shapes)).collect()
}

fn row(field: &Field, shapes: &mut Vec<&'static Shape>) -> Row {
    let object = match field.kind {
        Kind::One(shape) | Kind::Many(shape) => Some(shape),
        _ => None,
    };
    let kind = match field.kind {
        Kind::One(_) => "object".to_owned(),
        Kind::Many(_) => "list of".to_owned(),
        kind => kind.expected().trim_start_matches("expected ").to_owned(),
    };
    shapes.extend(object);
    let kind = if field.nullable { format!("{kind}, or null") } else { kind };
    let object = object.map(|shape| shape.name);
    Row { name: field.name, kind, object, required: field.required, text: field.text.replace('`', "") }
}

/// What a client of this operation has to reckon with, beside what any request may meet.
fn errors(operation: &Operation) -> Vec<&'static str> {
    let mut codes = vec!["credential_invalid", "forbidden"];
    if !operation.open() {
        codes.insert(0, "credential_missing");
    }
    if operation.path.contains('{') {
        codes.push("not_found");
    }
    if operation.changes() {
        codes.push("conflict");
    }
    if matches!(operation.answer, Answer::Made(_)) {
        codes.push("limit_reached");
    }
    if !operation.body.is_empty()
        || !operation.query.is_empty()
        || matches!(operation.answer, Answer::Page(_))
    {
        codes.push("invalid_field");
    }
    if operation.body.iter().any(|field| field.name == "password" || field.name == "code") {
        codes.extend(["too_many_failures"]);
    }
    if operation.body.iter().any(|field| field.name == "code") {
        codes.push("second_factor_required");
    }
    codes.extend(["rate_limited", "store_unavailable"]);
    codes
}

/// A command to paste, once `GATE` and `KEY` are set.
fn example(operation: &Operation) -> String {
    let path = operation.path.split('/').map(|segment| if segment.starts_with('{') { ID } else { segment });
    let path = path.collect::<Vec<_>>().join("/");
    let method = match operation.verb {
        Verb::Get => String::new(),
        verb => format!("-X {} ", verb.as_str().to_ascii_uppercase()),
    };
    let mut words = vec![format!("curl {method}\"$GATE{path}\"")];
    if !operation.open() {
        words.push("-H \"X-API-Key: $KEY\"".to_owned());
    }
    if !operation.body.is_empty() {
        words.push("-H 'Content-Type: application/json'".to_owned());
        words.push(format!("-d '{}'", Value::Object(sample(operation.body))));
    }
    words.join(" \\\n  ")
}

/// Every required field, or the first where none is.
fn sample(fields: &[Field]) -> Map<String, Value> {
    let required: Vec<&Field> = fields.iter().filter(|field| field.required).collect();
    let shown = if required.is_empty() { fields.iter().take(1).collect() } else { required };
    shown.into_iter().map(|field| (field.name.to_owned(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match (field.name, field.kind) {
        ("email", _) => json!("ana@example.com"),
        ("password", _) => json!("correct horse battery staple"),
        ("name", _) => json!("deploy"),
        ("slug", _) => json!("payments"),
        ("key" | "token" | "secret", _) => json!("..."),
        ("code", _) => json!("492039"),
        (_, Kind::Id) => json!(ID),
        (_, Kind::Whole | Kind::Number | Kind::Between(..)) => json!(30),
        (_, Kind::Flag) => json!(true),
        (_, Kind::Time) => json!("2027-01-01T00:00:00Z"),
        (_, Kind::Texts | Kind::Many(_)) => json!([]),
        (_, Kind::Choice(known)) => json!(known.first()),
        (_, Kind::One(shape)) => Value::Object(sample(shape.fields)),
        (_, _) => json!("text"),
    }
}

const ID: &str = "0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e";

/// Every code that the API answers with, and what to do about it.
const CODES: &[(&str, &str)] = &[
    ("request_malformed", "The request, or its JSON, cannot be read."),
    ("path_ambiguous", "The path could be read in two ways."),
    ("credential_conflict", "It carries two different credentials; send one."),
    ("credential_missing", "It carries none."),
    ("credential_malformed", "The credential has not the shape of one; was it copied whole?"),
    ("credential_invalid", "The credential is nobody's. Which part of it is wrong is not told."),
    ("credential_revoked", "The key was revoked, or whoever it speaks for is gone."),
    ("credential_expired", "The key, the token or the invitation has expired."),
    ("session_expired", "The session has ended, or whoever it speaks for is gone; sign in again."),
    ("second_factor_required", "The password is right; send a code of the second factor, too, as code."),
    ("signature_required", "The key signs requests and is not sent itself."),
    ("signature_invalid", "The signature does not fit the request, the key or the time."),
    ("replay_detected", "A request with this nonce was here before."),
    ("forbidden", "The caller may not do this, or would give more than they hold."),
    ("scope_insufficient", "The caller lacks the permission that the detail names."),
    ("ip_not_allowed", "The key may not be used from this address."),
    ("boundary_mismatch", "The key is bound to another team or project."),
    ("not_found", "There is no such object, or it is not the caller's to know of."),
    ("method_not_allowed", "The path does not take this method."),
    ("request_timeout", "The body stopped arriving."),
    ("conflict", "It is not possible as things stand; the detail says why."),
    ("limit_reached", "There are as many as there may be."),
    ("body_too_large", "The body is larger than 1 MiB, or than limits.body_bytes."),
    ("unsupported_media_type", "The body has to be application/json."),
    ("misdirected_request", "The host name is not one of the gateway's; see listen.hosts."),
    ("invalid_field", "errors names each field that is wrong, and what it takes."),
    ("headers_too_large", "The headers are more than is read."),
    ("rate_limited", "The limit of the key or of the caller is reached; wait as long as Retry-After says."),
    ("too_many_failures", "Too many wrong credentials; the right one still passes."),
    ("not_implemented", "The only transfer coding is chunked."),
    ("store_unavailable", "The store cannot be asked; nothing was changed. Try again."),
    ("issuer_unavailable", "The keys of the token's issuer cannot be read. Try again."),
    ("overloaded", "More work waits than can be done. Try again."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_object_and_code_is_there_and_every_link_leads_somewhere() {
        let page = page(&Assets::new(), &[Compat::Cortex]);
        for operation in all() {
            assert!(page.contains(&format!("id=\"{}\"", operation.id)), "{}", operation.id);
            for field in operation.body.iter().chain(operation.query) {
                assert!(page.contains(&format!("<code>{}</code>", field.name)), "{}", field.name);
            }
            for code in errors(operation) {
                assert!(CODES.iter().any(|(known, _)| *known == code), "{code}");
            }
        }
        let ids: Vec<&str> = page.split("id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "an id twice");
        for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(unique.contains(target), "{target}");
        }
        assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("http://"));
    }

    #[test]
    fn nouns_are_written_for_people() {
        assert_eq!(noun("/v1/api-keys/{key_id}/rotate"), "API keys");
        assert_eq!(noun("/v1/org/members"), "Organization");
        assert_eq!(noun("/public_api/v1/api_keys/generate"), "API keys");
    }
}
