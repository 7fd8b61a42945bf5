//! `permissions` and `presets`: what there is to give, from the command line.

use serde_json::json;

use crate::support::{program::Site, rawup::Upstream, setup::Setup};

/// Lists say what the API says, and read as tables too.
#[test]
fn what_there_is_to_give_can_be_listed() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let table = |noun| site.plain(&[noun, "list", "--output", "table"], "").ok().stdout;
    let words = table("permissions");
    assert!(words.contains("scan:trigger") && words.contains("Start scans"), "{words}");
    let ready = table("presets");
    assert!(ready.contains("ci_basic") && ready.contains("scan:read scan:trigger"), "{ready}");
    let (permissions, presets) =
        (site.cli(&["permissions", "list"]).json(), site.cli(&["presets", "list"]).json());
    assert_eq!(presets["items"].as_array().map(Vec::len), Some(5));
    let key = site.key(&["--scopes", "scan:read"]);
    let program = site.serve();
    let caller = program.admin().key(&key.text);
    assert_eq!(permissions["items"], caller.get("/v1/permissions").json()["items"]);
    assert_eq!(presets["items"], caller.get("/v1/presets").json()["items"]);

    let cortex = Site::new(Setup::bare("cortex"));
    let permissions = cortex.cli(&["permissions", "list"]).json();
    let edit =
        permissions["items"].as_array().expect("items").iter().find(|one| one["name"] == "cli_tools:edit");
    assert_eq!(edit.expect("it is there")["implies"], json!(["cli_tools:view"]));
    let none = cortex.plain(&["presets", "list", "--output", "table"], "").ok();
    assert!(format!("{}{}", none.stdout, none.stderr).contains("no presets"), "{none:?}");
}
