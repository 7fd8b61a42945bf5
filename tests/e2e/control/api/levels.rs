//! Owner, admin and member of an organization, each signed in, against everything that the document says of them.

use serde_json::{Value, json};

use super::{ask, post, sign_in, text};
use crate::support::{
    program::{ADMIN, Program, Site},
    rawup::Upstream,
    request::Caller,
    setup::Setup,
};

struct House {
    program: Program,
    _upstream: Upstream,
    /// Owner, admin and member, from the highest down.
    people: [Caller; 3],
}

/// One organization with one of each; what is used needs the permission for it.
fn house() -> House {
    let upstream = Upstream::echo();
    let mut setup = Setup::bare("reducto").upstream("app", &upstream.url());
    setup = setup.set("mail.url", "file:outbox").set("mail.from", "gate@example.com");
    for (name, need) in [("studio", "studio:use"), ("api", "api:call"), ("billing", "billing:manage")] {
        let route = format!("name = \"{name}\"\npath = \"/{name}/{{*rest}}\"\nupstream = \"app\"");
        setup = setup.route(&format!("{route}\nrequire = \"{need}\""));
    }
    let site = Site::new(setup);
    for (email, role) in [("adam@example.com", "admin"), ("mia@example.com", "member")] {
        site.user(email, role, None);
    }
    let program = site.serve();
    let people = [ADMIN, "adam@example.com", "mia@example.com"].map(|email| sign_in(&program, email));
    House { program, _upstream: upstream, people }
}

impl House {
    /// A key of the organization.
    fn key(&self, name: &str) -> Value {
        let made = post(&self.people[0], "/v1/api-keys", &json!({ "name": name }));
        assert_eq!(made.status, 201, "{made:?}");
        made.json()
    }

    /// Somebody else, as what they are.
    fn somebody(&self, number: usize, role: &str) -> String {
        text(&self.program.site.user(&format!("n{number}@example.com"), role, None), "id")
    }
}

/// `R003_01`, `R003_02`, `R003_08`: the document's whole matrix, asked of the running program line by line.
#[test]
fn the_matrix_of_the_document() {
    let house = house();
    let gateway = house.program.gateway();
    let mut table = String::new();
    let mut row = |capability: &str, ask: &dyn Fn(usize, &Caller) -> String| {
        table.push_str(&format!("{capability:<34}"));
        for (number, person) in house.people.iter().enumerate() {
            table.push_str(&format!(" {:<24}", ask(number, person)));
        }
        table.push('\n');
    };
    row("", &|number, _| ["owner", "admin", "member"][number].to_owned());
    row("Use Studio", &|_, person| person.at(gateway).verdict("/studio/x"));
    row("Call the API", &|_, person| person.at(gateway).verdict("/api/x"));
    let key = house.key("theirs");
    row("Call the API with an org key", &|_, _| gateway.key(&text(&key, "key")).verdict("/api/x"));
    let path = |key: &Value| format!("/v1/api-keys/{}", text(key, "id"));
    row("View usage", &|_, person| person.verdict(&format!("{}/usage", path(&key))));
    row("View request logs", &|_, person| person.verdict("/v1/requests"));
    row("View API keys", &|_, person| person.verdict("/v1/api-keys"));
    let new = json!({ "name": "new", "scopes": ["api:call"] });
    row("Create API keys", &|_, person| post(person, "/v1/api-keys", &new).verdict());
    let renamed = json!({ "name": "renamed" });
    row("Edit (rename) API keys", &|_, person| {
        ask(person, "PATCH", &path(&house.key("old")), Some(&renamed)).verdict()
    });
    row("Rotate API keys", &|_, person| {
        ask(person, "POST", &format!("{}/rotate", path(&house.key("old"))), None).verdict()
    });
    row("Delete API keys", &|_, person| ask(person, "DELETE", &path(&house.key("old")), None).verdict());
    row("Manage billing", &|_, person| person.at(gateway).verdict("/billing/x"));
    row("Rename the organization", &|_, person| {
        ask(person, "PATCH", "/v1/org", Some(&json!({ "name": "Same" }))).verdict()
    });
    for (capability, role) in [("Invite members", "member"), ("Invite an owner", "owner")] {
        row(capability, &|number, person| {
            let invitation = json!({ "email": format!("i{number}@example.com"), "role": role });
            post(person, "/v1/org/invitations", &invitation).verdict()
        });
    }
    row("Add members", &|number, person| {
        let email = format!("new{number}@example.com");
        let new = json!({ "email": email, "name": "New", "role": "member" });
        post(person, "/v1/users", &new).verdict()
    });
    let member = |id: String| format!("/v1/org/members/{id}");
    row("Change member roles", &|number, person| {
        let path = member(house.somebody(number, "member"));
        ask(person, "PATCH", &path, Some(&json!({ "role": "admin" }))).verdict()
    });
    row("Make somebody owner", &|number, person| {
        let path = member(house.somebody(10 + number, "member"));
        ask(person, "PATCH", &path, Some(&json!({ "role": "owner" }))).verdict()
    });
    row("Demote an owner", &|number, person| {
        let path = member(house.somebody(20 + number, "owner"));
        ask(person, "PATCH", &path, Some(&json!({ "role": "member" }))).verdict()
    });
    row("Remove members", &|number, person| {
        ask(person, "DELETE", &member(house.somebody(30 + number, "member")), None).verdict()
    });
    row("Remove an owner", &|number, person| {
        ask(person, "DELETE", &member(house.somebody(40 + number, "owner")), None).verdict()
    });
    // From the lowest up, so that there is something left to delete.
    let mut ends: Vec<String> =
        house.people.iter().rev().map(|person| ask(person, "DELETE", "/v1/org", None).verdict()).collect();
    ends.reverse();
    row("Delete the organization", &|number, _| ends[number].clone());
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("levels", table.join("\n"));
}

/// `R003_02`: members see of a key what tells it from others, and no more than anybody of it: never its secret.
#[test]
fn members_list_keys_and_nothing_else() {
    let house = house();
    let key = house.key("ci");
    let member = &house.people[2];
    let listed = member.get("/v1/api-keys").json();
    let shown = &listed["items"][0];
    assert_eq!((&shown["name"], &shown["created_at"]), (&json!("ci"), &key["created_at"]));
    assert_eq!((&shown["expires_at"], &shown["created_by"]), (&json!(null), &json!(ADMIN)));
    let secret = text(&key, "key").rsplit('_').next().expect("a secret").to_owned();
    assert!(!listed.to_string().contains(&secret));
}
