//! Calls to other servers: identity providers and alert receivers. The one client, so that their bounds are one.
//!
//! What a configuration names is asked, and nothing else: redirects are not followed, proxies of the environment
//! are not used, cookies are not kept. Each call ends after a fixed time and each answer after a fixed number of
//! bytes, so that a slow or endless server costs a task and no more. TLS is rustls with aws-lc-rs, as everywhere in
//! this process, and the platform's certificates. Addresses are secrets of their own (an alert receiver's often
//! is), so no error holds one.

use std::{
    error::Error,
    fmt::Write as _,
    fs, io,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Certificate, Client, RequestBuilder, Response, header, redirect};
use serde::{Serialize, de::DeserializeOwned};

use super::tls::in_words;

/// The client. Cheap to clone; clones share their connections. It is made when it is first used: most gateways
/// call nobody, and need no certificates for it.
#[derive(Debug, Clone)]
pub struct Outbound(Arc<Caller>);

#[derive(Debug)]
struct Caller {
    further: Vec<Certificate>,
    /// Nobody is believed but them, and nothing is asked in the clear.
    strict: bool,
    client: OnceLock<Client>,
}

/// A whole answer with a good status, that is 2xx.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why the client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OutboundSetup {
    /// The file with further certificates cannot be read.
    #[error("the certificates cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It holds none.
    #[error("the file holds no PEM certificate")]
    NoCertificate,
    /// What it holds is none.
    #[error("a certificate cannot be used: {0}")]
    BadCertificate(String),
}

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// This machine has no certificates to know other servers by.
    #[error("TLS cannot be set up: {0}")]
    NoTls(String),
    /// The address is none.
    #[error("the address cannot be asked")]
    BadAddress,
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no whole answer within {} s", TOTAL.as_secs())]
    TimedOut,
    /// An answer that is no success; a redirect is none.
    #[error("answered with status {status}")]
    Refused {
        /// The status.
        status: u16,
        /// The body, which may say why.
        body: Vec<u8>,
    },
    /// More than anybody needs to say.
    #[error("the answer has more than {LARGEST} bytes")]
    TooLarge,
    /// Not the JSON that was expected.
    #[error("the answer is not the JSON expected: {0}")]
    NotJson(String),
}

impl Outbound {
    /// A client that trusts the platform's certificates and, beside them, those of a PEM file.
    pub fn new(further_certificates: Option<&Path>) -> Result<Self, OutboundSetup> {
        Self::made(further_certificates, false)
    }

    /// A client that calls with https alone and trusts the certificates of this PEM file and no other, or else the
    /// platform's.
    pub fn strict(authorities: Option<&Path>) -> Result<Self, OutboundSetup> {
        Self::made(authorities, true)
    }

    fn made(certificates: Option<&Path>, strict: bool) -> Result<Self, OutboundSetup> {
        let mut further = Vec::new();
        if let Some(file) = certificates {
            let bundle = Certificate::from_pem_bundle(&fs::read(file)?);
            further = bundle.map_err(|error| OutboundSetup::BadCertificate(reason(error)))?;
            if further.is_empty() {
                return Err(OutboundSetup::NoCertificate);
            }
        }
        Ok(Self(Arc::new(Caller { further, strict, client: OnceLock::new() })))
    }

    /// What an address says.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<T, OutboundError> {
        let request = self.client()?.get(url).header(header::ACCEPT, "application/json");
        send(request).await?.json()
    }

    /// What it says to the bearer of a token.
    pub async fn get_json_as<T: DeserializeOwned>(&self, url: &str, token: &str) -> Result<T, OutboundError> {
        let request = self.client()?.get(url).header(header::ACCEPT, "application/json");
        send(request.bearer_auth(token)).await?.json()
    }

    /// Sends a form. `basic` is a name and a password for HTTP Basic.
    pub async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Result<Answer, OutboundError> {
        let request = self.client()?.post(url).header(header::ACCEPT, "application/json").form(form);
        let request = match basic {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        };
        send(request).await
    }

    /// Sends JSON.
    pub async fn post_json(&self, url: &str, body: &impl Serialize) -> Result<Answer, OutboundError> {
        send(self.client()?.post(url).json(body)).await
    }

    /// Sends a request as it is; the answer whatever its status is.
    pub async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, OutboundError> {
        let client = self.client()?;
        let request = request.try_into().map_err(|_| OutboundError::BadAddress)?;
        let mut response = client.execute(request).await.map_err(failure)?;
        let mut answer = http::Response::new(Bytes::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        *answer.body_mut() = read(response).await?.into();
        Ok(answer)
    }

    fn client(&self) -> Result<&Client, OutboundError> {
        let Caller { further, strict, client } = &*self.0;
        if let Some(client) = client.get() {
            return Ok(client);
        }
        let made = Client::builder()
            .user_agent("latchgate")
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            .https_only(*strict);
        let made = if *strict && !further.is_empty() {
            made.tls_certs_only(further.iter().cloned())
        } else {
            made.tls_certs_merge(further.iter().cloned())
        };
        let made = made.build().map_err(|error| OutboundError::NoTls(reason(error)))?;
        Ok(client.get_or_init(|| made))
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OutboundError> {
        // The text of a parser's error names a place and a kind, never what stands there.
        serde_json::from_slice(&self.body).map_err(|error| {
            OutboundError::NotJson(format!(
                "line {}, column {}: {:?} error",
                error.line(),
                error.column(),
                error.classify()
            ))
        })
    }
}

impl std::fmt::Debug for Answer {
    /// A token endpoint answers with secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

async fn send(request: RequestBuilder) -> Result<Answer, OutboundError> {
    let response = request.send().await.map_err(failure)?;
    let status = response.status();
    let body = read(response).await?;
    if !status.is_success() {
        return Err(OutboundError::Refused { status: status.as_u16(), body });
    }
    Ok(Answer { status: status.as_u16(), body })
}

async fn read(mut response: Response) -> Result<Vec<u8>, OutboundError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(OutboundError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure(error: reqwest::Error) -> OutboundError {
    if error.is_builder() {
        OutboundError::BadAddress
    } else if error.is_timeout() {
        OutboundError::TimedOut
    } else {
        OutboundError::Unreachable(reason(error))
    }
}

/// All that is known of the reason, without the address.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = match in_words(next) {
            Some(words) => write!(text, ": {words}"),
            None => write!(text, ": {next}"),
        };
        cause = next.source();
    }
    text
}

const CONNECT: Duration = Duration::from_secs(3);
const TOTAL: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
/// In bytes. Key sets and discovery documents have a few thousand.
const LARGEST: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server that gives one answer; returns its address and what it was sent.
    async fn server(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/T000/secret-path?x=1", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a server of a test")]
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
            }
            // A client that has read enough leaves.
            let _ = stream.write_all(&answer).await;
            let _ = stream.read_buf(&mut asked).await;
            String::from_utf8_lossy(&asked).to_lowercase()
        });
        (url, task)
    }

    fn client() -> Outbound {
        Outbound::new(None).unwrap()
    }

    #[tokio::test]
    async fn json_is_read_and_nothing_is_told_about_us() {
        let (url, asked) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}".to_vec()).await;
        let answer: serde_json::Value = client().get_json(&url).await.unwrap();
        assert_eq!(answer["a"], 1);
        let asked = asked.await.unwrap();
        assert!(asked.contains("user-agent: latchgate\r\n"), "{asked}");
        assert!(!asked.contains("cookie") && !asked.contains("referer"), "{asked}");
    }

    #[tokio::test]
    async fn a_form_is_sent_with_its_password() {
        let (url, asked) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()).await;
        let sent = client().post_form(&url, &[("grant", "a b&c")], Some(("me", "word"))).await.unwrap();
        assert_eq!((sent.status, sent.body), (200, b"{}".to_vec()));
        let asked = asked.await.unwrap();
        assert!(asked.contains("authorization: basic bwu6d29yza=="), "{asked}");
    }

    /// A redirect could lead anywhere, also inside: it is an answer like every other refusal.
    #[tokio::test]
    async fn redirects_are_not_followed() {
        let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let (url, _asked) = server(redirect.to_vec()).await;
        let refused = client().get_json::<serde_json::Value>(&url).await;
        assert_eq!(refused, Err(OutboundError::Refused { status: 302, body: Vec::new() }));
    }

    #[tokio::test]
    async fn an_endless_answer_ends() {
        let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        endless.resize(endless.len() + LARGEST + 1, b' ');
        let (url, _asked) = server(endless).await;
        let refused = client().get_json::<serde_json::Value>(&url).await;
        assert_eq!(refused, Err(OutboundError::TooLarge));
    }

    #[tokio::test]
    async fn no_error_holds_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/T000/secret-path", listener.local_addr().unwrap());
        drop(listener);
        let unreachable = client().post_json(&url, &"hello").await.unwrap_err();
        assert!(matches!(unreachable, OutboundError::Unreachable(_)), "{unreachable:?}");
        assert!(!format!("{unreachable} {unreachable:?}").contains("secret-path"), "{unreachable:?}");
        assert_eq!(client().post_json("not an address", &1).await, Err(OutboundError::BadAddress));
        let (url, _asked) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhunter2!".to_vec()).await;
        let wrong = client().get_json::<serde_json::Value>(&url).await.unwrap_err();
        assert!(!format!("{wrong} {wrong:?}").contains("hunter2"), "{wrong:?}");
    }

    #[test]
    fn further_certificates_must_be_some() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Outbound::new(Some(&folder.path().join("none.pem")));
        assert!(matches!(missing, Err(OutboundSetup::Unreadable(_))), "{missing:?}");
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "no certificate").unwrap();
        let refused = Outbound::new(Some(&empty));
        assert!(matches!(refused, Err(OutboundSetup::NoCertificate)), "{refused:?}");
    }
}
