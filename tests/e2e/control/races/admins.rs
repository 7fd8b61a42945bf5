//! The last administrators of a place, leaving at the same moment (case 168).

use latchgate::control::service::{Caller as By, NewGroup};
use serde_json::{Value, json};

use super::{Change, ask, at_once, person, refused, remove, request, whole_trail, without_the_first, worked};
use crate::support::{gateway::Gateway, program::Site, request::Caller, setup::Setup};

/// A place with its administrators' role and a lower one.
struct Place {
    gateway: Gateway,
    /// Where members are.
    members: String,
    /// What only an administrator may change.
    itself: String,
    highest: &'static str,
    lower: Option<&'static str>,
}

impl Place {
    fn new(profile: &str, highest: &'static str, lower: Option<&'static str>) -> Self {
        let gateway = Gateway::start(Site::new(Setup::bare(profile).mail()));
        without_the_first(&gateway);
        let itself = if profile == "offload" {
            format!("/v1/teams/{}", gateway.site.team())
        } else {
            "/v1/org".to_owned()
        };
        Self { gateway, members: format!("{itself}/members"), itself, highest, lower }
    }

    /// The ways in which somebody stops being an administrator.
    fn ends(&self, id: &str) -> Vec<Change> {
        let mut ends = vec![
            ("DELETE", format!("{}/{id}", self.members), Value::Null),
            ("PATCH", format!("/v1/users/{id}"), json!({ "active": false })),
            ("DELETE", format!("/v1/users/{id}"), Value::Null),
        ];
        if let Some(lower) = self.lower {
            ends.push(("PATCH", format!("{}/{id}", self.members), json!({ "role": lower })));
        }
        ends
    }

    /// Whether they may still do what administrators alone may.
    fn administers(&self, caller: &Caller) -> bool {
        worked(&ask(caller, "PATCH", &self.itself, json!({ "name": "Renamed" })))
    }
}

/// Two administrators, and every pair of ways in which each of them ends the other or themselves, at once.
fn two_who_leave(profile: &str, highest: &'static str, lower: Option<&'static str>) -> usize {
    let place = Place::new(profile, highest, lower);
    let gateway = &place.gateway;
    let ways = place.ends("").len();
    let mut rounds = 0;
    for (first, second) in (0..2 * ways).flat_map(|first| (0..2 * ways).map(move |second| (first, second))) {
        let names = [format!("ana{rounds}"), format!("bob{rounds}")];
        let (ana, as_ana) = person(gateway, &names[0], Some(place.highest));
        let (bob, as_bob) = person(gateway, &names[1], Some(place.highest));
        // The first half of the numbers is themselves, the second the other.
        let (mine, theirs) = (first < ways, second < ways);
        let by_ana = place.ends(if mine { &ana } else { &bob })[first % ways].clone();
        let by_bob = place.ends(if theirs { &bob } else { &ana })[second % ways].clone();
        let answers = at_once(gateway, &request(&as_ana, &by_ana), &request(&as_bob, &by_bob));
        let told = || format!("{profile}: {by_ana:?} and {by_bob:?}: {answers:?}");
        let done = answers.iter().filter(|answer| worked(answer)).count();
        assert!(answers.iter().all(|answer| worked(answer) || refused(answer)), "{}", told());
        let left = [&as_ana, &as_bob].into_iter().filter(|caller| place.administers(caller)).count();
        assert_eq!(left, 1, "{}", told());
        if mine == theirs {
            // Each would leave one behind, both together nobody.
            assert_eq!(done, 1, "{}", told());
        }
        if mine && theirs {
            assert!(answers.iter().any(|answer| answer.verdict() == "409 conflict"), "{}", told());
        }
        let alone = if place.administers(&as_ana) { (&as_ana, &ana) } else { (&as_bob, &bob) };
        for change in place.ends(alone.1) {
            let refused = request(alone.0, &change).send();
            assert_eq!(refused.verdict(), "409 conflict", "the one who is left: {change:?}");
        }
        remove(gateway, &[&names[0], &names[1]]);
        rounds += 1;
    }
    whole_trail(gateway);
    rounds
}

/// In a team, where the highest role is held in teams.
#[test]
fn a_team_keeps_an_administrator() {
    assert_eq!(two_who_leave("offload", "admin", Some("viewer")), 64);
}

/// E168: in an organization.
#[test]
fn an_organization_keeps_an_owner() {
    assert_eq!(two_who_leave("reducto", "owner", Some("member")), 64);
}

/// A platform's highest role, which is held in the organization while all others are held in teams.
#[test]
fn a_platform_keeps_a_super_admin() {
    assert_eq!(two_who_leave("trustedoss", "super_admin", None), 36);
}

/// An administrator by a group is one: each of two may go, also where the group goes, and the last may not.
#[test]
fn groups_make_administrators_too() {
    let place = Place::new("cortex", "instance_admin", None);
    let gateway = &place.gateway;
    let mut rounds = 0;
    for first in 0..10 {
        for second in 4..10 {
            let names = [format!("ana{rounds}"), format!("bob{rounds}")];
            let directly = (first < 4).then_some(place.highest);
            let (ana, as_ana) = person(gateway, &names[0], directly);
            let (bob, as_bob) = person(gateway, &names[1], None);
            let group = |name: &str| {
                let group = format!("of {name}");
                let new = NewGroup { org: None, name: group.clone(), roles: vec!["account_admin".into()] };
                gateway.control(async |control| {
                    let id = control.create_group(&By::Operator, &new).await.expect("a group").id;
                    let email = format!("{name}@example.com");
                    control.add_to_group(&By::Operator, &group, &email).await.expect("a member");
                    id.to_string()
                })
            };
            let groups = [directly.is_none().then(|| group(&names[0])), Some(group(&names[1]))];
            let ends = |number: usize, id: &str, group: Option<&String>| -> Change {
                match number {
                    0 => ("PATCH", format!("/v1/org/members/{id}"), json!({ "role": "cli" })),
                    1 | 4 => ("DELETE", format!("/v1/org/members/{id}"), Value::Null),
                    2 | 5 => ("PATCH", format!("/v1/users/{id}"), json!({ "active": false })),
                    3 | 6 => ("DELETE", format!("/v1/users/{id}"), Value::Null),
                    _ => {
                        let group = group.expect("a group");
                        match number {
                            7 => ("DELETE", format!("/v1/groups/{group}/members/{id}"), Value::Null),
                            8 => ("DELETE", format!("/v1/groups/{group}"), Value::Null),
                            _ => ("PATCH", format!("/v1/groups/{group}"), json!({ "roles": ["cli"] })),
                        }
                    }
                }
            };
            let by_ana = ends(first, &ana, groups[0].as_ref());
            let by_bob = ends(second, &bob, groups[1].as_ref());
            let answers = at_once(gateway, &request(&as_ana, &by_ana), &request(&as_bob, &by_bob));
            let told = || format!("{by_ana:?} and {by_bob:?}: {answers:?}");
            let done = answers.iter().filter(|answer| worked(answer)).count();
            assert_eq!(done, 1, "{}", told());
            assert!(answers.iter().any(|answer| answer.verdict() == "409 conflict"), "{}", told());
            let left = [&as_ana, &as_bob].into_iter().filter(|caller| place.administers(caller)).count();
            assert_eq!(left, 1, "{}", told());
            remove(gateway, &[&names[0], &names[1]]);
            gateway.control(async |control| {
                for group in groups.iter().flatten() {
                    let _ = control.delete_group(&By::Operator, group).await;
                }
            });
            rounds += 1;
        }
    }
    assert_eq!(rounds, 60);
    whole_trail(gateway);
}

/// One who is being taken away uses what they still have: what they were told was done was done before, and nothing
/// works afterwards, the key that they made last included.
#[test]
fn a_demoted_super_admin_gives_nothing_any_more() {
    let place = Place::new("trustedoss", "super_admin", None);
    let gateway = &place.gateway;
    let (_, as_sam) = person(gateway, "sam", Some("super_admin"));
    let (tom, _) = person(gateway, "tom", Some("developer"));
    for round in 0..48 {
        let name = format!("sue{round}");
        let (sue, as_sue) = person(gateway, &name, Some("super_admin"));
        let last: Change = match round % 4 {
            0 => {
                let new = json!({ "name": "Own", "slug": name, "admin_email": "x@own.example" });
                ("POST", "/v1/orgs".into(), new)
            }
            1 => ("PUT", format!("/v1/org/members/{tom}"), json!({ "role": "super_admin" })),
            2 => {
                let new = json!({ "email": format!("{name}@else.example"), "role": "super_admin" });
                ("POST", "/v1/org/invitations".into(), new)
            }
            _ => ("POST", "/v1/api-keys".into(), json!({ "name": "last", "scope": "org" })),
        };
        let demotion = ("DELETE", format!("/v1/org/members/{sue}"), Value::Null);
        let [did, demoted] = at_once(gateway, &request(&as_sue, &last), &request(&as_sam, &demotion));
        assert_eq!(demoted.status, 204, "{demoted:?}");
        assert!(worked(&did) || matches!(did.status, 401 | 403 | 404), "{last:?}: {did:?}");
        let events = ask(&as_sam, "GET", "/v1/audit?limit=10", Value::Null).json();
        let events = events["items"].as_array().expect("events").clone();
        let removed = events.iter().position(|event| {
            event["event"] == "member.removed" && event["detail"]["email"] == format!("{name}@example.com")
        });
        let removed = removed.expect("the trail has it");
        // Newest first.
        let later = &events[..removed];
        let sues = |event: &Value| event["actor"] == format!("{name}@example.com");
        assert!(!later.iter().any(sues), "{last:?}: {later:?}");
        if worked(&did) && round % 4 == 3 {
            let key = gateway.admin().key(did.json()["key"].as_str().expect("a key"));
            assert_eq!(ask(&key, "GET", "/v1/org", Value::Null).verdict(), "401 credential_revoked");
        }
        assert!(refused(&request(&as_sue, &last).send()), "{last:?}");
        gateway.control(async |control| {
            // Given by one who could, tom is one now.
            let _ = control.remove_member(&By::Operator, "tom@example.com", None).await;
        });
        remove(gateway, &[&name]);
    }
    whole_trail(gateway);
}
