//! What goes wrong: said clearly, not tried again at once, and never mended by an account that nobody asked for.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{
    LONG, Town, complete, failing, file, is_served, missing, open, refusal, refusals, stored, unstarted,
};
use crate::support::{tls::Authority, wait};

/// The authority is down at the start: everything else is served, one line says so, and SIGHUP tries again.
#[test]
fn an_authority_that_is_down_delays_nobody() {
    let town = Town::new(LONG, &["a.example"]);
    let (program, plan, files, _upstream) = town.serve();
    assert!(refusal(&program).contains("the authority cannot be asked"));
    assert!(is_served(&files.config(), program.gateway().0, "gw"));
    assert!((missing(&program) - 1.0).abs() < 0.1);
    let pebble = plan.start(false);
    program.sighup();
    complete(&program);
    assert!(is_served(&pebble.dialer(), program.gateway().0, "a.example"));
    assert_eq!(refusals(&program).len(), 1);
}

/// The authority does not believe us: the reason is its own, the next order is minutes away, and the other names have
/// theirs.
#[test]
fn a_challenge_that_is_refused_is_not_repeated() {
    let town = Town::new(LONG, &["a.example"]);
    let pebble = town.plan.start(false);
    town.plan.tls.lead_nowhere();
    let program = town.site.serve();
    let reason = refusal(&program);
    assert!(
        reason.contains("the authority refuses") && reason.contains("urn:ietf:params:acme:error:"),
        "{reason}"
    );
    let line = &refusals(&program)[0];
    let at = |field: &str| {
        let text = line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}"));
        text.parse::<latchgate::domain::time::Timestamp>().expect("a time")
    };
    let pause = at("again").since(at("ts")).as_secs();
    assert!((290..400).contains(&pause), "{pause} s");
    assert_eq!((pebble.orders(), refusals(&program).len()), (1, 1));
    // Whoever has mended it says so.
    open(&town.plan, &program);
    program.sighup();
    complete(&program);
    assert_eq!(pebble.orders(), 2);
}

/// Somebody else at the address of the authority is told nothing.
#[test]
fn a_stranger_in_the_authoritys_place_is_not_believed() {
    let town = Town::new(LONG, &["a.example"]);
    let other = Authority::new("Another");
    town.site.file("other.pem", &other.pem);
    let setup = town.site.setup.clone().set("tls.acme.directory_ca", "other.pem");
    town.site.configure(&setup);
    let pebble = town.plan.start(false);
    let (program, _plan, _files, _upstream) = town.serve();
    let reason = refusal(&program);
    assert!(reason.contains("cannot be asked") && reason.contains("certificate"), "{reason}");
    assert_eq!((pebble.orders(), pebble.accounts()), (0, 0));
    assert!(!stored(&program.site).iter().any(|(name, _, _)| name.ends_with("account.json")));
    let online = program.site.plain(&["check", "--online"], "");
    assert!(online.code != 0 && online.stdout.contains("tls.acme"), "{online:?}");
}

/// Folders and files that others can read, and an account that is damaged or another's, are refused with what to do;
/// nothing is made anew.
#[test]
fn what_is_kept_must_be_in_order() {
    let town = Town::new(LONG, &["a.example"]);
    let pebble = town.plan.start(false);
    let (program, plan, _files, _upstream) = town.serve();
    complete(&program);
    let site = program.stop();
    let rights =
        |path: &str, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("rights");
    let (account, whole) = file(&site, "account.json");
    for (path, bad, good, mend) in [
        (site.path("acme").display().to_string(), 0o750, 0o700, "chmod 700"),
        (account.clone(), 0o640, 0o600, "chmod 600"),
    ] {
        rights(&path, bad);
        let said = unstarted(&site);
        assert!(said.contains("tls.acme.storage") && said.contains(mend) && said.contains(&path), "{said}");
        rights(&path, good);
    }
    let text = String::from_utf8(whole.clone()).expect("JSON");
    for damaged in
        ["", "{", "[]", &text[..text.len() / 2], &text.replace("key_pkcs8\":\"", "key_pkcs8\":\"AAAA")]
    {
        fs::write(&account, damaged).expect("damage");
        let said = unstarted(&site);
        assert!(said.contains("the account cannot be read") && said.contains("backup"), "{said}");
        assert!(!said.contains("AAAA") && !said.contains(&text[text.len() / 3..text.len() / 2]), "{said}");
        assert_eq!(fs::read(&account).expect("the account"), damaged.as_bytes(), "left as it is");
    }
    fs::write(&account, text.replace("localhost", "elsewhere")).expect("another's");
    assert!(unstarted(&site).contains("another authority"));
    fs::write(&account, &whole).expect("mended");
    // A certificate can be ordered again: it is, and the line says why.
    let (certificate, _) = file(&site, "a.example.pem");
    fs::write(&certificate, "no certificate").expect("damage");
    plan.tls.hold();
    let program = site.serve();
    open(&plan, &program);
    complete(&program);
    assert!(program.everything_written().contains("another is ordered"));
    assert_eq!((pebble.orders(), pebble.accounts()), (2, 1));
}

/// An authority that has forgotten the account gets no other by itself.
#[test]
fn an_account_that_is_forgotten_is_not_made_again() {
    let town = Town::new(LONG, &["a.example"]);
    let pebble = town.plan.start(false);
    let (program, plan, _files, _upstream) = town.serve();
    complete(&program);
    let (_, account) = file(&program.site, "account.json");
    drop(pebble);
    let pebble = plan.start(false);
    program
        .site
        .configure(&program.site.setup.clone().set("tls.acme.domains", vec!["a.example", "b.example"]));
    program.sighup();
    wait::until("a refusal", || failing(&program) > 0.5);
    assert!(refusal(&program).contains("does not know the account"), "{}", refusal(&program));
    assert_eq!((pebble.accounts(), file(&program.site, "account.json").1), (0, account));
    assert!((missing(&program) - 1.0).abs() < 0.1);
}
