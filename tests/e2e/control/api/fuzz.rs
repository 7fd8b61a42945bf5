//! The API's own document against the running API: Schemathesis makes requests of it, good and bad, and holds every
//! answer to it.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use super::{World, text};
use crate::{
    control::roles::{path_b, site},
    support::{
        program::{ADMIN, Program},
        rawup::Upstream,
        tools::schemathesis,
    },
};

/// What is told beside the document: real things for the paths to name, and what would end the caller itself.
struct Run<'a> {
    program: &'a Program,
    credential: &'a str,
    /// The value of each path parameter, except where things are deleted.
    names: &'a [(&'a str, &'a str)],
}

/// No two changes have one name: what happens then is `once`'s to test, and would hide everything else here.
const HOOKS: &str = r#"
import itertools, schemathesis
numbers = itertools.count()
@schemathesis.hook
def before_call(context, case, kwargs):
    name = (case.headers or {}).get("Idempotency-Key")
    if isinstance(name, str) and 0 < len(name) < 200:
        case.headers["Idempotency-Key"] = f"{name}-{next(numbers)}"
"#;

impl Run<'_> {
    /// Fails the test unless every answer was as the document says.
    fn passes(&self) -> Counts {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("hooks.py"), HOOKS).expect("write hooks.py");
        let names: Vec<String> =
            self.names.iter().map(|(name, value)| format!("\"path.{name}\" = \"{value}\"")).collect();
        let config = format!(
            r#"
            hooks = "hooks.py"
            seed = 20
            [auth.openapi.bearer]
            bearer = "{credential}"
            [generation]
            max-examples = 3
            # Which permissions, roles and presets there are is the platform's; 422 names what is none.
            [checks.positive_data_acceptance]
            expected-statuses = ["2xx", 401, 403, 404, 409, 422]
            [[operations]]
            include-operation-id = [
                "delete_org", "rotate_self", "sign_out", "end_sessions", "change_password",
            ]
            enabled = false
            # They prove the caller's password again, which is guessed at so often and no more.
            [[operations]]
            include-operation-id = [
                "enrol_second_factor", "confirm_second_factor", "remove_second_factor", "renew_recovery_codes",
            ]
            checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422, 429]
            [[operations]]
            include-method = ["GET", "POST", "PUT", "PATCH"]
            parameters = {{ {names} }}
            "#,
            credential = self.credential,
            names = names.join(", "),
        );
        fs::write(folder.path().join("schemathesis.toml"), config).expect("write schemathesis.toml");
        let ran = run(folder.path(), &format!("http://{}/v1/openapi.json", self.program.admin().0));
        assert!(ran.contains("No issues found"), "{ran}");
        let mut counts = Counts::default();
        for line in self.program.log().iter().filter(|line| line["msg"] == "request") {
            let outcome = (line["status"].as_u64().unwrap_or(0), line["outcome"].to_string());
            *counts.0.entry(outcome).or_default() += 1;
        }
        counts
    }
}

/// How often which status was given with which outcome.
#[derive(Debug, Default)]
struct Counts(BTreeMap<(u64, String), usize>);

impl Counts {
    fn of(&self, status: u64) -> usize {
        self.0.iter().filter(|((given, _), _)| *given == status).map(|(_, count)| count).sum()
    }

    /// Fails the test unless each of these came so often at least, and none of the server's own failures.
    fn assert(&self, least: &[(u64, usize)]) {
        for (status, count) in least {
            assert!(self.of(*status) >= *count, "{status} came too seldom: {self:#?}");
        }
        assert!(self.0.keys().all(|(status, _)| *status < 500), "{self:#?}");
    }
}

fn run(folder: &Path, document: &str) -> String {
    let arguments =
        ["--config-file", "schemathesis.toml", "run", document, "--no-color", "--warnings", "off"];
    let ran = Command::new(schemathesis()).current_dir(folder).args(arguments).output().expect("it runs");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ran.status.success(), "{said}");
    said
}

/// L328: with a key that holds everything. Its requests do things, and each answer is as the document says: no 5xx, no
/// status and no field that it does not have, and nothing is open to nobody.
#[test]
fn with_a_key_of_high_rights() {
    let world = World::new();
    let key = world.program.site.key(&["--scope", "org", "--name", "fuzz"]);
    let sample = text(&world.team_key("sample"), "id");
    let project = world.program.cli(&["projects", "create", "--team-id", &world.team, "--name", "P"]).json();
    let names = [
        ("team_id", world.team.as_str()),
        ("user_id", &world.user),
        ("key_id", &sample),
        ("project_id", &text(&project, "id")),
        ("role_id", "developer"),
    ];
    let counts = Run { program: &world.program, credential: &key.text, names: &names }.passes();
    counts.assert(&[(200, 50), (201, 5), (401, 40), (422, 100)]);
    assert_eq!(world.root.get("/v1/org").status, 200);
}

/// L328: with a key that may do nearly nothing, on a platform with custom roles, groups and an imitated interface.
#[test]
fn with_a_key_of_few_rights() {
    let site = site(&Upstream::echo());
    path_b(&site, "dev@example.com");
    let id = |arguments: &[&str]| text(&site.cli(arguments).json(), "id");
    let (group, role) = (id(&["groups", "show", "CLI writers"]), id(&["roles", "show", "CLI Write Custom"]));
    let user = id(&["users", "show", "dev@example.com"]);
    let key = site.key(&["--scopes", "cli_tools:view"]);
    let other = site.key(&["--scopes", "cli_tools:view", "--name", "other"]);
    let names = [("group_id", group.as_str()), ("role_id", &role), ("user_id", &user), ("key_id", &other.id)];
    let program = site.serve();
    let events = program.site.count("audit_events");
    let counts = Run { program: &program, credential: &key.text, names: &names }.passes();
    counts.assert(&[(403, 100), (401, 40)]);
    assert_eq!(counts.of(201), 0, "{counts:#?}");
    assert_eq!(program.site.count("audit_events"), events, "it changed nothing");
}

/// L328: with a session, of a person who may do everything in a house with roles and groups of its own.
#[test]
fn with_a_session() {
    let site = site(&Upstream::echo());
    path_b(&site, "dev@example.com");
    let id = |arguments: &[&str]| text(&site.cli(arguments).json(), "id");
    let (group, role) = (id(&["groups", "show", "CLI writers"]), id(&["roles", "show", "CLI Write Custom"]));
    let user = id(&["users", "show", "dev@example.com"]);
    let key = site.key(&["--scopes", "cli_tools:view"]);
    let names = [("group_id", group.as_str()), ("role_id", &role), ("user_id", &user), ("key_id", &key.id)];
    let program = site.serve();
    let token = program.admin().token(ADMIN);
    let counts = Run { program: &program, credential: &token, names: &names }.passes();
    counts.assert(&[(200, 100), (204, 5), (401, 40), (422, 100)]);
    assert_eq!(program.admin().bearer(&token).get("/v1/session").status, 200);
}
