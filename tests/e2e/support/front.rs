//! What stands before an upstream: a socket in the file system, or TLS with a certificate of any kind.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
};
use tokio_rustls::TlsAcceptor;

/// An authority that nobody else knows.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Writes its certificate where a configuration can name it.
    pub fn write(&self, path: &Path) -> PathBuf {
        std::fs::write(path, self.0.pem()).expect("write the authority");
        path.to_owned()
    }

    /// A certificate for these names, good until this year.
    pub fn certify(&self, names: &[&str], until: i32) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("the key");
        Identity { chain: vec![certificate.der().clone()], key }
    }
}

/// What a TLS server does.
pub struct Terms {
    pub identity: Identity,
    pub versions: &'static [&'static SupportedProtocolVersion],
    pub alpn: &'static [&'static str],
}

impl Terms {
    pub fn usual(identity: Identity) -> Self {
        Self { identity, versions: rustls::ALL_VERSIONS, alpn: &[] }
    }

    pub fn acceptor(self) -> TlsAcceptor {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.identity.chain, self.identity.key);
        let mut config = config.expect("the certificate fits its key");
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What clients said in their handshakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub server_name: Option<String>,
    pub resumed: bool,
}

/// A TLS server before this address; it ends with the process.
pub fn tls(behind: SocketAddr, terms: Terms) -> (SocketAddr, Arc<std::sync::Mutex<Vec<Hello>>>) {
    let acceptor = terms.acceptor();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    on_a_thread(async move {
        listener.set_nonblocking(true).expect("an asynchronous socket");
        let listener = TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
            tokio::task::spawn_local(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let state = stream.get_ref().1;
                let hello = Hello {
                    server_name: state.server_name().map(ToOwned::to_owned),
                    resumed: state.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
                };
                noted.lock().expect("hellos").push(hello);
                relay(stream, behind).await;
            });
        }
    });
    (address, seen)
}

/// A socket in the file system before this address; it ends with the process.
pub fn socket(path: &Path, behind: SocketAddr) {
    let path = path.to_owned();
    let (ready, made) = std::sync::mpsc::channel();
    on_a_thread(async move {
        let listener = UnixListener::bind(path).expect("a socket");
        ready.send(()).expect("the test waits");
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(relay(stream, behind));
        }
    });
    made.recv().expect("the socket");
}

/// A server that sends this to whoever proves nothing, and breaks off without the end that TLS has for it.
pub fn cut(terms: Terms, answer: &'static str) -> SocketAddr {
    let acceptor = terms.acceptor();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    on_a_thread(async move {
        listener.set_nonblocking(true).expect("an asynchronous socket");
        let listener = TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut some = [0; 4096];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut some).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.flush().await;
                // The connection below ends; nothing is said above it.
                let (mut below, _) = stream.into_inner();
                let _ = below.shutdown().await;
            });
        }
    });
    address
}

async fn relay(mut client: impl AsyncRead + AsyncWrite + Unpin, behind: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(behind).await else { return };
    // How it ends is the business of the two at its ends.
    let _: io::Result<_> = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

pub fn on_a_thread(work: impl Future<Output = ()> + Send + 'static) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, work);
    });
}
