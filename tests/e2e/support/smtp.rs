//! A real mail server (aiosmtpd), and what it took.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{tools::output, wait};

/// A mail server on this machine; killed when dropped.
pub struct Smtp {
    child: Child,
    pub port: u16,
    folder: TempDir,
}

/// A mail that was taken.
#[derive(Debug, Clone)]
pub struct Mail {
    pub to: Vec<String>,
    pub tls: bool,
    pub login: Option<String>,
    /// As it was sent.
    pub content: String,
}

impl Smtp {
    /// With further arguments of `smtp.py`.
    pub fn start(arguments: &[&str]) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let python = format!("{root}/target/test-venv/bin/python");
        assert!(Path::new(&python).exists(), "aiosmtpd is missing: run `bash tests/run`");
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(python)
            .arg(format!("{root}/tests/e2e/support/smtp.py"))
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the mail server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("its port");
        let port = line.trim().parse().expect("aiosmtpd is missing: run `bash tests/run`");
        Self { child, port, folder }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Everything it took so far, in order.
    pub fn mails(&self) -> Vec<Mail> {
        let entries = fs::read_dir(self.folder.path()).expect("its folder");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files.iter().map(|file| Mail::from(&fs::read(file).expect("a mail"))).collect()
    }

    /// Waits until it has taken so many.
    pub fn wait(&self, count: usize) -> Vec<Mail> {
        wait::for_some(&format!("{count} mails"), || {
            let mails = self.mails();
            (mails.len() >= count).then_some(mails)
        })
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mail {
    fn from(json: &[u8]) -> Self {
        let object: Value = serde_json::from_slice(json).expect("a mail in JSON");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            to: object["to"].as_array().expect("recipients").iter().filter_map(text).collect(),
            tls: object["tls"] == true,
            login: text(&object["login"]),
            content: text(&object["content"]).expect("its content"),
        }
    }

    /// Both parts as people read them, without what quoted-printable adds.
    pub fn text(&self) -> String {
        plain(&self.content)
    }

    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> String {
        let head = self.content.split("\r\n\r\n").next().expect("a head").replace("\r\n ", " ");
        let begin = format!("{name}: ");
        let mut lines = head.split("\r\n").filter_map(|line| line.strip_prefix(&begin));
        let value = lines.next().unwrap_or_else(|| panic!("no {name} in {head}")).to_owned();
        assert_eq!(lines.next(), None, "{name} twice");
        value
    }

    /// The token of its link.
    pub fn token(&self) -> String {
        token_in(&self.content)
    }
}

/// The token in a mail as it was sent.
pub fn token_in(content: &str) -> String {
    let text = plain(content);
    let (_, token) = text.split_once("/.latchgate/invitations/accept?token=").expect("a link");
    token
        .chars()
        .take_while(|character| character.is_ascii_alphanumeric() || "-_".contains(*character))
        .collect()
}

fn plain(content: &str) -> String {
    content.replace("=\r\n", "").replace("=3D", "=")
}

/// A certificate for this machine that nobody has signed, and its key.
pub fn self_signed(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
    let (certificate, key) = (path("mail.pem"), path("mail.key"));
    let kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"];
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let about = ["-subj", "/CN=localhost", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"];
    let files = ["-keyout", &key, "-out", &certificate];
    output("openssl", &[["req", "-x509"].as_slice(), &kind, &about, &files].concat());
    (certificate, key)
}
