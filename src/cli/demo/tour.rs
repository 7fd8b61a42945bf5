//! What the demo says: lines to paste, each with the answer to expect.

use std::{fmt::Write, net::SocketAddr};

use anstyle::{AnsiColor, Style};

use super::state::{ADMIN, Issued, RATE_PER_MINUTE, State};

pub(super) fn text(
    (gateway, admin, ops): (SocketAddr, SocketAddr, SocketAddr),
    issued: &Issued,
    state: &State,
) -> String {
    let bold = Style::new().bold();
    let Issued { key: created, password } = issued;
    let key = created.full().unwrap_or_default();
    let scans = format!("http://{gateway}/v1/scans");
    let with_key = format!("-H 'X-API-Key: {key}'");
    let many = RATE_PER_MINUTE + 2;
    let lines = [
        (
            AnsiColor::Green,
            "200",
            "a good key; the echo shows what the backend was told of the caller",
            format!("curl -i {with_key} {scans}/7"),
        ),
        (AnsiColor::Red, "401", "no key", format!("curl -i {scans}/7")),
        (
            AnsiColor::Red,
            "403",
            "the key may read scans, not start one",
            format!("curl -i -X POST {with_key} {scans}/7"),
        ),
        (
            AnsiColor::Yellow,
            "429",
            "more than the key may call in a minute",
            format!("curl -s -o /dev/null -w '%{{http_code}}\\n' {with_key} '{scans}/[1-{many}]'"),
        ),
        (
            AnsiColor::Green,
            "200",
            "the administrator signs in; the token works as `Authorization: Bearer` here and there",
            format!(
                "curl -i http://{admin}/v1/session -H 'Content-Type: application/json' \
                 -d '{{\"email\": \"{ADMIN}\", \"password\": \"{}\"}}'",
                **password
            ),
        ),
    ];

    let file = state.config_file();
    let file = file.display();
    let mut text = format!(
        "{bold}Latchgate demo{bold:#}\n\n  \
           gateway  http://{gateway}   before an echo backend\n  \
           admin    http://{admin}/v1   the admin API, which takes the key too; /v1/docs describes it\n  \
           sign-in  http://{gateway}/.latchgate/sign-in\n           \
             as {ADMIN}, password {}\n  \
           ops      http://{ops}/metrics, /livez, /readyz\n  \
           key      {key}\n           \
             of {ADMIN}, {RATE_PER_MINUTE} requests a minute; this is the only time it is shown\n\n\
         Lines to paste into another terminal:\n\n",
        **password
    );
    for (color, status, why, line) in lines {
        let style = color.on_default().bold();
        let _ = writeln!(text, "  {style}{status}{style:#}  {why}\n  {line}\n");
    }
    let kept = if state.passing() { "goes away with it" } else { "stays" };
    let _ = writeln!(
        text,
        "Revoke the key, and the first line is answered with 401 within a second:\n  \
           {} keys revoke {} --config {file}\n\n\
         Ctrl-C ends the demo; its folder {kept}.",
        program(),
        created.key.prefix
    );
    text
}

/// This program as it was called: after `cargo run` it is not on the `PATH`.
fn program() -> String {
    std::env::args_os()
        .next()
        .map_or_else(|| "latchgate".to_owned(), |name| name.to_string_lossy().into_owned())
}
