//! A provider that does what it is told, and the gateway's sign-in by it.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use super::{NOW, Oidc, OidcError, SealKey, Started, Vouched};
use crate::{
    config::{self, Endpoint},
    domain::{
        jwt::tests::signer::{Signer, key_set},
        key::secret::RootSecret,
        time::Clock,
    },
    runtime::{jwks::Keeping, outbound::Outbound, tasks::Tasks},
    telemetry::metrics::Metrics,
};

/// A provider, and the gateway's sign-in by it.
pub(super) struct Bench {
    pub(super) oidc: Oidc,
    pub(super) clock: Clock,
    pub(super) said: Arc<Said>,
    pub(super) tasks: Tasks,
}

/// What the provider says, and what it was asked.
pub(super) struct Said {
    pub(super) issuer: String,
    pub(super) signer: Signer,
    behaviour: Mutex<Behaviour>,
}

#[derive(Default)]
pub(super) struct Behaviour {
    /// Changes of the metadata, the claims, the user info.
    pub(super) metadata: Vec<(&'static str, Value)>,
    pub(super) claims: Vec<(&'static str, Value)>,
    pub(super) user_info: Value,
    pub(super) nonce: String,
    /// Instead of everything.
    pub(super) status: Option<u16>,
    pub(super) token: Option<String>,
    pub(super) asked: Vec<String>,
}

impl Said {
    pub(super) fn now(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap()
    }

    fn answer(&self, head: &str, body: &str) -> (u16, Value) {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut now = self.now();
        let authorization = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
        now.asked.push(format!("{path} {} {body}", authorization.unwrap_or_default()));
        if let Some(status) = now.status {
            return (status, json!({"error": "invalid_grant"}));
        }
        let issuer = &self.issuer;
        let (mut answer, changes) = match path.as_str() {
            "/.well-known/openid-configuration" => (
                json!({
                    "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"),
                    "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
                    "userinfo_endpoint": format!("{issuer}/me"),
                }),
                &now.metadata,
            ),
            "/jwks" => return (200, key_set(&[&self.signer])),
            "/me" => return (200, now.user_info.clone()),
            "/token" => (
                json!({
                    "iss": issuer, "aud": "latchgate", "sub": "1", "email": "ana@example.com", "email_verified": true,
                    "nonce": now.nonce, "iat": NOW.seconds(), "exp": NOW.seconds() + 300,
                }),
                &now.claims,
            ),
            _ => return (404, Value::Null),
        };
        for (name, value) in changes {
            answer[*name] = value.clone();
        }
        if path == "/token" {
            let token = now.token.clone().unwrap_or_else(|| self.signer.token(&answer));
            answer = json!({"id_token": token, "access_token": "at-1", "token_type": "Bearer"});
        }
        (200, answer)
    }
}

async fn serve(listener: TcpListener, said: Arc<Said>) {
    while let Ok((stream, _)) = listener.accept().await {
        one(stream, &said).await;
    }
}

async fn one(mut stream: TcpStream, said: &Said) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break String::from_utf8_lossy(&bytes[..end]).into_owned();
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let length = head.to_ascii_lowercase();
    let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    while bytes.len() < head.len() + 4 + length.unwrap_or(0) {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    let (status, answer) = said.answer(&head, &String::from_utf8_lossy(&bytes[head.len() + 4..]));
    let answer = answer.to_string();
    let text = format!(
        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

impl Bench {
    pub(super) async fn new(secret: Option<&str>) -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::new(Said {
            issuer: issuer.clone(),
            signer: Signer::ed25519("k"),
            behaviour: Mutex::default(),
        });
        let tasks = Tasks::new(&Metrics::new().unwrap());
        tasks.spawn("provider", serve(listener, Arc::clone(&said)));
        let file = folder.path().join("oidc.secret");
        let config = config::Oidc {
            issuer: Endpoint::parse(&issuer).unwrap(),
            client_id: "latchgate".to_owned(),
            client_secret_file: secret.map(|secret| {
                std::fs::write(&file, format!("{secret}\n")).unwrap();
                file
            }),
            scopes: ["openid", "email"].map(str::to_owned).into(),
        };
        let clock = Clock::manual(NOW);
        let keeping = Keeping {
            outbound: Outbound::new(None).unwrap(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        };
        let seal = SealKey::derive(&RootSecret::parse(&[1; 32]).unwrap()).unwrap();
        let oidc = Oidc::new(config, "https://gate.example.com/", false, seal, keeping);
        (Self { oidc, clock, said, tasks }, folder)
    }

    /// Begins, and tells the provider the nonce. The cookie's value and the state.
    pub(super) async fn begin(&self, return_to: &str) -> (String, String) {
        let Started { location, cookie } = self.oidc.start(Some(return_to)).await.unwrap();
        let parameter = |name: &str| {
            let found = location.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            found.unwrap_or_default().to_owned()
        };
        self.said.now().nonce = parameter("nonce");
        let value = cookie.strip_prefix("__Host-latchgate-oidc=").unwrap().split(';').next().unwrap();
        (value.to_owned(), parameter("state"))
    }

    pub(super) async fn sign_in(&self) -> Result<Vouched, OidcError> {
        let (cookie, state) = self.begin("/scans").await;
        self.oidc.finish(&format!("code=c-1&state={state}"), Some(&cookie)).await
    }

    pub(super) async fn told(&self, claims: &[(&'static str, Value)]) -> Result<Vouched, OidcError> {
        self.said.now().claims = claims.to_vec();
        self.sign_in().await
    }
}
