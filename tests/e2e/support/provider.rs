//! A real identity provider in a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use super::request::Door;

/// The provider; killed when dropped.
pub struct Provider {
    child: Child,
    pub address: SocketAddr,
    /// Kept open: a program that can no longer write ends.
    _output: Lines<BufReader<ChildStdout>>,
}

/// What a provider is started with: its keys by their names, and where it may send browsers.
pub struct Registration {
    folder: TempDir,
    pub redirect_uri: String,
    /// Whether it tells e-mail addresses to holders of an access token alone.
    pub user_info: bool,
}

impl Registration {
    pub fn new(redirect_uri: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        Self { folder, redirect_uri: redirect_uri.to_owned(), user_info: false }
    }

    /// Starts on this port, 0 for any, with these keys; the first signs.
    pub fn start(&self, port: u16, kids: &[&str]) -> Provider {
        let root = env!("CARGO_MANIFEST_DIR");
        let modules = format!("{root}/target/test-node/node_modules");
        assert!(
            Path::new(&modules).join("oidc-provider").exists(),
            "oidc-provider is missing: run `bash tests/run`"
        );
        let given = json!({
            "modules": modules, "folder": self.folder.path(), "port": port, "kids": kids,
            "redirect_uri": self.redirect_uri, "user_info": self.user_info,
        });
        let complaints = fs::File::create(self.folder.path().join("stderr")).expect("a file");
        let mut child = Command::new("node")
            .args([&format!("{root}/tests/e2e/support/provider.mjs"), &given.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .expect("node: run `bash tests/run`");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let port = lines.by_ref().find_map(|line| line.ok()?.strip_prefix("listening ")?.parse().ok());
        let Some(port) = port else {
            panic!("{}", fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default());
        };
        Provider { child, address: SocketAddr::from(([127, 0, 0, 1], port)), _output: lines }
    }
}

impl Provider {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An access token that speaks for this person.
    pub fn token(&self, name: &str) -> String {
        let body = format!("grant_type=client_credentials&scope={name}");
        let answer = Door(self.address)
            .anonymous()
            .request("POST", "/token")
            .header("Authorization", "Basic cm9ib3Q6cm9ib3Q=")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
            .send();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.end();
    }
}
