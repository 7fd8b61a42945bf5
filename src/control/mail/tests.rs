//! What mails look like, and what cannot be smuggled into them.

use super::*;
use crate::{
    config::{Login, Sender},
    domain::invitation::InvitationToken,
};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn mail() -> Mail {
    Mail {
        way: MailWay::Folder("outbox".into()),
        from: Sender { name: Some("Gate".into()), address: "gate@example.com".parse().unwrap() },
    }
}

fn id() -> MailId {
    MailId::new(NOW)
}

fn invitation(token: &InvitationToken) -> InvitationLetter<'_> {
    InvitationLetter {
        to: "ana@bücher.example",
        inviter: Some(("Bo", "bo@acme.example")),
        org: "Acme",
        team: Some("Core"),
        role: Some("Viewer"),
        message: None,
        token,
        expires_at: NOW,
        public_url: "https://gate.example.com",
    }
}

fn lines(message: &Message) -> Vec<String> {
    let text = String::from_utf8(message.formatted()).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap().to_owned();
    head.split("\r\n").map(str::to_owned).collect()
}

#[test]
fn a_message_has_both_parts_and_one_name_for_ever() {
    let token = InvitationToken::generate().unwrap();
    let letter = invitation(&token).write().unwrap();
    let id = id();
    let once = message(&mail(), id, NOW, &letter).unwrap();
    let text = String::from_utf8(once.formatted()).unwrap();
    assert!(text.contains(&format!("Message-ID: <{id}@example.com>\r\n")), "{text}");
    assert!(text.contains("To: ana@xn--bcher-kva.example\r\n"), "{text}");
    assert!(
        text.contains("From: Gate <gate@example.com>\r\n") && text.contains("Auto-Submitted: auto-generated")
    );
    assert!(
        text.contains("text/plain; charset=utf-8") && text.contains("text/html; charset=utf-8"),
        "{text}"
    );
    let link = format!("https://gate.example.com/.latchgate/invitations/accept?token={}", token.reveal());
    assert!(letter.text.contains(&link) && letter.html.contains(&format!("href=\"{link}\"")), "{letter:?}");
    assert_eq!(lines(&once).len(), lines(&message(&mail(), id, NOW, &letter).unwrap()).len());
    assert_eq!(format!("{letter:?}"), "Letter(..)", "it holds the token");
}

/// L316: whatever somebody chose stays text: no header, no recipient, no markup comes of it.
#[test]
fn nothing_can_be_smuggled_in() {
    let token = InvitationToken::generate().unwrap();
    let honest = lines(&message(&mail(), id(), NOW, &invitation(&token).write().unwrap()).unwrap());
    for attack in [
        "Bo\r\nBcc: victim@example.com",
        "Bo\nBcc: victim@example.com\n\n<h1>Pay here</h1>",
        "Bo\rBcc: victim@example.com",
        "=?utf-8?q?Bo=0d=0aBcc:_victim@example.com?=",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "{{ self.0.link }}",
        "Bo\u{2028}Bcc: victim@example.com",
        "Bo\0",
        &"ü".repeat(100),
    ] {
        let letter = InvitationLetter {
            inviter: Some((attack, "bo@acme.example")),
            org: attack,
            team: Some(attack),
            message: Some(attack),
            role: Some(attack),
            ..invitation(&token)
        };
        let letter = letter.write().unwrap();
        assert!(!letter.html.contains("<script") && !letter.html.contains("<img"), "{}", letter.html);
        assert!(!letter.html.contains("<h1>"), "{}", letter.html);
        assert_eq!(letter.html.matches("href=").count(), 1);
        let message = message(&mail(), id(), NOW, &letter).unwrap();
        let names = |lines: &[String]| -> Vec<String> {
            let begins = lines.iter().filter(|line| !line.starts_with([' ', '\t']));
            begins.map(|line| line.split(':').next().unwrap().to_owned()).collect()
        };
        let lines = lines(&message);
        assert_eq!(names(&lines), names(&honest), "{attack:?}");
        assert!(lines.iter().all(|line| !line.to_lowercase().starts_with("bcc") && !line.contains('\r')));
        let recipients: Vec<String> = message.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(recipients, ["ana@xn--bcher-kva.example"], "{attack:?}");
    }
}

#[test]
fn a_recipient_with_a_tail_is_no_recipient() {
    let token = InvitationToken::generate().unwrap();
    for to in ["a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example", "a b@c.example", ""] {
        let letter = InvitationLetter { to, ..invitation(&token) }.write().unwrap();
        assert!(message(&mail(), id(), NOW, &letter).unwrap_err().is_final(), "{to:?}");
    }
}

#[test]
fn files_are_private_whole_and_one_for_each_mail() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/outbox");
    let id = id();
    file(&folder, id, b"one").unwrap();
    file(&folder, id, b"two").unwrap();
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, [folder.join(format!("{id}.eml"))]);
    assert_eq!(fs::read(&files[0]).unwrap(), b"two");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let blocked = parent.path().join("file");
    fs::write(&blocked, "").unwrap();
    assert!(!file(&blocked, id, b"x").unwrap_err().is_final(), "a disk can be put right");
}

#[test]
fn a_notice_names_keys_by_their_public_characters() {
    let keys = ["ci", "<b>nightly</b>"].map(|name| EndingKey {
        name: name.into(),
        prefix: "AbCdEfGh".into(),
        until: NOW.for_people(),
    });
    let letter = NoticeLetter {
        to: "ana@acme.example",
        org: "Acme",
        within: "one week",
        keys: &keys,
        public_url: "https://gate.example.com",
    };
    let both = letter.write().unwrap();
    assert_eq!(both.subject, "2 API keys end within one week");
    assert!(both.text.contains("* ci (AbCdEfGh), on 15 January 2027, 08:00 UTC"), "{}", both.text);
    assert!(!both.html.contains("<b>nightly"), "{}", both.html);
    let one = NoticeLetter { keys: &keys[..1], ..letter }.write().unwrap();
    assert_eq!(one.subject, "API key ci (AbCdEfGh) ends within one week");
}

#[test]
fn a_password_never_prints() {
    let text = "mail.url = \"smtps://gate:hunter2@mail.example.com\"\nmail.from = \"gate@example.com\"\n";
    let path = Path::new("/etc/latchgate.toml");
    let loaded = crate::config::Config::from_toml(
        &format!("profile = \"offload\"\n{text}"),
        path,
        &crate::config::Environment::empty(),
    );
    let mail = loaded.unwrap().config.mail.unwrap();
    let MailWay::Smtp(smtp) = &mail.way else { panic!("{mail:?}") };
    assert_eq!(smtp.login.as_ref().map(Login::reveal), Some("hunter2"));
    assert!(!format!("{mail:?}").contains("hunter2"), "{mail:?}");
}
