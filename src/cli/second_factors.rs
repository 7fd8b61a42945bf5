//! `latchgate sessions second-factor`: codes of an authenticator app besides the password.

use clap::Subcommand;
use http::Method;
use zeroize::Zeroizing;

use super::{
    error::{Failure, note},
    output::{Format, Printer, harmless},
    plane::text,
    remote::Remote,
    secrets,
    sessions::{SESSION, There, password},
};
use crate::control::api::Question;

/// Ask for codes of an authenticator app when signing in
#[derive(Debug, Subcommand)]
pub(crate) enum SecondFactor {
    /// Show whether signing in asks for it, and how many recovery codes are left
    Show {
        #[command(flatten)]
        there: There,
    },
    /// Begin: print what an authenticator app needs, this once
    #[command(after_help = "It is asked for once `confirm` was given a code of the app.

Example:
  latchgate sessions second-factor enrol --server https://gate:8081
  latchgate sessions second-factor confirm --server https://gate:8081")]
    Enrol {
        /// Read the password from stdin; without it a terminal is asked
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        there: There,
    },
    /// Put it in force by a code of the app, and print the recovery codes, this once; other sessions end
    Confirm {
        /// The code that the app shows; without it a terminal is asked
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        there: There,
    },
    /// Sign in with the password alone again; other sessions end
    Remove {
        /// Read the password from stdin; without it a terminal is asked
        #[arg(long)]
        password_stdin: bool,
        /// A code of the app, or a recovery code; without it a terminal is asked
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        there: There,
    },
    /// Print other recovery codes, this once, in place of all there were
    RecoveryCodes {
        /// Read the password from stdin; without it a terminal is asked
        #[arg(long)]
        password_stdin: bool,
        /// A code of the app, or a recovery code; without it a terminal is asked
        #[arg(long)]
        code: Option<String>,
        #[command(flatten)]
        there: There,
    },
}

impl SecondFactor {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Show { there } => there.signed_in(async |remote, mut printer| {
                printer.object(&remote.ask(&question(Method::GET, &[])).await?)
            }),
            Self::Enrol { password_stdin, there } => there.signed_in(async |remote, mut printer| {
                let password = own_password(&remote, password_stdin).await?;
                let begun = remote.ask(&question(Method::POST, &[]).with("password", password.as_str())).await?;
                if printer.format() == Format::Json {
                    return printer.object(&begun);
                }
                note(
                    "Let an authenticator app take in this address, or type the secret into it; both are shown this once.\n\
                     Then, with the same --server: latchgate sessions second-factor confirm",
                );
                printer.text(&format!("{}\n{}", harmless(text(&begun, "uri")), harmless(text(&begun, "secret"))))
            }),
            Self::Confirm { code: given, there } => there.signed_in(async |remote, printer| {
                let code = code(given)?;
                let question = question(Method::POST, &["confirm"]).with("code", code.as_str());
                show_codes(&remote, &question, printer).await
            }),
            Self::Remove { password_stdin, code: given, there } => there.signed_in(async |remote, _| {
                let password = own_password(&remote, password_stdin).await?;
                let question = question(Method::POST, &["remove"]).with("password", password.as_str());
                remote.ask(&question.with("code", code(given)?.as_str())).await?;
                note("The password alone signs you in again.");
                Ok(())
            }),
            Self::RecoveryCodes { password_stdin, code: given, there } => {
                there.signed_in(async |remote, printer| {
                    let password = own_password(&remote, password_stdin).await?;
                    let question = question(Method::POST, &["recovery-codes"]).with("password", password.as_str());
                    show_codes(&remote, &question.with("code", code(given)?.as_str()), printer).await
                })
            }
        }
    }
}

/// A code of the app, or a recovery code. Unlike other secrets it may be an argument: it is used up by being sent.
pub(super) fn code(given: Option<String>) -> Result<Zeroizing<String>, Failure> {
    match given {
        Some(code) => Ok(Zeroizing::new(code)),
        None if secrets::can_ask() => secrets::ask("Code of your authenticator app, or a recovery code: "),
        None => Err(Failure::failed(
            "a code of the second factor is needed, and there is no terminal to ask for it",
            "give it with --code",
        )),
    }
}

async fn own_password(remote: &Remote, stdin: bool) -> Result<Zeroizing<String>, Failure> {
    let session = remote.ask(&Question::get(&SESSION)).await?;
    password(text(&session["user"], "email"), stdin)
}

async fn show_codes(remote: &Remote, question: &Question, mut printer: Printer) -> Result<(), Failure> {
    let made = remote.ask(question).await?;
    if printer.format() == Format::Json {
        return printer.object(&made);
    }
    note(
        "Write these recovery codes down: each is good for one sign-in without the app. They are shown this once:",
    );
    let codes = made["recovery_codes"].as_array().into_iter().flatten().filter_map(|code| code.as_str());
    printer.text(&codes.map(harmless).collect::<Vec<_>>().join("\n"))
}

fn question(method: Method, below: &[&str]) -> Question {
    Question::to(method, &[&["session", "second-factor"], below].concat())
}
