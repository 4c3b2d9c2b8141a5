//! TLS by rustls: the certificate of whoever listens, and which certificates whoever dials takes.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use zeroize::Zeroizing;

use crate::hosts::{Fingerprint, push_pem};

/// The name in certificates that sign themselves. Nobody reads it: they are known by their fingerprint.
const NAME: &str = "liferaft";

/// A certificate and its key, by which a carrier that listens is known in TLS.
///
/// TLS only keeps the network from reading and changing what is not sealed. Who a peer is, links find out themselves.
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
    is_pinned: bool,
}

/// Why there is no identity, or no authority.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// Where it should be.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The text has no certificate in PEM.
    #[error("there is no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// The text has no private key in PEM.
    #[error("there is no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// It is in PEM, but nothing that TLS can use: damaged, of an unknown kind, or a key that is not the certificate's.
    #[error("the certificate or its key cannot be used: {0}")]
    Unusable(String),
}

impl TlsIdentity {
    /// Makes a key and a certificate for it that signs itself and is [pinned](Self::pinned). With each one the address
    /// is another: see [`self_signed_pem`](Self::self_signed_pem) for one that is kept.
    ///
    /// # Errors
    /// When the system has no entropy.
    pub fn self_signed() -> Result<Self, TlsError> {
        Ok(Self::from_pem(Self::self_signed_pem()?.as_bytes())?.pinned())
    }

    /// Makes a key and a certificate for it that signs itself, as a text in PEM for [`from_pem`](Self::from_pem), to be
    /// kept like a password.
    ///
    /// # Errors
    /// When the system has no entropy.
    pub fn self_signed_pem() -> Result<Zeroizing<String>, TlsError> {
        let unusable = |error: rcgen::Error| TlsError::Unusable(error.to_string());
        let key = rcgen::KeyPair::generate().map_err(unusable)?;
        let certificate = rcgen::CertificateParams::new([NAME.to_owned()])
            .and_then(|parameters| parameters.self_signed(&key))
            .map_err(unusable)?;
        let mut text = Zeroizing::new(String::new());
        push_pem(&mut text, "CERTIFICATE", certificate.der());
        push_pem(
            &mut text,
            "PRIVATE KEY",
            &Zeroizing::new(key.serialize_der()),
        );
        Ok(text)
    }

    /// Reads a certificate, those of the authorities between it and a root, and its private key, from one text in PEM.
    ///
    /// # Errors
    /// When one of them is missing, or they cannot be used.
    pub fn from_pem(text: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(text)?;
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| TlsError::NoKey)?;
        let fingerprint = fingerprint_of(&chain[0]);
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        Ok(Self {
            config: Arc::new(config),
            fingerprint,
            is_pinned: false,
        })
    }

    /// Reads a certificate, followed by those of the authorities between it and a root, from one file in PEM, and its
    /// private key from another. They may be the same.
    ///
    /// # Errors
    /// When a file cannot be read, or as [`from_pem`](Self::from_pem).
    pub async fn from_pem_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (chain, key) = (chain.as_ref().to_owned(), key.as_ref().to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = Zeroizing::new(read(&chain)?);
            text.push(b'\n');
            text.extend_from_slice(&Zeroizing::new(read(&key)?));
            Self::from_pem(&text)
        });
        match reading.await {
            Ok(identity) => identity,
            Err(stopped) => Err(TlsError::Unusable(stopped.to_string())),
        }
    }

    /// Puts the certificate's fingerprint into addresses: peers then take this certificate alone, whoever has signed it
    /// and for whatever name.
    #[must_use]
    pub fn pinned(mut self) -> Self {
        self.is_pinned = true;
        self
    }

    /// Returns the fingerprint of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the fingerprint that belongs into addresses.
    pub(super) fn pin(&self) -> Option<Fingerprint> {
        self.is_pinned.then_some(self.fingerprint)
    }

    pub(super) async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<server::TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        acceptor.accept(socket).await
    }
}

/// The key stays out of logs.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("fingerprint", &self.fingerprint)
            .field("is_pinned", &self.is_pinned)
            .finish_non_exhaustive()
    }
}

/// Whose certificates are taken where an address has no fingerprint.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    /// The authorities that were given; `None` for those of the system.
    authorities: Option<Arc<RootCertStore>>,
    /// Made when it is first needed: the system's authorities are read from files.
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Trust {
    /// Reads authorities from a text in PEM.
    pub(super) fn read(pem: &[u8]) -> Result<Self, TlsError> {
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(pem)? {
            authorities
                .add(certificate)
                .map_err(|error| TlsError::Unusable(error.to_string()))?;
        }
        Ok(Self {
            authorities: Some(Arc::new(authorities)),
            config: Arc::default(),
        })
    }

    /// Makes a connection secure, to whoever has this certificate, or one for this name from an authority.
    pub(super) async fn connect(
        &self,
        host: &str,
        pin: Option<Fingerprint>,
        socket: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let config = match pin {
            Some(pin) => client_config(|config| {
                let verifier = Arc::new(Pinned(pin, provider()));
                config
                    .dangerous()
                    .with_custom_certificate_verifier(verifier)
                    .with_no_client_auth()
            }),
            None => Arc::clone(self.config.get_or_try_init(|| self.config()).await?),
        };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, socket).await
    }

    async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let authorities = match &self.authorities {
            Some(authorities) => Arc::clone(authorities),
            None => Arc::new(tokio::task::spawn_blocking(system_authorities).await?),
        };
        Ok(client_config(|config| {
            config
                .with_root_certificates(authorities)
                .with_no_client_auth()
        }))
    }
}

type ClientConfigBuilder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn client_config(complete: impl FnOnce(ClientConfigBuilder) -> ClientConfig) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3");
    let mut config = complete(builder);
    // A proxy that prefers HTTP/2 is told that it cannot be had.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn system_authorities() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read certificate authorities of the system");
    }
    let mut authorities = RootCertStore::empty();
    let (added, unread) = authorities.add_parsable_certificates(found.certs);
    tracing::debug!(
        added,
        unread,
        "read the certificate authorities of the system"
    );
    authorities
}

/// Takes one certificate alone, and whoever has its key. Names, dates and authorities count for nothing.
#[derive(Debug)]
struct Pinned(Fingerprint, Arc<CryptoProvider>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if fingerprint_of(end_entity) == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn fingerprint_of(certificate: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint(Sha256::digest(certificate).into())
}

/// Returns the certificates in a text, of which there is at least one.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError::Unusable(error.to_string())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read {
        path: path.display().to_string(),
        error,
    })
}
