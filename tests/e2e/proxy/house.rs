//! One gateway for the framing tests: every smuggled request carries a valid key, so that only the framing stands in its way.

use std::time::Duration;

use crate::support::{
    program::{Program, Site},
    rawc::{End, Exchange, exchange},
    rawup::{Request, Upstream},
    setup::Setup,
    wrong::Wrong,
};

pub struct House {
    pub upstream: Upstream,
    pub program: Program,
    pub key: String,
}

impl House {
    pub fn new() -> Self {
        Self::with(|setup| setup)
    }

    pub fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(change(Setup::offload(&upstream)));
        let key = site.key(&["--scopes", "scan:read,scan:trigger,scan:manage"]).text;
        Self { program: site.serve(), upstream, key }
    }

    /// `{KEY}` and `{HEAD}` (Host and key lines) written out.
    pub fn bytes(&self, template: &[u8]) -> Vec<u8> {
        let head = format!("Host: gw\r\nX-API-Key: {}\r\n", self.key);
        replace(&replace(template, b"{HEAD}", head.as_bytes()), b"{KEY}", self.key.as_bytes())
    }

    pub fn ask(&self, template: &[u8]) -> Exchange {
        self.upstream.forget();
        exchange(self.program.gateway().0, self.bytes(template), Duration::from_secs(4))
    }

    /// One refusal with one of these statuses, then the end of the connection, and nothing at the upstream.
    pub fn refuses(&self, template: &[u8], statuses: &[u16], wrong: &mut Wrong) {
        let heard = self.ask(template);
        let got: Vec<u16> = heard.responses.iter().map(|answer| answer.status).collect();
        let refused = got.len() == 1 && statuses.contains(&got[0]) && heard.end != End::Open;
        let complete = self.upstream.requests().iter().filter(|seen| seen.complete).count();
        wrong.unless(refused && complete == 0, || {
            let shown: String = String::from_utf8_lossy(template).chars().take(160).collect();
            format!("{shown:?}: {got:?}, {:?}, {complete} forwarded", heard.end)
        });
    }

    /// Refused as above, or forwarded as requests that all hold to `sound`.
    pub fn refuses_or(&self, template: &[u8], wrong: &mut Wrong, sound: impl Fn(&Request) -> bool) {
        let heard = self.ask(template);
        let seen = self.upstream.requests();
        let refused = heard.responses.len() == 1
            && matches!(heard.responses[0].status, 400 | 431 | 501)
            && heard.end != End::Open;
        let fine = if refused { !seen.iter().any(|seen| seen.complete) } else { seen.iter().all(&sound) };
        let smuggled = seen.iter().any(|seen| seen.target.contains("pwn"));
        wrong.unless(fine && !smuggled, || {
            let shown: String = String::from_utf8_lossy(template).chars().take(160).collect();
            format!("{shown:?}: {:?}, forwarded {seen:?}", heard.end)
        });
    }
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
