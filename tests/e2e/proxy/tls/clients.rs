//! Client certificates: whose, whether they count, and what the upstream hears of it.

use rcgen::{
    CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, KeyPair, NameConstraints,
    SanType, date_time_ymd,
};
use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};

use super::{House, ask};
use crate::support::{
    tls::{Authority, Pair, distinguished},
    wait,
};

const SUBJECT: &str = "X-Client-Cert-Subject";

/// A gateway that asks for certificates of this authority.
fn asking(client_auth: &str, clients: &Authority) -> House {
    House::prepared(
        |setup| setup.set("tls.client_auth", client_auth).set("tls.client_ca", "client-ca.pem"),
        |site| {
            site.file("client-ca.pem", &clients.pem);
        },
    )
}

fn ci(clients: &Authority) -> Pair {
    clients.client(&[(DnType::OrganizationName, "Acme"), (DnType::CommonName, "ci")])
}

/// A proved subject goes to the upstream as RFC 4514 writes it, and only that one, whatever the client says itself.
#[test]
fn a_proved_subject_reaches_the_upstream() {
    let clients = Authority::new("Client CA");
    let house = asking("optional", &clients);
    let address = house.program.gateway().0;
    let hostile = clients.client(&[(DnType::CommonName, "a,O=Acme\r\nX-Role: admin\u{e9}")]);
    for (pair, expected) in [
        (Some(ci(&clients)), Some("CN=ci,O=Acme")),
        (Some(hostile), Some("CN=a\\,O=Acme\\0D\\0AX-Role: admin\\C3\\A9")),
        // Nobody: as the client's own word is nobody's.
        (Some(clients.client(&[])), None),
        (None, None),
    ] {
        let versions = [&TLS13, &TLS12];
        for version in versions {
            let mut client = house.authority.dialer(&[version], pair.as_ref()).connect(address, "gw");
            let before = house.upstream.count();
            let forged = "GET /public/x HTTP/1.1\r\nHost: gw\r\nX-Client-Cert-Subject: CN=root\r\n\
                          X_Client_Cert_Subject: CN=root\r\nx-client_cert-SUBJECT: CN=root\r\n\
                          Connection: X-Client-Cert-Subject\r\n\r\n";
            assert_eq!(client.send(forged).receive().status, 200);
            let request = &house.upstream.requests()[before];
            let heard = request.fields.folding_to(SUBJECT);
            let heard: Vec<_> = heard.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let expected: Vec<_> =
                expected.iter().map(|expected| ("x-client-cert-subject", *expected)).collect();
            assert_eq!(heard, expected);
        }
    }
    // And without TLS there is nobody to prove anything.
    let plain =
        crate::support::program::Site::new(crate::support::setup::Setup::offload(&house.upstream)).serve();
    let before = house.upstream.count();
    let forged = plain.anonymous().request("GET", "/public/x").header(SUBJECT, "CN=root").send();
    assert_eq!(forged.status, 200);
    assert!(house.upstream.requests()[before].fields.folding_to(SUBJECT).is_empty());
}

/// N349: whoever shows none where one is needed, one of nobody's making, an expired one, one for servers, one behind too
/// many others or one that is endless, is not let in; and the gateway goes on.
#[test]
fn certificates_that_do_not_count_are_refused() {
    let (clients, strangers) = (Authority::new("Client CA"), Authority::new("Client CA"));
    let (required, optional) = (asking("required", &clients), asking("optional", &clients));
    let named = |params: &mut CertificateParams| {
        params.distinguished_name = distinguished(&[(DnType::CommonName, "ci")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let expired = clients.with(&["c"], |params| {
        named(params);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let early = clients.with(&["c"], |params| {
        named(params);
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let self_signed = {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        named(&mut params);
        let cert = params.self_signed(&key).expect("a certificate").pem();
        Pair { cert, key: key.serialize_pem() }
    };
    let deep = {
        let (mut above, mut chain) = (clients.below("1"), Vec::new());
        chain.push(above.pem.clone());
        for depth in 2..=50 {
            above = above.below(&depth.to_string());
            chain.push(above.pem.clone());
        }
        let leaf = above.with(&["c"], named);
        chain.reverse();
        Pair { cert: format!("{}{}", leaf.cert, chain.concat()), key: leaf.key }
    };
    let endless = clients.with(&["c"], |params| {
        named(params);
        let name = |index: usize| {
            SanType::URI(format!("urn:{index}:{}", "x".repeat(200)).try_into().expect("a URI"))
        };
        params.subject_alt_names = (0..500).map(name).collect();
    });
    let of_strangers = ci(&strangers);
    let server = clients.server(&["c"]);
    for (what, pair) in [
        ("self-signed", &self_signed),
        ("of an authority with the same name", &of_strangers),
        ("expired", &expired),
        ("not yet", &early),
        ("for servers", &server),
        ("depth 50", &deep),
        ("100 KB", &endless),
    ] {
        for (house, version) in
            [(&required, &TLS13), (&required, &TLS12), (&optional, &TLS13), (&optional, &TLS12)]
        {
            let dialer = house.authority.dialer(&[version], Some(pair));
            assert!(!dialer.is_let_in(house.program.gateway().0, "gw", &ask("gw")), "{what}");
        }
    }
    let nobody = required.authority.config();
    assert!(!nobody.is_let_in(required.program.gateway().0, "gw", &ask("gw")), "none");
    for house in [&required, &optional] {
        assert_eq!(house.upstream.count(), 0);
        let good = house.authority.config_of(&ci(&clients));
        assert!(good.is_let_in(house.program.gateway().0, "gw", &ask("gw")));
        // Two authorities below: a chain as it should be.
        let below = clients.below("Team CA");
        let member = below.with(&["c"], named);
        let chain = Pair { cert: format!("{}{}", member.cert, below.pem), key: member.key };
        assert!(house.authority.config_of(&chain).is_let_in(house.program.gateway().0, "gw", &ask("gw")));
        wait::until("they are counted", || {
            house.program.metric("latchgate_tls_handshakes_total", &[("outcome", "failed")]) >= 14.0
        });
        house.assert_quiet();
    }
}

/// N349: what an authority may vouch for is where its names end (RFC 5280 section 4.2.1.10); a kind of limit that cannot
/// be judged vouches for nobody.
#[test]
fn an_authority_vouches_within_its_names() {
    let clients = Authority::new("Client CA");
    let house = asking("required", &clients);
    let dns = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let constrained = |permitted_subtrees: Vec<GeneralSubtree>, excluded_subtrees: Vec<GeneralSubtree>| {
        clients.below_with("Team CA", |params| {
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees });
        })
    };
    let within = constrained(vec![dns("inside.example")], vec![]);
    let without = constrained(vec![], vec![dns("outside.example")]);
    let addresses =
        constrained(vec![GeneralSubtree::IpAddress(CidrSubnet::V4([10, 0, 0, 0], [255, 0, 0, 0]))], vec![]);
    let mail = constrained(vec![GeneralSubtree::Rfc822Name("inside.example".to_owned())], vec![]);
    for (authority, names, allowed) in [
        (&within, &["inside.example"][..], true),
        (&within, &["ci.inside.example"], true),
        (&within, &["outside.example"], false),
        (&within, &["inside.example.outside.example"], false),
        (&within, &["notinside.example"], false),
        (&within, &["inside.example", "outside.example"], false),
        (&within, &["*.example"], false),
        (&without, &["inside.example"], true),
        (&without, &["ci.outside.example"], false),
        (&without, &["*.outside.example"], false),
        (&without, &["OUTSIDE.example"], false),
        (&addresses, &["10.1.2.3"], true),
        (&addresses, &["203.0.113.5"], false),
        (&mail, &["ci@outside.example"], false),
    ] {
        let leaf = authority.with(names, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            if names[0].contains('@') {
                let name = names[0].try_into().expect("an address");
                params.subject_alt_names = vec![SanType::Rfc822Name(name)];
            }
        });
        let chain = Pair { cert: format!("{}{}", leaf.cert, authority.pem), key: leaf.key };
        let let_in = house.authority.config_of(&chain).is_let_in(house.program.gateway().0, "gw", &ask("gw"));
        assert_eq!(let_in, allowed, "{names:?}");
    }
    house.assert_quiet();
}

/// N349: bytes in a certificate that no tool would write: refused, and the gateway goes on.
#[test]
fn broken_certificates_are_refused() {
    let clients = Authority::new("Client CA");
    let house = asking("optional", &clients);
    let good = clients.with(&["nul.example"], |params| {
        params.distinguished_name = distinguished(&[(DnType::CommonName, "ci")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let der = {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        CertificateDer::from_pem_slice(good.cert.as_bytes()).expect("PEM").to_vec()
    };
    // A NUL in its name; and one byte wrong at places all over it.
    let mut broken = vec![replaced(&der, b"nul.example", b"nul\0example")];
    for place in (0..der.len()).step_by(37) {
        let mut bytes = der.clone();
        bytes[place] ^= 0xff;
        broken.push(bytes);
    }
    for bytes in &broken {
        let pair = Pair { cert: pem(bytes), key: good.key.clone() };
        let dialer = house.authority.config_of(&pair);
        assert!(!dialer.is_let_in(house.program.gateway().0, "gw", &ask("gw")));
    }
    assert!(house.authority.config_of(&good).is_let_in(house.program.gateway().0, "gw", &ask("gw")));
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let place = bytes.windows(from.len()).position(|part| part == from).expect("it is there");
    [&bytes[..place], to, &bytes[place + from.len()..]].concat()
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// N352: whoever comes back by a ticket is still who they were; after another authority counts, they prove themselves
/// anew.
#[test]
fn a_ticket_is_no_certificate() {
    let (clients, others) = (Authority::new("Client CA"), Authority::new("Other CA"));
    let house = asking("required", &clients);
    let address = house.program.gateway().0;
    for version in [&TLS13, &TLS12] {
        let dialer = house.authority.dialer(&[version], Some(&ci(&clients))).resuming();
        for round in 0..3 {
            let mut client = dialer.connect(address, "gw");
            assert_eq!(client.send(ask("gw")).receive().status, 200);
            let kind = if round == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            assert_eq!(client.stream().conn.handshake_kind(), Some(kind));
        }
        house.program.site.file("client-ca.pem", &others.pem);
        let newcomer = house.authority.dialer(&[version], Some(&ci(&others)));
        house.program.sighup();
        wait::until("the other authority counts", || newcomer.is_let_in(address, "gw", &ask("gw")));
        assert!(!dialer.is_let_in(address, "gw", &ask("gw")), "its ticket opens nothing");
        house.program.site.file("client-ca.pem", &clients.pem);
        house.program.sighup();
        let back = house.authority.dialer(&[version], Some(&ci(&clients)));
        wait::until("the first authority counts again", || back.is_let_in(address, "gw", &ask("gw")));
    }
    for request in house.upstream.requests() {
        assert_eq!(request.fields.one(SUBJECT), Some("CN=ci,O=Acme"));
    }
}

/// N352: a certificate that expires while its ticket lives is not good any more.
#[test]
fn a_ticket_ends_with_its_certificate() {
    let clients = Authority::new("Client CA");
    let house = asking("required", &clients);
    let address = house.program.gateway().0;
    let brief = clients.with(&["c"], |params| {
        params.distinguished_name = distinguished(&[(DnType::CommonName, "ci")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after =
            std::time::SystemTime::now().checked_add(std::time::Duration::from_secs(4)).expect("soon").into();
    });
    let dialer = house.authority.config_of(&brief).resuming();
    assert!(dialer.is_let_in(address, "gw", &ask("gw")));
    assert!(dialer.is_let_in(address, "gw", &ask("gw")));
    wait::until("its end", || !dialer.is_let_in(address, "gw", &ask("gw")));
    assert!(!dialer.is_let_in(address, "gw", &ask("gw")));
}
