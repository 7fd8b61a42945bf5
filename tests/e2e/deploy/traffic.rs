//! A gateway to which everything happens that its operators want to see.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    program::{ADMIN, Key, Program, Site},
    rawup::Upstream,
    request::Caller,
    setup::Setup,
    tls::Authority,
};

/// A gateway under traffic, and what it needs.
pub struct Busy {
    pub program: Program,
    /// Another one, with a certificate.
    pub secure: Program,
    reader: Key,
    slow: Key,
    admin: Caller,
    _upstream: Upstream,
}

impl Busy {
    pub fn start() -> Self {
        let upstream = Upstream::echo();
        let broken =
            "name = \"broken\"\npath = \"/broken/{*rest}\"\nupstream = \"gone\"\ncredentials = [\"none\"]";
        let setup = Setup::offload(&upstream).upstream("gone", "http://127.0.0.1:9").route(broken).mail();
        let site = Site::new(setup);
        let reader = site.key(&["--scopes", "scan:read", "--name", "reader"]);
        let slow = site.key(&["--scopes", "scan:read", "--rate-limit-per-minute", "1", "--name", "slow"]);
        // Under a new secret each key is proved by bcrypt, once.
        fs::write(site.path("secret.key"), [7; 32]).expect("another secret");
        let program = site.serve();
        let token = program.admin().token(ADMIN);
        let admin = program.admin().bearer(&token);
        let certified = Site::new(Setup::offload(&upstream).tls(1));
        certified.certify(0, &Authority::new("Acme CA").server(&["gw"]));
        Self { program, secure: certified.serve(), reader, slow, admin, _upstream: upstream }
    }

    /// One of each: answers of every kind, a key's whole life, a mail.
    pub fn round(&self, number: usize) {
        let key = |key: &str| self.program.key(key);
        key(&self.reader.text).get("/api/x");
        key(&self.reader.text).post("/api/x", "");
        key(&self.slow.text).get("/api/x");
        key(&self.guess(number)).get("/api/x");
        key("nonsense").get("/api/x");
        self.program.anonymous().get("/api/x");
        self.program.anonymous().get("/nope");
        self.program.anonymous().get("/broken/x");

        let made = self.change(
            "POST",
            "/v1/api-keys",
            &json!({ "name": format!("round {number}"), "scopes": ["scan:read"] }),
        );
        let made = Key::from(made);
        key(&made.text).get("/api/x");
        let next = Key::from(self.change("POST", &format!("/v1/api-keys/{}/rotate", made.id), &json!({})));
        for id in [&next.id, &made.id] {
            let revoked = self.admin.request("DELETE", &format!("/v1/api-keys/{id}")).send();
            assert_eq!(revoked.status, 204, "{revoked:?}");
        }
        key(&made.text).get("/api/x");
        if number < 3 {
            let email = format!("guest{number}@example.com");
            self.program.cli(&["invitations", "create", "--email", &email, "--role", "viewer"]).ok();
        }
    }

    /// A wrong secret for a key that there is.
    fn guess(&self, number: usize) -> String {
        let body = format!("osk_{}_{number:0>30}", self.reader.prefix);
        format!("{body}{}", crate::proxy::checksum(&body))
    }

    fn change(&self, method: &str, target: &str, body: &Value) -> Value {
        let request = self.admin.request(method, target).header("Content-Type", "application/json");
        let answer = request.body(body.to_string()).send();
        assert!(matches!(answer.status, 200 | 201), "{method} {target}: {answer:?}");
        answer.json()
    }
}
