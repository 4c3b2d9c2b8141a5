//! Makes and keeps the certificate of a carrier, whose fingerprint is in its address.

use std::fmt;

use liferaft_platform::entropy_u128;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use str0m::config::DtlsCert;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::hosts::{Fingerprint, push_pem};
use crate::signaling::TokenSource;

/// The bytes of a serial number. Browsers want each to be another.
const SERIAL_BYTES: usize = 16;

/// A certificate and its key, ECDSA with P-256, by which a carrier is known in DTLS.
///
/// The certificate signs itself: whoever dials knows it by its fingerprint. Who a peer is, links find out themselves.
#[derive(Clone)]
pub struct WebRtcIdentity {
    certificate: DtlsCert,
    fingerprint: Fingerprint,
}

/// Why there is no identity in a text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WebRtcIdentityError {
    /// The text has no certificate in PEM.
    #[error("there is no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// The text has no private key in PEM.
    #[error("there is no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The key is damaged, or of another kind than ECDSA with P-256.
    #[error("the private key is none of ECDSA with P-256 in PKCS #8")]
    UnusableKey,
    /// The certificate is that of another key.
    #[error("the certificate is not that of the private key")]
    NotOfOneAnother,
}

impl WebRtcIdentity {
    /// Makes a key and a certificate for it. With each one the address is another: see [`to_pem`](Self::to_pem) for one
    /// that is kept.
    ///
    /// # Panics
    /// When the system has no entropy.
    #[must_use]
    pub fn generate() -> Self {
        let key = Key::generate();
        let mut parameters = CertificateParams::default();
        let mut serial = entropy_u128().to_be_bytes();
        // It is positive.
        serial[0] &= 0x7f;
        parameters.serial_number = Some(serial[..SERIAL_BYTES].to_vec().into());
        let certificate = parameters.self_signed(&key);
        let certificate = certificate.expect("a key signs a certificate that has all it needs");
        Self::new(certificate.der().to_vec(), &key.0)
    }

    /// Reads what [`to_pem`](Self::to_pem) returns, or another certificate and key of ECDSA with P-256, in one text.
    ///
    /// # Errors
    /// When one of them is missing, or they do not belong together.
    pub fn from_pem(text: &[u8]) -> Result<Self, WebRtcIdentityError> {
        let certificate =
            CertificateDer::from_pem_slice(text).map_err(|_| WebRtcIdentityError::NoCertificate)?;
        let key =
            PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| WebRtcIdentityError::NoKey)?;
        let key = SigningKey::from_pkcs8_der(key.secret_pkcs8_der())
            .map_err(|_| WebRtcIdentityError::UnusableKey)?;
        // The point of the key stands in the certificate as it is.
        let point = key.verifying_key().to_sec1_point(false);
        let mut parts = certificate.windows(point.as_bytes().len());
        if !parts.any(|part| part == point.as_bytes()) {
            return Err(WebRtcIdentityError::NotOfOneAnother);
        }
        Ok(Self::new(certificate.to_vec(), &key))
    }

    /// Returns certificate and key as a text in PEM for [`from_pem`](Self::from_pem), to be kept like a password.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        push_pem(&mut text, "CERTIFICATE", &self.certificate.certificate);
        push_pem(&mut text, "PRIVATE KEY", &self.certificate.private_key);
        text
    }

    /// Returns the fingerprint of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns what the tokens are made from by which ids are taken back at signaling servers: whoever has the key.
    /// `is_kept` is whether it outlives its carrier.
    pub(super) fn token_source(&self, is_kept: bool) -> TokenSource {
        let digest = Sha256::digest(&self.certificate.private_key);
        let secret = Zeroizing::new(digest.into());
        TokenSource { secret, is_kept }
    }

    pub(super) fn certificate(&self) -> &DtlsCert {
        &self.certificate
    }

    fn new(certificate: Vec<u8>, key: &SigningKey) -> Self {
        let private_key = key.to_pkcs8_der().expect("a key can be encoded");
        Self {
            fingerprint: Fingerprint(Sha256::digest(&certificate).into()),
            certificate: DtlsCert {
                certificate,
                private_key: private_key.as_bytes().to_vec(),
            },
        }
    }
}

/// The key stays out of logs.
impl fmt::Debug for WebRtcIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtcIdentity")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// Signs a certificate, for which no other library is needed.
struct Key(SigningKey, Vec<u8>);

impl Key {
    fn generate() -> Self {
        loop {
            let mut secret = Zeroizing::new([0; 32]);
            secret[..16].copy_from_slice(&entropy_u128().to_le_bytes());
            secret[16..].copy_from_slice(&entropy_u128().to_le_bytes());
            // One number in 2^32 is greater than the group's order, and none of its keys.
            if let Ok(key) = SigningKey::from_slice(&*secret) {
                let point = key.verifying_key().to_sec1_point(false);
                return Self(key, point.as_bytes().to_vec());
            }
        }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self.0.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_kept_as_a_text() {
        let identity = WebRtcIdentity::generate();

        let read = WebRtcIdentity::from_pem(identity.to_pem().as_bytes());

        assert_eq!(
            read.map(|read| read.fingerprint()),
            Ok(identity.fingerprint())
        );
    }

    #[test]
    fn each_identity_is_another() {
        let fingerprints = [(); 2].map(|()| WebRtcIdentity::generate().fingerprint());

        assert_ne!(fingerprints[0], fingerprints[1]);
    }

    #[test]
    fn what_is_no_identity_is_told_apart() {
        let (one, other) = (WebRtcIdentity::generate(), WebRtcIdentity::generate());
        let halves = |identity: &WebRtcIdentity| {
            let text = identity.to_pem();
            let (certificate, key) = text.split_at(text.find("-----BEGIN P").expect("a key"));
            (certificate.to_owned(), key.to_owned())
        };
        let ((certificate, key), (_, other_key)) = (halves(&one), halves(&other));
        let error = |text: String| WebRtcIdentity::from_pem(text.as_bytes()).unwrap_err();

        assert_eq!(error(key), WebRtcIdentityError::NoCertificate);
        assert_eq!(error(certificate.clone()), WebRtcIdentityError::NoKey);
        let mixed = format!("{certificate}{other_key}");
        assert_eq!(error(mixed), WebRtcIdentityError::NotOfOneAnother);
        let mut damaged = String::new();
        push_pem(&mut damaged, "PRIVATE KEY", &[7; 40]);
        let damaged = format!("{certificate}{damaged}");
        assert_eq!(error(damaged), WebRtcIdentityError::UnusableKey);
    }
}
