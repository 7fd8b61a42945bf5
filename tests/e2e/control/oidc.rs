//! Signing in by a real identity provider, as a browser sees it.

use serde_json::json;

use crate::support::{
    program::{Program, Site},
    provider::{Provider, Registration},
    rawc::Response,
    rawup::Upstream,
    setup::Setup,
    visitor::Visitor,
};

const SECRET: &str = "s3:cret/+ %";

struct House {
    upstream: Upstream,
    program: Program,
    registration: Registration,
    provider: Option<Provider>,
    port: u16,
}

impl House {
    /// The provider runs, and Ana is a viewer of the default team.
    fn new() -> Self {
        Self::of(false)
    }

    fn of(user_info: bool) -> Self {
        let mut house = Self::before_the_provider();
        house.registration.user_info = user_info;
        house.provide();
        house
    }

    fn before_the_provider() -> Self {
        let upstream = Upstream::echo();
        let provider = Registration::new("http://127.0.0.1:9/unused").start(0, &["a"]);
        let (port, issuer) = (provider.address.port(), provider.url());
        provider.stop();
        let setup = Setup::offload(&upstream)
            .set("sessions.insecure_cookie", true)
            .set("oidc.issuer", issuer)
            .set("oidc.client_id", "latchgate")
            .set("oidc.client_secret_file", "oidc.secret");
        let site = Site::new(setup);
        std::fs::write(site.path("oidc.secret"), format!("{SECRET}\n")).expect("the secret");
        for name in ["ana", "eve"] {
            site.user(&format!("{name}@example.com"), "viewer", Some(&site.team()));
        }
        let program = site.serve();
        let registration =
            Registration::new(&format!("http://{}/.latchgate/oidc/callback", program.gateway().0));
        Self { upstream, program, registration, provider: None, port }
    }

    fn provide(&mut self) {
        self.provider = Some(self.registration.start(self.port, &["a"]));
    }

    fn here(&self, path: &str) -> String {
        format!("http://{}{path}", self.program.gateway().0)
    }

    fn host(&self) -> String {
        self.program.gateway().0.to_string()
    }

    /// As far as the answer that the browser brings back, which is in `place` and was not delivered.
    fn answer(&self, visitor: &mut Visitor, name: &str, return_to: &str) {
        let started = visitor.go(&self.here(&format!("/.latchgate/oidc/start?return_to={return_to}")));
        assert_eq!(started.status, 303, "{}", started.text());
        let end = self.here("/.latchgate/oidc/callback");
        let page = visitor.follow(started, &end);
        // Whoever is still signed in there comes back at once.
        if !visitor.place.starts_with(&end) {
            visitor.sign_in(&page, name, &end);
        }
    }

    fn deliver(visitor: &mut Visitor) -> Response {
        let place = visitor.place.clone();
        visitor.go(&place)
    }

    fn is_signed_in(&self, visitor: &mut Visitor) -> bool {
        let answer = visitor.go(&self.here("/.latchgate/whoami"));
        answer.status == 200
    }
}

/// The whole way: to the provider, its pages, back, and on to where the browser wanted to go.
#[test]
fn whoever_signs_in_there_is_signed_in_here() {
    for user_info in [false, true] {
        let house = House::of(user_info);
        let mut ana = Visitor::default();
        let page = ana.go(&house.here("/.latchgate/sign-in?return_to=/any/x"));
        assert!(page.text().contains("/.latchgate/oidc/start?return_to=/any/x"), "{}", page.text());
        house.answer(&mut ana, "ana", "/any/x");
        let back = House::deliver(&mut ana);
        assert_eq!((back.status, back.header("location")), (303, Some("/any/x")), "{}", back.text());
        let cookies = back.fields.all("set-cookie").join("\n");
        assert!(cookies.contains("latchgate=lgs_") && cookies.contains("latchgate-oidc=;"), "{cookies}");
        assert_eq!(ana.go(&house.here("/any/x")).status, 200);
        let seen = house.upstream.last();
        assert_eq!((seen.header("x-auth-method"), seen.header("x-role")), (Some("session"), Some("viewer")));
        assert_eq!(ana.cookie(&house.host(), "latchgate-oidc"), None);
        let trail = house.program.cli(&["audit", "list", "--action", "sign_in"]).ok().json();
        let event = &trail["items"][0];
        assert_eq!((&event["event"], &event["actor"]), (&json!("user.signed_in"), &json!("ana@example.com")));
        assert!(event["detail"].to_string().contains("vouched_by"), "{event}");
        let written = house.program.everything_written();
        assert!(!written.contains("s3:cret") && !written.contains("code="), "a secret was written");
    }
}

/// Nobody gets an account by signing in elsewhere, nobody's unverified address is theirs, and who was deactivated stays so.
#[test]
fn signing_in_there_makes_no_account_here() {
    let house = House::new();
    house
        .program
        .cli(&[
            "users",
            "create",
            "--email",
            "bo@example.com",
            "--name",
            "Bo",
            "--role",
            "viewer",
            "--team-id",
            &house.program.site.team(),
            "--org",
            "default",
        ])
        .ok();
    house.program.cli(&["users", "deactivate", "bo@example.com"]).ok();
    let people = house.program.site.count("users");
    for name in ["zoe", "eve", "bo"] {
        let mut visitor = Visitor::default();
        house.answer(&mut visitor, name, "/any/x");
        let refused = House::deliver(&mut visitor);
        assert_eq!(refused.status, 403, "{name}: {}", refused.text());
        assert!(refused.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{name}");
        assert!(!refused.fields.all("set-cookie").join("\n").contains("lgs_"), "{name}");
        assert!(!house.is_signed_in(&mut visitor), "{name}");
    }
    assert_eq!(house.program.site.count("users"), people);
}

/// Login CSRF, replay, an answer to another browser, a code that is somebody else's: nobody is signed in.
#[test]
fn an_answer_is_for_the_browser_that_asked() {
    let house = House::new();
    let (mut ana, mut eve) = (Visitor::default(), Visitor::default());
    house.answer(&mut ana, "ana", "/any/x");
    let anas = ana.place.clone();
    // Whoever is sent there with an answer that they did not ask for.
    let mut victim = Visitor::default();
    assert_eq!(victim.go(&anas).status, 400);
    assert!(!house.is_signed_in(&mut victim));
    // Whoever asked themselves, but for another answer.
    eve.go(&house.here("/.latchgate/oidc/start"));
    assert_eq!(eve.go(&anas).status, 400);
    // Whoever has a code of another's and puts it into their own answer: it is bound to the other's verifier.
    let mut thief = Visitor::default();
    house.answer(&mut thief, "zoe", "/any/x");
    let code =
        |place: &str| place.split(['?', '&']).find(|pair| pair.starts_with("code=")).map(str::to_owned);
    let injected = thief.place.replace(&code(&thief.place).expect("a code"), &code(&anas).expect("a code"));
    assert_eq!(thief.go(&injected).status, 403);
    assert!(!house.is_signed_in(&mut thief));
    // The provider ends a code that was tried so, and Ana begins again.
    house.answer(&mut ana, "ana", "/any/x");
    let kept = ana.clone();
    assert_eq!(House::deliver(&mut ana).status, 303);
    assert!(house.is_signed_in(&mut ana));
    // The same answer again, from a browser that kept everything.
    let mut again = kept;
    assert_eq!(House::deliver(&mut again).status, 400);
    assert!(!house.is_signed_in(&mut again));
    // Another issuer's name on the answer, and a state that was changed.
    for (part, other) in [("iss=http", "iss=https"), ("state=", "state=x")] {
        let mut visitor = Visitor::default();
        house.answer(&mut visitor, "ana", "/any/x");
        let changed = visitor.place.replacen(part, other, 1);
        assert!(matches!(visitor.go(&changed).status, 400 | 403), "{changed}");
        assert!(!house.is_signed_in(&mut visitor));
    }
}

/// Answers that are made up cost the provider's work and a line in the log: an address has as many as wrong passwords.
#[test]
fn answers_that_are_made_up_are_throttled() {
    let upstream = Upstream::echo();
    let setup = Setup::offload(&upstream)
        .set("auth.failures_per_minute.ip", 5)
        .set("oidc.issuer", "http://127.0.0.1:9/unused")
        .set("oidc.client_id", "latchgate");
    let program = Site::new(setup).serve();
    let made_up = |_| program.anonymous().get("/.latchgate/oidc/callback?code=x&state=y").status;
    let answers: Vec<u16> = (0..7).map(made_up).collect();
    assert_eq!(answers, [400, 400, 400, 400, 400, 429, 429]);
}

/// L314: nobody is sent elsewhere after signing in.
#[test]
fn nobody_is_sent_elsewhere() {
    let house = House::new();
    for place in ["//evil.example", "/%5cevil.example", "https%3A%2F%2Fevil.example", "", "/%09/evil.example"]
    {
        let mut ana = Visitor::default();
        house.answer(&mut ana, "ana", place);
        let back = House::deliver(&mut ana);
        let location = back.header("location").unwrap_or_default().to_owned();
        assert!(location.starts_with("/.latchgate/") || location == "/", "{place}: {location}");
    }
}

/// A provider that is down says nothing about anybody; once it is back it signs people in.
#[test]
fn a_provider_may_be_started_later() {
    let mut house = House::before_the_provider();
    let mut ana = Visitor::default();
    let down = ana.go(&house.here("/.latchgate/oidc/start?return_to=/any/x"));
    assert_eq!(down.status, 503, "{}", down.text());
    assert!(ana.go(&house.here("/.latchgate/sign-in")).status == 200, "passwords go on");
    house.provide();
    crate::support::wait::until("the provider", || {
        ana.go(&house.here("/.latchgate/oidc/start?return_to=/any/x")).status == 303
    });
    house.answer(&mut ana, "ana", "/any/x");
    house.provider.take().expect("a provider").stop();
    assert_eq!(House::deliver(&mut ana).status, 503);
    house.provide();
    house.answer(&mut ana, "ana", "/any/x");
    assert_eq!(House::deliver(&mut ana).status, 303);
    assert!(house.is_signed_in(&mut ana));
}

/// Without `[oidc]` there is nothing to sign in by, and no button.
#[test]
fn without_a_provider_there_is_no_button() {
    let upstream = Upstream::echo();
    let program = Site::new(Setup::offload(&upstream)).serve();
    let mut visitor = Visitor::default();
    let here = |path: &str| format!("http://{}{path}", program.gateway().0);
    assert!(!visitor.go(&here("/.latchgate/sign-in")).text().contains("oidc"));
    for path in ["/.latchgate/oidc/start", "/.latchgate/oidc/callback?code=x&state=y"] {
        assert_eq!(visitor.go(&here(path)).status, 404, "{path}");
    }
}
