//! `latchgate serve`: the gateway itself.

use std::io::ErrorKind;

use clap::Args;

use super::{args::ConfigFile, error::Failure, open};
use crate::{
    app::{self, RunError, StartError},
    config::Environment,
};

/// Run the gateway
#[derive(Debug, Args)]
#[command(
    after_help = "SIGHUP reads the configuration again and keeps the old one if the new one is wrong. SIGTERM \
finishes the requests under way and ends. Logs go to stderr, a line for each request to stdout.

Example:
  latchgate serve --config gate/latchgate.toml"
)]
pub(crate) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

impl Serve {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        app::run(&self.config.path, &Environment::from_process()).map_err(|error| ended(&error, false))
    }
}

/// A gateway that ended otherwise than by being told. `by_flag` where flags set its listening addresses.
pub(super) fn ended(error: &RunError, by_flag: bool) -> Failure {
    match error {
        RunError::Config(errors) => Failure::configuration(errors),
        RunError::Start(error) => unstarted(error, by_flag),
        RunError::Machine(_) => machine(error),
    }
}

/// A gateway that did not start.
pub(super) fn unstarted(error: &StartError, by_flag: bool) -> Failure {
    match error {
        StartError::Listen { key, error: cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
            Failure::failed(
                error,
                format!(
                    "ports below 1024 need a right: let systemd open them (deploy/systemd), or set {key} higher"
                ),
            )
        }
        StartError::Listen { key, .. } => {
            let flag = key.rsplit('.').next().unwrap_or(key);
            let next = if by_flag {
                format!("end what listens there, or choose another address: --{flag} 127.0.0.1:PORT")
            } else {
                format!("end what listens there, or choose another address with the key {key}")
            };
            Failure::failed(error, next)
        }
        StartError::SecretFile { error: cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
            Failure::usage(error, open::ANOTHER_USER)
        }
        StartError::SecretFile { .. } | StartError::Secret { .. } => {
            Failure::usage(error, "`latchgate init` writes one; it holds 32 random bytes")
        }
        StartError::Upstream { .. } => Failure::usage(
            error,
            "tls.ca names a PEM file with the authorities that the backend's certificate is from",
        ),
        StartError::Outbound { .. } => Failure::usage(
            error,
            "outbound.ca names a file with certificates in PEM: -----BEGIN CERTIFICATE-----",
        ),
        StartError::Tls { .. } if error.is_of_orders() => Failure::usage(
            error,
            "tls.acme.storage is a folder of the gateway's own, with its account and its certificates",
        ),
        StartError::Tls { .. } => Failure::usage(
            error,
            "each [[tls.certificate]] names two PEM files: cert = \"tls/site.pem\", key = \"tls/site.key\"",
        ),
        StartError::Store(inner) => open::store(inner),
        StartError::Directory(_) => Failure::failed(
            open::chain(error),
            "see whether the file named by store.url can be read and written by this user",
        ),
        StartError::Machine { .. } => machine(error),
    }
}

fn machine(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::failed(
        open::chain(error),
        "see whether this user has open files, threads and memory left (ulimit -a)",
    )
}
