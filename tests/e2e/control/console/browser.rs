//! The pages in Chromium: read, used with the keyboard alone, looked at by axe.

use crate::support::{
    browser::Browser,
    program::{Program, Site},
    rawup::Upstream,
    setup::Setup,
};

const V1: &str = "name = \"admin-api\"\npath = \"/v1/{*rest}\"\nupstream = \"@control\"";

struct House {
    program: Program,
    _upstream: Upstream,
}

impl House {
    fn new() -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(Setup::offload(&upstream).route(V1));
        Self { program: site.serve(), _upstream: upstream }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.program.gateway().0)
    }
}

/// One browser, one page after the other: starting it costs more than all that it does.
#[test]
fn the_pages_in_a_browser() {
    let house = House::new();
    let browser = Browser::start();
    the_reference_is_read(&house, &browser);
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

fn the_reference_is_read(house: &House, browser: &Browser) {
    browser.open(&house.url("/v1/docs?x"));
    assert_eq!(browser.place(), "/v1/docs?x");
    assert_eq!(browser.title(), "Admin API - Latchgate");
    let text = browser.text();
    for part in ["/v1/api-keys/{key_id}/rotate", "credential_invalid", "curl -X POST", "next_cursor"] {
        assert!(text.contains(part), "{part}");
    }
    browser.keys("\u{e004}");
    assert_eq!(browser.focused(), "Skip to the content");
    browser.keys("\u{e007}");
    assert!(browser.script("return location.hash").as_str() == Some("#content"));
    assert_eq!(browser.violations(), Vec::<String>::new());
}
