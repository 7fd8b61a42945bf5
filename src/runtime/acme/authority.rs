//! The authority as it is spoken to: over the client for other servers, with https, and heard when it wants to be left
//! alone.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{
    Account, AccountBuilder, BodyWrapper, BytesResponse, Error, ExternalAccountKey, HttpClient, NewAccount,
    Problem,
};

use super::storage::{Storage, StorageError};
use crate::{
    config::{Acme, ExternalAccount},
    runtime::{
        outbound::{Outbound, OutboundError, OutboundSetup},
        tls::{BadCertificate, Unmade},
    },
};

/// An authority. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authority {
    outbound: Outbound,
    /// For how long it wants to hear nothing, as it said last.
    bar: Arc<Mutex<Option<Duration>>>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authority was not reached, or not known by its certificate.
    #[error("the authority cannot be asked: {0}")]
    Unreached(OutboundError),
    /// It says no.
    #[error("the authority refuses: {0}")]
    Refused(String),
    /// It has forgotten the account, or ended it.
    #[error(
        "the authority does not know the account in {0}: no other is made by itself; remove that file to have a new one made"
    )]
    UnknownAccount(String),
    /// It offers other ways only.
    #[error("the authority does not offer the challenge {0} for this name")]
    NotOffered(&'static str),
    /// It does not speak ACME, or breaks its rules.
    #[error("the authority's answer makes no sense: {0}")]
    Nonsense(String),
    /// It took too long.
    #[error("the authority took too long")]
    TimedOut,
    /// What it gave cannot be used.
    #[error("the certificate that the authority gave cannot be used: {0}")]
    Unfit(String),
    /// The key of the external account.
    #[error("tls.acme.external_account.key_file: {0}")]
    ExternalAccount(String),
    /// What is kept.
    #[error("tls.acme.storage: {0}")]
    Storage(#[from] StorageError),
    /// The certificate of a challenge.
    #[error(transparent)]
    Challenge(#[from] Unmade),
}

impl Authority {
    /// The authority of a configuration. Nothing is asked yet.
    pub fn of(acme: &Acme) -> Result<Self, OutboundSetup> {
        Ok(Self { outbound: Outbound::strict(acme.directory_ca.as_deref())?, bar: Arc::default() })
    }

    /// Asks for the directory, and whether it is one.
    pub async fn reach(&self, directory: &str) -> Result<(), OutboundError> {
        let directory: serde_json::Value = self.outbound.get_json(directory).await?;
        let is_directory = directory["newOrder"].is_string();
        is_directory.then_some(()).ok_or_else(|| OutboundError::NotJson("it is no ACME directory".to_owned()))
    }

    /// For how long it wants to hear nothing, if it has said so since this was asked last.
    pub fn take_bar(&self) -> Option<Duration> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The account: the one that is kept, or a new one, which is kept before it is used.
    pub(super) async fn account(&self, acme: &Acme, storage: &Storage) -> Result<Account, AcmeError> {
        let builder = || -> AccountBuilder { Account::builder_with_http(Box::new(self.clone())) };
        if let Some(credentials) = storage.account()? {
            return builder().from_credentials(credentials).await.map_err(AcmeError::from);
        }
        let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let external = acme.external_account.as_ref().map(external).transpose()?;
        let (account, credentials) =
            builder().create(&wanted, acme.directory.clone(), external.as_ref()).await?;
        storage.keep_account(&credentials)?;
        Ok(account)
    }
}

impl AcmeError {
    /// Whether the authority may have counted it against a limit.
    pub const fn is_counted(&self) -> bool {
        !matches!(self, Self::Unreached(_) | Self::Storage(_) | Self::ExternalAccount(_) | Self::Challenge(_))
    }

    /// What it says of the account, with its file.
    pub(super) fn about(self, storage: &Storage) -> Self {
        match self {
            Self::Refused(text) if text.contains("accountDoesNotExist") => {
                Self::UnknownAccount(storage.account_file().display().to_string())
            }
            other => other,
        }
    }
}

impl From<Error> for AcmeError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => refused(&problem),
            Error::Timeout(_) => Self::TimedOut,
            Error::Other(other) => match other.downcast::<OutboundError>() {
                Ok(error) => Self::Unreached(*error),
                Err(other) => Self::Nonsense(shortened(&other.to_string())),
            },
            // The parser's text could hold anything that a server says.
            Error::Json(_) => Self::Nonsense("it is not the JSON that was expected".to_owned()),
            other => Self::Nonsense(shortened(&other.to_string())),
        }
    }
}

impl From<BadCertificate> for AcmeError {
    fn from(error: BadCertificate) -> Self {
        Self::Unfit(error.to_string())
    }
}

pub(super) fn refused(problem: &Problem) -> AcmeError {
    AcmeError::Refused(shortened(&problem.to_string()))
}

/// A line of a log has an end.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

fn external(account: &ExternalAccount) -> Result<ExternalAccountKey, AcmeError> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let wrong = |why: String| AcmeError::ExternalAccount(format!("{}: {why}", account.key_file.display()));
    let text = std::fs::read_to_string(&account.key_file).map_err(|error| wrong(error.to_string()))?;
    let text = zeroize::Zeroizing::new(text);
    let key = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
    let key = zeroize::Zeroizing::new(key.map_err(|_| wrong("it is not base64url".to_owned()))?);
    Ok(ExternalAccountKey::new(account.kid.clone(), &key))
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let Self { outbound, bar } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // It cannot fail.
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let answer = outbound.exchange(Request::from_parts(parts, body)).await;
            let mut answer = answer.map_err(|error| Error::Other(Box::new(error)))?;
            bound_retry_after(answer.headers_mut());
            if matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                let seconds =
                    answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                *bar.lock().unwrap_or_else(PoisonError::into_inner) = seconds.map(Duration::from_secs);
            }
            Ok(answer.map(Full::new).into())
        })
    }
}

/// What it asks for has an end: the library adds it to the time that it is, and that overflows.
fn bound_retry_after(headers: &mut HeaderMap) {
    let Some(seconds) = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) else { return };
    if seconds.parse::<u64>().is_ok_and(|seconds| seconds <= LONGEST_BAR) {
        return;
    }
    if !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        headers.insert(RETRY_AFTER, HeaderValue::from(LONGEST_BAR));
    } else {
        headers.remove(RETRY_AFTER);
    }
}

/// In seconds: a day.
const LONGEST_BAR: u64 = 24 * 3600;
/// In characters.
const LONGEST_TEXT: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_asks_to_wait_has_an_end() {
        for (said, left) in [
            ("60", Some("60")),
            ("86400", Some("86400")),
            ("86401", Some("86400")),
            ("18446744073709551615", Some("86400")),
            ("99999999999999999999999", Some("86400")),
            ("-1", None),
            ("", None),
            ("Thu, 01 Dec 2033 16:00:00 GMT", None),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(said))]);
            bound_retry_after(&mut headers);
            assert_eq!(headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap()), left, "{said}");
        }
    }
}
