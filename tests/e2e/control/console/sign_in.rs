//! The pages on which people sign in and out, as bytes.

use super::visitor::{Visitor, hidden};
use crate::support::{
    program::{ADMIN, PASSWORD, Program, Site},
    rawc::Response,
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

const PAGE: &str = "/.latchgate/sign-in";
const OUT: &str = "/.latchgate/sign-out";
const COOKIE: &str = "__Host-latchgate";

fn served(change: impl FnOnce(Setup) -> Setup) -> (Program, Upstream) {
    let upstream = Upstream::echo();
    (Site::new(change(Setup::offload(&upstream))).serve(), upstream)
}

fn signs_in(visitor: &Visitor, page: &str) -> Response {
    visitor.submit(page, &[("email", ADMIN), ("password", PASSWORD)])
}

/// `R000_16`, L308: the form, its cookies, what they open, and how they end, on both ports.
#[test]
fn people_sign_in_and_out_with_a_form() {
    let (program, upstream) = served(|setup| setup);
    for door in [program.gateway(), program.admin()] {
        let visitor = Visitor::at(door);
        let page = visitor.get(PAGE);
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let form_cookie = page.header("set-cookie").expect("a cookie for the form").to_owned();
        for part in ["__Host-latchgate-form=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(form_cookie.contains(part), "{part} in {form_cookie}");
        }
        assert!(!form_cookie.contains("Domain"), "{form_cookie}");
        assert_eq!(visitor.get(PAGE).header("set-cookie"), None, "it has one");

        let done = signs_in(&visitor, "/.latchgate/sign-in?return_to=/any/x%3Fy=1");
        assert_eq!((done.status, done.header("location")), (303, Some("/any/x?y=1")));
        let session = done.header("set-cookie").expect("the session's cookie");
        for part in ["__Host-latchgate=lgs_", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(session.contains(part), "{part} in {session}");
        }
        assert_eq!(done.header("cache-control"), Some("no-store"));
        let token = visitor.cookie(COOKIE).expect("signed in");

        // What the cookie opens is the gateway's, whichever port it was got at.
        let inside = Visitor::at(program.gateway());
        inside.cookies.borrow_mut().insert(COOKIE.to_owned(), token.clone());
        assert_eq!(inside.get("/any/x").status, 200);
        let seen = upstream.last();
        assert_eq!(seen.header("x-auth-method"), Some("session"));
        assert!(seen.header("x-user-id").is_some() && seen.header("cookie").is_none());

        let home = visitor.get(PAGE).text();
        assert!(home.contains("You are signed in") && home.contains(ADMIN), "{home}");
        let left = visitor.submit(OUT, &[]);
        assert_eq!(
            (left.status, left.header("location")),
            (303, Some("/.latchgate/sign-in?note=signed-out"))
        );
        assert_eq!(visitor.cookie(COOKIE), None, "the cookie is taken away");
        assert!(visitor.get("/.latchgate/sign-in?note=signed-out").text().contains("You are signed out."));
        // And the session is over, whoever still has the cookie.
        let api = inside.send("GET", "/any/x", &[("Accept", "*/*")], None);
        assert_eq!(api.verdict(), "401 session_expired");
    }
    let everything = program.everything_written();
    assert!(!everything.contains(PASSWORD) && !everything.contains("lgs_"), "a secret was written");
    let path = PAGE.to_owned();
    let lines = program.requests_logged(&path, 8);
    assert!(lines.iter().all(|line| line["route"].is_null() || line["route"] == "admin"), "{lines:?}");
    let signed_in = [("method", "session"), ("outcome", "ok")];
    assert!(program.metric("latchgate_auth_total", &signed_in) > 1.5);
}

/// L317, L318: whoever does not get in is told one thing, whatever was wrong; the form comes back with what was typed,
/// but for the password.
#[test]
fn whoever_is_wrong_learns_nothing() {
    let (program, _upstream) = served(|setup| setup);
    let visitor = Visitor::at(program.gateway());
    let try_with = |email: &str, password: &str| {
        let answer = visitor
            .submit("/.latchgate/sign-in?return_to=/any/x", &[("email", email), ("password", password)]);
        let text = answer.text().replace(email, "E");
        let text: Vec<String> =
            text.lines().filter(|line| !line.contains("csrf")).map(str::to_owned).collect();
        (answer.status, text.join("\n"))
    };
    let wrong = try_with(ADMIN, "not the password at all");
    assert_eq!(wrong.0, 401);
    assert!(wrong.1.contains("role=\"alert\"") && wrong.1.contains("is wrong"), "{}", wrong.1);
    assert!(wrong.1.contains("value=\"/any/x\"") && wrong.1.contains("value=\"E\""), "{}", wrong.1);
    assert!(!wrong.1.contains("not the password"), "the password comes back");
    assert_eq!(try_with("nobody@example.com", "not the password at all"), wrong);

    let missing = visitor.submit(PAGE, &[("email", ""), ("password", "")]);
    assert_eq!(missing.status, 422);
    for part in ["aria-invalid=\"true\"", "href=\"#email\"", "href=\"#password\"", "Enter your password."] {
        assert!(missing.text().contains(part), "{part} in {}", missing.text());
    }
    assert_eq!(visitor.cookie(COOKIE), None);
    let failed = [("method", "session"), ("outcome", "credential_invalid")];
    assert!(program.metric("latchgate_auth_total", &failed) > 1.5);
}

/// L303: a form that another site made a browser send does nothing, whatever it looks like.
#[test]
fn a_form_of_another_site_does_nothing() {
    let (program, _upstream) = served(|setup| setup);
    let visitor = Visitor::at(program.gateway());
    let stranger = Visitor::at(program.gateway());
    let csrf = |visitor: &Visitor, page: &str| {
        let hidden = hidden(&visitor.get(page).text());
        hidden.into_iter().find(|(name, _)| name == "csrf").expect("a token").1
    };
    let (own, theirs) = (csrf(&visitor, PAGE), csrf(&stranger, PAGE));
    let of_another_page = csrf(&visitor, OUT);
    let mut wrong = Wrong::default();
    let mut refused = |what: &str, status: u16, answer: &Response| {
        wrong.unless(answer.status == status, || format!("{what}: {}", answer.status));
        wrong.unless(answer.header("location").is_none(), || format!("{what}: sent on"));
        wrong.unless(answer.fields.all("set-cookie").iter().all(|cookie| !cookie.contains("lgs_")), || {
            format!("{what}: a session")
        });
    };
    let fields = |csrf: &str| {
        [
            ("email".to_owned(), ADMIN.to_owned()),
            ("password".to_owned(), PASSWORD.to_owned()),
            ("csrf".to_owned(), csrf.to_owned()),
        ]
    };
    let post = |headers: &[(&str, &str)], csrf: &str| {
        let fields = fields(csrf);
        let pairs: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        visitor.post(PAGE, headers, &pairs)
    };
    for headers in [
        &[("Origin", "https://evil.example")][..],
        &[("Origin", "null")],
        &[("Origin", "http://gw.evil.example")],
        &[("Origin", "http://gw:81")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://gw")],
        &[("Origin", "http://gw"), ("Origin", "https://evil.example")],
    ] {
        refused(&format!("{headers:?}"), 403, &post(headers, &own));
    }
    refused("no token", 403, &post(&[], ""));
    refused("another's token", 403, &post(&[], &theirs));
    refused("another page's token", 403, &post(&[], &of_another_page));
    let other = if own.as_bytes()[20] == b'A' { "B" } else { "A" };
    let changed = format!("{}{other}{}", &own[..20], &own[21..]);
    refused("a changed token", 403, &post(&[], &changed));
    let no_cookie = Visitor::at(program.gateway());
    refused(
        "without the cookie",
        403,
        &no_cookie.post(PAGE, &[], &[("email", ADMIN), ("password", PASSWORD), ("csrf", &own)]),
    );
    for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json", ""] {
        let body = super::visitor::encoded(&[("email", ADMIN), ("password", PASSWORD), ("csrf", &own)]);
        let answer = visitor.send("POST", PAGE, &[("Content-Type", kind)], Some(&body));
        refused(kind, 415, &answer);
    }
    refused("a GET", 200, &visitor.get(&format!("{PAGE}?email={ADMIN}&password=x&csrf={own}")));
    refused("twice", 400, &visitor.send("POST", PAGE, &[], Some(&format!("csrf={own}&csrf={own}"))));
    refused("large", 413, &visitor.post(PAGE, &[], &[("csrf", &own), ("x", &"x".repeat(20_000))]));
    // The same form from a page of ours, and from what is no browser, passes.
    assert_eq!(post(&[("Origin", "http://gw"), ("Sec-Fetch-Site", "same-origin")], &own).status, 303);
    let token = visitor.cookie(COOKIE).expect("a session");
    // To look at the page that signs out does not sign out, and neither does a form of another site.
    visitor.get(OUT);
    refused(
        "signing out",
        403,
        &visitor.post(OUT, &[("Origin", "https://evil.example")], &[("csrf", &of_another_page)]),
    );
    refused("signing out with another's", 403, &visitor.post(OUT, &[], &[("csrf", &theirs)]));
    assert_eq!(visitor.get("/any/x").status, 200);
    assert_eq!(visitor.cookie(COOKIE), Some(token));
    wrong.none("a form");
}

/// L314: where a form leads on to is here, whatever was asked for.
#[test]
fn nobody_is_led_away() {
    let (program, _upstream) = served(|setup| setup);
    let mut wrong = Wrong::default();
    for place in [
        "//evil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "/\t/evil.example",
        "https:evil.example",
        "https://evil.example/",
        "///evil.example",
        "javascript:alert(1)",
        "/api/..//evil.example",
        "http://gw.evil.example",
        "/x\r\nSet-Cookie: a=b",
    ] {
        let visitor = Visitor::at(program.gateway());
        let html =
            visitor.get(&format!("{PAGE}?{}", super::visitor::encoded(&[("return_to", place)]))).text();
        wrong.unless(!html.contains("evil") && !html.contains("alert"), || format!("{place:?} on the page"));
        let done = visitor.submit(PAGE, &[("email", ADMIN), ("password", PASSWORD), ("return_to", place)]);
        wrong.unless(done.header("location") == Some(PAGE), || {
            format!("{place:?}: {:?}", done.header("location"))
        });
        wrong.unless(done.fields.all("set-cookie").len() == 1, || format!("{place:?}: another cookie"));
        let home =
            visitor.get(&format!("{PAGE}?{}", super::visitor::encoded(&[("return_to", place)]))).text();
        wrong.unless(!home.contains("evil") && !home.contains("alert"), || {
            format!("{place:?} when signed in")
        });
    }
    wrong.none("a place");
}

/// A browser is sent to sign in and comes back to what it asked for; everybody else gets 401 (`R002_11`).
#[test]
fn a_browser_without_a_session_is_sent_to_sign_in() {
    let (program, upstream) = served(|setup| {
        setup.route(
            "name = \"keys-only\"\npath = \"/keys/{*rest}\"\nupstream = \"app\"\ncredentials = [\"api_key\"]",
        )
    });
    let visitor = Visitor::at(program.gateway());
    let sent = visitor.get("/any/a%20b?c=%2F&d=e+f");
    let place = sent.header("location").expect("a place").to_owned();
    assert_eq!(sent.status, 303);
    assert_eq!(place, "/.latchgate/sign-in?return_to=/any/a%2520b%3Fc%3D%252F%26d%3De%2Bf");
    assert_eq!(sent.header("cache-control"), Some("no-store"));
    let back = signs_in(&visitor, &place);
    assert_eq!((back.status, back.header("location")), (303, Some("/any/a%20b?c=%2F&d=e+f")));
    assert_eq!(visitor.get("/any/a%20b?c=%2F&d=e+f").status, 200);
    assert_eq!(upstream.last().target, "/any/a%20b?c=%2F&d=e+f");

    visitor.submit(OUT, &[]);
    let token = "lgs_0123456789012345678901234567890123456789012";
    visitor.cookies.borrow_mut().insert(COOKIE.to_owned(), token.to_owned());
    let ended = visitor.get("/any/x");
    assert_eq!(ended.header("location"), Some("/.latchgate/sign-in?return_to=/any/x&note=expired"));
    assert!(
        visitor.get(ended.header("location").expect("a place")).text().contains("Your session has ended.")
    );

    let stranger = Visitor::at(program.gateway());
    for (method, path, accept, verdict) in [
        ("GET", "/any/x", "*/*", "401 credential_missing"),
        ("GET", "/any/x", "application/json", "401 credential_missing"),
        ("POST", "/any/x", "text/html", "401 credential_missing"),
        ("GET", "/keys/x", "text/html", "401 credential_missing"),
        ("GET", "/.latchgate/whoami", "text/html", "401 credential_missing"),
        ("GET", "/public/x", "text/html", "200"),
        ("GET", "/nothing", "text/html", "404 not_found"),
    ] {
        let answer = stranger.send(method, path, &[("Accept", accept)], None);
        assert_eq!(answer.verdict(), verdict, "{method} {path} {accept}");
    }
    let line = &program.requests_logged("/any/x", 4)[0];
    assert_eq!((line["status"].as_u64(), line["outcome"].as_str()), (Some(303), Some("credential_invalid")));
}

/// L311: a session that was there before somebody signed in is not the one that they have afterwards.
#[test]
fn signing_in_makes_a_new_session() {
    let (program, _upstream) = served(|setup| setup.set("sessions.insecure_cookie", true));
    let visitor = Visitor::at(program.gateway());
    assert_eq!(signs_in(&visitor, PAGE).status, 303);
    let old = visitor.cookie("latchgate").expect("a plain cookie");
    let page = Visitor::at(program.gateway());
    let csrf = hidden(&page.get(PAGE).text()).remove(0).1;
    page.cookies.borrow_mut().insert("latchgate".to_owned(), old.clone());
    assert_eq!(
        page.post(PAGE, &[], &[("email", ADMIN), ("password", PASSWORD), ("csrf", &csrf)]).status,
        303
    );
    let new = page.cookie("latchgate").expect("another");
    assert_ne!(old, new);
    assert_eq!(page.get("/any/x").status, 200);
    assert_eq!(visitor.get("/any/x").status, 303, "the old one is over");
}

/// L307: what somebody is called is text on every page.
#[test]
fn names_are_text() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let payload = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}";
    let team = site.team();
    site.cli(&["orgs", "update", "default", "--name", payload]);
    let created = ["users", "create", "--email", "xss@example.com", "--name", payload, "--org", "default"];
    let more = ["--team-id", &team, "--role", "viewer", "--password-stdin"];
    site.cli_with(&[created.as_slice(), more.as_slice()].concat(), &format!("{PASSWORD}\n")).ok();
    let program = site.serve();
    let visitor = Visitor::at(program.gateway());
    let email = "\"><script>alert(3)</script>@example.com";
    let back = visitor.submit(PAGE, &[("email", email), ("password", "wrong wrong wrong")]).text();
    assert!(!back.contains("<script"), "{back}");
    assert_eq!(visitor.submit(PAGE, &[("email", "xss@example.com"), ("password", PASSWORD)]).status, 303);
    let home = visitor.get(PAGE).text();
    assert!(
        home.contains("&#60;script") && !home.contains("<script") && !home.contains("<img src=x"),
        "{home}"
    );
    assert!(home.contains("{{7*7}}"), "{home}");
}
