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

/// A session of a person, as signing in leaves it.
fn session(site: &Site, email: &str, team: Option<&str>) -> String {
    use sha2::Digest as _;
    let token = format!("lgs_{:0<43}", email.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    let hash: String = sha2::Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    let team = team.map_or_else(|| "NULL".to_owned(), |team| format!("'{team}'"));
    let far = i64::MAX / 4;
    let made = site.sql(&format!(
        "INSERT INTO sessions (id, token_sha256, user_id, org_id, team_id, created_at, expires_at, last_seen_at)
         SELECT id, '{hash}', id, org_id, {team}, 0, {far}, {far} FROM users WHERE email = '{email}'"
    ));
    assert_eq!(made, 1, "{email} signs in");
    token
}

/// The administrator's.
fn administrator(site: &Site) -> String {
    session(site, ADMIN, None)
}
