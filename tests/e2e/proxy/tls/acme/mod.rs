//! Certificates that the gateway orders from a real authority, which really looks whether the names are ours.

mod failures;
mod orders;
mod strangers;

use std::{net::SocketAddr, sync::Arc};

use serde_json::Value;

use super::{Authority, ask};
use crate::support::{
    pebble::Plan,
    program::{Program, Site},
    rawup::Upstream,
    setup::Setup,
    tls::Dialer,
    wait,
};

/// Ninety days.
const LONG: u64 = 90 * 24 * 3600;

/// A site with a certificate in files, for `gw`, that orders others.
struct Town {
    plan: Arc<Plan>,
    files: Authority,
    upstream: Upstream,
    site: Site,
}

impl Town {
    fn new(validity: u64, domains: &[&str]) -> Self {
        Self::with(validity, domains, |setup| setup)
    }

    fn with(validity: u64, domains: &[&str], change: impl FnOnce(Setup) -> Setup) -> Self {
        let (plan, files, upstream) = (Plan::new(validity), Authority::new("Of files"), Upstream::echo());
        let setup = Setup::offload(&upstream).tls(1).set("listen.redirect", "127.0.0.1:0");
        let site = Site::new(change(plan.setup(setup, domains)));
        site.certify(0, &files.server(&["gw", "file.example"]));
        Self { plan, files, upstream, site }
    }

    /// The gateway, to which the authority finds its way, and the rest of the town.
    fn serve(self) -> (Program, Arc<Plan>, Authority, Upstream) {
        let Self { plan, files, upstream, site } = self;
        let program = site.serve();
        open(&plan, &program);
        (program, plan, files, upstream)
    }
}

fn open(plan: &Plan, program: &Program) {
    plan.tls.lead_to(program.gateway().0);
    plan.http.lead_to(program.listener("redirect").0);
}

fn issued(program: &Program) -> f64 {
    program.metric("latchgate_acme_orders_total", &[("outcome", "issued")])
}

fn missing(program: &Program) -> f64 {
    program.metric("latchgate_acme_missing", &[])
}

fn failing(program: &Program) -> f64 {
    program.metric("latchgate_acme_failing", &[])
}

/// The lines that say why there is no certificate.
fn refusals(program: &Program) -> Vec<Value> {
    let lines = program.messages().into_iter();
    let is_refusal = |line: &Value| {
        line["msg"].as_str().is_some_and(|text| text.starts_with("no certificate could be ordered"))
    };
    lines.filter(is_refusal).collect()
}

/// The one refusal that there is, once it is there, and its text.
fn refusal(program: &Program) -> String {
    let line = wait::for_some("a refusal", || refusals(program).pop());
    assert!((failing(program) - 1.0).abs() < 0.1 || refusals(program).len() > 1, "{line}");
    line["error"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// Waits until no name is without a certificate.
fn complete(program: &Program) {
    wait::until("the certificates", || missing(program) < 0.5 && failing(program) < 0.5);
}

/// A request over a handshake that proves the name.
fn is_served(dialer: &Dialer, address: SocketAddr, name: &str) -> bool {
    dialer.is_let_in(address, name, &ask(name))
}

/// The files of the storage, with their rights, by their names, and what they hold.
fn stored(site: &Site) -> Vec<(String, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = Vec::new();
    let mut folders = vec![site.path("acme")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let mode = std::fs::metadata(&path).expect("its rights").permissions().mode() & 0o777;
            let held = if path.is_dir() { Vec::new() } else { std::fs::read(&path).expect("a file") };
            found.push((path.display().to_string(), mode, held));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The one file of the storage that ends so.
fn file(site: &Site, end: &str) -> (String, Vec<u8>) {
    let found = stored(site).into_iter().find(|(name, _, _)| name.ends_with(end));
    let (name, _, held) = found.unwrap_or_else(|| panic!("no {end}"));
    (name, held)
}

/// Starts what is expected to fail; what it says.
fn unstarted(site: &Site) -> String {
    let (check, serve) = (site.plain(&["check"], ""), site.plain(&["serve"], ""));
    assert!(check.code != 0 && serve.code != 0, "{check:?} {serve:?}");
    let said = |text: &str| text.lines().find(|line| line.starts_with("error:")).map(str::to_owned);
    assert_eq!(said(&check.stderr), said(&serve.stderr));
    check.stderr
}
