//! Certificates made for a test, and a client that speaks TLS with them.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{program::Site, rawc::Client, setup::Setup, wait::PATIENCE};

/// A connection inside TLS.
pub type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

/// Somebody whose word about certificates counts.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with what leads to its authority, and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::made(name, None, |_| {})
    }

    /// One that another vouches for.
    pub fn below(&self, name: &str) -> Self {
        self.below_with(name, |_| {})
    }

    /// One of any kind that another vouches for.
    pub fn below_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::made(name, Some(self), change)
    }

    fn made(name: &str, above: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = distinguished(&[(DnType::CommonName, name)]);
        change(&mut params);
        let certificate = match above {
            None => params.self_signed(&key),
            Some(above) => params.signed_by(&key, &above.issuer),
        };
        let pem = certificate.expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server's certificate.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.with(names, |_| {})
    }

    /// A client's certificate.
    pub fn client(&self, subject: &[(DnType, &str)]) -> Pair {
        self.with(&["client.example"], |params| {
            params.distinguished_name = distinguished(subject);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// Any certificate.
    pub fn with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = distinguished(&[(DnType::CommonName, "server")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { cert: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that believes this authority.
    pub fn config(&self) -> Dialer {
        self.dialer(&[&rustls::version::TLS13, &rustls::version::TLS12], None)
    }

    /// The same with a certificate of its own.
    pub fn config_of(&self, pair: &Pair) -> Dialer {
        self.dialer(&[&rustls::version::TLS13, &rustls::version::TLS12], Some(pair))
    }

    pub fn dialer(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        pair: Option<&Pair>,
    ) -> Dialer {
        believing(&self.pem, versions, pair)
    }
}

/// A client that believes the authority of this PEM text, and may have a certificate of its own.
pub fn believing(
    pem: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
    pair: Option<&Pair>,
) -> Dialer {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let builder = builder.expect("versions").with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    if let Some(pair) = pair {
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
        // Shown as it is, however wrong.
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    }
    config.resumption = Resumption::disabled();
    Dialer(config)
}

pub fn distinguished(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}

/// How a client connects.
#[derive(Debug, Clone)]
pub struct Dialer(pub ClientConfig);

impl Dialer {
    /// Offers these protocols inside.
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Keeps tickets and sessions, and comes back by them.
    pub fn resuming(mut self) -> Self {
        self.0.resumption = Resumption::in_memory_sessions(64);
        self
    }

    pub fn connect(&self, address: SocketAddr, name: &str) -> TlsClient {
        self.try_connect(address, name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The handshake, to its end on both sides as far as a client can see it: in TLS 1.3 a refusal of its certificate
    /// comes after.
    pub fn try_connect(&self, address: SocketAddr, name: &str) -> io::Result<TlsClient> {
        let mut tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(Arc::new(self.0.clone()), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            if session.complete_io(&mut tcp)?.0 == 0 && session.is_handshaking() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Client::over(StreamOwned::new(session, tcp)))
    }

    /// Whether a request on a connection of its own is answered at all.
    pub fn is_let_in(&self, address: SocketAddr, name: &str, request: &[u8]) -> bool {
        let Ok(mut client) = self.try_connect(address, name) else { return false };
        client.try_send(request).is_ok() && client.try_receive("GET").is_ok_and(|answer| answer.is_some())
    }
}

/// The names under which a site's certificates lie, by their place.
pub fn files(place: usize) -> (String, String) {
    (format!("site-{place}.pem"), format!("site-{place}.key"))
}

impl Setup {
    /// Speaks TLS with this many certificates, which [`Site::certify`] puts in their places.
    pub fn tls(self, certificates: usize) -> Self {
        let pair = |place| {
            let (cert, key) = files(place);
            toml::Value::Table(toml::Table::from_iter([
                ("cert".to_owned(), cert.into()),
                ("key".to_owned(), key.into()),
            ]))
        };
        self.set("tls.certificate", toml::Value::Array((0..certificates).map(pair).collect()))
    }
}

impl Site {
    /// Puts a certificate in its place, each file whole or not at all.
    pub fn certify(&self, place: usize, pair: &Pair) -> &Self {
        let (cert, key) = files(place);
        self.file(&cert, &pair.cert);
        self.file(&key, &pair.key);
        self
    }

    /// Writes a file of the site, whole or not at all.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let (fresh, path) = (self.path(&format!("{name}.new")), self.path(name));
        fs::write(&fresh, text).expect("write a file");
        fs::rename(&fresh, &path).expect("put a file in place");
        path
    }
}
