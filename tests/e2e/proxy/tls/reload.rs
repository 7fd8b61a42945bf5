//! Certificates that change while the gateway runs.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use super::{House, ask};
use crate::support::{
    stop::StopAtEnd,
    tls::{Pair, TlsClient},
    wait,
};

/// The serial number of the certificate that this connection was shown.
fn shown(client: &mut TlsClient) -> Vec<u8> {
    client.stream().conn.peer_certificates().expect("certificates")[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("PEM").to_vec()
}

/// New files are in force for the next handshake, by themselves and on SIGHUP; connections are kept; files that cannot be
/// used change nothing, and are one line in the log and a metric.
#[test]
fn new_files_are_taken_up_and_bad_ones_are_not() {
    let house = House::new();
    let (address, dialer) = (house.program.gateway().0, house.authority.config());
    let ok = || house.program.metric("latchgate_tls_last_reload_successful", &[]);
    let ends = || house.program.metric("latchgate_tls_certificate_not_after_seconds", &[("name", "gw")]);
    let errors = || house.program.messages().iter().filter(|line| line["level"] == "error").count();
    assert!(ok() > 0.5 && ends() > 4e9);
    let mut kept = dialer.connect(address, "gw");
    let renewed = house.authority.with(&["gw"], |params| params.not_after = rcgen::date_time_ymd(2090, 1, 1));
    house.program.site.certify(0, &renewed);
    wait::until("the new certificate", || shown(&mut dialer.connect(address, "gw")) == der(&renewed));
    assert!((ends() - 3_786_912_000.0).abs() < 1.0, "{}", ends());
    assert_eq!(kept.send(ask("gw")).receive().status, 200, "a kept connection lives on");

    house.program.site.file("site-0.pem", &house.authority.server(&["gw"]).cert);
    wait::until("the metric of a key that does not fit", || ok() < 0.5);
    wait::until("its line", || errors() == 1);
    let seen = |pair: &Pair| shown(&mut dialer.connect(address, "gw")) == der(pair);
    assert!(seen(&renewed), "the old one stays");
    // The same files are not tried again and again; SIGHUP tries them.
    house.program.sighup();
    wait::until("a second line", || errors() == 2);
    assert!(seen(&renewed));
    let third = house.authority.server(&["gw"]);
    house.program.site.certify(0, &third);
    house.program.sighup();
    wait::until("the third certificate", || seen(&third));
    wait::until("the metric of a good one", || ok() > 0.5);
    std::fs::remove_file(house.program.site.path("site-1.key")).expect("remove a key");
    wait::until("the metric of a missing file", || ok() < 0.5);
    assert!(dialer.is_let_in(address, "a.example", &ask("a.example")), "the old one stays");
    assert_eq!(kept.send(ask("gw")).receive().status, 200);
}

/// N353: handshakes without end, a hundred new certificates and a bad one: no handshake fails.
#[test]
fn no_handshake_fails_while_certificates_change() {
    let house = House::new();
    let address = house.program.gateway().0;
    let (stop, met) = (AtomicBool::new(false), AtomicUsize::new(0));
    let pairs: Vec<Pair> = (0..4).map(|_| house.authority.server(&["gw"])).collect();
    thread::scope(|scope| {
        let _end = StopAtEnd(&stop);
        for _ in 0..3 {
            scope.spawn(|| {
                let (fresh, resuming) = (house.authority.config(), house.authority.config().resuming());
                while !stop.load(Ordering::Relaxed) {
                    for dialer in [&fresh, &resuming] {
                        let mut client = dialer.connect(address, "gw");
                        assert_eq!(client.send(ask("gw")).receive().status, 200);
                        met.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let is_told = || house.program.messages().iter().any(|line| line["level"] == "error");
        for round in 0..100 {
            let before = met.load(Ordering::Relaxed);
            if round == 50 {
                house.program.site.file("site-0.pem", "no certificate");
            } else {
                house.program.site.certify(0, &pairs[round % pairs.len()]);
            }
            house.program.sighup();
            if round == 50 {
                // Otherwise the next certificate may be there before anybody has looked at this one.
                wait::until("the bad one to be told", is_told);
            }
            wait::until("handshakes between two reloads", || met.load(Ordering::Relaxed) > before + 8);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(met.load(Ordering::Relaxed) > 800);
    let failed = house.program.metric("latchgate_tls_handshakes_total", &[("outcome", "failed")]);
    assert!(failed < 0.5, "{failed} handshakes failed");
}
