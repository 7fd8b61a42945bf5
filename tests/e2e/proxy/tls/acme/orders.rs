//! What is ordered, and when again.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::{LONG, Town, complete, failing, file, is_served, issued, missing, open, refusals, stored};
use crate::support::{
    pebble::CUSTOMER,
    stop::StopAtEnd,
    tls::{Dialer, TlsClient},
    wait,
};

/// Until the certificate is there its name is refused and all others are served; then clients verify it. What is kept is
/// nobody else's to read, and after a restart it is there at once, without another order.
#[test]
fn the_first_certificate_comes_by_itself_and_outlasts_the_process() {
    let town = Town::new(LONG, &["a.example", "b.example", "file.example"]);
    let pebble = town.plan.start(false);
    let (plan, files) = (town.plan, town.files);
    let program = town.site.serve();
    let (address, dialer) = (program.gateway().0, pebble.dialer());
    assert!((missing(&program) - 2.0).abs() < 0.1, "what a file has is not ordered");
    for name in ["a.example", "b.example"] {
        let Err(refused) = dialer.try_connect(address, name) else { panic!("{name} without a certificate") };
        let refused = refused.to_string();
        assert!(refused.contains("AccessDenied"), "{refused}");
        assert!(!is_served(&files.config(), address, name), "nor another's");
    }
    assert!(is_served(&files.config(), address, "gw") && is_served(&files.config(), address, "file.example"));
    assert_eq!(program.ops().anonymous().get("/readyz").status, 200, "or nobody could look at it");

    open(&plan, &program);
    complete(&program);
    for name in ["a.example", "b.example"] {
        assert!(is_served(&dialer, address, name), "{name}");
        let ends = program.metric("latchgate_tls_certificate_not_after_seconds", &[("name", name)]);
        assert!(ends > 1e9);
    }
    assert!(is_served(&files.config(), address, "file.example"), "the file's, as before");
    assert!(!is_served(&dialer, address, "gw"));
    assert_eq!((pebble.orders(), pebble.accounts()), (2, 1));
    let listed = program.site.plain(&["check"], "").ok().stdout;
    assert!(listed.contains("a.example") && listed.contains("b.example.pem"), "{listed}");

    let (before, written) = (stored(&program.site), program.everything_written());
    assert_eq!(before.len(), 5, "folder, account, lock, two certificates: {before:?}");
    for (name, mode, held) in &before {
        assert_eq!(*mode, if held.is_empty() && !name.ends_with("lock") { 0o700 } else { 0o600 }, "{name}");
    }
    assert!(!written.contains("PRIVATE KEY") && !written.contains("key_pkcs8"), "{written}");
    let site = program.stop();
    let program = site.serve();
    let address = program.gateway().0;
    assert!(is_served(&dialer, address, "a.example"), "at once");
    assert!(missing(&program) < 0.5 && issued(&program) < 0.5);
    assert_eq!((pebble.orders(), stored(&program.site)), (2, before));
}

/// On the port without TLS too, for an authority that wants to know its customer. Strangers' tokens lead where every
/// other path leads.
#[test]
fn a_token_is_answered_on_the_port_for_redirects() {
    let town = Town::with(LONG, &["a.example"], |setup| {
        setup
            .set("tls.acme.challenge", "http-01")
            .set("tls.acme.external_account.kid", "kid-1")
            .set("tls.acme.external_account.key_file", "customer.key")
    });
    town.site.file("customer.key", &format!("{CUSTOMER}\n"));
    let pebble = town.plan.start(true);
    let (program, plan, _files, _upstream) = town.serve();
    plan.tls.lead_nowhere();
    complete(&program);
    assert!(is_served(&pebble.dialer(), program.gateway().0, "a.example"));
    let logged = wait::for_some("the authority's request", || {
        program.log().into_iter().find(|line| line["route"] == "acme")
    });
    let path = logged["path"].as_str().expect("a path").to_owned();
    assert_eq!(logged["status"], 200, "{logged}");
    let door = program.listener("redirect");
    for path in [path.as_str(), "/.well-known/acme-challenge/", "/.well-known/acme-challenge/stranger"] {
        assert_eq!(door.anonymous().get(path).status, 308, "nothing is owed: {path}");
    }
    assert!(!program.everything_written().contains(CUSTOMER));
}

fn serial(client: &mut TlsClient) -> Vec<u8> {
    client.stream().conn.peer_certificates().expect("certificates")[0].to_vec()
}

/// Two thirds of its time are over: another takes its place, without a handshake that fails or a connection that ends.
/// When the authority is gone, the last one stays, and it is asked again only later.
#[test]
fn a_certificate_is_renewed_under_load_and_stays_when_the_authority_is_gone() {
    let town = Town::new(9, &["a.example"]);
    let pebble = town.plan.start(false);
    let (program, _plan, _files, _upstream) = town.serve();
    complete(&program);
    let (address, dialer) = (program.gateway().0, pebble.dialer());
    let mut kept = dialer.connect(address, "a.example");
    let first = serial(&mut kept);
    let (stop, met) = (AtomicBool::new(false), AtomicUsize::new(0));
    let meet = |dialer: Dialer| {
        while !stop.load(Ordering::Relaxed) {
            assert!(is_served(&dialer, address, "a.example"));
            met.fetch_add(1, Ordering::Relaxed);
        }
    };
    let second = thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        let meeting = [scope.spawn(|| meet(dialer.clone())), scope.spawn(|| meet(dialer.clone().resuming()))];
        let second = wait::for_some("another certificate", || {
            let shown = serial(&mut dialer.connect(address, "a.example"));
            (shown != first).then_some(shown)
        });
        let before = met.load(Ordering::Relaxed);
        wait::until("handshakes with it", || met.load(Ordering::Relaxed) > before + 4);
        stop.store(true, Ordering::Relaxed);
        for meeting in meeting {
            meeting.join().expect("no handshake fails");
        }
        second
    });
    assert!((issued(&program) - 2.0).abs() < 0.1);
    assert_eq!(kept.send(super::ask("a.example")).receive().status, 200, "a kept connection lives on");
    let failed = program.metric("latchgate_tls_handshakes_total", &[("outcome", "failed")]);
    assert!(failed < 0.5, "{failed} handshakes failed");

    drop(pebble);
    wait::until("a renewal that fails", || failing(&program) > 0.5);
    assert!(is_served(&dialer, address, "a.example"));
    assert_eq!(serial(&mut dialer.connect(address, "a.example")), second);
    let told = refusals(&program);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["error"].as_str().is_some_and(|text| text.contains("cannot be asked")), "{told:?}");
}

/// SIGHUP: what is named anew is ordered, what is no longer named is no longer shown, and what was there is not ordered
/// again.
#[test]
fn names_come_and_go() {
    let town = Town::new(LONG, &["a.example", "b.example"]);
    let pebble = town.plan.start(false);
    let (program, _plan, files, _upstream) = town.serve();
    complete(&program);
    let (address, dialer) = (program.gateway().0, pebble.dialer());
    let setup = program.site.setup.clone();
    program.site.configure(&setup.clone().set("tls.acme.domains", vec!["c.example", "a.example"]));
    program.sighup();
    wait::until("the new name", || is_served(&dialer, address, "c.example"));
    assert!(is_served(&dialer, address, "a.example") && !is_served(&dialer, address, "b.example"));
    assert!(is_served(&files.config(), address, "gw"));
    assert_eq!((pebble.orders(), pebble.accounts()), (3, 1));
    // Back again: it is kept.
    program.site.configure(&setup);
    program.sighup();
    wait::until("the old name", || is_served(&dialer, address, "b.example"));
    assert_eq!(pebble.orders(), 3);
    // An authority that is none leaves everything as it is.
    program.site.configure(&setup.set("tls.acme.directory_ca", "nowhere.pem"));
    program.sighup();
    wait::until("a line", || program.everything_written().contains("nowhere.pem"));
    assert!(is_served(&dialer, address, "a.example") && missing(&program) < 0.5);
    assert!(program.metric("latchgate_tls_last_reload_successful", &[]) < 0.5);
}

/// In the middle of an order the process is replaced, and ended: neither waits for the authority. What was not finished
/// is ordered by whoever serves.
#[test]
fn an_order_delays_no_end() {
    let town = Town::new(LONG, &["a.example"]);
    let pebble = town.plan.start(false);
    let program = town.site.serve();
    wait::until("an order", || pebble.orders() == 1);
    let site = program.stop();
    let program = site.serve();
    open(&town.plan, &program);
    complete(&program);
    assert!(is_served(&pebble.dialer(), program.gateway().0, "a.example"));
    let (_, kept) = file(&program.site, "a.example.pem");
    assert!(String::from_utf8_lossy(&kept).contains("BEGIN CERTIFICATE"));
}
