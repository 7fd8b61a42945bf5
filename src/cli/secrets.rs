//! Secrets come by prompt or stdin, never as an argument: arguments are in the process list and in
//! the shell's history.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Read},
};

use zeroize::Zeroizing;

use super::error::{Failure, note};
use crate::config::Environment;

/// Longer than any password or key of ours; what is longer was not meant as one.
const MAX_BYTES: u64 = 4096;

/// What proves to a server who asks: an API key, or the token of a session.
pub(crate) struct Token {
    text: Zeroizing<String>,
    source: &'static str,
}

impl Token {
    /// Out of `LATCHGATE_TOKEN`, or out of the file that `LATCHGATE_TOKEN_FILE` names.
    pub(crate) fn from_environment(environment: &Environment) -> Result<Self, Failure> {
        let wrong = |what: String| {
            Failure::usage(
                what,
                "put an API key or the token of a session into LATCHGATE_TOKEN,\n\
                 or name a file that holds it in LATCHGATE_TOKEN_FILE",
            )
        };
        let (text, source) = match (environment.get(TOKEN), environment.get(TOKEN_FILE)) {
            (Some(_), Some(_)) => {
                return Err(wrong(format!("{TOKEN} and {TOKEN_FILE} are both set: set one of them")));
            }
            (Some(token), None) => (Zeroizing::new(token.to_owned()), TOKEN),
            (None, Some(file)) => {
                let text = fs::File::open(file).and_then(|file| {
                    let mut text = Zeroizing::new(String::new());
                    file.take(MAX_BYTES).read_to_string(&mut text).map(|_| text)
                });
                let text =
                    text.map_err(|error| wrong(format!("{TOKEN_FILE}: cannot read {file}: {error}")))?;
                (text, TOKEN_FILE)
            }
            (None, None) => return Err(wrong(format!("--server needs a token, and {TOKEN} is not set"))),
        };
        let token = Zeroizing::new(text.trim().to_owned());
        let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self { text: token, source }) } else { Err(wrong(format!("{source} holds no token"))) }
    }

    /// As a request carries it.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }

    /// The variable that it came by.
    pub(crate) const fn source(&self) -> &'static str {
        self.source
    }
}

const TOKEN: &str = "LATCHGATE_TOKEN";
const TOKEN_FILE: &str = "LATCHGATE_TOKEN_FILE";

/// Whether a person could be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks twice without echo; an empty answer is no password.
pub(crate) fn ask_new_password(whose: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let first = ask(&format!("Password for {whose} (15 characters or more, Enter for none): "))?;
    if first.is_empty() {
        return Ok(None);
    }
    let second = ask("The same again: ")?;
    if *first == *second {
        return Ok(Some(first));
    }
    Err(Failure::usage("the two passwords differ", "run the command again"))
}

/// The first line of stdin, without its line feed.
///
/// `what` names the secret, `flag` the flag that promised it.
pub(crate) fn line_of_stdin(what: &str, flag: &str) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    let read = io::BufReader::new(io::stdin().lock().take(MAX_BYTES)).read_line(&mut line);
    let given = format!("printf %s \"$SECRET\" | latchgate ... {flag}");
    let length = read.map_err(|error| {
        Failure::usage(format_args!("cannot read {what} from stdin: {error}"), format!("pipe it in: {given}"))
    })?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    if line.is_empty() {
        return Err(Failure::usage(
            format_args!("{flag} was given, but stdin is empty: {what} is missing"),
            format!("pipe it in: {given}"),
        ));
    }
    if u64::try_from(length).is_ok_and(|length| length >= MAX_BYTES) {
        return Err(Failure::usage(
            format_args!("{what} on stdin is longer than {MAX_BYTES} bytes"),
            format!("pipe in {what} alone: {given}"),
        ));
    }
    Ok(line)
}

/// Asks without echo.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| {
        Failure::usage(
            format_args!("cannot ask on this terminal: {error}"),
            "pipe it in with the command's -stdin flag",
        )
    })
}

/// Asks for a yes in full.
pub(crate) fn confirm(what: &str) -> bool {
    note(format_args!("{what}. Type yes to go on:"));
    let mut answer = String::new();
    let read = io::BufReader::new(io::stdin().lock().take(MAX_BYTES)).read_line(&mut answer);
    read.is_ok() && answer.trim() == "yes"
}
