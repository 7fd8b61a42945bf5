//! What is read out of a signed request, against the examples of RFC 9421.

use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, HOST},
};
use sfv::{Dictionary, InnerList, ListEntry, Parser};

use super::*;
use crate::{domain::profile::Profile, proxy::request::Request};

fn rules(profile: &str) -> KeyRules {
    Profile::parse(Profile::shipped(profile).unwrap(), profile).unwrap().keys
}

/// A request out of its text, and what its signer saw of it.
struct Example {
    request: Request<()>,
    has_body: bool,
}

impl Example {
    fn new(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut first = lines.next().unwrap().split(' ');
        let (method, target) = (first.next().unwrap(), first.next().unwrap());
        let mut request = Request {
            method: method.parse().unwrap(),
            target: target.parse().unwrap(),
            ..Request::default()
        };
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let name: HeaderName = name.parse().unwrap();
            request.fields.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).unwrap());
        }
        let has_body = request.fields.contains(&CONTENT_LENGTH);
        Self { request, has_body }
    }

    fn sent(&self) -> Sent<'_> {
        Sent {
            method: &self.request.method,
            target: &self.request.target,
            fields: &self.request.fields,
            authority: self.request.fields.get(&HOST).and_then(|host| host.to_str().ok()),
            secure: false,
            has_body: self.has_body,
        }
    }

    fn base(&self, covered: &str) -> Option<String> {
        let base = base::build(&self.sent(), &list(covered))?;
        Some(String::from_utf8(base).unwrap())
    }

    /// The value of one component.
    fn value(&self, component: &str) -> Option<String> {
        let base = self.base(&format!("({component})"))?;
        let line = base.lines().next().unwrap();
        Some(line.strip_prefix(&format!("{component}: ")).unwrap_or_else(|| panic!("{base}")).to_owned())
    }

    fn find(&self) -> Found {
        find(&self.request.fields, &rules("offload"), || self.sent())
    }
}

fn list(text: &str) -> InnerList {
    let members: Dictionary = Parser::new(&format!("x={text}")).parse().unwrap();
    match members.into_iter().next().unwrap().1 {
        ListEntry::InnerList(list) => list,
        ListEntry::Item(_) => panic!("{text}"),
    }
}

/// RFC 9421 section 2.5.
#[test]
fn the_signature_base_is_that_of_the_standard() {
    let example = Example::new(
        "POST /foo?param=Value&Pet=dog
        Host: example.com
        Date: Tue, 20 Apr 2021 02:07:55 GMT
        Content-Type: application/json
        Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
        Content-Length: 18",
    );
    let covered = "(\"@method\" \"@authority\" \"@path\" \"content-digest\" \"content-length\" \"content-type\")\
                   ;created=1618884473;keyid=\"test-key-rsa-pss\"";
    let expected = format!(
        "\"@method\": POST\n\"@authority\": example.com\n\"@path\": /foo\n\"content-digest\": {}\n\
         \"content-length\": 18\n\"content-type\": application/json\n\"@signature-params\": {covered}",
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    );
    assert_eq!(example.base(covered).unwrap(), expected);
    assert!(Digests::read(&example.request.fields).unwrap().fit(b"{\"hello\": \"world\"}"));
    assert!(!Digests::read(&example.request.fields).unwrap().fit(b"{\"hello\": \"wurld\"}"));
}

/// RFC 9421 sections 2.1 and 2.2.
#[test]
fn components_have_the_values_of_the_standard() {
    let example = Example::new(
        "GET /path%41?param=value&a=%62
        Host: WWW.Example.com:80
        Cache-Control: max-age=60
        Cache-Control: must-revalidate
        X-Empty:
        Example-Header: value, with, lots
        Example-Header: of, commas
        Priority: u=1,   i
        Example-Dict:  a=1,    b=2;x=1;y=2,   c=(a   b   c), d",
    );
    for (component, value) in [
        ("\"@method\"", "GET"),
        ("\"@path\"", "/path%41"),
        ("\"@query\"", "?param=value&a=%62"),
        ("\"@authority\"", "www.example.com"),
        ("\"@scheme\"", "http"),
        ("\"@target-uri\"", "http://www.example.com/path%41?param=value&a=%62"),
        ("\"@request-target\"", "/path%41?param=value&a=%62"),
        ("\"cache-control\"", "max-age=60, must-revalidate"),
        ("\"x-empty\"", ""),
        ("\"example-header\";bs", ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"),
        ("\"priority\";sf", "u=1, i"),
        ("\"example-dict\";key=\"a\"", "1"),
        ("\"example-dict\";key=\"b\"", "2;x=1;y=2"),
        ("\"example-dict\";key=\"c\"", "(a b c)"),
        ("\"example-dict\";key=\"d\"", "?1"),
    ] {
        assert_eq!(example.value(component).as_deref(), Some(value), "{component}");
    }
    assert_eq!(Example::new("GET /x").value("\"@query\"").as_deref(), Some("?"));
    assert_eq!(Example::new("GET /x").value("\"@authority\""), None);
    for refused in [
        "\"absent\"",
        "\"@status\"",
        "\"@query-param\";name=\"param\"",
        "\"@signature-params\"",
        "\"@method\";req",
        "\"@method\";x",
        "\"@METHOD\"",
        "\"Cache-Control\"",
        "\"cache-control\";req",
        "\"cache-control\";tr",
        "\"cache-control\";sf",
        "\"cache-control\";bs;tr",
        "\"cache-control\";bs=?0",
        "\"example-dict\";key=\"z\"",
        "\"example-dict\";key=a",
        "\"not a name\"",
        "\"\"",
        "method",
        "1",
        "\"@method\" \"@method\"",
        "\"priority\" \"priority\"",
    ] {
        assert_eq!(example.base(&format!("({refused})")), None, "{refused}");
    }
    // The same field in two ways is two components.
    assert!(example.base("(\"priority\" \"priority\";bs)").is_some());
}

const KEYID: &str = "a1b2c3d4";
const SIGNATURE: &str = "sig1=:AAAA:";

/// A claim, or why there is none, for a GET of `/x?y=1` with this `Signature-Input`.
fn claimed(input: &str, more: &str) -> String {
    let text = format!("GET /x?y=1\nHost: gw\nSignature-Input: {input}\n{more}");
    match Example::new(&text).find() {
        Found::Nothing => "nothing".into(),
        Found::Foreign => "foreign".into(),
        Found::Several => "several".into(),
        Found::Flawed { keyid } => format!("flawed {}", keyid.as_deref().unwrap_or("-")),
        Found::Claim(claim) => format!("claim {}", claim.keyid),
    }
}

#[test]
fn the_signature_that_is_ours_is_found_by_its_keyid() {
    let ours = |label: &str| {
        format!("{label}=(\"@method\" \"@path\" \"@query\");created=1;nonce=\"n\";keyid=\"{KEYID}\"")
    };
    let theirs = "proxy=(\"@method\");created=1;keyid=\"their key\"";
    let line = format!("Signature: {SIGNATURE}");
    let claim = format!("claim {KEYID}");
    assert_eq!(claimed(&ours("sig1"), &line), claim);
    assert_eq!(
        claimed(&format!("{theirs}, {}", ours("sig1")), &format!("Signature: proxy=:BBBB:, {SIGNATURE}")),
        claim
    );
    assert_eq!(claimed(theirs, "Signature: proxy=:BBBB:"), "foreign");
    assert_eq!(claimed("sig1=(\"@method\");created=1", &line), "foreign");
    assert_eq!(claimed("sig1=(\"@method\");keyid=a1b2c3d4", &line), "foreign", "a token is no string");
    assert_eq!(claimed("sig1;keyid=\"a1b2c3d4\"", &line), "foreign", "no list");
    assert_eq!(claimed("", &line), "foreign");
    assert_eq!(claimed("((", &line), "flawed -");
    assert_eq!(claimed(&format!("{}, {}", ours("sig1"), ours("sig2")), &line), "several");
    assert_eq!(claimed(&ours("sig1"), &format!("{line}\nSignature-Input: {}", ours("sig1"))), "several");
    // A line that cannot be read hides nothing that can.
    assert_eq!(claimed("((", &format!("{line}\nSignature-Input: {}", ours("sig1"))), claim);

    let flawed = format!("flawed {KEYID}");
    for signatures in [
        "",
        "Signature: sig2=:AAAA:",
        "Signature: sig1",
        "Signature: sig1=\"AAAA\"",
        "Signature: sig1=(:AAAA:)",
        "Signature: ((",
        "Signature: sig1=:AAAA:\nSignature: sig1=:BBBB:",
        "Signature: sig1=:AAAA:\nSignature: ((",
        "Signature: sig1=:A*AA:",
    ] {
        assert_eq!(claimed(&ours("sig1"), signatures), flawed, "{signatures}");
    }
}

#[test]
fn what_has_to_be_signed_has_to_be_signed() {
    let line = format!("Signature: {SIGNATURE}");
    let params = format!("created=1;nonce=\"n\";keyid=\"{KEYID}\"");
    let whole = "(\"@method\" \"@path\" \"@query\")";
    let claim = format!("claim {KEYID}");
    for (covered, params) in [
        (whole, params.clone()),
        ("(\"@query\" \"host\" \"@path\" \"@method\")", params.clone()),
        (whole, format!("{params};alg=\"hmac-sha256\";expires=99;tag=\"x\";other=1")),
        (whole, format!("keyid=\"{KEYID}\";nonce=\"{}\";created=-1", "n".repeat(256))),
        (whole, format!("{params};alg=\"rsa-pss-sha512\"")),
    ] {
        assert_eq!(claimed(&format!("sig1={covered};{params}"), &line), claim, "{covered};{params}");
    }
    let keyid = format!("keyid=\"{KEYID}\"");
    for (covered, params) in [
        ("()", params.clone()),
        ("(\"@method\" \"@path\")", params.clone()),
        ("(\"@method\" \"@query\")", params.clone()),
        ("(\"@path\" \"@query\")", params.clone()),
        ("(\"@target-uri\" \"@method\")", params.clone()),
        ("(\"@method\" \"@path\" \"@query\" \"@path\")", params.clone()),
        ("(\"@method\" \"@path\" \"@query\" \"content-digest\")", params.clone()),
        ("(\"@method\" \"@path\" \"@query\" \"absent\")", params.clone()),
        ("(\"@method\";req \"@path\" \"@query\")", params.clone()),
        (whole, format!("nonce=\"n\";{keyid}")),
        (whole, format!("created=\"1\";nonce=\"n\";{keyid}")),
        (whole, format!("created=1.0;nonce=\"n\";{keyid}")),
        (whole, format!("created=999999999999999;nonce=\"n\";{keyid}")),
        (whole, format!("created=1;{keyid}")),
        (whole, format!("created=1;nonce=\"\";{keyid}")),
        (whole, format!("created=1;nonce=n;{keyid}")),
        (whole, format!("created=1;nonce=7;{keyid}")),
        (whole, format!("created=1;nonce=\"{}\";{keyid}", "n".repeat(257))),
        (whole, format!("{params};expires=\"1\"")),
        (whole, format!("{params};alg=hmac-sha256")),
    ] {
        let input = format!("sig1={covered};{params}");
        assert_eq!(claimed(&input, &line), format!("flawed {KEYID}"), "{input}");
    }
    let many: Vec<String> = (0..65).map(|number| format!("\"x-{number}\"")).collect();
    let fields: Vec<String> = (0..65).map(|number| format!("X-{number}: 1")).collect();
    let list = |count: usize| {
        format!("sig1=(\"@method\" \"@path\" \"@query\" {});{params}", many[..count].join(" "))
    };
    assert_eq!(claimed(&list(61), &format!("{line}\n{}", fields.join("\n"))), claim);
    assert_eq!(claimed(&list(62), &format!("{line}\n{}", fields.join("\n"))), format!("flawed {KEYID}"));
    assert_eq!(claimed(&format!("sig1={whole};{params};x=\"{}\"", "x".repeat(9000)), &line), "flawed -");
}

#[test]
fn a_body_has_to_be_covered_by_a_digest_that_counts() {
    let found = |digest: &str, covered: &str| {
        let text = format!(
            "POST /x\nHost: gw\nContent-Length: 2\n{digest}\nSignature: {SIGNATURE}\n\
             Signature-Input: sig1=({covered});created=1;nonce=\"n\";keyid=\"{KEYID}\""
        );
        matches!(Example::new(&text).find(), Found::Claim(claim) if claim.covers_body() && claim.is_over(b"{}"))
    };
    let all = "\"@method\" \"@path\" \"content-digest\"";
    // Of `{}`: coreutils' sha256sum and sha512sum, in base64.
    let sha_256 = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:";
    let sha_512 =
        "sha-512=:J8dGcK23UHX60FjVzq97IMTneGyDuuijL2Jvl4KvNMmjPCBG72D9Knh403jin+yFGAa72aZ4ePOp8c2kgwdj/Q==:";
    assert!(found(&format!("Content-Digest: {sha_256}"), all));
    assert!(found(&format!("Content-Digest: {sha_512}, {sha_256}"), all));
    let both = format!("Content-Digest: {sha_256}\nContent-Digest: md5=:AAAA:");
    assert!(found(&both, all), "an unknown one beside it");
    assert!(!found(&format!("Content-Digest: {sha_256}"), "\"@method\" \"@path\""));
    for digest in [
        "",
        "Content-Digest:",
        "Content-Digest: ((",
        "Content-Digest: md5=:AAAA:",
        "Content-Digest: sha-256",
        "Content-Digest: sha-256=:AAAA:",
        "Content-Digest: sha-256=::",
        "Content-Digest: sha-256=RBNvo1WzZ4oRRq0W9",
        &format!("Content-Digest: {sha_256}\nContent-Digest: {sha_256}"),
        &format!("Content-Digest: {sha_256}\nContent-Digest: sha-512=:AAAA:"),
        &format!("Content-Digest: {sha_512}").replace("J8dG", "J8dH"),
    ] {
        assert!(!found(digest, all), "{digest}");
    }
    for part in ["\"content-digest\";key=\"sha-256\"", "\"content-digest\";bs", "\"content-digest\";sf"] {
        let covered = format!("\"@method\" \"@path\" {part}");
        assert!(!found(&format!("Content-Digest: {sha_256}"), &covered), "{part}");
    }
}

#[test]
fn a_signature_counts_for_five_minutes_either_way_and_not_a_microsecond_longer() {
    let claim = |params: &str| {
        let text = format!(
            "GET /x\nHost: gw\nSignature: {SIGNATURE}\nSignature-Input: \
             sig1=(\"@method\" \"@path\");created=1000000;nonce=\"n\";keyid=\"{KEYID}\"{params}"
        );
        let Found::Claim(claim) = Example::new(&text).find() else { panic!("{text}") };
        claim
    };
    let created = Timestamp::from_micros(1_000_000_000_000);
    let edge = Duration::from_secs(300);
    let micro = Duration::from_micros(1);
    let plain = claim("");
    for (now, counts) in [
        (created, true),
        (created.after(edge), true),
        (created.after(edge + micro), false),
        (created.before(edge), true),
        (created.before(edge + micro), false),
    ] {
        assert_eq!(plain.is_timely(now), counts, "{now}");
    }
    let short = claim(";expires=1000010");
    let end = created.after(Duration::from_secs(10));
    assert!(short.is_timely(end.before(micro)) && !short.is_timely(end));
    assert!(!claim(";expires=1000000").is_timely(created));
    assert!(plain.remembered_until() > created.after(edge + micro));
}

#[test]
fn only_our_signature_is_taken_out() {
    let ours = format!("sig1=(\"@method\" \"@path\");created=1;nonce=\"n\";keyid=\"{KEYID}\"");
    let text = format!(
        "GET /x\nHost: gw\nSignature-Input: a=(\"x\");keyid=\"k\", {ours}\nSignature-Input: ((\n\
         Signature-Input: b=()\nSignature: a=:AAAA:, sig1=:BBBB:\nSignature: b=:CCCC:"
    );
    let example = Example::new(&text);
    let Found::Claim(claim) = example.find() else { panic!() };
    let mut fields = example.request.fields.clone();
    claim.remove(&mut fields);
    let lines =
        |name| fields.get_all(&name).map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(message::SIGNATURE_INPUT), ["a=(\"x\");keyid=\"k\"", "((", "b=()"]);
    assert_eq!(lines(message::SIGNATURE), ["a=:AAAA:", "b=:CCCC:"]);

    let alone = Example::new(&format!("GET /x\nHost: gw\nSignature-Input: {ours}\nSignature: {SIGNATURE}"));
    let Found::Claim(claim) = alone.find() else { panic!() };
    let mut fields = alone.request.fields.clone();
    claim.remove(&mut fields);
    assert_eq!(fields.len(), 1);
}

/// Nonce and timestamp of the older form are hashed as one text: no other pair may have the same.
#[test]
fn a_nonce_and_a_timestamp_have_one_border() {
    let found = |nonce: &str, timestamp: &str| {
        let text = format!(
            "GET /x\nHost: gw\nx-xdr-auth-id: 12345678\nx-xdr-nonce: {nonce}\nx-xdr-timestamp: {timestamp}\n\
             Authorization: {}",
            "ab".repeat(32)
        );
        let example = Example::new(&text);
        match find(&example.request.fields, &rules("cortex"), || example.sent()) {
            Found::Claim(claim) => Some(claim.created.micros()),
            _ => None,
        }
    };
    assert_eq!(found("n0", "1700000000000"), Some(1_700_000_000_000_000));
    assert_eq!(found("n", "01700000000000"), None);
    assert_eq!(found("n01", "700000000000"), Some(700_000_000_000_000), "twenty years too late");
    for timestamp in ["+1700000000000", "-1", "1700000000000.0", "0", "99999999999999999999", "١٧٠", ""] {
        assert_eq!(found("n", timestamp), None, "{timestamp}");
    }
    assert_eq!(found("", "1700000000000"), None);
    assert_eq!(found(&"n".repeat(257), "1700000000000"), None);
}

/// A dictionary is read again for each of its members that is covered, and whoever sends it has proved nothing.
#[test]
fn a_long_dictionary_is_not_read_for_each_of_its_members() {
    let is_claim = |members: usize, covered: usize| {
        let names: Vec<String> = (0..members).map(|number| format!("member-{number}")).collect();
        let keys = names[..covered].join("\" \"x-long\";key=\"");
        let whole = format!("(\"@method\" \"@path\" \"@query\" \"x-long\";key=\"{keys}\")");
        let input = format!("sig1={whole};created=1;nonce=\"n\";keyid=\"{KEYID}\"");
        claimed(&input, &format!("X-Long: {}\nSignature: {SIGNATURE}", names.join(", "))).starts_with("claim")
    };
    assert!(is_claim(1_000, 2) && is_claim(60, 30) && !is_claim(1_000, 60));
}
