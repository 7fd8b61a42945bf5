//! `Forwarded` (RFC 7239): where the trusted proxies name their clients in it, and where they do not.

use crate::support::{
    program::{Program, Site},
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

/// A gateway behind trusted proxies that name their clients by one header, and a key for 203.0.113.0/24 and
/// 2001:db8::/32.
struct Fenced {
    program: Program,
    key: String,
    upstream: Upstream,
}

impl Fenced {
    fn new(header: &str) -> Self {
        let upstream = Upstream::echo();
        let trusted = toml::Value::from(vec!["127.0.0.1", "10.0.0.0/8", "fd00::/8"]);
        let setup = Setup::offload(&upstream)
            .set("listen.trusted_proxies", trusted)
            .set("listen.client_ip_header", header);
        let site = Site::new(setup);
        let networks = "203.0.113.0/24,2001:db8::/32";
        let key = site.key(&["--scopes", "scan:read", "--allowed-ips", networks]).text;
        Self { program: site.serve(), key, upstream }
    }

    fn passes(&self, lines: &[&str]) -> bool {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let verdict = self.program.key(&self.key).request("GET", "/api/x").lines(&lines).send().verdict();
        assert!(verdict == "200" || verdict == "403 ip_not_allowed", "{lines:?}: {verdict}");
        verdict == "200"
    }

    /// What the upstream gets of a public request, as `name: value`.
    fn told(&self, lines: &[&str]) -> Vec<String> {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let answer = self.program.anonymous().request("GET", "/public/x").lines(&lines).send();
        assert_eq!(answer.status, 200, "{}", answer.verdict());
        let seen = self.upstream.last();
        let names = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"];
        let names = names.into_iter().chain(["x-forwarded-proto", "x-real-ip"]);
        names
            .flat_map(|name| seen.fields.all(name).into_iter().map(move |value| format!("{name}: {value}")))
            .filter(|line| line != "x-forwarded-host: gw")
            .collect()
    }
}

/// F179: a proxy sets one header and lets the other pass as the client sent it. Only the one that the configuration
/// names is read, whichever stands first; alone, the other names nobody.
#[test]
fn the_other_header_cannot_be_smuggled_past_a_proxy() {
    let mut wrong = Wrong::default();
    let inside = ["X-Forwarded-For: 203.0.113.5", "Forwarded: for=203.0.113.5"];
    let outside = ["X-Forwarded-For: 198.51.100.1", "Forwarded: for=198.51.100.1"];
    for (header, at) in [("x-forwarded-for", 0), ("forwarded", 1)] {
        let fenced = Fenced::new(header);
        let (own, smuggled) = (outside[at], inside[1 - at]);
        for lines in [&[own, smuggled][..], &[smuggled, own], &[smuggled], &[own], &[]] {
            wrong.unless(!fenced.passes(lines), || format!("{header}: {lines:?} passes"));
        }
        let (own, noise) = (inside[at], outside[1 - at]);
        for lines in [&[own, noise][..], &[noise, own], &[own]] {
            wrong.unless(fenced.passes(lines), || format!("{header}: {lines:?} does not pass"));
        }
        // What the gateway did not read its upstream does not read either.
        for lines in [&[own, noise][..], &[noise, own]] {
            let told = fenced.told(lines);
            let expected = ["x-forwarded-for: 203.0.113.5, 127.0.0.1", "x-forwarded-proto: http"];
            wrong.unless(told == expected, || format!("{header}: {lines:?} reach the upstream as {told:?}"));
        }
        // Whom nobody knows the upstream does not take for the proxy.
        let told = fenced.told(&[noise]);
        let expected = ["x-forwarded-for: unknown, 127.0.0.1", "x-forwarded-proto: http"];
        wrong.unless(told == expected, || format!("{header}: {noise:?} reaches the upstream as {told:?}"));
        // A proxy may pass on a client's `Connection`, which names what the proxy says.
        let told = fenced
            .told(&[own, "Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded"]);
        wrong.unless(
            told.first().is_some_and(|line| line == "x-forwarded-for: 203.0.113.5, 127.0.0.1"),
            || format!("{header}: Connection makes the upstream see {told:?}"),
        );
    }
    wrong.none("a client's address");
}

/// F179: a proxy that names its clients in the header that is not read leaves them without an address, rather than with
/// the proxy's own, which may well be on a key's list.
#[test]
fn clients_named_in_the_other_header_have_no_address() {
    for (header, other) in
        [("x-forwarded-for", "Forwarded: for=127.0.0.1"), ("forwarded", "X-Forwarded-For: 127.0.0.1")]
    {
        let fenced = Fenced::new(header);
        let key = fenced.program.site.key(&["--scopes", "scan:read", "--allowed-ips", "127.0.0.1"]).text;
        let program = &fenced.program;
        assert_eq!(program.key(&key).verdict("/api/health"), "200", "the proxy itself");
        let request = program.key(&key).request("GET", "/api/other").lines(&[other.as_bytes()]);
        assert_eq!(request.send().verdict(), "403 ip_not_allowed", "{header}");
        let line = program.requests_logged("/api/other", 1).remove(0);
        assert!(line["client_ip"].is_null(), "{line}");
    }
}

/// F176 to F182 in the words of RFC 7239: the right-most stranger is the client, whatever a client wrote before it; who
/// is hidden, unknown or written in a way that the standard does not know is nobody.
#[test]
fn the_last_untrusted_hop_counts() {
    let fenced = Fenced::new("forwarded");
    let mut wrong = Wrong::default();
    let many = format!("Forwarded: {}for=203.0.113.5", "for=198.51.100.1, ".repeat(1000));
    let cases: &[(&[&str], bool)] = &[
        (&["Forwarded: for=203.0.113.5"], true),
        (&["Forwarded: For=203.0.113.5;Proto=https;BY=10.0.0.1"], true),
        (&["Forwarded: by=10.0.0.1; proto=https ; for=203.0.113.5"], true),
        (&["Forwarded: for=\"203.0.113.5\""], true),
        (&["Forwarded: for=\"203.0.113.5:4711\""], true),
        (&["Forwarded: for=\"203.0.113.5:_gazonk\""], true),
        (&["Forwarded: for=\"[2001:db8::1]\""], true),
        (&["Forwarded: for=\"[2001:DB8::1]:4711\""], true),
        (&["Forwarded: for=\"[2001:db9::1]:4711\""], false),
        (&["Forwarded: for=\"[::ffff:203.0.113.5]\""], true),
        (&["Forwarded: for=203.0.113.5, for=198.51.100.1"], false),
        (&["Forwarded: for=198.51.100.1, for=203.0.113.5"], true),
        (&["Forwarded: for=198.51.100.1, for=203.0.113.5, for=10.1.2.3"], true),
        (&["Forwarded: for=198.51.100.1,for=203.0.113.5,for=\"[fd00::1]:80\";host=\"a,b;for=1\""], true),
        (&["Forwarded: for=203.0.113.5", "Forwarded: for=198.51.100.1"], false),
        (&["Forwarded: for=198.51.100.1", "Forwarded: for=203.0.113.5"], true),
        (&[&many], true),
        // Whatever a client sent, its proxy wrote its own after it.
        (&["Forwarded: for=\"198.51.100.1, for=203.0.113.5"], true),
        (&["Forwarded: for=\"203.0.113.5, for=198.51.100.1"], false),
        (&["Forwarded: for=203.0.113.5;x=\", for=198.51.100.1;by=\"10.0.0.1\""], false),
        (&["Forwarded: for=203.0.113.5;x=\"\\, for=198.51.100.1"], false),
        (&["Forwarded: %00;=\\, for=203.0.113.5;;"], true),
        // Nobody.
        (&["Forwarded: for=unknown"], false),
        (&["Forwarded: for=_hidden"], false),
        (&["Forwarded: for=203.0.113.5, for=unknown"], false),
        (&["Forwarded: for=203.0.113.5, for=_hidden, for=10.0.0.2"], false),
        (&["Forwarded: for=203.0.113.5, proto=https"], false),
        (&["Forwarded: for=203.0.113.5,"], false),
        (&["Forwarded: for=203.0.113.5;for=203.0.113.5"], false),
        (&["Forwarded: for=203.0.113.5:80"], false),
        (&["Forwarded: for=[2001:db8::1]"], false),
        (&["Forwarded: for=\"2001:db8::1\""], false),
        (&["Forwarded: for=\"[203.0.113.5]\""], false),
        (&["Forwarded: for = 203.0.113.5"], false),
        (&["Forwarded: for=\"203.0.113.5\"x"], false),
        (&["Forwarded: for=\"203.0.113.\\5\""], false),
        (&["Forwarded: for=\"203.0.113.5"], false),
        (&["Forwarded: for=203.0.113.5\""], false),
        (&["Forwarded: for='203.0.113.5'"], false),
        (&["Forwarded: 203.0.113.5"], false),
        (&["Forwarded: for="], false),
        (&["Forwarded:"], false),
        (&["Forwarded: for=010.0.113.5"], false),
        (&["Forwarded: for=\"203.0.113.5:\""], false),
        (&["Forwarded: for=\"203.0.113.5:99999\""], false),
    ];
    for (lines, allowed) in cases {
        let passed = fenced.passes(lines);
        wrong.unless(passed == *allowed, || format!("{lines:.100?}: {passed}"));
    }
    wrong.none("a hop");
}

/// F176: upstreams are told in `X-Forwarded-*` what was read in `Forwarded`, and nothing that only a client can have
/// written: neither the other names of the same thing, nor what stands before the client.
#[test]
fn the_upstream_is_told_what_was_read() {
    let fenced = Fenced::new("forwarded");
    let mut wrong = Wrong::default();
    for (lines, expected) in [
        (
            &[
                "Forwarded: for=1.1.1.1, for=203.0.113.5;proto=https;host=api.example, for=10.0.0.2;proto=http",
            ][..],
            &[
                "x-forwarded-for: 203.0.113.5, 10.0.0.2, 127.0.0.1",
                "x-forwarded-host: api.example",
                "x-forwarded-proto: https",
            ][..],
        ),
        (
            &["Forwarded: for=\"[2001:db8::1]:4711\";host=\"api.example:8443\""],
            &[
                "x-forwarded-for: 2001:db8::1, 127.0.0.1",
                "x-forwarded-host: api.example:8443",
                "x-forwarded-proto: http",
            ],
        ),
        (
            &["Forwarded: for=203.0.113.5, for=_hidden;proto=https"],
            &["x-forwarded-for: unknown, 127.0.0.1", "x-forwarded-proto: http"],
        ),
        (
            &["Forwarded: for=203.0.113.5;proto=gopher;host=\"a b\""],
            &["x-forwarded-for: 203.0.113.5, 127.0.0.1", "x-forwarded-proto: http"],
        ),
        (
            &[
                "X-Forwarded-Proto: https",
                "X-Forwarded-Host: evil.example",
                "X-Forwarded-Port: 1",
                "X-Real-IP: 203.0.113.9",
                "X-Forwarded-For: 203.0.113.9",
                "Forwarded: for=203.0.113.5",
            ],
            &["x-forwarded-for: 203.0.113.5, 127.0.0.1", "x-forwarded-proto: http"],
        ),
        (&[], &["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"]),
    ] {
        let told = fenced.told(lines);
        wrong.unless(told == expected, || format!("{lines:?}: {told:?}"));
    }
    wrong.none("what an upstream is told");
}
