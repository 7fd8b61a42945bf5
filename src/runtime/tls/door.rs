//! The handshake with a client: what it is offered, and what is known about it afterwards.

use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    crypto::{CryptoProvider, aws_lc_rs::Ticketer},
    pki_types::UnixTime,
    server::{
        Acceptor, NoClientAuth, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

use super::{certificate::Certificates, challenge::Challenges, subject::subject};
use crate::config::TlsVersion;

/// A connection on which a handshake was made.
pub type Encrypted<S> = TlsStream<S>;

/// What clients of one port are met with; replaced as a whole, and in force from the next handshake on.
#[derive(Debug)]
pub struct Door {
    offer: ArcSwap<Offer>,
    /// What is spoken inside, in the order of our liking (RFC 7301).
    protocols: &'static [&'static [u8]],
    challenges: Arc<Challenges>,
}

/// What a handshake is made of.
#[derive(Debug)]
struct Offer {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    clients: Arc<dyn ClientCertVerifier>,
}

/// What is asked of clients.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) min_version: TlsVersion,
    /// Whose certificates count, and whether there must be one.
    pub(super) authorities: Option<(Arc<RootCertStore>, bool)>,
}

/// What lets a client come back without a whole handshake. Of the terms: under other terms nobody comes back.
#[derive(Debug, Clone)]
pub(super) struct Resumption {
    /// Keys that seal what clients keep; a new one every six hours, so nothing older than twelve is opened.
    tickets: Arc<dyn ProducesTickets>,
    /// What clients of TLS 1.2 that keep no tickets are remembered by.
    sessions: Arc<dyn StoresServerSessions>,
}

/// Who came in.
#[derive(Debug)]
pub struct Met {
    /// The certificates of the handshake.
    pub certificates: Arc<Certificates>,
    /// Which of them the client was shown.
    pub shown: usize,
    /// Whose certificate the client has proved, as RFC 4514 writes it. Only printable ASCII.
    pub subject: Option<String>,
    /// What it is going to speak, when it said so.
    pub protocol: Option<Vec<u8>>,
}

/// Why nobody came in. Whatever it is, it is no affair of ours.
#[derive(Debug, thiserror::Error)]
pub enum NotMet {
    /// It took too long.
    #[error("the handshake took too long")]
    TimedOut,
    /// It broke off, or a rule of TLS.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// It came back by an earlier handshake, whose certificate does not count any more.
    #[error("the certificate of the resumed session does not count any more: {0}")]
    CertificateEnded(rustls::Error),
    /// It was an authority that looked whether a name is ours, and has seen it.
    #[error("an authority's challenge was answered")]
    Challenge,
}

impl Resumption {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ok(Self { tickets: Ticketer::new()?, sessions: ServerSessionMemoryCache::new(REMEMBERED) })
    }
}

impl Door {
    pub(super) fn new(
        protocols: &'static [&'static [u8]],
        certificates: &Arc<Certificates>,
        terms: &Terms,
        resumption: &Resumption,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let offer = Offer::new(protocols, certificates, terms, resumption, provider)?;
        Ok(Self { offer: ArcSwap::from_pointee(offer), protocols, challenges: Arc::default() })
    }

    /// The same, which authorities may ask whose a name is.
    #[must_use]
    pub(super) fn answering(self, challenges: Arc<Challenges>) -> Self {
        Self { challenges, ..self }
    }

    /// Handshakes that begin from now on are made of this.
    pub(super) fn replace(
        &self,
        certificates: &Arc<Certificates>,
        terms: &Terms,
        resumption: &Resumption,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), rustls::Error> {
        let offer = Offer::new(self.protocols, certificates, terms, resumption, provider)?;
        self.offer.store(Arc::new(offer));
        Ok(())
    }

    /// Makes the handshake on a connection that was just accepted.
    pub async fn meet<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        patience: Duration,
    ) -> Result<(TlsStream<S>, Met), NotMet> {
        let offer = self.offer.load_full();
        let stream = if self.challenges.has_names() {
            // Larger than the other, and rarer.
            timeout(patience, Box::pin(self.meet_anybody(stream, &offer))).await
        } else {
            let handshake = TlsAcceptor::from(Arc::clone(&offer.config)).accept(stream);
            timeout(patience, handshake).await.map(|met| met.map_err(NotMet::from))
        };
        let stream = stream.map_err(|_| NotMet::TimedOut)??;
        let met = offer.met(stream.get_ref().1)?;
        Ok((stream, met))
    }

    /// The same while names are being ordered: it may be an authority.
    async fn meet_anybody<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        offer: &Offer,
    ) -> Result<TlsStream<S>, NotMet> {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let Some(proof) = self.challenges.proof_for(&begun.client_hello()) else {
            return Ok(begun.into_stream(Arc::clone(&offer.config)).await?);
        };
        begun.into_stream(proof).await?.shutdown().await?;
        Err(NotMet::Challenge)
    }
}

impl Offer {
    fn new(
        protocols: &[&[u8]],
        certificates: &Arc<Certificates>,
        terms: &Terms,
        resumption: &Resumption,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let versions: &[_] = match terms.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let clients: Arc<dyn ClientCertVerifier> = match &terms.authorities {
            None => Arc::new(NoClientAuth),
            Some((roots, required)) => {
                let asked =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
                let asked = if *required { asked } else { asked.allow_unauthenticated() };
                asked.build().map_err(|error| rustls::Error::General(error.to_string()))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(Arc::clone(&clients))
            .with_cert_resolver(Arc::clone(certificates) as _);
        // Of what both have, what we like best: clients' orders are decades old sometimes.
        config.ignore_client_order = true;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // A request that can be played again is no request (RFC 8470).
        config.max_early_data_size = 0;
        config.ticketer = Arc::clone(&resumption.tickets);
        config.session_storage = Arc::clone(&resumption.sessions);
        Ok(Self { config: Arc::new(config), certificates: Arc::clone(certificates), clients })
    }

    fn met(&self, connection: &ServerConnection) -> Result<Met, NotMet> {
        // There is one: it was shown.
        let shown = self.certificates.place_of(connection.server_name()).unwrap_or_default();
        let proved = connection.peer_certificates().and_then(<[_]>::split_first);
        if let Some((leaf, chain)) = proved
            && connection.handshake_kind() == Some(HandshakeKind::Resumed)
        {
            // rustls looks at a certificate in the whole handshake alone; meanwhile it may have expired.
            let verified = self.clients.verify_client_cert(leaf, chain, UnixTime::now());
            verified.map_err(NotMet::CertificateEnded)?;
        }
        Ok(Met {
            certificates: Arc::clone(&self.certificates),
            shown,
            subject: proved.and_then(|(leaf, _)| subject(leaf)),
            protocol: connection.alpn_protocol().map(<[u8]>::to_vec),
        })
    }
}

/// Sessions of TLS 1.2 without tickets that are remembered.
const REMEMBERED: usize = 1024;
