//! The people of one team, for those who act in it (R000_01): who they are there, and nothing of anywhere else.

use serde_json::{Value, json};

use super::{ask, post, text};
use crate::support::{
    program::{Program, Site},
    rawc::Response,
    request::Caller,
    setup::Setup,
};

/// Two teams, `default` and `other`. ana administers the first, otto the second, both both; vic views the first; eve is
/// alone in the second.
struct World {
    program: Program,
    team: String,
    other: String,
    ana: Caller,
    otto: Caller,
}

impl World {
    fn new() -> Self {
        let site = Site::new(Setup::bare("offload"));
        let team = site.team();
        let other = text(&site.cli(&["teams", "create", "--org", "default", "--name", "Other"]).json(), "id");
        for (name, role, team) in [
            ("ana", "admin", &team),
            ("vic", "viewer", &team),
            ("otto", "admin", &other),
            ("eve", "auditor", &other),
            ("both", "viewer", &team),
        ] {
            site.user(&format!("{name}@example.com"), role, Some(team));
        }
        let place = ["--team-id", other.as_str(), "--role", "auditor"];
        site.cli(&[["users", "set-role", "both@example.com"].as_slice(), &place].concat()).ok();
        let program = site.serve();
        let admin = program.admin();
        let caller = |name: &str| admin.bearer(&admin.token(&format!("{name}@example.com")));
        let (ana, otto) = (caller("ana"), caller("otto"));
        Self { program, team, other, ana, otto }
    }

    fn id(&self, name: &str) -> String {
        text(&self.program.cli(&["users", "show", &format!("{name}@example.com")]).json(), "id")
    }

    fn caller(&self, name: &str) -> Caller {
        let admin = self.program.admin();
        admin.bearer(&admin.token(&format!("{name}@example.com")))
    }
}

fn users(caller: &Caller, query: &str) -> Response {
    let answer = ask(caller, "GET", &format!("/v1/users{query}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn items(answer: &Response) -> Vec<Value> {
    answer.json()["items"].as_array().expect("items").clone()
}

fn names(answer: &Response) -> Vec<String> {
    let mut names: Vec<_> = items(answer).iter().map(|user| text(user, "email")).collect();
    names.sort_unstable();
    names
}

/// Exactly the people of the team, by session and by key; each as who they are there.
#[test]
fn a_team_sees_its_own_people() {
    let world = World::new();
    let ours = ["admin@example.com", "ana@example.com", "both@example.com", "vic@example.com"];
    let theirs = ["both@example.com", "eve@example.com", "otto@example.com"];
    let key = post(&world.ana, "/v1/api-keys", &json!({ "name": "k", "scopes": ["member:read"] }));
    assert_eq!(key.status, 201, "{key:?}");
    let key = world.program.admin().key(&text(&key.json(), "key"));
    for (caller, people, team) in [
        (&world.ana, &ours[..], &world.team),
        (&world.otto, &theirs, &world.other),
        (&key, &ours, &world.team),
    ] {
        let all = users(caller, "");
        assert_eq!(names(&all), people);
        for user in items(&all) {
            let held = user["memberships"].as_array().expect("memberships");
            assert_eq!((held.len(), held[0]["team_id"].as_str()), (1, Some(team.as_str())), "{user}");
            let alone = ask(caller, "GET", &format!("/v1/users/{}", text(&user, "id")), None);
            assert_eq!((alone.status, alone.json()), (200, user), "the list and the person agree");
        }
        // In parts: none is empty, and none is a place where somebody hidden was.
        let (mut cursor, mut seen) = (String::new(), Vec::new());
        for _ in 0..people.len() {
            let on = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
            let part = users(caller, &format!("?limit=1{on}"));
            seen.extend(names(&part));
            assert_eq!(items(&part).len(), 1);
            cursor = part.json()["next_cursor"].as_str().unwrap_or_default().to_owned();
        }
        seen.sort_unstable();
        assert!(seen.iter().eq(people) && cursor.is_empty(), "{seen:?}");
    }
    // Who reads no members there, reads none; themselves they know.
    let vic = world.caller("vic");
    assert_eq!(vic.verdict("/v1/users"), "403 scope_insufficient");
    assert_eq!(vic.verdict(&format!("/v1/users/{}", world.id("vic"))), "200");
    // The operator, who is in no team, sees everybody.
    let all = world.program.cli(&["users", "list"]).json();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(6));
    let both = world.program.cli(&["users", "show", "both@example.com"]).json();
    assert_eq!(both["memberships"].as_array().map(Vec::len), Some(2));
}

/// People elsewhere are not there: not by id, by address, by another's cursor, or by what somebody else is told.
#[test]
fn people_elsewhere_are_not_there() {
    let world = World::new();
    for hidden in ["eve", "otto"] {
        let path = format!("/v1/users/{}", world.id(hidden));
        for (method, body) in [
            ("GET", None),
            ("PATCH", Some(json!({ "name": "x" }))),
            ("PATCH", Some(json!({ "active": false }))),
            ("DELETE", None),
        ] {
            assert_eq!(ask(&world.ana, method, &path, body.as_ref()).verdict(), "404 not_found", "{method}");
        }
        let nobody = users(&world.ana, "?email=nobody@example.com").text();
        assert_eq!(users(&world.ana, &format!("?email={hidden}@example.com")).text(), nobody);
    }
    assert_eq!(names(&users(&world.ana, "?email=BOTH@example.com")), ["both@example.com"]);
    // A cursor is its caller's.
    let theirs = users(&world.otto, "?limit=1").json();
    let cursor = theirs["next_cursor"].as_str().expect("a cursor");
    let answer = ask(&world.ana, "GET", &format!("/v1/users?limit=1&cursor={cursor}"), None);
    assert_eq!(answer.verdict(), "422 invalid_field");
    for cursor in ["x", "00000000-0000-7000-8000-00000000000g", "' OR 1=1 --"] {
        let answer =
            ask(&world.ana, "GET", &format!("/v1/users?cursor={}", cursor.replace(' ', "%20")), None);
        assert_eq!(answer.status, 422, "{cursor}: {answer:?}");
    }
}

/// Who acts in one team adds people there, named or not, and nowhere else.
#[test]
fn people_are_added_to_the_team_that_one_acts_in() {
    let world = World::new();
    let new = |number: usize, team: Option<&str>| {
        let mut new = json!({ "email": format!("new{number}@example.com"), "name": "New", "role": "viewer" });
        if let Some(team) = team {
            new["team_id"] = team.into();
        }
        post(&world.ana, "/v1/users", &new)
    };
    let made = [new(0, None), new(1, Some(&world.team))];
    for made in made {
        assert_eq!(made.status, 201, "{made:?}");
        let held = json!([{ "team_id": world.team, "role": "viewer" }]);
        assert_eq!(made.json()["memberships"], held);
    }
    assert_eq!(new(2, Some(&world.other)).verdict(), "404 not_found");
    assert_eq!(world.program.site.count("users WHERE email = 'new2@example.com'"), 0);
}
