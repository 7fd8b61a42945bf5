//! Signs requests as RFC 9421 says, in its own words: nothing of the program's is used.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{
    program::{ADMIN, Key, Site},
    rawc::Response,
    request::{Door, Request},
};

/// Whoever can sign for a key.
pub struct Signer {
    pub keyid: String,
    secret: Secret,
}

enum Secret {
    Shared(String),
    Pair(Box<Ed25519KeyPair>),
}

impl Signer {
    /// The holder of a key that is the secret.
    pub fn shared(key: &Key) -> Self {
        Self { keyid: key.prefix.clone(), secret: Secret::Shared(key.text.clone()) }
    }

    /// The holder of a pair; the public half is in this file.
    pub fn pair(keyid: &str, pair: Ed25519KeyPair) -> Self {
        Self { keyid: keyid.to_owned(), secret: Secret::Pair(Box::new(pair)) }
    }

    /// A new key of the administrator that is the secret.
    pub fn new_shared(site: &Site, arguments: &[&str]) -> Self {
        Self::shared(&site.key(&[&["--security-level", "advanced"], arguments].concat()))
    }

    /// A new key of the administrator that signs with a pair.
    pub fn new_pair(site: &Site, arguments: &[&str]) -> Self {
        let (pair, pem) = new_pair();
        let file = site.path("public.pem");
        std::fs::write(&file, pem).expect("write the public key");
        let file = file.to_str().expect("a plain path");
        let create = ["keys", "create", "--user", ADMIN, "--name", "pair", "--security-level", "advanced"];
        let created = site.cli(&[&create, ["--public-key", file].as_slice(), arguments].concat()).json();
        assert!(created["key"].is_null(), "{created}");
        Self::pair(created["prefix"].as_str().expect("a prefix"), pair)
    }

    /// A request that this signer would sign in this second.
    pub fn get(&self, target: &str) -> Draft {
        Draft::new("GET", target, &self.keyid)
    }

    /// The same with a body.
    pub fn post(&self, target: &str, body: &str) -> Draft {
        Draft::new("POST", target, &self.keyid).with_body(body)
    }

    /// The two header lines.
    pub fn sign(&self, draft: &Draft) -> Vec<String> {
        let params = draft.params();
        let mut base = String::new();
        for component in &draft.covered {
            base += &format!("{component}: {}\n", draft.value(component));
        }
        base += &format!("\"@signature-params\": {params}");
        let signature = STANDARD.encode(self.seal(base.as_bytes()));
        let label = &draft.label;
        vec![format!("Signature-Input: {label}={params}"), format!("Signature: {label}=:{signature}:")]
    }

    fn seal(&self, base: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Shared(secret) => {
                let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
                hmac.update(base);
                hmac.finalize().into_bytes().to_vec()
            }
            Secret::Pair(pair) => pair.sign(base).as_ref().to_vec(),
        }
    }

    /// Signs and sends.
    pub fn send(&self, door: Door, draft: &Draft) -> Response {
        draft.request(door, &self.sign(draft)).send()
    }

    /// `200`, or status and code.
    pub fn verdict(&self, door: Door, draft: &Draft) -> String {
        self.send(door, draft).verdict()
    }
}

/// A new pair and the PEM of its public half.
pub fn new_pair() -> (Ed25519KeyPair, String) {
    let pair = Ed25519KeyPair::generate().expect("a pair");
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&head, pair.public_key().as_ref()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    (pair, pem)
}

/// `Content-Digest` of a body.
pub fn digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// A nonce that nobody else of this process uses.
pub fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn now() -> i64 {
    latchgate::domain::time::Clock::system().now().seconds()
}

/// A request before it is signed, and what is to be signed of it.
#[derive(Debug, Clone)]
pub struct Draft {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: Option<String>,
    /// As in the list: with quotes and parameters.
    pub covered: Vec<String>,
    pub label: String,
    pub created: Option<i64>,
    pub nonce: Option<String>,
    pub keyid: Option<String>,
    /// Further parameters, as they are written: `;alg="ed25519"`.
    pub more: String,
}

impl Draft {
    fn new(method: &str, target: &str, keyid: &str) -> Self {
        let mut covered = vec!["\"@method\"".to_owned(), "\"@path\"".to_owned()];
        if target.contains('?') {
            covered.push("\"@query\"".to_owned());
        }
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: None,
            covered,
            label: "sig1".to_owned(),
            created: Some(now()),
            nonce: Some(nonce()),
            keyid: Some(keyid.to_owned()),
            more: String::new(),
        }
    }

    pub fn with_body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self.with_field("Content-Digest", &digest(body.as_bytes())).covering("\"content-digest\"")
    }

    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn covering(mut self, component: &str) -> Self {
        self.covered.push(component.to_owned());
        self
    }

    pub fn created(mut self, seconds: i64) -> Self {
        self.created = Some(seconds);
        self
    }

    pub fn with_nonce(mut self, nonce: &str) -> Self {
        self.nonce = Some(nonce.to_owned());
        self
    }

    pub fn with_params(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self
    }

    fn params(&self) -> String {
        let mut params = format!("({})", self.covered.join(" "));
        if let Some(created) = self.created {
            params += &format!(";created={created}");
        }
        if let Some(nonce) = &self.nonce {
            params += &format!(";nonce=\"{nonce}\"");
        }
        if let Some(keyid) = &self.keyid {
            params += &format!(";keyid=\"{keyid}\"");
        }
        params + self.more.as_str()
    }

    fn value(&self, component: &str) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        match component {
            "\"@method\"" => self.method.clone(),
            "\"@path\"" => path.to_owned(),
            "\"@query\"" => format!("?{query}"),
            "\"@authority\"" | "\"host\"" => "gw".to_owned(),
            "\"@scheme\"" => "http".to_owned(),
            "\"@request-target\"" => self.target.clone(),
            "\"@target-uri\"" => format!("http://gw{}", self.target),
            field => {
                let name = field.trim_matches('"');
                let values: Vec<&str> = self
                    .fields
                    .iter()
                    .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.as_str())
                    .collect();
                values.join(", ")
            }
        }
    }

    /// The request with these lines, which need not be its own.
    pub fn request(&self, door: Door, lines: &[String]) -> Request {
        let mut request = door.anonymous().request(&self.method, &self.target);
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        let request = request.lines(lines);
        match &self.body {
            Some(body) => request.body(body),
            None => request,
        }
    }
}
