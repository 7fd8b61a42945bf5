//! The same commands on a server: what comes back, whose rights count, and what goes wrong on the way.

mod broken;
mod refused;
mod same;
mod session;

use crate::support::program::{ADMIN, Output, Program, Site, run_with};

/// Runs a command on a server, its answer in JSON.
fn far(server: &str, token: &str, arguments: &[&str], input: &str) -> Output {
    let arguments = [arguments, &["--server", server, "--output", "json"]].concat();
    let output = run_with(arguments, input, &[("LATCHGATE_TOKEN", token)]);
    // It was made for this one caller, and is nobody else's to read.
    assert!(!format!("{output:?}").contains(token), "the token was printed: {output:?}");
    output
}

/// The address of a program's admin port.
fn admin(program: &Program) -> String {
    format!("http://{}", program.admin().0)
}

/// A running gateway, and a session of its administrator.
fn served(site: Site) -> (Program, String) {
    let program = site.serve();
    let token = program.admin().token(ADMIN);
    (program, token)
}
