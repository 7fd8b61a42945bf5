//! Secrets come by prompt or stdin, never as an argument: arguments are in the process list and in
//! the shell's history.

use std::io::{self, BufRead, IsTerminal, Read};

use zeroize::Zeroizing;

use super::error::{Failure, note};

/// Longer than any password or key of ours; what is longer was not meant as one.
const MAX_BYTES: u64 = 4096;

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

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
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
