//! The pages in Chromium: read, used with the keyboard alone, looked at by axe.

use std::time::Duration;

use latchgate::domain::time::Clock;

use super::visitor::mailed;
use crate::support::{
    authenticator::enrolled,
    browser::Browser,
    program::{PASSWORD, Program, Site},
    rawup::{Answer, Upstream},
    setup::Setup,
};

const V1: &str = "name = \"admin-api\"\npath = \"/v1/{*rest}\"\nupstream = \"@control\"";

struct House {
    program: Program,
    _upstream: Upstream,
}

impl House {
    fn new() -> Self {
        let upstream = Upstream::start(|request| {
            let frame = "<!DOCTYPE html><title>Framing</title><iframe src=\"/.latchgate/sign-in\"></iframe>";
            let html = if request.target.starts_with("/public/frame") {
                frame
            } else {
                "<title>Backend</title>hello"
            };
            Answer::bytes(&format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{html}",
                html.len()
            ))
        });
        let icon = "name = \"icon\"\npath = \"/favicon.ico\"\nupstream = \"app\"\ncredentials = [\"none\"]";
        let setup =
            Setup::offload(&upstream).route(V1).route(icon).set("sessions.insecure_cookie", true).mail();
        let site = Site::new(setup);
        let team = site.team();
        let create = ["users", "create", "--email", "ana@example.com", "--name", PAYLOAD, "--org", "default"];
        let more = ["--team-id", &team, "--role", "viewer", "--password-stdin"];
        site.cli_with(&[create.as_slice(), more.as_slice()].concat(), &format!("{PASSWORD}\n")).ok();
        Self { program: site.serve(), _upstream: upstream }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.program.gateway().0)
    }
}

/// What runs if anybody takes it for more than a name.
const PAYLOAD: &str = "Ana<script>window.hit=1</script><img src=x onerror='window.hit=1'>";
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// L309, and others by their numbers below: one browser, one page after the other. Starting it costs more than all that it does.
#[test]
fn the_pages_in_a_browser() {
    let house = House::new();
    let browser = Browser::start();
    the_reference_is_read(&house, &browser);
    somebody_signs_in_with_the_keyboard(&house, &browser);
    names_run_nothing(&browser);
    somebody_signs_out(&house, &browser);
    somebody_shows_a_second_factor(&house, &browser);
    somebody_signs_out(&house, &browser);
    somebody_accepts_an_invitation(&house, &browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    pages_stand_in_no_frame(&house, &browser);
}

fn the_reference_is_read(house: &House, browser: &Browser) {
    browser.open(&house.url("/v1/docs?x"));
    assert_eq!(browser.place(), "/v1/docs?x");
    assert_eq!(browser.title(), "Admin API - Latchgate");
    let text = browser.text();
    for part in ["/v1/api-keys/{key_id}/rotate", "credential_invalid", "curl -X POST", "next_cursor"] {
        assert!(text.contains(part), "{part}");
    }
    browser.keys(TAB);
    assert_eq!(browser.focused(), "Skip to the content");
    browser.keys(ENTER);
    assert!(browser.script("return location.hash").as_str() == Some("#content"));
    assert_eq!(browser.violations(), Vec::<String>::new());
}

/// From a page of the backend to the form, wrong, right, and back to the page.
fn somebody_signs_in_with_the_keyboard(house: &House, browser: &Browser) {
    browser.open(&house.url("/any/report?page=2&sort=a%2Fb"));
    assert_eq!(browser.title(), "Sign in - Latchgate");
    assert!(browser.place().starts_with("/.latchgate/sign-in?return_to="), "{}", browser.place());
    assert_eq!(browser.violations(), Vec::<String>::new());
    assert_eq!(browser.focused(), "email");
    browser.keys(format!("ana@example.com{TAB}"));
    assert_eq!(browser.focused(), "password");
    browser.keys(format!("not the password{ENTER}"));
    browser.wait_for_title("Error: Sign in - Latchgate");
    assert_eq!(browser.focused(), "problem", "what is wrong is read first");
    assert!(browser.text().contains("The e-mail address or the password is wrong."), "{}", browser.text());
    assert_eq!(
        browser.script("return document.getElementById('email').value").as_str(),
        Some("ana@example.com")
    );
    assert_eq!(browser.violations(), Vec::<String>::new());
    // A wrong password is an answer with 401, which browsers note; nothing else is.
    let noted = browser.complaints();
    assert!(noted.iter().all(|line| line.contains("401")), "{noted:?}");
    browser.keys(format!("{TAB}{TAB}{PASSWORD}{TAB}"));
    assert_eq!(browser.focused(), "Sign in");
    browser.keys(" ");
    browser.wait_for_title("Backend");
    assert_eq!(browser.place(), "/any/report?page=2&sort=a%2Fb");
    browser.open(&house.url("/.latchgate/sign-in"));
    assert_eq!(browser.title(), "Signed in - Latchgate");
    assert_eq!(browser.violations(), Vec::<String>::new());
}

/// L307: on the page of who has signed in.
fn names_run_nothing(browser: &Browser) {
    assert!(browser.text().contains(PAYLOAD), "{}", browser.text());
    assert!(browser.script("return window.hit === undefined").as_bool() == Some(true));
}

fn somebody_signs_out(house: &House, browser: &Browser) {
    browser.keys(TAB);
    assert_eq!(browser.focused(), "Sign out");
    browser.keys(" ");
    browser.wait_for_title("Sign in - Latchgate");
    assert!(browser.text().contains("You are signed out."));
    browser.open(&house.url("/any/report"));
    assert!(browser.place().starts_with("/.latchgate/sign-in"), "{}", browser.place());
    browser.open(&house.url("/.latchgate/sign-out"));
    assert_eq!(browser.title(), "Sign out - Latchgate");
    assert_eq!(browser.violations(), Vec::<String>::new());
}

/// The second page, wrong and right, by the keyboard; and a recovery code in place of the app.
fn somebody_shows_a_second_factor(house: &House, browser: &Browser) {
    let door = house.program.admin();
    let now = || Clock::system().now();
    let ana = door.bearer(&door.token("ana@example.com"));
    // The code of the step before is used for this.
    let (app, codes) = enrolled(&ana, now().before(Duration::from_secs(30)));
    browser.open(&house.url("/any/report"));
    browser.keys(format!("ana@example.com{TAB}{PASSWORD}{ENTER}"));
    browser.wait_for_title("Enter a code - Latchgate");
    assert_eq!(browser.focused(), "code");
    assert_eq!(browser.violations(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.keys(format!("{}{ENTER}", app.wrong_code(now())));
    browser.wait_for_title("Error: Enter a code - Latchgate");
    assert_eq!(browser.focused(), "problem");
    assert!(browser.text().contains("The code is wrong"), "{}", browser.text());
    let noted = browser.complaints();
    assert!(noted.iter().all(|line| line.contains("401")), "{noted:?}");
    // The field, then what opens the other one.
    browser.keys(format!("{TAB}{TAB}"));
    assert_eq!(browser.focused(), "Use a recovery code instead");
    browser.keys(" ");
    assert_eq!(browser.violations(), Vec::<String>::new());
    browser.keys(TAB);
    assert_eq!(browser.focused(), "recovery_code");
    browser.keys(format!("{}{ENTER}", codes[0]));
    browser.wait_for_title("Backend");
    assert_eq!(browser.place(), "/any/report");
    browser.open(&house.url("/.latchgate/sign-out"));
    browser.keys(format!("{TAB}{ENTER}"));
    browser.wait_for_title("Sign in - Latchgate");
    browser.keys(format!("ana@example.com{TAB}{PASSWORD}{ENTER}"));
    browser.wait_for_title("Enter a code - Latchgate");
    browser.keys(format!("{}{ENTER}", app.code_after(now(), 1)));
    browser.wait_for_title("Signed in - Latchgate");
}

/// From the link in the mail to a session of one's own.
fn somebody_accepts_an_invitation(house: &House, browser: &Browser) {
    let invite = ["invitations", "create", "--email", "nina@example.com", "--role", "viewer"];
    house.program.cli(&invite).ok();
    browser.open(&house.url(&mailed(&house.program.site, "nina@example.com")));
    assert_eq!(browser.title(), "Accept the invitation - Latchgate");
    assert_eq!(browser.violations(), Vec::<String>::new());
    browser.keys(format!("{TAB}Nina{TAB}short{TAB}"));
    assert_eq!(browser.focused(), "Accept the invitation");
    browser.keys(" ");
    browser.wait_for_title("Error: Accept the invitation - Latchgate");
    assert_eq!(browser.focused(), "problem");
    assert_eq!(browser.violations(), Vec::<String>::new());
    let noted = browser.complaints();
    assert!(noted.iter().all(|line| line.contains("422")), "{noted:?}");
    // A link, the name that is there already, the password, the button.
    browser.keys(format!("{TAB}{TAB}{TAB}{PASSWORD}{TAB}"));
    assert_eq!(browser.focused(), "Accept the invitation");
    browser.keys(" ");
    browser.wait_for_title("Signed in - Latchgate");
    assert!(browser.text().contains("nina@example.com"), "{}", browser.text());
}

/// L309: not even in a frame of this very origin.
fn pages_stand_in_no_frame(house: &House, browser: &Browser) {
    browser.open(&house.url("/public/frame"));
    assert_eq!(browser.title(), "Framing");
    let seen = "const d = document.querySelector('iframe').contentDocument; return d ? d.title : ''";
    assert_ne!(browser.script(seen).as_str(), Some("Sign in - Latchgate"));
    let complaints = browser.complaints();
    assert!(complaints.iter().any(|line| line.contains("frame-ancestors")), "{complaints:?}");
}
