//! Whether what a configuration names beside the store and the upstreams is there: files of identity providers, and,
//! when asked, the providers themselves.

use std::{fs, path::Path};

use tokio::runtime::Handle;

pub use crate::runtime::tls::in_words as tls_words;

use super::{backends, federation, start_error::StartError};
use crate::{
    config::{Config, JwtIssuer, JwtKeys, Warning},
    control::oidc,
    domain::{jwt::KeySet, time::Clock},
    proxy::upstream::System,
    runtime::{
        acme::Authority,
        jwks::{IssuerKeys, Keeping, Published},
        tasks::Tasks,
    },
    telemetry::metrics::Metrics,
};

/// Another server that was asked.
#[derive(Debug)]
pub struct Asked {
    /// What it is for.
    pub what: String,
    /// Where.
    pub address: String,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Looks at the files, without a network. What would keep the gateway from starting is an error.
pub fn examine(config: &Config) -> Result<Vec<Warning>, StartError> {
    federation::outbound(config)?;
    backends::made(config, None)?;
    let mut odd = Vec::new();
    for (index, issuer) in config.jwt.iter().enumerate() {
        if let JwtKeys::In(file) = &issuer.keys
            && let Err(text) = keys_in(file)
        {
            odd.push(Warning { key: format!("jwt[{index}].jwks_file"), text });
        }
    }
    let secret = config.oidc.as_ref().and_then(|oidc| oidc.client_secret_file.as_deref());
    if let Some(file) = secret
        && let Err(text) = read(file)
    {
        odd.push(Warning { key: "oidc.client_secret_file".to_owned(), text });
    }
    Ok(odd)
}

/// Asks each issuer for its keys, the provider of `[oidc]` about itself, and the authority of `[tls.acme]` for its directory.
pub async fn ask(config: &Config) -> Result<Vec<Asked>, StartError> {
    let metrics = Metrics::new().map_err(super::start_error::machine("metrics"))?;
    let outbound = federation::outbound(config)?;
    let (clock, tasks, runtime) = (Clock::system(), Tasks::new(&metrics), Handle::current());
    let keeping = Keeping { outbound, clock, tasks, runtime };
    let mut asked = Vec::new();
    for JwtIssuer { issuer, keys, refresh, .. } in &config.jwt {
        let JwtKeys::At(address) = keys else { continue };
        let keys = IssuerKeys::new(issuer, Published::At(address.to_string()), *refresh, keeping.clone());
        let problem = match keys.read().await {
            Ok(0) => Some(NO_KEY.to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.0),
        };
        asked.push(Asked { what: format!("jwt {issuer}"), address: address.to_string(), problem });
    }
    if let Some(oidc) = &config.oidc {
        let problem = oidc::reach(oidc, &keeping).await.err().map(|error| error.to_string());
        asked.push(Asked { what: "oidc".to_owned(), address: oidc.issuer.to_string(), problem });
    }
    if let Some(acme) = config.tls.as_ref().and_then(|tls| tls.acme.as_ref()) {
        let problem = match Authority::of(acme) {
            Ok(authority) => authority.reach(&acme.directory).await.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        asked.push(Asked { what: "tls.acme".to_owned(), address: acme.directory.clone(), problem });
    }
    Ok(asked)
}

/// Connects to every target of every upstream, at each address that it has, as the gateway would: with TLS, where TLS
/// is spoken.
pub async fn connect(config: &Config) -> Result<Vec<Asked>, StartError> {
    let mut asked = Vec::new();
    for fleet in backends::made(config, None)?.iter() {
        for (target, problem) in fleet.try_all(&System).await {
            asked.push(Asked { what: format!("upstream {}", fleet.config().name), address: target, problem });
        }
    }
    Ok(asked)
}

fn keys_in(file: &Path) -> Result<(), String> {
    let document = serde_json::from_str(&read(file)?)
        .map_err(|error| format!("{}: it is not JSON: {error}", file.display()))?;
    let keys = KeySet::parse(&document).map_err(|error| format!("{}: {error}", file.display()))?;
    if keys.is_empty() { Err(format!("{}: {NO_KEY}", file.display())) } else { Ok(()) }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

const NO_KEY: &str = "it holds no key that can prove a token: all would be refused";
