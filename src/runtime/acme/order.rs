//! One order: a name is proved to be ours, and a certificate for it is the answer.

use std::{sync::Arc, time::Duration};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::crypto::CryptoProvider;
use zeroize::Zeroizing;

use super::{
    authority::{AcmeError, Authority, refused},
    schedule::renewal,
    storage::Storage,
};
use crate::{
    config::{Acme, Challenge},
    domain::time::Clock,
    runtime::tls::{Certificate, Challenges, Owing},
};

impl Authority {
    /// Orders a certificate for this name, under a new key, and keeps it. Dropped, it leaves nothing owed.
    pub async fn order(
        &self,
        name: &str,
        acme: &Acme,
        storage: &Storage,
        challenges: &Arc<Challenges>,
        (provider, clock): (&Arc<CryptoProvider>, &Clock),
    ) -> Result<Certificate, AcmeError> {
        let work = async {
            let account = self.account(acme, storage).await?;
            let (chain, key) = issued(&account, name, acme.challenge, challenges, provider).await?;
            let text = Zeroizing::new([key.as_bytes(), chain.as_bytes()].concat());
            let certificate = Certificate::read(&text, &storage.certificate_file(name), provider)?;
            examine(&certificate, name, clock)?;
            storage.keep_certificate(name, &text)?;
            Ok(certificate)
        };
        let outcome = tokio::time::timeout(WHOLE, work).await.unwrap_or(Err(AcmeError::TimedOut));
        outcome.map_err(|error| error.about(storage))
    }
}

/// The chain and its key, in PEM.
async fn issued(
    account: &Account,
    name: &str,
    way: Challenge,
    challenges: &Arc<Challenges>,
    provider: &Arc<CryptoProvider>,
) -> Result<(String, Zeroizing<String>), AcmeError> {
    let names = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let owing = prove(&mut order, name, way, challenges, provider).await?;
    let status = match order.poll_ready(&PATIENCE).await {
        Ok(status) => status,
        Err(error) => return Err(reason(&mut order).await.unwrap_or_else(|| error.into())),
    };
    drop(owing);
    if status != OrderStatus::Ready {
        let unknown = || AcmeError::Refused("it says nothing of the reason".to_owned());
        return Err(reason(&mut order).await.unwrap_or_else(unknown));
    }
    let unmade = |error: rcgen::Error| AcmeError::Unfit(error.to_string());
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(unmade)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate().map_err(unmade)?;
    let request = params.serialize_request(&key).map_err(unmade)?;
    order.finalize_csr(request.der()).await?;
    Ok((order.poll_certificate(&PATIENCE).await?, Zeroizing::new(key.serialize_pem())))
}

/// Has the answers ready that the authority is going to ask for, and tells it so. They are owed as long as what comes
/// back is kept.
async fn prove(
    order: &mut Order,
    name: &str,
    way: Challenge,
    challenges: &Arc<Challenges>,
    provider: &Arc<CryptoProvider>,
) -> Result<Vec<Owing>, AcmeError> {
    let (kind, called) = match way {
        Challenge::TlsAlpn => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        Challenge::Http => (ChallengeType::Http01, "http-01"),
    };
    let mut owing = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(AcmeError::Refused("the name was refused already".to_owned())),
        }
        if authorization.identifier().to_string() != name {
            return Err(AcmeError::Nonsense("it asks for another name than was ordered".to_owned()));
        }
        let challenge = authorization.challenge(kind.clone());
        let mut challenge = challenge.ok_or(AcmeError::NotOffered(called))?;
        let answer = challenge.key_authorization();
        owing.push(match way {
            Challenge::Http => challenges.answer_token(&challenge.token, answer.as_str()),
            Challenge::TlsAlpn => {
                let digest = answer.digest();
                let digest = digest.as_ref().try_into();
                let digest = digest.map_err(|_| AcmeError::Nonsense("no SHA-256".to_owned()))?;
                challenges.prove_name(name, digest, provider)?
            }
        });
        challenge.set_ready().await?;
    }
    Ok(owing)
}

/// Why the authority did not believe us, as it says at the challenge.
async fn reason(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(refused(problem));
        }
    }
    None
}

/// Whether it is what was ordered. One that would have to be replaced at once would be ordered without end.
fn examine(certificate: &Certificate, name: &str, clock: &Clock) -> Result<(), AcmeError> {
    if !certificate.is_for(name) {
        return Err(AcmeError::Unfit(format!("it is not for {name}")));
    }
    if renewal(certificate.begins, certificate.ends, certificate.lot()) <= clock.now() {
        let (begins, ends) = (certificate.begins, certificate.ends);
        return Err(AcmeError::Unfit(format!(
            "it counts from {begins} to {ends}, and would have to be renewed at once"
        )));
    }
    Ok(())
}

/// How the state of an order is asked for.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(60));
/// What an order may take in all.
const WHOLE: Duration = Duration::from_secs(180);
