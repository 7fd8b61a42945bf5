//! Platforms that call: GitHub's signature over the body, GitLab's token, and nothing in place of either.

use std::fs;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::support::{
    gateway::Gateway,
    program::{Program, Site},
    rawc::Response,
    rawup::Upstream,
    request::{Door, Request},
    setup::Setup,
    wait,
};

/// The example of GitHub's documentation, "Validating webhook deliveries".
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &str = "Hello, World!";
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// What GitLab sends for a push, shortened to a few of its fields.
const PUSH: &str = r#"{"object_kind":"push","event_name":"push","before":"95790bf891e76fee5e1747ab589903a6a1f80f22",
"after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","ref":"refs/heads/master","user_name":"John Smith","project_id":15,
"commits":[{"id":"b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327","message":"Update Catalan translation to e38cb41."}]}"#;
const TOKEN: &str = "gitlab-token-of-thirty-two-bytes";

/// Routes that take GitHub's, GitLab's, both, both and keys, keys alone.
fn setup(upstream: &Upstream) -> Setup {
    let webhook = |name: &str, kind: &str, file: &str| {
        format!("name = \"{name}\"\nkind = \"{kind}\"\nsecret_file = \"{file}\"\norg = \"default\"")
    };
    let route = |name: &str, credentials: &str| {
        format!(
            "name = \"{name}\"\npath = \"/{name}/{{*rest}}\"\nupstream = \"app\"\ncredentials = [{credentials}]"
        )
    };
    Setup::offload(upstream)
        .webhook(&webhook("github-main", "github", "github.secret"))
        .webhook(&webhook("gitlab-main", "gitlab", "gitlab.secret"))
        .route(&route("github", "\"webhook:github-main\""))
        .route(&route("gitlab", "\"webhook:gitlab-main\""))
        .route(&route("hooks", "\"webhook:github-main\", \"webhook:gitlab-main\""))
        .route(&route("mixed", "\"api_key\", \"webhook:github-main\", \"webhook:gitlab-main\""))
}

fn site(upstream: &Upstream) -> Site {
    let site = Site::new(Setup::offload(upstream));
    write_secrets(&site, SECRET, TOKEN);
    site.configure(&setup(upstream));
    site
}

fn write_secrets(site: &Site, github: &str, gitlab: &str) {
    fs::write(site.path("github.secret"), format!("{github}\n")).expect("a secret");
    fs::write(site.path("gitlab.secret"), format!("{gitlab}\r\n")).expect("a secret");
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    hmac.update(body);
    let bytes = hmac.finalize().into_bytes();
    format!("sha256={}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn post(door: Door, target: &str) -> Request {
    door.anonymous().request("POST", target)
}

fn github(door: Door, target: &str, body: impl AsRef<[u8]>, signature: &str) -> Response {
    post(door, target).header("X-Hub-Signature-256", signature).body(body).send()
}

fn gitlab(door: Door, target: &str, token: &str) -> Response {
    post(door, target).header("X-Gitlab-Token", token).body(PUSH).send()
}

/// R002_18: GitHub's own example passes, with the organization's headers and its body as it was; the signature stays for
/// an upstream that wants to check it too. One bit of body or signature more or less, and nothing passes.
#[test]
fn github_s_signature_covers_the_body() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    let org = site.org();
    let program = site.serve();
    let door = program.gateway();
    let event = post(door, "/github/push?x=1")
        .header("X-GitHub-Event", "push")
        .header("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
        .header("X-Hub-Signature-256", SIGNATURE)
        .header("X-Tenant-Id", "forged")
        .header("X-Scopes", "forged")
        .body(BODY);
    assert_eq!(event.clone().send().verdict(), "200");
    let seen = upstream.last();
    assert_eq!(seen.body.kept, BODY.as_bytes());
    for (name, value) in [
        ("x-tenant-id", Some(org.as_str())),
        ("x-auth-method", Some("webhook")),
        ("x-credential-id", Some("github-main")),
        ("x-scope", Some("org")),
        ("x-scopes", Some("")),
        ("x-team-id", None),
        ("x-user-id", None),
        ("x-github-event", Some("push")),
        ("x-hub-signature-256", Some(SIGNATURE)),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let chunked = post(door, "/github/x")
        .header("X-Hub-Signature-256", SIGNATURE)
        .line("Transfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n8\r\n, World!\r\n0");
    assert_eq!(chunked.send().verdict(), "200");
    assert_eq!(upstream.last().body.kept, BODY.as_bytes());
    let empty = signature(SECRET, b"");
    assert_eq!(post(door, "/github/x").header("X-Hub-Signature-256", &empty).send().verdict(), "200");

    upstream.forget();
    let flipped = SIGNATURE.replace("757107", "757106");
    for (body, signature, verdict) in [
        ("Hello, World?", SIGNATURE, "401 credential_invalid"),
        ("Hello, World!\n", SIGNATURE, "401 credential_invalid"),
        ("", SIGNATURE, "401 credential_invalid"),
        (BODY, &flipped, "401 credential_invalid"),
        (BODY, &signature("another secret of the kind", BODY.as_bytes()), "401 credential_invalid"),
        (BODY, &SIGNATURE[..70], "401 credential_malformed"),
        (BODY, &SIGNATURE.replace("sha256", "sha1"), "401 credential_malformed"),
        (BODY, SECRET, "401 credential_malformed"),
        (BODY, "", "401 credential_malformed"),
    ] {
        assert_eq!(github(door, "/github/x", body, signature).verdict(), verdict, "{body:?} {signature}");
    }
    // Whoever reads it has a webhook to mend, and no key.
    for (signature, words) in [(&*flipped, "signature or token is wrong"), ("", "has not the form `sha256=`")]
    {
        let detail = github(door, "/github/x", BODY, signature).text();
        assert!(detail.contains(words) && !detail.contains("key"), "{detail}");
    }
    let nothing = post(door, "/github/x").body(BODY).send().text();
    assert!(nothing.contains("X-Hub-Signature-256") && !nothing.contains("X-API-Key"), "{nothing}");
    assert!(nothing.ends_with("}\n"), "{nothing:?}");
    let sha1 = post(door, "/github/x").header("X-Hub-Signature", "sha1=00").body(BODY).send();
    assert_eq!(sha1.verdict(), "401 credential_missing", "the weak one is not looked at");
    let twice = event.header("X-Hub-Signature-256", &flipped);
    assert_eq!(twice.send().verdict(), "400 credential_conflict");
    assert_eq!(upstream.count(), 0, "{}", upstream.record());

    assert!(program.metric("latchgate_auth_total", &[("method", "webhook"), ("outcome", "ok")]) >= 3.0);
    let wrong = [("method", "webhook"), ("outcome", "credential_invalid")];
    assert!(program.metric("latchgate_auth_total", &wrong) >= 5.0);
    let line = program.requests_logged("/github/push", 1).remove(0);
    assert_eq!(
        (line["auth_method"].as_str(), line["credential"].as_str()),
        (Some("webhook"), Some("github-main"))
    );
    assert_eq!(line["tenant"], org);
}

/// R002_18: GitLab's token passes and goes no further; near misses do not pass.
#[test]
fn gitlab_s_token_is_a_secret() {
    let upstream = Upstream::echo();
    let program = site(&upstream).serve();
    let door = program.gateway();
    assert_eq!(gitlab(door, "/gitlab/push", TOKEN).verdict(), "200");
    let seen = upstream.last();
    assert_eq!((seen.header("x-gitlab-token"), seen.header("x-credential-id")), (None, Some("gitlab-main")));
    assert_eq!(seen.body.kept, PUSH.as_bytes());
    upstream.forget();
    let longer = format!("{TOKEN}x");
    for wrong in ["", "x", &TOKEN[1..], &longer, &TOKEN.to_uppercase(), SECRET] {
        assert_eq!(gitlab(door, "/gitlab/push", wrong).verdict(), "401 credential_invalid", "{wrong}");
    }
    let two = post(door, "/gitlab/x").header("X-Gitlab-Token", TOKEN).header("X-Gitlab-Token", "other");
    assert_eq!(two.body(PUSH).send().verdict(), "400 credential_conflict");
    assert_eq!(post(door, "/gitlab/x").body(PUSH).send().verdict(), "401 credential_missing");
    assert_eq!(upstream.count(), 0);
    // Elsewhere it is not ours.
    let elsewhere = post(door, "/public/x").header("X-Gitlab-Token", "theirs").body(PUSH).send();
    assert_eq!(elsewhere.verdict(), "200");
    assert_eq!(upstream.last().header("x-gitlab-token"), Some("theirs"));
    assert!(!program.everything_written().contains(TOKEN));
}

/// R002_18: an API key is no webhook secret, and a webhook secret is no key, wherever they are put; and each platform
/// proves itself in its own way alone.
#[test]
fn a_key_is_no_webhook_and_a_webhook_is_no_key() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    let key = site.key(&["--scopes", "scan:read,scan:trigger"]).text;
    let program = site.serve();
    let door = program.gateway();
    for route in ["/github/x", "/gitlab/x", "/hooks/x"] {
        for caller in [door.key(&key), door.bearer(&key)] {
            assert_eq!(caller.post(route, BODY).verdict(), "401 credential_missing", "{route}");
        }
    }
    for (route, name, value, verdict) in [
        ("/gitlab/x", "X-Gitlab-Token", &*key, "401 credential_invalid"),
        ("/github/x", "X-Hub-Signature-256", &key, "401 credential_malformed"),
        ("/github/x", "X-Hub-Signature-256", &signature(&key, BODY.as_bytes()), "401 credential_invalid"),
        ("/github/x", "X-Gitlab-Token", TOKEN, "401 credential_missing"),
        ("/github/x", "X-Gitlab-Token", SECRET, "401 credential_missing"),
        ("/gitlab/x", "X-Hub-Signature-256", SIGNATURE, "401 credential_missing"),
        ("/hooks/x", "X-Gitlab-Token", SECRET, "401 credential_invalid"),
        ("/hooks/x", "X-Hub-Signature-256", &signature(TOKEN, BODY.as_bytes()), "401 credential_invalid"),
        ("/api/x", "X-Gitlab-Token", TOKEN, "401 credential_missing"),
        ("/api/x", "X-Hub-Signature-256", SIGNATURE, "401 credential_missing"),
        ("/api/x", "X-API-Key", SECRET, "401 credential_malformed"),
        ("/api/x", "X-API-Key", TOKEN, "401 credential_malformed"),
        ("/mixed/x", "X-API-Key", TOKEN, "401 credential_malformed"),
        ("/.latchgate/whoami", "X-Gitlab-Token", TOKEN, "405 method_not_allowed"),
    ] {
        let answer = post(door, route).header(name, value).body(BODY).send();
        assert_eq!(answer.verdict(), verdict, "{route} {name}");
    }
    let admin = program.admin().anonymous().request("GET", "/v1/audit");
    assert_eq!(admin.header("X-Gitlab-Token", TOKEN).send().verdict(), "401 credential_missing");
    assert_eq!(upstream.count(), 0, "{}", upstream.record());

    // Where a route takes both, either will do, and both at once are one too many.
    assert_eq!(door.key(&key).post("/mixed/x", BODY).verdict(), "200");
    assert_eq!(upstream.last().header("x-auth-method"), Some("api_key"));
    assert_eq!(github(door, "/mixed/x", BODY, SIGNATURE).verdict(), "200");
    assert_eq!(gitlab(door, "/mixed/x", TOKEN).verdict(), "200");
    let both = door.key(&key).request("POST", "/mixed/x").header("X-Hub-Signature-256", SIGNATURE).body(BODY);
    assert_eq!(both.send().verdict(), "400 credential_conflict");
    let both =
        post(door, "/mixed/x").header("X-Hub-Signature-256", SIGNATURE).header("X-Gitlab-Token", TOKEN);
    assert_eq!(both.body(BODY).send().verdict(), "400 credential_conflict");
    // A key that the route does not take is no business of the upstream's.
    let beside =
        door.key(&key).request("POST", "/github/x").header("X-Hub-Signature-256", SIGNATURE).body(BODY);
    assert_eq!(beside.send().verdict(), "200");
    assert_eq!(upstream.last().header("x-api-key"), None);
    assert!(!upstream.record().contains(&key));
}

/// What is too long to be held is refused before anything is forwarded, and so is a body that never ends.
#[test]
fn a_body_is_held_up_to_a_bound() {
    let upstream = Upstream::echo();
    let program = site(&upstream).serve();
    let door = program.gateway();
    let longest = vec![b'x'; 1 << 20];
    let signed = signature(SECRET, &longest);
    assert_eq!(github(door, "/github/x", &longest, &signed).verdict(), "200");
    assert_eq!(upstream.last().body.length, 1 << 20);
    upstream.forget();
    let longer = vec![b'x'; (1 << 20) + 1];
    let signed = signature(SECRET, &longer);
    assert_eq!(github(door, "/github/x", &longer, &signed).verdict(), "413 body_too_large");
    let announced = post(door, "/github/x").header("X-Hub-Signature-256", SIGNATURE);
    assert_eq!(announced.line("Content-Length: 99999999").send().verdict(), "413 body_too_large");
    assert_eq!(upstream.count(), 0);
}

/// A reload brings another secret, and the old one is of no use; a wrong file leaves the old one in force.
#[test]
fn a_reload_brings_another_secret() {
    let upstream = Upstream::echo();
    let program = site(&upstream).serve();
    let door = program.gateway();
    let reload = |program: &Program, message: &str| {
        let count = |program: &Program| {
            program
                .messages()
                .iter()
                .filter(|line| line["msg"].as_str().is_some_and(|text| text.contains(message)))
                .count()
        };
        let before = count(program);
        program.sighup();
        wait::until(message, || count(program) > before);
    };
    assert_eq!(github(door, "/github/x", BODY, SIGNATURE).verdict(), "200");
    write_secrets(&program.site, "short", TOKEN);
    reload(&program, "the new configuration is wrong");
    assert_eq!(github(door, "/github/x", BODY, SIGNATURE).verdict(), "200");
    let other = "another secret of a decent length";
    write_secrets(&program.site, other, TOKEN);
    reload(&program, "configuration reloaded");
    assert_eq!(github(door, "/github/x", BODY, SIGNATURE).verdict(), "401 credential_invalid");
    assert_eq!(github(door, "/github/x", BODY, &signature(other, BODY.as_bytes())).verdict(), "200");
    assert!(!program.everything_written().contains(other));
}

/// A webhook goes with its organization, at once and without a restart, and comes with it; while the store is away
/// it is served from memory like a key.
#[test]
fn a_webhook_stands_on_its_organization() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    let text = setup(&upstream).text().replace("org = \"default\"", "org = \"acme\"");
    site.configure_text(&text);
    let gateway = Gateway::start(site);
    let door = gateway.door();
    let call = || github(door, "/github/x", BODY, SIGNATURE).verdict();
    assert_eq!(call(), "401 credential_revoked", "there is no such organization");
    let make = |name: &str| {
        let new = latchgate::control::service::NewOrg { name: name.into(), slug: None };
        let operator = latchgate::control::service::Caller::Operator;
        gateway.control(async |control| control.create_org(&operator, &new).await).expect("made")
    };
    let acme = make("acme");
    assert_eq!(call(), "200");
    assert_eq!(upstream.last().header("x-tenant-id"), Some(&*acme.id.to_string()));
    gateway.break_store();
    gateway.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(call(), "200", "known, and within max_staleness");
    assert_eq!(github(door, "/github/x", "wrong", SIGNATURE).verdict(), "401 credential_invalid");
    gateway.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(call(), "503 store_unavailable");
    gateway.mend_store();
    wait::until("the gateway heals", || call() == "200");
    let operator = latchgate::control::service::Caller::Operator;
    gateway.control(async |control| control.delete_org(&operator, "acme").await).expect("deleted");
    assert_eq!(call(), "401 credential_revoked", "the very next request");
}

/// Being wrong too often is refused without a look, and the right secret passes all the same.
#[test]
fn guessing_keeps_nobody_out() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    site.configure(&setup(&upstream).set("auth.failures_per_minute.ip", 5));
    let program = site.serve();
    let door = program.gateway();
    for _ in 0..5 {
        assert_eq!(gitlab(door, "/gitlab/x", "wrong").verdict(), "401 credential_invalid");
    }
    assert_eq!(gitlab(door, "/gitlab/x", "wrong").verdict(), "429 too_many_failures");
    assert_eq!(github(door, "/github/x", "wrong", SIGNATURE).verdict(), "429 too_many_failures");
    assert_eq!(gitlab(door, "/gitlab/x", TOKEN).verdict(), "200");
    assert_eq!(github(door, "/github/x", BODY, SIGNATURE).verdict(), "200");
}

/// Where the profile has a word for it, a webhook holds `webhook:receive` and nothing else.
#[test]
fn a_webhook_may_receive_and_nothing_else() {
    let upstream = Upstream::echo();
    let setup = |require: &str| {
        Setup::trustedoss(&upstream)
            .webhook("name = \"gl\"\nkind = \"gitlab\"\nsecret_file = \"gitlab.secret\"\norg = \"default\"")
            .route(&format!(
                "name = \"hook\"\npath = \"/hook/{{*rest}}\"\nupstream = \"app\"\n\
                 credentials = [\"webhook:gl\", \"api_key\"]\nrequire = {require}"
            ))
    };
    let site = Site::new(Setup::trustedoss(&upstream));
    write_secrets(&site, SECRET, TOKEN);
    for wrong in ["\"scan:trigger\"", "{ GET = \"webhook:receive\" }", "{ POST = \"scan:read\" }"] {
        site.configure(&setup(wrong));
        let refused = site.plain(&["check"], "");
        assert_eq!(refused.code, 2, "{wrong}");
        assert!(
            refused.stderr.contains("require") && refused.stderr.contains("webhook:receive"),
            "{refused:?}"
        );
    }
    site.configure(&setup("{ POST = \"webhook:receive\", GET = \"scan:read\" }"));
    let program = site.serve();
    assert_eq!(gitlab(program.gateway(), "/hook/x", TOKEN).verdict(), "200");
    assert_eq!(upstream.last().header("x-scopes"), Some("webhook:receive"));
    let read = program.anonymous().request("GET", "/hook/x").header("X-Gitlab-Token", TOKEN).send();
    assert_eq!(read.verdict(), "403 scope_insufficient");
}

/// Mistakes in the configuration are found by `check`, with the key and what would do, and never with the secret.
#[test]
fn mistakes_are_found_by_check() {
    let upstream = Upstream::echo();
    let site = site(&upstream);
    let key = site.key(&["--scopes", "scan:read"]).text;
    let checked = site.plain(&["check"], "").ok();
    assert!(checked.stdout.contains("webhook:github-main"), "{checked:?}");
    site.configure_text(&setup(&upstream).text().replace("org = \"default\"", "org = \"nobody\""));
    let online = site.plain(&["check", "--online"], "");
    assert!(online.code == 1 && online.stdout.contains("there is no such organization"), "{online:?}");
    site.configure(&setup(&upstream));
    site.plain(&["check", "--online"], "").ok();
    for (secret, words) in [
        ("", "is empty"),
        ("too-short", "can be guessed"),
        ("two lines\nof secrets", "one line"),
        (&key, "holds an API key"),
    ] {
        write_secrets(&site, secret, TOKEN);
        let refused = site.plain(&["check"], "");
        assert_eq!(refused.code, 2, "{secret:?}");
        assert!(
            refused.stderr.contains("webhook[0].secret_file") && refused.stderr.contains(words),
            "{refused:?}"
        );
        assert!(secret.is_empty() || !refused.stderr.contains(secret), "{refused:?}");
    }
    fs::remove_file(site.path("github.secret")).expect("removed");
    assert!(site.plain(&["check"], "").stderr.contains("cannot be read"));
    write_secrets(&site, SECRET, TOKEN);
    let text = setup(&upstream).text();
    for (from, to, words) in [
        ("webhook:github-main", "webhook:github-mian", "did you mean `github-main`?"),
        ("kind = \"gitlab\"", "kind = \"gitea\"", "is not github or gitlab"),
        ("name = \"gitlab-main\"", "name = \"github-main\"", "the name of an earlier webhook"),
        ("org = \"default\"", "org = \"No Slug\"", "neither a slug nor an id"),
    ] {
        let wrong = text.replace(from, to);
        assert_ne!(wrong, text, "{from}");
        site.configure_text(&wrong);
        let refused = site.plain(&["check"], "");
        assert_eq!(refused.code, 2, "{to}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
}
