//! TLS on the gateway port and on the admin port, as clients meet it.

mod acme;
mod clients;
mod handshake;
mod names;
mod reload;

use crate::support::{
    program::{Program, Site},
    rawup::Upstream,
    setup::Setup,
    tls::Authority,
};

/// A gateway with certificates for `gw` (the default), `a.example` with `*.shared.example`, and `b.example`.
struct House {
    authority: Authority,
    upstream: Upstream,
    program: Program,
}

impl House {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        Self::prepared(change, |_| {})
    }

    /// The same with further files in its folder.
    fn prepared(change: impl FnOnce(Setup) -> Setup, prepare: impl FnOnce(&Site)) -> Self {
        let (authority, upstream) = (Authority::new("Test CA"), Upstream::echo());
        let site = Site::new(change(Setup::offload(&upstream).tls(3)));
        site.certify(0, &authority.server(&["gw", "localhost", "127.0.0.1"]));
        site.certify(1, &authority.server(&["a.example", "*.shared.example"]));
        site.certify(2, &authority.server(&["b.example"]));
        prepare(&site);
        Self { authority, upstream, program: site.serve() }
    }

    /// Nothing that clients did was worth a line; what the program says of its configuration is.
    fn assert_quiet(&self) {
        let loud = |line: &serde_json::Value| line["level"] == "warn" || line["level"] == "error";
        let of_clients = |line: &serde_json::Value| line["target"] != "latchgate::app::run";
        let lines = self.program.messages();
        let loud: Vec<_> = lines.iter().filter(|line| loud(line) && of_clients(line)).collect();
        assert!(loud.is_empty(), "{loud:?}");
    }
}

/// A request for `/public/x` of this host.
fn ask(host: &str) -> Vec<u8> {
    format!("GET /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}
