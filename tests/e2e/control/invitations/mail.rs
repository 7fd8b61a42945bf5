//! Mails through a real mail server: how they look, how they are protected, and that none is lost.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use super::{accept, invite, serve, site};
use crate::support::{
    program::{Program, Site, run_with},
    smtp::{Smtp, self_signed, token_in},
    wait,
};

/// How many mails are not delivered yet.
fn waiting(program: &Program) -> u64 {
    program.site.count("mails")
}

/// R000_07: the mail carries a link; following it makes the account and the membership with the chosen role.
/// M336: the token is in the mail and nowhere else, works once, and leaves no trace.
#[test]
fn the_link_in_the_mail_makes_a_member() {
    let smtp = Smtp::start(&[]);
    let program = serve("offload", &smtp.url());
    let invited = invite(&program, "nina@example.com", "security_analyst");
    assert_eq!((&invited["status"], &invited["role"]), (&json!("pending"), &json!("security_analyst")));
    let mail = smtp.wait(1).remove(0);
    assert_eq!(mail.to, ["nina@example.com"]);
    assert_eq!(mail.header("From"), "Gate <gate@example.com>");
    assert_eq!(mail.header("Subject"), "You are invited to Default (Default)");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    let text = mail.text();
    assert!(text.contains("https://gate.example.com/.latchgate/invitations/accept?token=lgi_"), "{text}");
    assert!(text.contains("as Security Analyst"), "{text}");
    let token = mail.token();
    assert!(!invited.to_string().contains(&token[4..]), "{invited}");

    wait::until("the mail is off the store", || waiting(&program) == 0);
    let accepted = accept(program.admin(), &token);
    assert_eq!(accepted.status, 200, "{accepted:?}");
    assert_eq!(accepted.json()["created"], json!(true));
    let user = program.cli(&["users", "show", "nina@example.com"]).json();
    assert_eq!(user["memberships"][0]["role"], json!("security_analyst"));
    let listed = program.cli(&["invitations", "list", "--team-id", "default"]).json();
    assert_eq!(listed["items"][0]["status"], json!("accepted"));
    assert_eq!(accept(program.admin(), &token).verdict(), "401 credential_invalid");
    let events: Vec<_> = ["invitation.created", "user.created", "invitation.accepted"]
        .map(|event| program.site.count(&format!("audit_events WHERE event = '{event}'")))
        .into();
    assert_eq!(events, [1, 2, 1]);

    // Also where it was put by mistake it is not written down.
    program.anonymous().get(&format!("/{token}"));
    program.anonymous().get(&format!("/.latchgate/invitations/accept?token={token}"));
    let secret = &token.as_bytes()[4..20];
    program.requests_logged("/.latchgate/invitations/accept", 1);
    let written = program.everything_written();
    let site = program.stop();
    let found = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
    assert!(!found(&site.store_bytes()), "the store holds the token");
    assert!(!written.contains(&token[4..20]), "the log holds the token: {written}");
}

/// L316: names and messages with line breaks and markup become neither headers nor markup.
#[test]
fn what_people_write_stays_text() {
    let smtp = Smtp::start(&[]);
    let program = serve("offload", &smtp.url());
    let message = "Hi!\r\n\r\nBcc: victim@example.com\r\n<script>alert(1)</script>\n.\r\nQUIT";
    let invite = ["invitations", "create", "--email", "nina@example.com", "--role", "viewer"];
    program.cli(&[invite.as_slice(), &["--message", message]].concat()).ok();
    smtp.wait(1);
    program
        .cli(&["orgs", "update", "default", "--name", "<b>Acme</b> =?utf-8?q?=0aBcc:_v@example.com?="])
        .ok();
    program.cli(&[invite.as_slice(), &["--message", "x"]].concat()).ok();
    for wrong in ["a\rBcc: v@example.com", "a\u{1b}[0m", "a\u{202e}b", &"x".repeat(1001)] {
        let refused = program.cli(&[invite.as_slice(), &["--message", wrong]].concat());
        assert_eq!(refused.code, 2, "{wrong:?}: {refused:?}");
    }
    let mails = smtp.wait(2);
    for mail in &mails {
        assert_eq!(mail.to, ["nina@example.com"]);
        let head = mail.content.split("\r\n\r\n").next().expect("a head");
        assert!(!head.to_lowercase().contains("\r\nbcc"), "{head}");
        assert!(!mail.text().contains("<script>alert(1)</script>\r\n</"), "{}", mail.text());
        assert!(!mail.text().contains("<b><b>"), "{}", mail.text());
    }
    assert!(mails[0].text().contains("> Bcc: victim@example.com"), "{}", mails[0].text());
    assert!(mails[0].text().contains("&#60;script&#62;"), "{}", mails[0].text());
}

/// STARTTLS is required unless said otherwise for another machine; a certificate that nobody vouches for is refused.
#[test]
fn nothing_is_sent_to_a_server_that_is_not_the_one_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = self_signed(folder.path());
    let files = ["--certificate", &certificate, "--key", &key];
    for (arguments, url, vouched, tls) in [
        (files.as_slice(), "smtp://127.0.0.1:PORT?tls=required", true, Some(true)),
        (&files, "smtp://127.0.0.1:PORT?tls=required", false, None),
        (&files, "smtp://127.0.0.1:PORT?tls=opportunistic", false, None),
        (&[], "smtp://127.0.0.1:PORT?tls=required", true, None),
        (&[], "smtp://127.0.0.1:PORT?tls=opportunistic", true, Some(false)),
        (&[], "smtp://127.0.0.1:PORT?tls=none", true, Some(false)),
        (&[files.as_slice(), &["--wrapped"]].concat(), "smtps://localhost:PORT", true, Some(true)),
        (&[files.as_slice(), &["--wrapped"]].concat(), "smtps://localhost:PORT", false, None),
    ] {
        let smtp = Smtp::start(arguments);
        let site = site("offload", &url.replace("PORT", &smtp.port.to_string()));
        if vouched {
            site.configure(&site.setup.clone().set("outbound.ca", certificate.as_str()));
        }
        let program = site.serve();
        invite(&program, "nina@example.com", "viewer");
        let Some(tls) = tls else {
            let postponed = [("outcome", "postponed")];
            wait::until(url, || program.metric("latchgate_mail_attempts_total", &postponed) > 0.0);
            assert!(smtp.mails().is_empty(), "{url}, vouched for: {vouched}");
            assert_eq!(waiting(&program), 1);
            continue;
        };
        assert_eq!(smtp.wait(1)[0].tls, tls, "{url}");
    }
}

/// The password comes from the environment or a file, goes to the mail server alone, and is printed nowhere.
#[test]
fn the_mail_servers_password_is_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = self_signed(folder.path());
    let smtp = Smtp::start(&["--certificate", &certificate, "--key", &key, "--login", "gate:hunter2 @/:"]);
    let site = site("offload", "smtp://unused.example");
    site.configure(&site.setup.clone().set("outbound.ca", certificate.as_str()));
    let address = format!("127.0.0.1:{}?tls=required", smtp.port);
    let right = format!("smtp://gate:hunter2%20%40%2F%3A@{address}");
    fs::write(site.path("mail.url"), format!("{right}\n")).expect("a file");
    let config = site.config();
    let check = ["check", "--config", config.to_str().expect("a plain path"), "--output", "json"];
    let shown = run_with(check, "", &[("LATCHGATE_MAIL__URL", &right)]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");

    let wrong = format!("smtp://gate:hunter3@{address}");
    let program = site.serve_with(&[("LATCHGATE_MAIL__URL", &wrong)]);
    invite(&program, "nina@example.com", "viewer");
    let postponed = [("outcome", "postponed")];
    wait::until("a refusal", || program.metric("latchgate_mail_attempts_total", &postponed) > 0.0);
    let written = program.everything_written();
    assert!(!written.contains("hunter"), "{written}");
    let file = program.stop();
    file.sql("UPDATE mails SET next_attempt_at = 0");
    let program = file.serve_with(&[("LATCHGATE_MAIL__URL_FILE", "mail.url")]);
    let mail = smtp.wait(1).remove(0);
    assert_eq!((mail.tls, mail.login.as_deref()), (true, Some("gate")));
    assert!(!program.everything_written().contains("hunter"));
}

/// A mail server that is down, or silent, delays nobody and loses nothing.
#[test]
fn a_mail_waits_for_its_server() {
    let gone = Smtp::start(&[]);
    let (port, url) = (gone.port.to_string(), gone.url());
    drop(gone);
    let program = serve("offload", &url);
    for number in 0..3 {
        invite(&program, &format!("p{number}@example.com"), "viewer");
    }
    wait::until("the gauge", || program.metric("latchgate_mails_waiting", &[]) >= 3.0);
    wait::until("an attempt", || {
        program.metric("latchgate_mail_attempts_total", &[("outcome", "postponed")]) > 0.0
    });
    let smtp = Smtp::start(&["--port", &port]);
    let mut to: Vec<_> = smtp.wait(3).into_iter().flat_map(|mail| mail.to).collect();
    to.sort_unstable();
    assert_eq!(to, ["p0@example.com", "p1@example.com", "p2@example.com"]);
    wait::until("the gauge", || program.metric("latchgate_mails_waiting", &[]) < 1.0);
    assert_eq!((waiting(&program), smtp.mails().len()), (0, 3));

    let silent = Smtp::start(&["--stall"]);
    program.site.configure(&program.site.setup.clone().set("mail.url", silent.url()));
    let reloads =
        |program: &Program| program.metric("latchgate_config_last_reload_success_timestamp_seconds", &[]);
    let before = reloads(&program);
    program.sighup();
    wait::until("the reload", || reloads(&program) > before);
    let invited = invite(&program, "q@example.com", "viewer");
    assert_eq!(invited["status"], json!("pending"), "answered at once");
    assert_eq!(program.anonymous().get("/.latchgate/whoami").status, 401, "and the gateway goes on");
}

/// What a server refuses for ever is asked again, but not for ever, and is in nobody's way.
#[test]
fn a_mail_that_is_refused_is_given_up_in_the_end() {
    let smtp = Smtp::start(&["--refuse", "550 5.1.1 nobody here"]);
    let program = serve("offload", &smtp.url());
    invite(&program, "nobody@example.com", "viewer");
    let given_up =
        |program: &Program| program.metric("latchgate_mail_attempts_total", &[("outcome", "given_up")]) > 0.0;
    wait::until("it is given up", || {
        program.site.sql("UPDATE mails SET next_attempt_at = 0");
        given_up(&program)
    });
    assert_eq!(waiting(&program), 0);
    let said = program.messages().into_iter().find(|line| line["msg"] == "mail.given_up").expect("a line");
    assert!(said["attempts"].to_string().contains("10") && said.to_string().contains("550"), "{said}");
}

/// `kill -9` between the commit and the delivery: the mail is there afterwards, sealed, and is delivered once.
#[test]
fn a_mail_survives_kill_9() {
    let gone = Smtp::start(&[]);
    let (port, url) = (gone.port.to_string(), gone.url());
    drop(gone);
    let mut site: Site = site("offload", &url);
    for round in 0..3 {
        let program = site.serve();
        invite(&program, &format!("p{round}@example.com"), "viewer");
        site = program.kill9();
    }
    assert_eq!(site.count("mails"), 3);
    let bytes = site.store_bytes();
    for secret in ["lgi_", "You are invited", "p0@example.com"] {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        // The address is in the invitation itself.
        assert_eq!(found, secret.starts_with("p0"), "{secret}");
    }
    let smtp = Smtp::start(&["--port", &port]);
    site.sql("UPDATE mails SET next_attempt_at = 0");
    let program = site.serve();
    let mails = smtp.wait(3);
    let mut ids: Vec<_> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    wait::until("they are off the store", || waiting(&program) == 0);
    assert_eq!(accept(program.admin(), &mails[0].token()).status, 200);
}

/// Killed between the server's yes and the row's end, the gateway sends a mail a second time: it is the same message,
/// which mail programs show once.
#[test]
fn a_mail_that_comes_twice_is_one_message() {
    let gone = Smtp::start(&[]);
    let (port, url) = (gone.port.to_string(), gone.url());
    drop(gone);
    let program = serve("offload", &url);
    invite(&program, "nina@example.com", "viewer");
    program.site.sql("CREATE TABLE kept AS SELECT * FROM mails");
    let smtp = Smtp::start(&["--port", &port]);
    smtp.wait(1);
    wait::until("it is off the store", || waiting(&program) == 0);
    program.site.sql("INSERT INTO mails SELECT * FROM kept");
    program.site.sql("UPDATE mails SET next_attempt_at = 0");
    let mails = smtp.wait(2);
    for name in ["Message-ID", "Date", "Subject"] {
        assert_eq!(mails[0].header(name), mails[1].header(name), "{name}");
    }
    assert_eq!(mails[0].token(), mails[1].token());
}

/// Into a folder each mail is one file, whole, and nobody else's to read.
#[test]
fn a_folder_takes_mails_too() {
    let program = serve("offload", "file:outbox");
    invite(&program, "nina@example.com", "viewer");
    let outbox = program.site.path("outbox");
    wait::until("the file", || outbox.exists() && waiting(&program) == 0);
    let files: Vec<_> =
        fs::read_dir(&outbox).expect("the outbox").map(|entry| entry.expect("an entry").path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let mode = |path| fs::metadata(path).expect("its state").permissions().mode() & 0o777;
    assert_eq!((mode(file), mode(&outbox)), (0o600, 0o700));
    let written = fs::read_to_string(file).expect("a mail");
    let id = file.file_stem().and_then(|name| name.to_str()).expect("an id");
    assert!(written.contains("To: nina@example.com\r\n"), "{written}");
    assert!(written.contains(&format!("Message-ID: <{id}@example.com>")), "{written}");
    let link = format!("/.latchgate/invitations/accept?token={}\r\n", token_in(&written));
    assert!(written.contains(&link), "a link that can be followed from the file: {link} {written}");
    assert_eq!(accept(program.admin(), &token_in(&written)).status, 200);
}

/// A mail is of no use without the secret file that it was sealed under: it says so, and the invitation can be repeated.
#[test]
fn without_the_secret_file_a_mail_is_lost_and_says_so() {
    let gone = Smtp::start(&[]);
    let (port, url) = (gone.port.to_string(), gone.url());
    drop(gone);
    let program = serve("offload", &url);
    invite(&program, "nina@example.com", "viewer");
    let site = program.stop();
    fs::write(site.path("secret.key"), [7; 32]).expect("another secret");
    site.sql("UPDATE mails SET next_attempt_at = 0");
    let smtp = Smtp::start(&["--port", &port]);
    let program = site.serve();
    wait::until("a word about it", || {
        program
            .messages()
            .iter()
            .any(|line| line["error"].as_str().is_some_and(|text| text.contains("secret file")))
    });
    assert!(smtp.mails().is_empty());
    invite(&program, "nina@example.com", "viewer");
    let mail = smtp.wait(1).remove(0);
    assert_eq!(accept(program.admin(), &mail.token()).status, 200);
}

/// Without a way for mails nobody is invited, and the check says so beforehand.
#[test]
fn without_mail_nobody_is_invited() {
    let site = Site::new(crate::support::setup::Setup::bare("offload"));
    let refused = site.cli(&["invitations", "create", "--email", "n@example.com", "--role", "viewer"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("mail.url"), "{refused:?}");
    let refused = site.cli(&["orgs", "create", "--name", "New", "--admin-email", "n@example.com"]);
    assert!(refused.code == 1 && refused.stderr.contains("mail.url"), "{refused:?}");
    assert_eq!((site.count("invitations"), site.count("orgs")), (0, 1));
    let checked = site.plain(&["check"], "");
    assert!(checked.code == 0 && checked.stderr.contains("mail.url: there is none"), "{checked:?}");
}
