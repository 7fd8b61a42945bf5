//! The second page of signing in, as bytes.

use std::time::Duration;

use latchgate::control::service::{Caller as By, InviteTo, NewInvitation};

use super::visitor::{Visitor, hidden, mailed};
use crate::support::{
    authenticator::{App, enrolled},
    gateway::Gateway,
    program::{PASSWORD, Site},
    rawc::Response,
    rawup::Upstream,
    setup::Setup,
};

const ANA: &str = "ana@example.com";
const PAGE: &str = "/.latchgate/sign-in";
const COOKIE: &str = "__Host-latchgate";
const STEP: Duration = Duration::from_secs(30);

/// A gateway with Ana on it, whose app and recovery codes these are.
fn house() -> (Gateway, App, Vec<String>) {
    house_before(&Upstream::echo())
}

fn house_before(upstream: &Upstream) -> (Gateway, App, Vec<String>) {
    let site = Site::new(Setup::offload(upstream).mail());
    site.user(ANA, "viewer", None);
    let gateway = Gateway::start(site);
    let (app, codes) = enrolled(&gateway.session(ANA).at(gateway.admin()), gateway.clock.now());
    gateway.clock.advance(STEP);
    (gateway, app, codes)
}

/// The first page, filled in rightly.
fn first(visitor: &Visitor, page: &str) -> Response {
    visitor.submit(page, &[("email", ANA), ("password", PASSWORD)])
}

/// Sends the form of the page that `answer` is, with these fields.
fn second(visitor: &Visitor, answer: &Response, fields: &[(&str, &str)]) -> Response {
    let hidden = hidden(&answer.text());
    let all: Vec<(&str, &str)> = hidden
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(fields.iter().copied())
        .collect();
    visitor.post(PAGE, &[], &all)
}

/// The password first, then a code, then where somebody wanted to go; the password is not sent back.
#[test]
fn a_code_is_asked_for_on_a_page_of_its_own() {
    let upstream = Upstream::echo();
    let (gateway, app, codes) = house_before(&upstream);
    let visitor = Visitor::at(gateway.door());
    let asked = first(&visitor, "/.latchgate/sign-in?return_to=/any/x%3Fy=1");
    let html = asked.text();
    assert_eq!((asked.status, asked.header("cache-control")), (200, Some("no-store")), "{html}");
    for part in
        ["autocomplete=\"one-time-code\"", "inputmode=\"numeric\"", "name=\"recovery_code\"", "/any/x?y=1"]
    {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(!html.contains(PASSWORD) && !html.contains(ANA), "{html}");
    assert_eq!(visitor.cookie(COOKIE), None, "nobody is signed in yet");
    assert_eq!(visitor.get("/any/x").status, 303);

    let missing = second(&visitor, &asked, &[("code", " "), ("recovery_code", "")]);
    assert_eq!(missing.status, 422);
    let wrong = second(&visitor, &missing, &[("code", &app.wrong_code(gateway.clock.now()))]);
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.text().contains("role=\"alert\"") && wrong.text().contains("The code is wrong"),
        "{}",
        wrong.text()
    );
    assert_eq!(visitor.cookie(COOKIE), None);
    let done = second(&visitor, &wrong, &[("code", &app.code(gateway.clock.now())), ("recovery_code", "")]);
    assert_eq!((done.status, done.header("location")), (303, Some("/any/x?y=1")));
    assert_eq!(visitor.get("/any/x").status, 200);

    let other = Visitor::at(gateway.door());
    let asked = first(&other, PAGE);
    let again = second(&other, &asked, &[("code", &app.code(gateway.clock.now()))]);
    assert_eq!(again.status, 401, "each code once");
    let done = second(&other, &asked, &[("code", ""), ("recovery_code", &codes[0])]);
    assert_eq!((done.status, done.header("location")), (303, Some(PAGE)));
    // A wrong password is answered as ever.
    let stranger = Visitor::at(gateway.door());
    let refused = stranger.submit(PAGE, &[("email", ANA), ("password", "not the right password")]);
    assert!(refused.status == 401 && refused.text().contains("e-mail address or the password is wrong"));
}

/// What lies between the two pages is worth nothing by itself, in another browser, later, or once the password is
/// another one.
#[test]
fn half_a_sign_in_is_none() {
    let (gateway, app, codes) = house();
    let visitor = Visitor::at(gateway.door());
    let asked = first(&visitor, PAGE);
    let halfway = hidden(&asked.text()).into_iter().find(|(name, _)| name == "halfway").expect("it").1;
    for door in [gateway.door(), gateway.admin()] {
        for token in [halfway.clone(), format!("lgs_{}", &halfway[..43])] {
            let by_cookie = door.cookie(&format!("{COOKIE}={token}")).get("/v1/session");
            let by_header = door.bearer(&token).get("/any/x");
            assert!(by_cookie.status >= 400 && by_header.status >= 400, "{by_cookie:?} {by_header:?}");
        }
    }
    // Another browser, with a form of its own.
    let thief = Visitor::at(gateway.door());
    let page = thief.get(PAGE);
    let code = app.code(gateway.clock.now());
    let stolen = second(&thief, &page, &[("halfway", &halfway), ("code", &code)]);
    assert_eq!(stolen.status, 403, "{}", stolen.text());
    // The same browser, without its form's token; and with something of another making.
    let bare = visitor.post(PAGE, &[], &[("halfway", &halfway), ("code", &code)]);
    assert_eq!(bare.status, 403);
    let page = visitor.get(PAGE);
    for odd in ["x", "!", &halfway[1..], &halfway[..halfway.len() - 4]] {
        assert_eq!(second(&visitor, &page, &[("halfway", odd), ("code", &code)]).status, 403, "{odd}");
    }
    assert_eq!((visitor.cookie(COOKIE), thief.cookie(COOKIE)), (None, None));
    // Too late.
    gateway.clock.advance(STEP * 10);
    let late = second(&visitor, &asked, &[("code", &app.code(gateway.clock.now()))]);
    assert!(late.status == 403 && late.text().contains("took too long"), "{}", late.text());
    // Another password since.
    let asked = first(&visitor, PAGE);
    let set = ["users", "set-password", ANA, "--password-stdin"];
    gateway.site.cli_with(&set, "another horse, another battery\n").ok();
    let over = second(&visitor, &asked, &[("code", &app.code(gateway.clock.now()))]);
    assert!(over.status == 401 && over.text().contains("password is wrong"), "{}", over.text());
    gateway.site.cli_with(&set, &format!("{PASSWORD}\n")).ok();
    // Deactivated since.
    let asked = first(&visitor, PAGE);
    gateway.site.cli(&["users", "deactivate", ANA]).ok();
    let over = second(&visitor, &asked, &[("code", &app.code(gateway.clock.now()))]);
    assert_eq!(over.status, 401, "{}", over.text());
    assert_eq!(visitor.cookie(COOKIE), None);
    gateway.site.cli(&["users", "activate", ANA]).ok();
    let asked = first(&visitor, PAGE);
    assert_eq!(second(&visitor, &asked, &[("recovery_code", &codes[0])]).status, 303);
}

/// Codes are guessed no faster on the page.
#[test]
fn guessing_on_the_page_is_slow() {
    let (gateway, app, _) = house();
    let visitor = Visitor::at(gateway.door());
    let mut asked = first(&visitor, PAGE);
    for n in 0..10 {
        asked = second(&visitor, &asked, &[("code", &app.wrong_code(gateway.clock.now()))]);
        assert_eq!(asked.status, 401, "{n}");
    }
    let slowed = second(&visitor, &asked, &[("code", &app.code(gateway.clock.now()))]);
    assert_eq!((slowed.status, slowed.header("retry-after")), (429, Some("60")));
    assert_eq!(first(&Visitor::at(gateway.door()), PAGE).status, 429);
}

/// Whoever is invited and has a second factor signs in first, and comes back to the invitation.
#[test]
fn an_invitation_waits_for_the_code() {
    let (gateway, app, _) = house();
    gateway.site.cli(&["teams", "create", "--org", "default", "--name", "Second"]).ok();
    let to = InviteTo::Team("second".into());
    let new = NewInvitation { to, email: ANA.into(), role: Some("viewer".into()), message: None };
    gateway.control(async |control| control.invite(&By::Operator, &new).await.map(drop)).expect("invited");
    let link = mailed(&gateway.site, ANA);
    let visitor = Visitor::at(gateway.door());
    let sent = visitor.submit(&link, &[("password", PASSWORD)]);
    let place = sent.header("location").expect("sent on").to_owned();
    assert!(sent.status == 303 && place.starts_with("/.latchgate/sign-in?note=code&return_to="), "{sent:?}");
    let asked = first(&visitor, &place);
    let back = second(&visitor, &asked, &[("code", &app.code(gateway.clock.now()))]);
    assert_eq!((back.status, back.header("location")), (303, Some(&*link)));
    assert_eq!(gateway.site.count("memberships"), 2);
    assert_eq!(visitor.submit(&link, &[]).status, 303);
    assert_eq!(gateway.site.count("memberships"), 3);
}
