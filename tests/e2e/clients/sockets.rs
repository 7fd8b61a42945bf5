//! WebSockets of another make: Python's `websockets`, on both sides of the gateway.

use crate::support::{
    program::Site,
    setup::Setup,
    tools::{Backend, output, script, venv_python},
};

/// Text, binary, a MiB, messages in pieces, ping and pong, a close code, with compression and without.
#[test]
fn python_speaks_through_the_gateway() {
    let server = Backend::script("sockets.py");
    let site = Site::new(
        Setup::bare("offload")
            .upstream("app", &server.url())
            .route("name = \"api\"\npath = \"/api/{*rest}\"\nupstream = \"app\"\nrequire = \"scan:read\""),
    );
    let key = site.key(&["--scopes", "scan:read"]).text;
    let program = site.serve();
    let url = format!("ws://{}/api/socket", program.gateway().0);
    let printed = output(&venv_python(), &[&script("sockets.py"), "ask", &url, &key]);
    assert_eq!(printed.lines().collect::<Vec<_>>(), ["refused", "deflate", "plain"]);
}
