//! What every page says to the browser that shows it.

use crate::support::{
    program::{Program, Site},
    rawc::Response,
    rawup::Upstream,
    request::Door,
    setup::Setup,
    wrong::Wrong,
};

const V1: &str = "name = \"admin-api\"\npath = \"/v1/{*rest}\"\nupstream = \"@control\"";

fn served(public_url: &str) -> (Program, Upstream) {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream).route(V1).set("listen.public_url", public_url);
    (Site::new(setup).serve(), upstream)
}

fn page(door: Door, method: &str, path: &str) -> Response {
    door.anonymous().request(method, path).header("Accept", "text/html,*/*;q=0.8").send()
}

/// L308: every page, and every refusal of one, forbids the browser everything that it does not need.
#[test]
fn pages_and_their_errors_bind_the_browser() {
    let (program, _upstream) = served("https://gate.example.com");
    let mut wrong = Wrong::default();
    for door in [program.gateway(), program.admin()] {
        for (method, path) in [
            ("GET", "/v1/docs"),
            ("POST", "/v1/docs"),
            ("GET", "/.latchgate/sign-in"),
            ("POST", "/.latchgate/sign-in"),
            ("DELETE", "/.latchgate/sign-in"),
            ("GET", "/.latchgate/sign-out"),
            ("POST", "/.latchgate/sign-out"),
            ("GET", "/v1/openapi.json"),
            ("GET", "/v1/org"),
            ("GET", "/.latchgate/nothing"),
            ("GET", "/.latchgate/assets/nothing.css"),
            ("GET", "/.latchgate"),
            ("GET", "/.latchgate/"),
        ] {
            let answer = page(door, method, path);
            let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
            let policy = header("content-security-policy");
            let mut expect = |name: &str, fine: bool| {
                wrong.unless(fine, || format!("{method} {path}: {name}: {:?}", header(name)));
            };
            expect("content-security-policy", policy.starts_with("default-src 'none'"));
            expect("content-security-policy", policy.contains("frame-ancestors 'none'"));
            expect("content-security-policy", !policy.contains("unsafe") && !policy.contains("script"));
            expect("x-content-type-options", header("x-content-type-options") == "nosniff");
            expect("cache-control", header("cache-control") == "no-store");
            // What the gateway refuses before it is anybody's page is no page.
            if !matches!(path, "/.latchgate" | "/.latchgate/") {
                expect(
                    "referrer-policy",
                    matches!(&*header("referrer-policy"), "no-referrer" | "same-origin"),
                );
                expect("cross-origin-opener-policy", header("cross-origin-opener-policy") == "same-origin");
                expect(
                    "strict-transport-security",
                    header("strict-transport-security") == "max-age=31536000",
                );
            }
            expect("server", answer.header("server").is_none());
        }
    }
    wrong.none("a header");
    let (plain, _upstream) = served("http://gate.example.com");
    assert_eq!(page(plain.admin(), "GET", "/v1/docs").header("strict-transport-security"), None);
}

/// A browser is refused with a page, everybody else with a problem.
#[test]
fn refusals_are_in_the_words_of_whoever_asks() {
    let (program, _upstream) = served("http://gate.example.com");
    for door in [program.gateway(), program.admin()] {
        let answer = page(door, "GET", "/.latchgate/nothing");
        assert_eq!((answer.status, answer.header("content-type")), (404, Some("text/html; charset=utf-8")));
        assert!(answer.text().contains("There is nothing at this path."), "{}", answer.text());
        assert!(answer.text().contains(answer.header("x-request-id").expect("an id")));
        assert_eq!(door.anonymous().verdict("/.latchgate/nothing"), "404 not_found");
        // The API speaks to programs, also to those that call themselves browsers.
        assert_eq!(page(door, "GET", "/v1/org").verdict(), "401 credential_missing");
        let refused = page(door, "DELETE", "/v1/docs");
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET,HEAD")));
    }
}

/// L323: the assets are those, under the names that pages give them; nothing around them is reached.
#[test]
fn assets_are_served_and_nothing_around_them() {
    let (program, _upstream) = served("http://gate.example.com");
    let html = page(program.gateway(), "GET", "/v1/docs").text();
    let links: Vec<&str> = html.split('"').filter(|text| text.starts_with("/.latchgate/assets/")).collect();
    assert!(links.len() >= 2, "{links:?}");
    for door in [program.gateway(), program.admin()] {
        for link in &links {
            let asset = door.anonymous().get(link);
            assert_eq!(asset.status, 200, "{link}");
            assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
            assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
            let kind = if link.contains("/style.") { "text/css; charset=utf-8" } else { "image/svg+xml" };
            assert_eq!(asset.header("content-type"), Some(kind), "{link}");
        }
        for path in [
            "/.latchgate/assets",
            "/.latchgate/assets/",
            "/.latchgate/assets/style.css",
            "/.latchgate/assets/style.css.map",
            "/.latchgate/assets/..%2f..%2fetc/passwd",
            "/.latchgate/assets/%2e%2e/%2e%2e/etc/passwd",
            "/.latchgate/assets/..%5c..%5cetc%5cpasswd",
            "/.latchgate/assets/../../etc/passwd",
            "/.latchgate/assets//etc/passwd",
            "/.latchgate/templates/page.html",
            "/assets/style.css",
        ] {
            let status = door.anonymous().get(path).status;
            assert!(matches!(status, 400 | 404), "{path}: {status}");
        }
    }
}
