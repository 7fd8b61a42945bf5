//! What people do by mistake, and what comes of it.

use crate::support::{
    program::{ADMIN, PASSWORD, Site},
    rawup::Upstream,
    setup::Setup,
};

/// Whoever has seen a key leak pastes all of it: it is found by its public part, revoked, and not repeated.
#[test]
fn a_whole_key_names_itself() {
    let site = Site::new(Setup::bare("offload"));
    let key = site.key(&["--scopes", "scan:read"]);
    let revoked = site.cli(&["keys", "revoke", &key.text]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert_eq!(site.cli(&["keys", "show", &key.prefix]).json()["status"], "revoked");
    let nobodys = "osk_AAAAAAAA_abcdefghijklmnopqrstuvwxyz0123456789";
    let refused = site.cli(&["keys", "revoke", nobodys]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("AAAAAAAA") && !refused.stderr.contains("abcdefghij"), "{refused:?}");
}

/// A password is sent to the admin API and to nothing else: at the gateway's port a route would take it to its backend.
#[test]
fn a_password_goes_to_the_admin_api_alone() {
    let upstream = Upstream::echo();
    let everything = "name = \"all\"\npath = \"/{*rest}\"\nupstream = \"app\"\ncredentials = [\"none\"]";
    let setup = Setup::bare("offload").upstream("app", &upstream.url()).route(everything);
    let program = Site::new(setup).serve();
    let sign_in = |door: std::net::SocketAddr| {
        let server = format!("http://{door}");
        let arguments =
            ["sessions", "sign-in", "--email", ADMIN, "--password-stdin", "--server", server.as_str()];
        crate::support::program::run(arguments, &format!("{PASSWORD}\n"))
    };
    let refused = sign_in(program.gateway().0);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("listen.admin"), "{refused:?}");
    assert!(!upstream.record().contains(PASSWORD) && !upstream.record().contains(ADMIN));
    assert_eq!(sign_in(program.admin().0).code, 0);
}
