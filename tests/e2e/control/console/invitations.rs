//! The page behind the link of an invitation.

use super::visitor::{Visitor, hidden, mailed};
use crate::support::{
    program::{ADMIN, PASSWORD, Program, Site},
    rawup::Upstream,
    setup::Setup,
};

const SESSION: &str = "__Host-latchgate";

fn served() -> (Program, Upstream) {
    let upstream = Upstream::echo();
    (Site::new(Setup::offload(&upstream).mail()).serve(), upstream)
}

/// Invites as operator; the path of the link in the mail.
fn invited(program: &Program, email: &str, role: &str) -> String {
    program.cli(&["invitations", "create", "--email", email, "--role", role]).ok();
    mailed(&program.site, email)
}

/// `R000_07`: the link shows who invites whom, a form makes the account, and whoever made it is signed in.
#[test]
fn the_link_in_the_mail_leads_in() {
    let (program, upstream) = served();
    let link = invited(&program, "nina@example.com", "security_analyst");
    let visitor = Visitor::at(program.gateway());
    let page = visitor.get(&link);
    assert_eq!(page.status, 200);
    for part in ["nina@example.com", "operator", "Security Analyst", "A new password", "Your name"] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    assert_eq!(page.header("referrer-policy"), Some("same-origin"), "the link is told to nobody");
    // To look is not to accept.
    assert_eq!(program.site.count("users WHERE email = 'nina@example.com'"), 0);

    let short = visitor.submit(&link, &[("name", "Nina"), ("password", "too short")]);
    assert_eq!(short.status, 422);
    assert!(
        short.text().contains("id=\"password-wrong\"") && short.text().contains("value=\"Nina\""),
        "{}",
        short.text()
    );
    assert!(!short.text().contains("too short\""), "the password comes back");

    let done = visitor.submit(&link, &[("name", "Nina"), ("password", PASSWORD)]);
    assert_eq!((done.status, done.header("location")), (303, Some("/.latchgate/sign-in")));
    let home = visitor.get("/.latchgate/sign-in").text();
    assert!(home.contains("You are signed in") && home.contains("Nina"), "{home}");
    assert_eq!(visitor.get("/any/x").status, 200);
    assert_eq!(upstream.last().header("x-role"), Some("security_analyst"));

    let again = Visitor::at(program.gateway()).get(&link);
    assert_eq!(again.status, 401, "the link works once");
    assert!(again.text().contains("<h1>"), "and says so on a page");
    for nobody in ["", "?token=", "?token=x", "?token=lgi_0123456789012345678901234567890123456789012"] {
        let answer = Visitor::at(program.gateway()).get(&format!("/.latchgate/invitations/accept{nobody}"));
        assert_eq!(answer.status, 401, "{nobody}");
    }
    assert!(!program.everything_written().contains(PASSWORD));
}

/// An account that exists proves itself, by its password or by its session; nobody else's session does.
#[test]
fn whoever_has_an_account_proves_it() {
    let (program, _upstream) = served();
    program.cli(&["teams", "create", "--org", "default", "--name", "Second"]).ok();
    let create = ["users", "create", "--email", "ana@example.com", "--name", "Ana", "--org", "default"];
    let more = ["--team-id", "default", "--role", "viewer", "--password-stdin"];
    program.site.cli_with(&[create.as_slice(), more.as_slice()].concat(), &format!("{PASSWORD}\n")).ok();
    let to_second = |email: &str| {
        let invite = ["invitations", "create", "--email", email, "--role", "viewer", "--team-id", "second"];
        program.cli(&invite).ok();
        mailed(&program.site, email)
    };
    let link = to_second("ana@example.com");
    let visitor = Visitor::at(program.gateway());
    let page = visitor.get(&link).text();
    assert!(page.contains("Password of your account") && !page.contains("Your name"), "{page}");
    assert_eq!(visitor.submit(&link, &[("password", "not that one at all")]).status, 401);
    assert_eq!(visitor.submit(&link, &[("password", "")]).status, 422);
    assert_eq!(visitor.cookie(SESSION), None);
    assert_eq!(visitor.submit(&link, &[("password", PASSWORD)]).status, 303);
    assert!(visitor.cookie(SESSION).is_some());

    // With their session, nothing is left to prove; with another's, everything is.
    let link = to_second(ADMIN);
    let page = visitor.get(&link).text();
    assert!(page.contains("Password of your account"), "{page}");
    let admin = Visitor::at(program.gateway());
    admin.submit("/.latchgate/sign-in", &[("email", ADMIN), ("password", PASSWORD)]);
    let page = admin.get(&link).text();
    assert!(
        page.contains("You are signed in with this address.") && !page.contains("type=\"password\""),
        "{page}"
    );
    assert_eq!(admin.submit(&link, &[]).status, 303);
    assert_eq!(program.site.count("invitations WHERE accepted_at IS NOT NULL"), 2);
}

/// L303: nobody else's form accepts anything.
#[test]
fn a_form_of_another_site_accepts_nothing() {
    let (program, _upstream) = served();
    let link = invited(&program, "nina@example.com", "viewer");
    let visitor = Visitor::at(program.gateway());
    let html = visitor.get(&link).text();
    let field = |name: &str| hidden(&html).into_iter().find(|(known, _)| known == name).expect("a field").1;
    let (csrf, token) = (field("csrf"), field("token"));
    let post = |visitor: &Visitor, headers: &[(&str, &str)], csrf: &str| {
        let fields = [("token", token.as_str()), ("name", "Nina"), ("password", PASSWORD), ("csrf", csrf)];
        visitor.post("/.latchgate/invitations/accept", headers, &fields).status
    };
    assert_eq!(post(&visitor, &[("Origin", "https://evil.example")], &csrf), 403);
    assert_eq!(post(&visitor, &[("Sec-Fetch-Site", "cross-site")], &csrf), 403);
    assert_eq!(post(&visitor, &[], "x"), 403);
    assert_eq!(post(&Visitor::at(program.gateway()), &[], &csrf), 403);
    assert_eq!(program.site.count("users WHERE email = 'nina@example.com'"), 0);
    assert_eq!(post(&visitor, &[("Origin", "http://gw")], &csrf), 303);
}

/// L307, L316: what the inviter and the organization are called is text.
#[test]
fn names_on_the_page_are_text() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream).mail());
    let payload = "<script>alert(1)</script>\"'>";
    site.cli(&["orgs", "update", "default", "--name", payload]).ok();
    site.cli(&["teams", "update", "default", "--name", payload]).ok();
    let program = site.serve();
    let link = invited(&program, "nina@example.com", "viewer");
    let html = Visitor::at(program.gateway()).get(&link).text();
    assert!(html.contains("&#60;script") && !html.contains("<script"), "{html}");
}
