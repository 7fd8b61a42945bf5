//! Every operation that the API has, asked by everybody, on each platform: the tables are kept beside this file.

mod platform;
mod stage;

use serde_json::Value;

use self::{
    platform::{CORTEX, Level, OFFLOAD, Platform, REDUCTO, TRUSTEDOSS},
    stage::{Actor, NOTHING, Part, Place, Stage},
};
use super::{ask, text};
use crate::support::rawc::Response;

/// P361, P362: whoever may not is told so, whoever may not even know gets 404, and what is refused changes nothing.
#[test]
fn everybody_on_offload() {
    everybody(&OFFLOAD);
}

/// The same, where one tenant has roles and groups of its own.
#[test]
fn everybody_on_cortex() {
    everybody(&CORTEX);
}

/// The same, where roles are held in teams and above them.
#[test]
fn everybody_on_trustedoss() {
    everybody(&TRUSTEDOSS);
}

/// The same, where there are no teams and keys belong to the organization.
#[test]
fn everybody_on_reducto() {
    everybody(&REDUCTO);
}

/// One thing that the API's own document says can be asked, so that a new one cannot be forgotten.
#[derive(Debug)]
struct Operation {
    id: String,
    method: String,
    path: String,
}

impl Operation {
    /// Answered to anybody: the document, and what proves by itself who asks.
    fn is_open(&self) -> bool {
        self.path == "/v1/openapi.json" || matches!(&*self.id, "sign_in" | "accept_invitation")
    }

    /// Whether its path names something that belongs to an organization.
    fn names_an_object(&self, platform: &Platform) -> bool {
        self.path.contains('{') && (platform.custom || !self.path.contains("{role_id}"))
    }

    /// Whether its body names something of the first team.
    fn sends_an_object(&self) -> bool {
        matches!(&*self.id, "create_key" | "create_user" | "switch_team")
    }
}

fn operations(stage: &Stage) -> Vec<Operation> {
    let document = stage.gateway.admin().anonymous().get("/v1/openapi.json").json();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let (id, method) = (text(operation, "operationId"), method.to_uppercase());
            operations.push(Operation { id, method, path: path.clone() });
        }
    }
    // What ends an organization comes last.
    operations.sort_by_key(|one| (one.id == "delete_org", one.path.clone(), one.method.clone()));
    operations
}

fn everybody(platform: &'static Platform) {
    let stage = Stage::new(platform);
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(stage.cast.iter().map(|actor| actor.part.name().to_owned()));
    let strange = stage.gateway.admin().bearer(&format!("lgs_{}", "A".repeat(43)));
    for operation in operations(&stage) {
        let mut row = vec![format!("{} {}", operation.method, operation.path)];
        for actor in &stage.cast {
            row.push(cell(&stage, &operation, actor));
        }
        let path = operation.path.replace(['{', '}'], "");
        let refused = ask(&strange, &operation.method, &path, None);
        assert!(operation.is_open() || refused.status == 401, "{operation:?}: {refused:?}");
        rows.push(row);
    }
    names_in_queries(&stage);
    strangers_at_home(&stage);
    let table = aligned(&rows);
    eprintln!("{table}");
    insta::assert_snapshot!(platform.profile, table);
}

/// Asks, holds the answer against what is true of all platforms, and gives what stands in the table.
fn cell(stage: &Stage, operation: &Operation, actor: &Actor) -> String {
    let (caller, home) = stage.asks(actor, &operation.id);
    let path = stage.path(&operation.id, &operation.path, &home);
    let body = stage.body(&operation.id, &home);
    let before = stage.newest_event();
    let answer = ask(&caller, &operation.method, &path, body.as_ref());
    let what = format!("{}: {} {path}: {answer:?}", actor.part.name(), operation.method);
    if answer.status >= 300 {
        assert_eq!(before, stage.newest_event(), "refused, and did something: {what}");
        assert!(!answer.text().contains(stage.platform.literal), "{what}");
    }
    if actor.part == Part::Nobody && !operation.is_open() {
        assert_eq!(answer.verdict(), "401 credential_missing", "{what}");
    }
    if actor.part.is_foreign() {
        foreign(stage, operation, actor, &home, &answer, &what);
    }
    answer.verdict()
}

/// What is somebody else's is not there: not forbidden, not wrong, but told from nothing at all by no answer.
fn foreign(stage: &Stage, operation: &Operation, actor: &Actor, home: &Place, answer: &Response, what: &str) {
    if operation.names_an_object(stage.platform) {
        let names = operation.path.split('/').map(|part| if part.starts_with('{') { NOTHING } else { part });
        let nothing = names.collect::<Vec<_>>().join("/");
        let body = stage.body(&operation.id, home);
        let nothing = ask(&actor.caller, &operation.method, &nothing, body.as_ref());
        assert_eq!(answer.verdict(), nothing.verdict(), "told from nothing: {what}");
        // A role that nobody can hold there is wrong before anybody's place is looked for.
        let wrong = answer.verdict() == "422 invalid_field" && operation.id.ends_with("_member");
        assert!(wrong || answer.verdict() == "404 not_found", "{what}");
    }
    if operation.sends_an_object() && home.team.is_some() {
        assert_eq!(answer.verdict(), "404 not_found", "{what}");
    }
    if operation.id == "verify_key" {
        assert_eq!(answer.json()["valid"], false, "{what}");
    }
}

/// Nor does a list show what is somebody else's to those who name it.
fn names_in_queries(stage: &Stage) {
    let user = stage.path("get_user", "{user_id}", &stage.here);
    let team = stage.here.team.clone().unwrap_or_else(|| NOTHING.to_owned());
    for actor in stage.cast.iter().filter(|actor| actor.part.is_foreign()) {
        for list in ["/v1/api-keys?team_id=", "/v1/projects?team_id=", "/v1/api-keys?user_id="] {
            let named = if list.ends_with("user_id=") { &user } else { &team };
            let answer = actor.caller.get(&format!("{list}{named}"));
            assert_eq!(answer.verdict(), "404 not_found", "{}: {list}: {answer:?}", actor.part.name());
        }
        for list in ["/v1/api-keys", "/v1/users", "/v1/teams", "/v1/projects", "/v1/org/members", "/v1/audit"]
        {
            let answer = actor.caller.get(list);
            let shown = if answer.status == 200 { answer.json()["items"].clone() } else { Value::Null };
            let foreign = [&*user, &*team].into_iter().find(|id| shown.to_string().contains(*id));
            assert_eq!(foreign, None, "{}: {list}: {shown}", actor.part.name());
        }
    }
}

/// Who may not give places in a team learns of nobody whom they do not see.
fn strangers_at_home(stage: &Stage) {
    let Some(team) = &stage.here.team else { return };
    let strangers = [stage.stranger(Part::OtherTeam), stage.stranger(Part::OtherOrg), NOTHING.to_owned()];
    let body = stage.body("put_team_member", &stage.here);
    let in_team =
        |part| matches!(part, Part::Member(role) if stage.platform.roles.contains(&(role, Level::Team)));
    for actor in stage.cast.iter().filter(|actor| in_team(actor.part)) {
        for method in ["PUT", "PATCH", "DELETE"] {
            let path = |user: &String| format!("/v1/teams/{team}/members/{user}");
            let [near, far, nobody] = strangers.each_ref().map(|user| {
                ask(&actor.caller, method, &path(user), body.as_ref().filter(|_| method != "DELETE"))
                    .verdict()
            });
            assert_eq!(far, nobody, "{}: {method}", actor.part.name());
            // Whoever may give a place gives it to anybody of the organization whose id they have.
            let gave = method == "PUT" && near == "200";
            assert!(gave || near == nobody, "{}: {method}: {near}, not {nobody}", actor.part.name());
            if gave {
                assert_eq!(nobody, "404 not_found", "{}", actor.part.name());
                break;
            }
        }
    }
}

/// Columns as wide as what stands in them.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
