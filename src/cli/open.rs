//! From `--config FILE` to something to work with.

use std::{error::Error, fs, io::ErrorKind, path::Path, sync::Arc};

use super::error::Failure;
use crate::{
    config::{Config, Environment, Loaded, Warning},
    control::service::{Applied, Control, Parts, Settings},
    domain::{
        key::secret::{MacKey, RootSecret},
        seal::SealKey,
        time::Clock,
    },
    store::{OpenError, Options, Store},
};

/// The configuration, checked. What is odd about it is in the answer, not on stderr.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    Config::load(path, &Environment::from_process()).map_err(|errors| Failure::configuration(&errors))
}

/// The operator's secret, and what is odd about its file.
pub(crate) struct Secret {
    pub(crate) root: RootSecret,
    pub(crate) warning: Option<Warning>,
}

/// Reads `store.secret_file`.
pub(crate) fn root_secret(config: &Config) -> Result<Secret, Failure> {
    let path = &config.store.secret_file;
    let (origin, shown) = (config.origin.display(), path.display());
    let new = format!(
        "`latchgate init` writes one. To make one by hand: (umask 077; head -c 32 /dev/urandom > {shown})\n\
         Stored keys stay valid under a new secret, their first use is slower once; those that sign with a\n\
         secret have to be rotated."
    );
    let bytes = fs::read(path).map(zeroize::Zeroizing::new).map_err(|error| {
        let next = if error.kind() == ErrorKind::PermissionDenied { ANOTHER_USER } else { &new };
        Failure::usage(format_args!("{origin}: store.secret_file: cannot read {shown}: {error}"), next)
    })?;
    let root = RootSecret::parse(&bytes).map_err(|error| {
        Failure::usage(format_args!("{origin}: store.secret_file: {shown}: {error}"), new)
    })?;
    Ok(Secret { root, warning: readable_by_others(path) })
}

/// What to do where only the right of this user is missing. A new secret is never the answer.
pub(super) const ANOTHER_USER: &str =
    "run this as the user that the file belongs to, such as: sudo -u latchgate latchgate ...";

#[cfg(unix)]
fn readable_by_others(path: &Path) -> Option<Warning> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| Warning {
        key: "store.secret_file".to_owned(),
        text: format!("{0} is open to other users (mode {mode:o}): chmod 600 {0}", path.display()),
    })
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> Option<Warning> {
    None
}

/// The use cases on a store that is there. Its schema is left as it is: a running gateway may need it so.
pub(crate) async fn control(config: &Config) -> Result<Control, Failure> {
    let secret = root_secret(config)?;
    if let Some(warning) = secret.warning {
        super::error::warn(warning);
    }
    join(config, &secret.root, &Options::sqlite(config.store.url.path())).await
}

/// The same on a store that is made by it.
pub(crate) async fn create(config: &Config) -> Result<Control, Failure> {
    let secret = root_secret(config)?;
    let options = Options::sqlite(config.store.url.path()).create(true).migrate(true);
    join(config, &secret.root, &options).await
}

async fn join(config: &Config, root: &RootSecret, options: &Options) -> Result<Control, Failure> {
    let clock = Clock::system();
    let seal_key = SealKey::derive(root)
        .map_err(|error| Failure::failed(error, "see whether this machine has memory left"))?;
    let opened = Store::open(options, clock.now()).await.map_err(|error| store(&error))?;
    Ok(Control::new(Parts {
        store: opened,
        profile: Arc::clone(&config.profile),
        clock,
        mac_key: MacKey::derive(root),
        seal_key,
        settings: Settings::of(config, config.listen.gateway),
        applied: Applied::elsewhere(),
    }))
}

/// Runs a command's work. One thread is enough: it waits for one file.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::failed(
            format_args!("cannot start: {error}"),
            "see whether this user has open files and memory left (ulimit -a)",
        )
    })?;
    runtime.block_on(work)
}

/// A store that cannot be opened, with every cause that is known.
pub(crate) fn store(error: &OpenError) -> Failure {
    let next = match error {
        OpenError::Missing(_) => "`latchgate migrate --config FILE` creates an empty one; see also store.url",
        OpenError::Unavailable { .. } => {
            "see whether the file named by store.url and its folder can be read and written by this user"
        }
        OpenError::SchemaTooOld { .. } => "`latchgate migrate --config FILE` brings it up to date",
        OpenError::SqliteTooOld { .. } => "build with the SQLite that comes with the program",
        OpenError::SchemaTooNew { .. } | OpenError::SchemaDiffers { .. } => {
            "use the program that wrote it, or a copy of the store from before"
        }
    };
    Failure::failed(chain(error), next)
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Some say their cause themselves.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
