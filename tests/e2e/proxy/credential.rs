//! How a key is presented, and every way in which it is not one.

use base64::Engine as _;

use crate::support::{
    program::{Key, Program, Site},
    rawc::Response,
    rawup::Upstream,
    setup::Setup,
    wrong::Wrong,
};

struct House {
    upstream: Upstream,
    program: Program,
    key: Key,
    other: Key,
}

impl House {
    fn new() -> Self {
        Self::of(Setup::offload)
    }

    fn of(setup: fn(&Upstream) -> Setup) -> Self {
        let upstream = Upstream::echo();
        let site = Site::new(setup(&upstream));
        let key = site.key(&["--scopes", "scan:read"]);
        let other = site.key(&["--scopes", "scan:read", "--name", "other"]);
        Self { program: site.serve(), upstream, key, other }
    }

    fn with(&self, lines: &[&str]) -> Response {
        let request = self.program.anonymous().request("GET", "/api/x");
        request.lines(lines).send()
    }
}

fn is_401(answer: &Response) -> bool {
    answer.status == 401 && answer.header("www-authenticate").is_some()
}

/// `R000_15`, `R000_16`: the key in `X-API-Key` opens what it covers.
#[test]
fn the_key_is_sent_in_x_api_key() {
    let house = House::new();
    assert_eq!(house.program.key(&house.key.text).verdict("/api/x"), "200");
    assert_eq!(house.upstream.last().header("x-credential-id"), Some(house.key.prefix.as_str()));
}

/// `R002_08`, D123: as `Authorization: Bearer`; white space around it is tolerated, inside it is not.
#[test]
fn the_key_is_sent_as_bearer() {
    let house = House::of(Setup::trustedoss);
    let key = &house.key.text;
    let (head, tail) = key.split_at(8);
    let mut wrong = Wrong::default();
    for value in [
        format!("Bearer {key}"),
        format!("Bearer   {key}  "),
        format!("  Bearer {key}\t"),
        format!("bearer {key}"),
        format!("BEARER {key}"),
        format!("Bearer \t {key}"),
    ] {
        let status = house.with(&[&format!("Authorization: {value}")]).status;
        wrong.unless(status == 200, || format!("{value:?}: {status}"));
    }
    for value in [
        format!("Bearer {head} {tail}"),
        format!("Bearer {head}\t{tail}"),
        format!("Bearer{key}"),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Bearer {key} {key}"),
        format!("Bearer {key},"),
    ] {
        let answer = house.with(&[&format!("Authorization: {value}")]);
        wrong.unless(matches!(answer.status, 400 | 401), || format!("{value:?}: {}", answer.status));
    }
    wrong.none("a bearer");
}

/// `R001_04`: a key of level `standard` works raw in the header.
#[test]
fn a_standard_key_works_raw() {
    let upstream = Upstream::echo();
    let setup = Setup::bare("cortex")
        .upstream("app", &upstream.url())
        .route("name = \"any\"\npath = \"/any/{*rest}\"\nupstream = \"app\"");
    let site = Site::new(setup);
    let key = site.key(&["--scopes", "cli_tools:view", "--security-level", "standard"]);
    assert_eq!(key.object["security_level"], "standard");
    let program = site.serve();
    assert_eq!(program.key(&key.text).verdict("/any/x"), "200");
    let bare = program
        .anonymous()
        .request("GET", "/any/x")
        .header("Authorization", &key.text)
        .header("x-xdr-auth-id", &key.prefix);
    assert_eq!(
        bare.send().verdict(),
        "200",
        "bare, with the key's id beside it, as that platform's clients do"
    );
    assert!(!upstream.record().contains(&key.text), "the bare credential was forwarded");
}

/// D121, RFC 6750 section 3.1: without a credential the challenge names no error.
#[test]
fn no_credential_is_asked_for_one() {
    let house = House::new();
    let answer = house.with(&[]);
    assert_eq!(answer.verdict(), "401 credential_missing");
    let challenge = answer.header("www-authenticate").expect("a challenge").to_owned();
    assert!(challenge.starts_with("Bearer") && !challenge.contains("error"), "{challenge}");
    let invalid = house.with(&[&format!("Authorization: Bearer {}", flipped(&house.key.text))]);
    assert!(is_401(&invalid));
    assert_eq!(house.upstream.count(), 0);
}

/// `R002_11`, D141: 401 for every problem of the credential, 403 for a good one that does not cover the resource.
#[test]
fn problems_of_the_credential_are_401_of_the_right_403() {
    let upstream = Upstream::echo();
    let site = Site::new(Setup::trustedoss(&upstream));
    let team = site.team();
    let bound = site.key(&["--scope", "team", "--team-id", &team]);
    let revoked = site.key(&["--scope", "org", "--name", "revoked"]);
    site.cli(&["keys", "revoke", &revoked.id]).ok();
    let program = site.serve();
    let unknown = format!("tos_{}_{}", "z".repeat(8), "z".repeat(32));
    let mismatch = format!("tos_{}_{}", bound.prefix, "z".repeat(32));
    for (what, key, verdict) in [
        ("malformed", "tos_short", "401 credential_malformed"),
        ("unknown", unknown.as_str(), "401 credential_invalid"),
        ("mismatch", mismatch.as_str(), "401 credential_invalid"),
        ("revoked", revoked.text.as_str(), "401 credential_revoked"),
    ] {
        let answer = program.bearer(key).get("/any/x");
        assert_eq!(answer.verdict(), verdict, "{what}");
        assert!(is_401(&answer), "{what}: a challenge");
    }
    assert_eq!(program.anonymous().verdict("/any/x"), "401 credential_missing");
    let elsewhere = program.bearer(&bound.text).get("/teams/0192f7c4-5b1e-7c3a-9d2e-1f0a2b3c4d5e/x");
    assert_eq!(elsewhere.verdict(), "403 boundary_mismatch");
    assert_eq!(program.bearer(&bound.text).get(&format!("/teams/{team}/x")).verdict(), "200");
}

/// Unknown and wrong are told apart by nothing: body, headers (D134, `R002_02`).
#[test]
fn unknown_and_wrong_look_alike() {
    let house = House::of(Setup::trustedoss);
    let strip = |answer: &Response| {
        let own = answer.header("x-request-id").expect("an id").to_owned();
        let fields: Vec<_> = answer
            .fields
            .0
            .iter()
            .map(|(name, value)| (name.clone(), value.replace(&own, "ID")))
            .filter(|(name, _)| !name.eq_ignore_ascii_case("date"))
            .collect();
        (answer.status, fields, answer.text().replace(&own, "ID"))
    };
    let wrong = house.program.bearer(&format!("tos_{}_{}", house.key.prefix, "0".repeat(32))).get("/api/x");
    let unknown = house.program.bearer(&format!("tos_{}_{}", "00000000", "0".repeat(32))).get("/api/x");
    assert_eq!(strip(&wrong), strip(&unknown));
}

/// D122, D138: other schemes and other tokens are no key of ours, and break nothing.
#[test]
fn other_schemes_are_no_key() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:", house.key.text));
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsImV4cCI6Im5ldmVyIn0.";
    let long = format!("Bearer {}", "e".repeat(20_000));
    for value in [
        "Token x",
        "Basic",
        &format!("Basic {basic}"),
        &format!("Bearer {jwt}"),
        "Bearer null",
        "Bearer undefined",
        "Negotiate abc",
        "NTLM abc",
        "Digest username=x",
        "",
        " ",
        &long,
    ] {
        let answer = house.with(&[&format!("Authorization: {value}")]);
        wrong.unless(matches!(answer.status, 400 | 401), || format!("{value:.60}: {}", answer.status));
    }
    assert_eq!(house.upstream.count(), 0);
    wrong.none("a scheme");
}

/// D124: two different credentials of ours are a conflict, in any order; the same one twice is none or refused.
#[test]
fn two_credentials_are_a_conflict() {
    let house = House::new();
    let (a, b) = (&house.key.text, &house.other.text);
    let invalid = flipped(a);
    let mut wrong = Wrong::default();
    for lines in [
        [format!("X-API-Key: {a}"), format!("X-API-Key: {b}")],
        [format!("X-API-Key: {b}"), format!("X-API-Key: {a}")],
        [format!("X-API-Key: {a}"), format!("X-API-Key: {invalid}")],
        [format!("X-API-Key: {invalid}"), format!("X-API-Key: {a}")],
        [format!("X-API-Key: {a}"), format!("Authorization: Bearer {b}")],
        [format!("Authorization: Bearer {a}"), format!("Authorization: Bearer {b}")],
        [format!("X-API-Key: {a}, {b}"), "X-A: 1".to_owned()],
        [format!("X-API-Key: {a},{a}"), "X-A: 1".to_owned()],
    ] {
        let answer = house.with(&[&lines[0], &lines[1]]);
        wrong.unless(matches!(answer.status, 400 | 401), || format!("{lines:?}: {}", answer.status));
    }
    wrong.none("a pair");
    let pair = house.with(&[&format!("X-API-Key: {a}"), &format!("X-API-Key: {b}")]);
    assert_eq!(pair.verdict(), "400 credential_conflict");
    assert_eq!(house.upstream.count(), 0);
}

/// D126, M334: a key in the query or in a body is no credential, and is not logged.
#[test]
fn a_key_in_the_query_is_no_credential() {
    let house = House::new();
    let key = &house.key.text;
    for target in [
        format!("/api/q?api_key={key}"),
        format!("/api/q?access_token={key}"),
        format!("/api/q?X-API-Key={key}"),
    ] {
        assert_eq!(house.program.anonymous().verdict(&target), "401 credential_missing");
    }
    let form = house
        .program
        .anonymous()
        .request("POST", "/api/q")
        .header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(form.body(format!("api_key={key}")).send().verdict(), "401 credential_missing");
    house.program.requests_logged("/api/q", 4);
    assert!(!house.program.everything_written().contains(key), "the key was logged");
    assert_eq!(house.upstream.count(), 0);
}

/// D127, D128, H213: shorter and longer keys are other keys, whatever a hash would cut (72 bytes).
#[test]
fn cut_and_extended_keys_are_refused() {
    for setup in [Setup::offload as fn(&Upstream) -> Setup, Setup::trustedoss] {
        let house = House::of(setup);
        let key = &house.key.text;
        let mut wrong = Wrong::default();
        assert_eq!(house.with(&[&format!("X-API-Key: {key}")]).status, 200);
        let mut tries: Vec<String> = (1..=32).map(|cut| key[..key.len() - cut].to_owned()).collect();
        tries.extend([
            format!("{key}A"),
            format!("{key}{}", "A".repeat(100)),
            format!("{key}{}", "A".repeat(72 - key.len())),
            format!("{key}{key}"),
            format!("x{key}"),
        ]);
        tries.extend([
            house.key.prefix.clone(),
            key.rsplit('_').next().unwrap_or_default().to_owned(),
            key.to_uppercase(),
            key.replace('_', "-"),
        ]);
        for text in tries {
            let answer = house.with(&[&format!("X-API-Key: {text}")]);
            wrong.unless(answer.verdict() == "401 credential_malformed", || {
                format!("{text}: {}", answer.verdict())
            });
        }
        wrong.none("a key");
    }
}

/// D129, D131 to D133: hostile text in the key's place is refused before it is looked up, hashed or logged raw.
#[test]
fn hostile_text_is_no_key() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let huge = "A".repeat(24 << 10);
    for text in [
        "",
        " ",
        "osk_",
        "osk_%",
        "osk_________",
        "' OR 1=1--",
        "osk_aaaaaaaa_' OR '1'='1",
        "../../etc/passwd",
        "osk_\u{e9}",
        "null",
        "osk_aaaaaaaa_*",
        "$2b$10$aaaaaaaaaaaaaaaaaaaaaa",
        &huge,
    ] {
        let answer = house.with(&[&format!("X-API-Key: {text}")]);
        let fine = matches!(answer.verdict().as_str(), "401 credential_malformed" | "401 credential_missing");
        wrong.unless(fine, || format!("{text:.40}: {}", answer.verdict()));
    }
    let key = &house.key.text;
    for byte in ["\x01", "\x7f", "\x1b"] {
        let answer = house.with(&[&format!("X-API-Key: {key}{byte}")]);
        wrong.unless(matches!(answer.status, 400 | 401), || format!("{byte:?}: {}", answer.status));
    }
    assert_eq!(house.upstream.count(), 0);
    wrong.none("a text");
}

/// A key with a checksum and one wrong character is told so without a look-up; a guess with the right checksum is not.
#[test]
fn a_typo_is_told_from_a_guess() {
    let house = House::new();
    let key = &house.key.text;
    assert_eq!(house.program.key(&flipped(key)).verdict("/api/x"), "401 credential_malformed");
    let body = format!("osk_{}_{}", house.key.prefix, "0".repeat(32));
    let guess = format!("{body}{}", checksum(&body));
    assert_eq!(guess.len(), key.len());
    assert_eq!(house.program.key(&guess).verdict("/api/x"), "401 credential_invalid");
}

/// D136, D137: a broken session cookie is nobody's session.
#[test]
fn a_broken_cookie_is_nobody() {
    let house = House::new();
    let mut wrong = Wrong::default();
    let long = "a".repeat(8 << 10);
    for value in [
        "latchgate=",
        "__Host-latchgate=",
        "__Host-latchgate==",
        "__Host-latchgate=..",
        "__Host-latchgate=%",
        "__Host-latchgate=\"x\"",
        "__host-latchgate=x; __Host-latchgate=y",
        "=",
        ";;;",
        &format!("__Host-latchgate={long}"),
    ] {
        let answer = house.with(&[&format!("Cookie: {value}")]);
        wrong.unless(answer.status == 401, || format!("{value:.40}: {}", answer.status));
    }
    assert_eq!(house.upstream.count(), 0);
    wrong.none("a cookie");
    let beside = house
        .with(&["Cookie: __Host-latchgate=garbage; theme=dark", &format!("X-API-Key: {}", house.key.text)]);
    assert_eq!(beside.status, 200, "an explicit key wins over a cookie");
}

/// A valid key on a public route is taken away and not judged.
#[test]
fn public_routes_judge_nobody() {
    let house = House::new();
    for key in [house.key.text.clone(), flipped(&house.key.text), "garbage".into()] {
        assert_eq!(house.program.key(&key).verdict("/public/x"), "200");
    }
}

/// The same length and shape, one character of the secret changed.
fn flipped(key: &str) -> String {
    let at = key.len() - 12;
    let other = if &key[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &key[..at], &key[at + 1..])
}

/// The documented checksum: CRC-32 of all before it, in base 62, six characters.
pub fn checksum(body: &str) -> String {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut out = [b'0'; 6];
    for place in out.iter_mut().rev() {
        *place = digits[(rest % 62) as usize];
        rest /= 62;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A26: beside the key that was judged no other copy of a key of ours reaches the upstream, however it is carried.
#[test]
fn no_copy_of_a_key_is_forwarded() {
    let house = House::new();
    let (key, other) = (&house.key.text, &house.other.text);
    for lines in [
        vec![format!("X-API-Key: {key}"), format!("Authorization: Bearer {key}")],
        vec![format!("X-API-Key: {key}"), format!("X-API-Key: {key}")],
        vec![format!("X-API-Key: {key}"), format!("X_API_Key: {other}")],
        vec![format!("X-API-Key: {key}"), format!("X.Api.Key: {other}")],
        vec![format!("X-API-Key: {key}"), format!("Authorization: Bearer {other}")],
        vec![format!("X-API-Key: {key}"), format!("Authorization: Bearer {}", flipped(other))],
    ] {
        let status = house.with(&lines.iter().map(String::as_str).collect::<Vec<_>>()).status;
        assert!(matches!(status, 200 | 400 | 401), "{lines:?}: {status}");
    }
    assert_eq!(house.program.bearer(key).verdict("/public/x"), "200");
    assert!(!house.upstream.record().contains("osk_"), "{}", house.upstream.record());
}

/// A key of ours is taken away on a public route also when something was pasted behind it that is no text.
#[test]
fn a_spoiled_key_of_ours_reaches_no_upstream() {
    let house = House::new();
    for name in ["X-API-Key: ", "Authorization: Bearer "] {
        let mut client = house.program.gateway().connect();
        let line = [name.as_bytes(), house.key.text.as_bytes(), b"\xc2\xa0\r\n\r\n"].concat();
        client.send([b"GET /public/x HTTP/1.1\r\nHost: gw\r\n".as_slice(), &line].concat());
        assert_eq!(client.receive().status, 200);
    }
    assert!(!house.upstream.record().contains("osk_"), "{}", house.upstream.record());
}

/// A token that is not ours beside our key passes to the upstream untouched.
#[test]
fn a_foreign_token_passes_beside_our_key() {
    let house = House::new();
    for foreign in [
        "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        "Bearer ghp_0123456789",
        "Digest username=\"x\"",
        "AWS4-HMAC-SHA256 Credential=x",
    ] {
        let answer =
            house.with(&[&format!("X-API-Key: {}", house.key.text), &format!("Authorization: {foreign}")]);
        assert_eq!(answer.status, 200, "{foreign}");
        assert_eq!(house.upstream.last().header("authorization"), Some(foreign));
    }
}
