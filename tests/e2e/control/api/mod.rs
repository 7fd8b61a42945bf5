//! The admin API through its port.

mod document;
mod fuzz;
mod generate;
mod input;
mod keys;
mod ladder;
mod levels;
mod matrix;
mod once;
mod pages;
mod people;
mod rights;
mod roles;
mod signed;
mod wire;

use serde_json::{Value, json};

use crate::support::{
    program::{PASSWORD, Program, Site},
    rawc::Response,
    rawup::Upstream,
    request::Caller,
    setup::Setup,
};

/// Asks the admin port.
fn ask(caller: &Caller, method: &str, path: &str, body: Option<&Value>) -> Response {
    let request = caller.request(method, path);
    match body {
        Some(body) => request.header("Content-Type", "application/json").body(body.to_string()).send(),
        None => request.send(),
    }
}

fn post(caller: &Caller, path: &str, body: &Value) -> Response {
    ask(caller, "POST", path, Some(body))
}

/// This person, signed in.
fn sign_in(program: &Program, email: &str) -> Caller {
    program.admin().bearer(&program.admin().token(email))
}

/// A key made through the API: its object, full key included.
fn made(caller: &Caller, body: &Value) -> Value {
    let answer = post(caller, "/v1/api-keys", body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}

/// The path of a key.
fn path_of(key: &Value) -> String {
    format!("/v1/api-keys/{}", text(key, "id"))
}

/// Two organizations of the `trustedoss` profile, the first with two teams, and a key of every kind.
struct World {
    program: Program,
    upstream: Upstream,
    /// Everything in the first organization.
    root: Caller,
    /// The first organization as a whole, and one permission that opens nothing here.
    reader: Caller,
    /// Everything, in the other team.
    neighbour: Caller,
    /// Everything, in the other organization.
    stranger: Caller,
    team: String,
    other_team: String,
    user: String,
}

impl World {
    fn new() -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(Setup::trustedoss(&upstream).mail());
        let team = site.team();
        let other_team =
            text(&site.cli(&["teams", "create", "--org", "default", "--name", "Theirs"]).json(), "id");
        let user = text(&site.user("ana@example.com", "developer", Some(&team)), "id");
        let root = site.key(&["--scope", "org", "--name", "root"]).text;
        let reader = site.key(&["--scope", "org", "--name", "reader", "--scopes", "scan:read"]).text;
        let neighbour = site.key(&["--scope", "team", "--team-id", &other_team, "--name", "neighbour"]).text;
        site.cli(&["orgs", "create", "--name", "Other", "--slug", "other"]).ok();
        let boss = ["users", "create", "--email", "boss@other.example", "--name", "Boss", "--org", "other"];
        let more = ["--role", "super_admin", "--password-stdin"];
        site.cli_with(&[boss.as_slice(), more.as_slice()].concat(), &format!("{PASSWORD}\n")).json();
        let stranger = site.key_of("boss@other.example", &["--scope", "org", "--name", "stranger"]).text;
        let program = site.serve();
        let admin = program.admin();
        let key = |text: &str| admin.key(text);
        let (root, reader) = (key(&root), key(&reader));
        let (neighbour, stranger) = (key(&neighbour), key(&stranger));
        Self { program, upstream, root, reader, neighbour, stranger, team, other_team, user }
    }

    /// A key of the first team, with everything that its issuer may there.
    fn team_key(&self, name: &str) -> Value {
        made(&self.root, &json!({ "name": name, "scope": "team", "team_id": self.team }))
    }

    fn caller(&self, key: &Value) -> Caller {
        self.program.admin().key(&text(key, "key"))
    }
}

/// The `offload` profile with one key that holds these scopes.
fn offload(scopes: &str) -> (Program, Caller, Upstream) {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", scopes]).text;
    let program = site.serve();
    let caller = program.admin().key(&key);
    (program, caller, upstream)
}
