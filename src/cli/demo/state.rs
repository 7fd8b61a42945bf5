//! What the demo keeps: a configuration, a secret, a store with somebody in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    cli::{
        error::{Failure, warn},
        init::{Files, populate},
        open,
    },
    config::{Config, ConfigErrors, Environment},
    control::service::{Caller, Control, Created, KeyFilter, NewKey, Page},
    domain::key::state::Status,
};

/// Where it is kept.
#[derive(Debug)]
pub(super) struct State {
    dir: PathBuf,
    /// Whether it goes away with the demo.
    passing: bool,
}

/// The person in whose name the demo's key is.
pub(super) const ADMIN: &str = "admin@demo.example";
/// The key's name; a later demo in the same folder replaces it.
const KEY_NAME: &str = "demo";
/// What the key may do: to read scans, not to start one.
const SCOPES: [&str; 2] = ["report:read", "scan:read"];
/// Few enough to be reached by hand.
pub(super) const RATE_PER_MINUTE: i64 = 10;
const CONFIG: &str = include_str!("demo.toml");

impl State {
    /// In this folder, or in one of its own that goes away.
    pub(super) fn at(dir: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(dir) = dir {
            return Ok(Self { dir, passing: false });
        }
        let name = format!("latchgate-demo-{:016x}", random()?);
        Ok(Self { dir: std::env::temp_dir().join(name), passing: true })
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("latchgate.toml")
    }

    /// Whether it goes away with the demo.
    pub(super) fn passing(&self) -> bool {
        self.passing
    }

    /// Makes what is not there yet, issues a key and sets a password.
    pub(super) fn prepare(&self, environment: &Environment) -> Result<(Config, Issued), Failure> {
        let file = self.config_file();
        if file.exists() {
            let config = load(&file, environment)?;
            let created = open::block_on(async {
                let control = open::control(&config).await?;
                let created = issue(&control).await;
                control.store().close().await;
                created
            })?;
            return Ok((config, created));
        }
        let files = Files::in_dir(&self.dir)?.create()?;
        let loaded = Config::from_toml(CONFIG, &file, environment);
        let config = loaded.map_err(|errors| refused(&errors))?.config;
        let created = open::block_on(async {
            let control = open::create(&config).await?;
            populate(&control, &config.profile, ADMIN, None).await?;
            let created = issue(&control).await;
            control.store().close().await;
            created
        })?;
        files.finish(CONFIG)?;
        Ok((config, created))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.passing
            && self.dir.exists()
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            warn(format_args!("{} could not be removed: {error}", self.dir.display()));
        }
    }
}

/// Reads the demo's configuration with the addresses of this run.
fn load(file: &Path, environment: &Environment) -> Result<Config, Failure> {
    let loaded = Config::load(file, environment);
    Ok(loaded.map_err(|errors| refused(&errors))?.config)
}

/// Listening addresses came by flags, whatever key they stand at.
fn refused(errors: &ConfigErrors) -> Failure {
    let by_flag = errors.iter().find_map(|error| {
        let flag = error.key.strip_prefix("listen.")?;
        Some(Failure::usage(
            format_args!("--{flag}: {}", error.problem),
            format!("choose another address, such as --{flag} 127.0.0.1:9080"),
        ))
    });
    by_flag.unwrap_or_else(|| Failure::configuration(errors))
}

/// What lets somebody in, for as long as this demo runs.
pub(super) struct Issued {
    pub(super) key: Created,
    pub(super) password: Zeroizing<String>,
}

/// A new key and a new password in place of an earlier demo's, whose text nobody has any more.
async fn issue(control: &Control) -> Result<Issued, Failure> {
    let operator = Caller::Operator;
    let filter = KeyFilter {
        user: Some(ADMIN.to_owned()),
        status: Some(Status::Active),
        q: Some(KEY_NAME.to_owned()),
        ..KeyFilter::default()
    };
    for old in control.list_keys(&operator, &filter, &Page::default()).await?.items {
        if old.name == KEY_NAME {
            control.revoke_key(&operator, &old.id.to_string()).await?;
        }
    }
    let new = NewKey {
        user: Some(ADMIN.to_owned()),
        name: KEY_NAME.to_owned(),
        scopes: Some(SCOPES.map(str::to_owned).to_vec()),
        rate_limit_per_minute: Some(RATE_PER_MINUTE),
        ..NewKey::default()
    };
    let key = control.create_key(&operator, &new).await?;
    let password = password()?;
    control.set_password(&operator, ADMIN, &password).await?;
    Ok(Issued { key, password })
}

/// 128 random bits, which nobody has to remember.
fn password() -> Result<Zeroizing<String>, Failure> {
    let (one, other) = (random()?, random()?);
    Ok(Zeroizing::new(format!("{one:016x}-{other:016x}")))
}

fn random() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| {
        Failure::failed(
            format_args!("the system gives no random bytes: {error}"),
            "see that /dev/urandom or getrandom(2) is available here",
        )
    })
}
