//! The first configuration.

use std::{fs, path::Path};

use super::example;
use crate::{
    cli::error::Failure,
    config::{Config, ConfigErrors, Environment},
    domain::profile::Profile,
};

/// A configuration as text and as what it means.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) text: String,
    pub(super) config: Config,
}

/// The configuration for this profile and upstream, checked as if it stood in `file`. What changes while the gateway
/// runs stands beside it, or in the folder `state`.
pub(super) fn fill(
    profile: &str,
    upstream: &str,
    state: Option<&str>,
    file: &Path,
) -> Result<Template, Failure> {
    let place = |name: &str| state.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
    let (store, mails) = (format!("sqlite://{}", place("latchgate.db")), format!("file:{}", place("outbox")));
    let profile = if Profile::shipped(profile).is_some() {
        profile.to_owned()
    } else {
        // The new file names it from another folder than the one the caller is in.
        fs::canonicalize(profile).ok().and_then(|path| path.to_str().map(str::to_owned)).ok_or_else(|| {
            Failure::usage(
                format_args!("--profile {profile:?} is neither a shipped profile nor a file"),
                "one of offload, cortex, trustedoss, reducto, or the path of a profile file",
            )
        })?
    };
    let parse = |read, write| {
        let text = TEXT
            .replace("@profile@", &quoted(&profile))
            .replace("@upstream@", &quoted(upstream))
            .replace("@store@", &quoted(&store))
            .replace("@mails@", &quoted(&mails))
            .replace("@read@", &quoted(read))
            .replace("@write@", &quoted(write));
        let loaded = Config::from_toml(&text, file, &Environment::empty());
        loaded.map(|loaded| Template { text, config: loaded.config }).map_err(|errors| refused(&errors))
    };
    // The examples are names that exist, so the profile has to be known before they are written.
    let first = parse("read", "write")?;
    let (read, write) = example::permissions(&first.config.profile);
    parse(read, write)
}

/// What is wrong is what the flags said: the rest of the text is ours.
fn refused(errors: &ConfigErrors) -> Failure {
    let blamed = errors.iter().find_map(|error| {
        let flag = [("profile", "--profile"), ("upstream", "--upstream")]
            .into_iter()
            .find(|(key, _)| error.key.starts_with(key))?;
        let next = match flag.1 {
            "--upstream" => "for example --upstream http://127.0.0.1:9000",
            _ => "one of offload, cortex, trustedoss, reducto, or the path of a profile file",
        };
        Some(Failure::usage(format_args!("{}: {}", flag.1, error.problem), next))
    });
    blamed.unwrap_or_else(|| Failure::configuration(errors))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

const TEXT: &str = include_str!("template.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_gives_a_configuration_whose_examples_are_right_too() {
        for (name, _) in Profile::SHIPPED {
            let filled = fill(name, "http://127.0.0.1:9000", None, Path::new("gate/latchgate.toml")).unwrap();
            let left = filled.text.replace("latchgate@localhost", "");
            assert!(!left.contains('@'), "{name}");
            // The examples too, as if somebody had taken the `#` away.
            let uncommented = |line: &str| {
                let setting = line.starts_with("# [") || line.contains(" = ");
                if setting { line.trim_start_matches("# ").to_owned() } else { line.to_owned() }
            };
            let active = filled.text.lines().map(uncommented).collect::<Vec<_>>().join("\n");
            let loaded = Config::from_toml(&active, Path::new("x.toml"), &Environment::empty());
            assert_eq!(
                loaded.map(|loaded| loaded.config.routes.len()).map_err(|e| e.to_string()),
                Ok(3),
                "{name}"
            );
        }
    }

    #[test]
    fn what_the_flags_say_wrong_is_told_as_theirs() {
        for (profile, upstream) in
            [("nosuch", "http://a:1"), ("offload", "ftp://a"), ("offload", "http://a\"\n[x]")]
        {
            assert!(
                matches!(fill(profile, upstream, None, Path::new("x.toml")), Err(Failure::Told { .. })),
                "{profile}"
            );
        }
    }
}
