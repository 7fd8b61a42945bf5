//! Requests as tests write them, and callers as types.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use serde_json::json;

use super::{
    program::PASSWORD,
    rawc::{Client, Response},
};

/// A port of the gateway that requests are sent to.
#[derive(Debug, Clone, Copy)]
pub struct Door(pub SocketAddr);

impl Door {
    /// A caller without a credential.
    pub fn anonymous(self) -> Caller {
        Caller { door: self, credential: None }
    }

    /// A caller with this full key in `X-API-Key`.
    pub fn key(self, key: &str) -> Caller {
        Caller { door: self, credential: Some(("X-API-Key", key.to_owned())) }
    }

    /// A caller with this full key as `Authorization: Bearer`.
    pub fn bearer(self, key: &str) -> Caller {
        Caller { door: self, credential: Some(("Authorization", format!("Bearer {key}"))) }
    }

    /// A caller with this cookie and nothing else.
    pub fn cookie(self, cookie: &str) -> Caller {
        Caller { door: self, credential: Some(("Cookie", cookie.to_owned())) }
    }

    /// Signs in here, which has to be the admin port.
    pub fn sign_in(self, email: &str, password: &str) -> Response {
        let body = json!({ "email": email, "password": password }).to_string();
        let request = self.anonymous().request("POST", "/v1/session");
        request.header("Content-Type", "application/json").body(body).send()
    }

    /// Signs in here with the password that all have in tests; the session's token.
    pub fn token(self, email: &str) -> String {
        let answer = self.sign_in(email, PASSWORD);
        assert_eq!(answer.status, 200, "{email}: {answer:?}");
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    pub fn connect(self) -> Client {
        Client::connect(self.0)
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    door: Door,
    credential: Option<(&'static str, String)>,
}

impl Caller {
    /// The same at another door.
    pub fn at(&self, door: Door) -> Self {
        Self { door, credential: self.credential.clone() }
    }

    pub fn request(&self, method: &str, target: &str) -> Request {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: gw\r\n").into_bytes();
        let request = Request { door: self.door, method: method.to_owned(), head, body: None };
        match &self.credential {
            Some((name, value)) => request.header(name, value),
            None => request,
        }
    }

    pub fn get(&self, target: &str) -> Response {
        self.request("GET", target).send()
    }

    pub fn post(&self, target: &str, body: &str) -> Response {
        self.request("POST", target).body(body).send()
    }

    /// `200`, or status and code.
    pub fn verdict(&self, target: &str) -> String {
        self.get(target).verdict()
    }
}

/// A request being put together.
#[derive(Debug, Clone)]
pub struct Request {
    door: Door,
    method: String,
    head: Vec<u8>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        self
    }

    /// Asks for another host than `gw`.
    pub fn host(mut self, host: &str) -> Self {
        let head = String::from_utf8(self.head).expect("a head that is text");
        self.head = head.replacen("\r\nHost: gw\r\n", &format!("\r\nHost: {host}\r\n"), 1).into_bytes();
        self
    }

    /// A field line as it stands, without its line end.
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(line.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    pub fn lines<L: AsRef<[u8]>>(self, lines: &[L]) -> Self {
        lines.iter().fold(self, Self::line)
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// On a connection of its own.
    pub fn send(self) -> Response {
        let mut client = self.door.connect();
        self.line("Connection: close").on(&mut client)
    }

    /// On this connection, which stays open.
    pub fn on<S: Read + Write>(&self, client: &mut Client<S>) -> Response {
        client.send(self.bytes());
        client.receive_to(&self.method)
    }
}
