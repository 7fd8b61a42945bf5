//! Who asks as an authority does and is none.

use std::net::SocketAddr;

use super::{LONG, Town, complete, is_served, open};
use crate::support::{
    rawc::End,
    tls::{Dialer, TlsClient, believing},
    wait,
};

/// A client that takes any certificate, as an authority does with that of a challenge.
fn anybody(offered: &[&str]) -> Dialer {
    use rustls::{DigitallySignedStruct, SignatureScheme, client::danger, pki_types};
    #[derive(Debug)]
    struct Blind;
    impl danger::ServerCertVerifier for Blind {
        fn verify_server_cert(
            &self,
            _end: &pki_types::CertificateDer<'_>,
            _chain: &[pki_types::CertificateDer<'_>],
            _name: &pki_types::ServerName<'_>,
            _ocsp: &[u8],
            _now: pki_types::UnixTime,
        ) -> Result<danger::ServerCertVerified, rustls::Error> {
            Ok(danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &pki_types::CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<danger::HandshakeSignatureValid, rustls::Error> {
            Ok(danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &pki_types::CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<danger::HandshakeSignatureValid, rustls::Error> {
            Ok(danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
    let pem = crate::support::tls::Authority::new("Nobody").pem;
    let mut dialer = believing(&pem, &[&rustls::version::TLS13, &rustls::version::TLS12], None);
    dialer.0.dangerous().set_certificate_verifier(std::sync::Arc::new(Blind));
    dialer.offering(offered)
}

fn met(address: SocketAddr, name: &str, offered: &[&str]) -> Option<TlsClient> {
    anybody(offered).try_connect(address, name).ok()
}

/// While an order waits for its challenge, whoever asks for exactly that is shown the one certificate that proves the
/// order, and then the connection is over. Nobody else is shown it, and nothing is ever served there.
#[test]
fn a_challenge_is_shown_for_its_name_and_serves_nothing() {
    let town = Town::new(LONG, &["a.example", "b.example"]);
    let pebble = town.plan.start(false);
    let program = town.site.serve();
    let address = program.gateway().0;
    let upstream = &town.upstream;
    let challenged = ["acme-tls/1"];
    // The names are ordered one after another; the authority's own handshake is held.
    wait::until("the challenge", || met(address, "a.example", &challenged).is_some());
    let mut client = met(address, "A.EXAMPLE", &challenged).expect("in any case");
    let shown = client.stream().conn.peer_certificates().expect("certificates")[0].to_vec();
    // id-pe-acmeIdentifier, 1.3.6.1.5.5.7.1.31, critical.
    let identifier = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f, 0x01, 0x01, 0xff];
    assert!(shown.windows(identifier.len()).any(|part| part == identifier));
    assert_eq!(client.stream().conn.alpn_protocol(), Some(b"acme-tls/1".as_slice()));
    let _ = client.try_send(b"GET /public/x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let (end, heard) = client.until_closed();
    assert!(end != End::Open && heard.is_empty(), "{end:?} {heard:?}");

    for (name, offered) in [
        ("b.example", ["acme-tls/1"].as_slice()),
        ("gw", &["acme-tls/1"]),
        ("nobody.example", &["acme-tls/1"]),
        ("127.0.0.1", &["acme-tls/1"]),
        ("a.example", &["acme-tls/1", "h2"]),
        ("a.example", &["http/1.1", "acme-tls/1"]),
        ("a.example", &["h2"]),
        ("a.example", &[]),
    ] {
        assert!(met(address, name, offered).is_none(), "{name} {offered:?}");
    }
    // With another protocol beside it, it is a handshake as every other.
    let mut other = met(address, "gw", &["acme-tls/1", "http/1.1"]).expect("a handshake");
    assert_eq!(other.stream().conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert!(is_served(&town.files.config(), address, "gw"));
    assert_eq!(upstream.count(), 1);
    let failed = program.metric("latchgate_tls_handshakes_total", &[("outcome", "failed")]);

    open(&town.plan, &program);
    complete(&program);
    assert!(is_served(&pebble.dialer(), address, "a.example"));
    for name in ["a.example", "b.example", "gw"] {
        assert!(met(address, name, &challenged).is_none(), "nothing is owed: {name}");
    }
    assert!(failed > 7.5, "the refused ones are counted: {failed}");
}
