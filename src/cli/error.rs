//! How a command fails: what went wrong, what to do next, and the exit code.
//!
//! 0 done, 1 failed, 2 wrong usage or configuration. Errors go to stderr, so that stdout stays
//! what a script asked for.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};

use super::{open, output::harmless};
use crate::{
    config::{ConfigError, ConfigErrors},
    control::{api::Refused, service::ServiceError},
};

/// Why a command did not finish.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Said on stderr.
    Told {
        /// Who has to act: the caller's words (2) or the world (1).
        exit: Exit,
        /// At least one.
        faults: Vec<Fault>,
    },
    /// Everything is said already; only the exit code is left.
    Reported(Exit),
    /// Nobody reads stdout any more (`| head`): no fault of anybody, nothing to say.
    ReaderGone,
}

/// One thing that is wrong.
#[derive(Debug)]
pub(crate) struct Fault {
    /// One sentence, without a full stop.
    what: String,
    /// What to do about it; may have several lines.
    next: String,
}

/// The exit code of a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: right words, wrong moment.
    Failed,
    /// 2: wrong usage or configuration; the same words will always fail.
    Usage,
}

impl Failure {
    /// It could not be done (exit 1).
    pub(crate) fn failed(what: impl fmt::Display, next: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Failed, faults: vec![Fault { what: what.to_string(), next: next.into() }] }
    }

    /// It was asked for in a wrong way (exit 2).
    pub(crate) fn usage(what: impl fmt::Display, next: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Usage, faults: vec![Fault { what: what.to_string(), next: next.into() }] }
    }

    /// A configuration that cannot be used (exit 2): every fault of it, with text that would be accepted.
    pub(crate) fn configuration(errors: &ConfigErrors) -> Self {
        let faults = errors.iter().map(|error| {
            let next = match (&*error.key, &*error.example) {
                ("", "") if error.problem.contains("Permission denied") => open::ANOTHER_USER.to_owned(),
                ("", "") => "name the right file with --config, or let `latchgate init` write one".to_owned(),
                (_, "") => "correct or remove it, then try `latchgate check --config FILE`".to_owned(),
                (_, example) => format!("for example\n{example}"),
            };
            let what = ConfigError { example: String::new(), ..error.clone() }.to_string();
            Fault { what, next }
        });
        Self::Told { exit: Exit::Usage, faults: faults.collect() }
    }

    /// A write to stdout that failed.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::failed(
            format_args!("cannot write to stdout: {error}"),
            "see whether the disk or the pipe that stdout leads to is full",
        )
    }

    /// Says it on stderr and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Told { exit, faults } => {
                // Nobody is left to tell when stderr is closed too; the exit code still says it.
                let mut err = anstream::stderr().lock();
                let _ = faults.iter().try_for_each(|fault| write(&mut err, fault));
                exit.code()
            }
            Self::Reported(exit) => exit.code(),
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

/// What was refused, by the store or by a server. What the caller said wrong is usage; what the state of things forbids
/// is not.
impl From<Refused> for Failure {
    fn from(Refused { code, detail, errors }: Refused) -> Self {
        let detail = harmless(detail.trim_end_matches('.'));
        let missing = detail.strip_prefix("No ").or(detail.strip_prefix("no "));
        if let Some(named) = missing.filter(|_| code == "not_found") {
            let what = named.split(' ').next().unwrap_or_default();
            let known = NOUNS.iter().find_map(|(noun, command)| (*noun == what).then_some(*command));
            let list = known.map_or_else(String::new, |command| format!("latchgate {command} "));
            return Self::failed(
                format_args!("there is no {named}"),
                format!("`{list}list` shows those there are"),
            );
        }
        let next = match &*code {
            "invalid_field" => {
                let faults = errors.into_iter().map(|wrong| Fault {
                    what: format!("{}: {}", flag(&wrong.field), harmless(&wrong.message)),
                    next: "correct it; the command's --help names every flag".to_owned(),
                });
                return Self::Told { exit: Exit::Usage, faults: faults.collect() };
            }
            "store_unavailable" => {
                "nothing was changed. See whether another program holds the store's file, then try again"
            }
            "overloaded" => "nothing was changed. Try again; if it stays, free some memory",
            "limit_reached" => "nothing was changed. Revoke what is no longer needed, then try again",
            "conflict" => "nothing was changed. `list` and `show` tell the present state",
            "forbidden" | "scope_insufficient" => {
                "nothing was changed. Ask for less, or give the person another role: `latchgate users set-role --help`"
            }
            _ => "nothing was changed",
        };
        Self::failed(detail, next)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Refused::from(error).into()
    }
}

/// What is not there, and the command that lists what is.
const NOUNS: [(&str, &str); 8] = [
    ("organization", "orgs"),
    ("team", "teams"),
    ("project", "projects"),
    ("user", "users"),
    ("role", "roles"),
    ("group", "groups"),
    ("key", "keys"),
    ("invitation", "invitations"),
];

/// The flag of a field of the API.
fn flag(field: &str) -> String {
    match field {
        "user_id" => "--user".to_owned(),
        "password" => "--password-stdin".to_owned(),
        _ => format!("--{}", harmless(field).replace('_', "-")),
    }
}

impl Exit {
    fn code(self) -> ExitCode {
        match self {
            Self::Failed => ExitCode::from(1),
            Self::Usage => ExitCode::from(2),
        }
    }
}

/// A remark on stderr that does not fail the command.
pub(crate) fn warn(text: impl fmt::Display) {
    let style = AnsiColor::Yellow.on_default().bold();
    let _ = writeln!(anstream::stderr().lock(), "{style}warning:{style:#} {text}");
}

/// A remark on stderr for people, beside the data on stdout.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

fn write(err: &mut impl Write, Fault { what, next }: &Fault) -> io::Result<()> {
    let red = AnsiColor::Red.on_default().bold();
    let bold = Style::new().bold();
    writeln!(err, "{red}error:{red:#} {what}")?;
    let mut label = "next:";
    for line in next.lines() {
        writeln!(err, "  {bold}{label:<5}{bold:#} {line}")?;
        label = "";
    }
    Ok(())
}
