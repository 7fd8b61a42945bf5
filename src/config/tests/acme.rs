//! What `[tls.acme]` refuses.

use super::mistakes::each_is_named;

#[test]
fn each_wrong_order_of_certificates_is_named() {
    let with = |lines: &str| format!("[tls.acme]\naccept_terms = true\n{lines}");
    let named = |lines: &str| with(&format!("domains = [\"a.example\"]\n{lines}"));
    let cases = [
        (with(""), "tls.acme.domains: is missing"),
        (with("domains = []"), "tls.acme.domains: is empty"),
        (
            with("domains = [\"*.a.example\"]"),
            "tls.acme.domains[0]: \"*.a.example\": a wildcard is proved by DNS-01",
        ),
        (with("domains = [\"192.0.2.1\"]"), "an address is not ordered"),
        (with("domains = [\"[::1]\"]"), "an address is not ordered"),
        (with("domains = [\"a.example:443\"]"), "a name alone, without scheme, port and path"),
        (with("domains = [\"../a.example\"]"), "a name alone, without scheme, port and path"),
        (with("domains = [\"ä.example\"]"), "ASCII form"),
        (with("domains = [\"..\"]"), "it is not a host name"),
        (
            with("domains = [\"a.example\", \"A.example\"]"),
            "tls.acme.domains[1]: \"a.example\" is named twice",
        ),
        (
            named("contact = [\"ops@example.com\"]"),
            "tls.acme.contact[0]: \"ops@example.com\" is no mailto: address",
        ),
        (
            named("directory = \"http://ca.example/\""),
            "tls.acme.directory: \"http://ca.example/\" must begin with https://",
        ),
        (named("directory = \"https://u:hunter2@ca/\""), "tls.acme.directory"),
        (named("challenge = \"dns-01\""), "tls.acme.challenge: dns-01 is not offered"),
        (named("challenge = \"http-01\""), "tls.acme.challenge: needs listen.redirect"),
        (named("storage = \"\""), "tls.acme.storage: must not be empty"),
        (named("cache_dir = \"acme\""), "tls.acme.cache_dir: is not a key of this version"),
        (named("external_account = { kid = \"k\" }"), "tls.acme.external_account.key_file: is missing"),
        ("[tls.acme]\ndomains = [\"a.example\"]".to_owned(), "tls.acme.accept_terms: is missing"),
        (named("").replace("true", "false"), "tls.acme.accept_terms: is false"),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(line, said)| (line.as_str(), *said)).collect();
    each_is_named(&cases);
}
