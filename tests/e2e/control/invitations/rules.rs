//! Who may invite whom, to which domain, how often, for how long.

use std::{fmt::Write as _, thread, time::Duration};

use latchgate::{
    control::service::{Caller as By, NewUser},
    domain::{profile::Profile, role::Level},
};
use serde_json::json;

use super::{World, accept, post};
use crate::support::{
    program::{PASSWORD, Site},
    request::Caller,
    setup::Setup,
};

const HOUR: Duration = Duration::from_secs(3600);
const MICROSECOND: Duration = Duration::from_micros(1);

/// E167, R000_05, R000_06, R003_06, and who may in the other profiles: every role invites and promotes to every role. The
/// table is kept beside this file.
#[test]
fn who_may_invite_and_promote_whom() {
    let mut table = String::new();
    for (name, text) in Profile::SHIPPED {
        let profile = Profile::parse(text, name).expect("a profile");
        let world = World::new(Setup::bare(name).set("invitations.per_hour", 1000));
        let mut roles: Vec<Option<String>> =
            profile.roles.iter().map(|role| Some(role.name.to_string())).collect();
        if profile.members.role_optional {
            roles.push(None);
        }
        let level = |role: &Option<String>| {
            role.as_ref().and_then(|role| profile.roles.get(role)).map_or(Level::Org, |role| role.level)
        };
        world.person("target", roles[0].as_deref());
        let target = world.id("target");
        writeln!(table, "{name}").expect("a line");
        for by in &roles {
            let word = |role: &Option<String>| role.clone().unwrap_or_else(|| "none".to_owned());
            let caller = world.person(&format!("is-{}", word(by).replace('_', "-")), by.as_deref());
            for role in &roles {
                let place = world.place(level(role) == Level::Team);
                let new = json!({ "email": "new@example.com", "role": role });
                let invited = post(&caller, &format!("{place}/invitations"), &new);
                let member = format!("{place}/members/{target}");
                let promoted = caller.request("PUT", &member).header("Content-Type", "application/json");
                let promoted = promoted.body(json!({ "role": role }).to_string()).send();
                writeln!(
                    table,
                    "  {:<20} invites {:<20} {:<24} promotes {}",
                    word(by),
                    word(role),
                    invited.verdict(),
                    promoted.verdict()
                )
                .expect("a line");
                if promoted.status == 200 {
                    world.set_role("target", level(role), roles[0].as_deref(), level(&roles[0]));
                }
            }
        }
    }
    println!("{table}");
    insta::assert_snapshot!("who_may_invite_and_promote_whom", table);
}

/// R000_08, E171: only exact domains of the list, however they are spelled; nothing that merely ends, begins or looks
/// like one.
#[test]
fn only_the_allowed_domains_are_invited() {
    let domains = vec![toml::Value::from("OK.example"), "bücher.example".into()];
    let world = World::new(Setup::bare("offload").set("invitations.allowed_domains", domains));
    let ada = world.person("ada", Some("admin"));
    let path = format!("{}/invitations", world.place(true));
    for right in [
        "a@ok.example",
        "A.B+c@Ok.Example",
        "a@bücher.example",
        "a@xn--bcher-kva.example",
        "a@BÜCHER.example",
    ] {
        let answer = post(&ada, &path, &json!({ "email": right, "role": "viewer" }));
        assert_eq!(answer.status, 201, "{right}: {answer:?}");
    }
    let made = world.gateway.site.count("invitations");
    for wrong in [
        "a@evil.example",
        "a@sub.ok.example",
        "a@notok.example",
        "a@ok.example.evil.example",
        "a@ok.example@evil.example",
        "a@evil.example@ok.example",
        "\"a@evil.example\"@ok.example",
        "a@ok.example\n",
        "a@ok.example\r\nBcc: b@evil.example",
        "a@ok.example,b@evil.example",
        "a@ok.example b@evil.example",
        "<a@ok.example>",
        "a@ok.example.",
        "a@ok.example\u{0}",
        "a@оk.example",
        "a@ok\u{3002}example",
        "a@ok.example\u{200b}",
        "a@ok.example%00@evil.example",
        "a%40evil.example@evil.example",
        "a@xn--bcher-kvb.example",
        "a@[127.0.0.1]",
        "@ok.example",
        "a@",
        "",
    ] {
        let answer = post(&ada, &path, &json!({ "email": wrong, "role": "viewer" }));
        // White space around an address is no part of it.
        if wrong.trim() == "a@ok.example" {
            assert_eq!(answer.status, 201, "{wrong:?}: {answer:?}");
            continue;
        }
        assert_eq!(answer.verdict(), "422 invalid_field", "{wrong:?}: {}", answer.text());
        assert_eq!(answer.json()["errors"][0]["field"], json!("email"), "{wrong:?}");
    }
    assert_eq!(world.gateway.site.count("invitations"), made + 1);
    // The operator and the makers of organizations are bound too.
    let org = ["orgs", "create", "--name", "New", "--admin-email", "a@evil.example"];
    let refused = world.gateway.site.cli(&org);
    assert!(refused.code == 2 && refused.stderr.contains("--admin-email"), "{refused:?}");
}

/// E171, R000_09: twenty in a rolling hour; the 21st is 429 with the time to wait, and passes when the first is an hour old.
#[test]
fn twenty_in_a_rolling_hour() {
    let world = World::new(Setup::bare("offload").set("sessions.idle", "12h"));
    let ada = world.person("ada", Some("admin"));
    let path = format!("{}/invitations", world.place(true));
    let invite = |caller: &Caller, number: u32| {
        post(caller, &path, &json!({ "email": format!("p{number}@example.com"), "role": "viewer" }))
    };
    for number in 0..20 {
        assert_eq!(invite(&ada, number).status, 201, "{number}");
        world.gateway.clock.advance(Duration::from_secs(1));
    }
    let refused = invite(&ada, 20);
    assert_eq!(refused.verdict(), "429 rate_limited", "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("3580"));
    // Taking one back is no way to send another.
    let list = ada.get(&path).json();
    let first = format!("/v1/invitations/{}", list["items"][0]["id"].as_str().expect("an id"));
    assert_eq!(ada.request("DELETE", &first).send().status, 204);
    assert_eq!(invite(&ada, 21).verdict(), "429 rate_limited");
    let bea = world.person("bea", Some("security_manager"));
    assert_eq!(invite(&bea, 22).status, 201, "each has an hour of their own");
    world.gateway.clock.advance(Duration::from_secs(3580).saturating_sub(MICROSECOND));
    assert_eq!(invite(&ada, 23).verdict(), "429 rate_limited");
    world.gateway.clock.advance(MICROSECOND);
    assert_eq!(invite(&ada, 24).status, 201);
    assert_eq!(invite(&ada, 25).verdict(), "429 rate_limited");
    world.gateway.clock.advance(HOUR);

    let callers: Vec<_> = (0..25)
        .map(|number| {
            let (ada, path) = (ada.clone(), path.clone());
            thread::spawn(move || {
                let new = json!({ "email": format!("q{number}@example.com"), "role": "viewer" });
                post(&ada, &path, &new).verdict()
            })
        })
        .collect();
    let mut verdicts: Vec<_> = callers.into_iter().map(|caller| caller.join().expect("an answer")).collect();
    verdicts.sort_unstable();
    assert_eq!((verdicts[19].as_str(), verdicts[20].as_str()), ("201", "429 rate_limited"), "{verdicts:?}");
}

/// R000_09: a team that is deleted takes its invitations along, and gives nobody a fresh hour.
#[test]
fn deleting_a_team_is_no_way_to_invite_more() {
    let url = "file:outbox";
    let setup = Setup::bare("offload").set("mail.url", url).set("mail.from", "Gate <gate@example.com>");
    let program = Site::new(setup.set("invitations.per_hour", 1)).serve();
    let first = program.site.team();
    let second = program.cli(&["teams", "create", "--name", "Second"]).json()["id"].clone();
    let second = second.as_str().expect("a team");
    program.site.user("ada@example.com", "admin", Some(&first));
    program.cli(&["users", "set-role", "ada@example.com", "--role", "admin", "--team-id", second]).json();
    let ada = program.admin().bearer(&program.admin().token("ada@example.com"));
    let invite = |team: &str, email: &str| {
        let chosen = ada.request("PUT", "/v1/session/team").header("Content-Type", "application/json");
        assert_eq!(chosen.body(json!({ "team_id": team }).to_string()).send().status, 200);
        post(&ada, &format!("/v1/teams/{team}/invitations"), &json!({ "email": email, "role": "viewer" }))
            .verdict()
    };
    assert_eq!(invite(second, "one@example.com"), "201");
    assert_eq!(invite(&first, "two@example.com"), "429 rate_limited");
    program.cli(&["teams", "delete", second, "--yes"]);
    let back = program.admin().bearer(&program.admin().token("ada@example.com"));
    let path = format!("/v1/teams/{first}/invitations");
    let again = post(&back, &path, &json!({ "email": "two@example.com", "role": "viewer" }));
    assert_eq!(again.verdict(), "429 rate_limited");
}

/// R000_10: a link lives seven days to the microsecond, or as long as the configuration says; a new one works.
#[test]
fn a_link_ends_after_seven_days() {
    for (setup, life) in [
        (Setup::bare("offload"), HOUR * 24 * 7),
        (Setup::bare("offload").set("invitations.expires", "90m"), HOUR + HOUR / 2),
    ] {
        let world = World::new(setup);
        world.invite("nina@example.com", "viewer", Some("default"));
        let old = world.token("nina@example.com");
        world.gateway.clock.advance(life);
        let refused = accept(world.gateway.admin(), &old);
        assert_eq!(refused.verdict(), "401 credential_expired");
        assert!(refused.text().contains("expired"), "{}", refused.text());
        world.invite("nina@example.com", "viewer", Some("default"));
        let new = world.token("nina@example.com");
        world.gateway.clock.advance(life.saturating_sub(MICROSECOND));
        assert_eq!(accept(world.gateway.admin(), &old).verdict(), "401 credential_expired", "for ever");
        assert_eq!(accept(world.gateway.admin(), &new).status, 200);
        assert_eq!(world.gateway.admin().sign_in("nina@example.com", PASSWORD).status, 200);
    }
}

/// What was true at the invitation is judged again: who was demoted, stopped or removed has invited nobody.
#[test]
fn an_invitation_is_worth_what_its_inviter_is() {
    let world = World::new(Setup::bare("offload"));
    world.person("bea", Some("admin"));
    for (end, verdict) in [
        ("demote", "403 forbidden"),
        ("lower", "403 forbidden"),
        ("stop", "403 forbidden"),
        ("remove", "403 forbidden"),
        ("nothing", "200"),
    ] {
        let name = format!("ada-{end}");
        let ada = world.person(&name, Some("admin"));
        let path = format!("{}/invitations", world.place(true));
        let email = format!("nina-{end}@example.com");
        assert_eq!(post(&ada, &path, &json!({ "email": email, "role": "admin" })).status, 201);
        let token = world.token(&email);
        let inviter = format!("{name}@example.com");
        world.gateway.control(async |control| {
            let by = &By::Operator;
            let done = match end {
                "demote" => control.set_role(by, &inviter, Some("default"), Some("viewer")).await.map(drop),
                "lower" => {
                    control.set_role(by, &inviter, Some("default"), Some("security_manager")).await.map(drop)
                }
                "stop" => control.set_user_active(by, &inviter, false).await.map(drop),
                "remove" => {
                    control.remove_user(by, &inviter).await.expect("removed");
                    // Case 368: somebody else at the same address is somebody else.
                    let again = NewUser {
                        email: inviter.clone(),
                        name: "Ada".into(),
                        role: Some("admin".into()),
                        ..NewUser::default()
                    };
                    control.create_user(by, &again).await.map(drop)
                }
                _ => Ok(()),
            };
            done.expect(end);
        });
        let answer = accept(world.gateway.admin(), &token);
        assert_eq!(answer.verdict(), verdict, "{end}: {}", answer.text());
    }
}
