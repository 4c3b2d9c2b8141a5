//! Gives str0m its cryptography, in Rust alone: DTLS by dimpl, HMAC-SHA-1 for STUN and SHA-256 for fingerprints.
//!
//! There is no media here, so there is no SRTP. DTLS agrees upon keys for it nevertheless; the ciphers made of them do
//! nothing but fail, and packets that look like media never reach str0m.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider,
    Sha1HmacProvider, Sha1Provider, Sha256Provider, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

use super::super::by_hand::BY_HAND_TIME_MAX;

/// How long an answer to a message of the handshake is waited for, before it is sent again: longer than most round
/// trips, and short beside the time that opening a connection may take.
const FLIGHT_TIME: Duration = Duration::from_millis(400);

/// How many bytes a record counts for at least: SCTP works on a short one as it does on one of this length.
const RECORD_BYTES_MIN: usize = 256;

thread_local! {
    // str0m takes one provider for all connections, and does not tell what DTLS makes of a datagram.
    static AUTHENTIC_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Polls a connection. Returns what comes of that, and how many bytes SCTP was given of the other end meanwhile: what
/// DTLS has authenticated, each record as [`RECORD_BYTES_MIN`] at least.
pub(super) fn metered<T>(poll: impl FnOnce() -> T) -> (T, usize) {
    AUTHENTIC_BYTES.set(0);
    let polled = poll();
    (polled, AUTHENTIC_BYTES.get())
}

/// Returns the one provider of this process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            srtp_provider: &NoMedia,
            sha1_hmac_provider: &Hashes,
            sha1_provider: &Hashes,
            sha256_provider: &Hashes,
            dtls_provider: &Dtls,
        })
    });
    Arc::clone(provider)
}

/// Returns HMAC-SHA-1 of the parts of a message.
pub(super) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[derive(Debug)]
struct Hashes;

impl Sha1HmacProvider for Hashes {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        hmac_sha1(key, payloads)
    }
}

impl Sha1Provider for Hashes {
    fn sha1(&self, data: &[u8]) -> [u8; 20] {
        Sha1::digest(data).into()
    }
}

impl Sha256Provider for Hashes {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }
}

#[derive(Debug)]
struct Dtls;

impl DtlsProvider for Dtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        None
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let (config, certificate) = (config(), certificate.clone());
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

/// Returns what all connections of this process share: making it checks the whole cryptography, for 5 ms.
fn config() -> Arc<dimpl::Config> {
    static CONFIG: OnceLock<Arc<dimpl::Config>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let config = dimpl::Config::builder()
            .mtu(str0m::DATAGRAM_MTU_TARGET)
            .flight_start_rto(FLIGHT_TIME)
            // How long opening a connection may take is known elsewhere.
            .handshake_timeout(2 * BY_HAND_TIME_MAX)
            .build();
        Arc::new(config.expect("the cryptography of dimpl is complete"))
    });
    Arc::clone(config)
}

#[derive(Debug)]
struct Instance(dimpl::Dtls);

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.0.poll_output(buffer);
        if let DtlsOutput::ApplicationData(data) = &output {
            let bytes = data.len().max(RECORD_BYTES_MIN);
            AUTHENTIC_BYTES.set(AUTHENTIC_BYTES.get().saturating_add(bytes));
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

/// Stands where the ciphers of media would be.
#[derive(Debug)]
struct NoMedia;

fn no_media() -> CryptoError {
    CryptoError::Other("there is no media here".to_owned())
}

impl SrtpProvider for NoMedia {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Self
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Self
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Self
    }

    fn srtp_aes_128_ecb_round(&self, _key: &[u8], _input: &[u8], output: &mut [u8]) {
        output.fill(0);
    }

    fn srtp_aes_256_ecb_round(&self, _key: &[u8], _input: &[u8], output: &mut [u8]) {
        output.fill(0);
    }
}

impl SupportedAes128CmSha1_80 for NoMedia {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes128Gcm for NoMedia {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Self)
    }
}

impl SupportedAeadAes256Gcm for NoMedia {
    fn create_cipher(&self, _key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Self)
    }
}

impl Aes128CmSha1_80Cipher for NoMedia {
    fn encrypt(&mut self, _: &[u8; 16], _: &[u8], _: &mut [u8]) -> Result<(), CryptoError> {
        Err(no_media())
    }

    fn decrypt(&mut self, _: &[u8; 16], _: &[u8], _: &mut [u8]) -> Result<(), CryptoError> {
        Err(no_media())
    }
}

/// Both have the same methods.
macro_rules! no_media_in {
    ($($cipher:ident),*) => {$(
        impl $cipher for NoMedia {
            fn encrypt(
                &mut self,
                _: &[u8; 12],
                _: &[u8],
                _: &[u8],
                _: &mut [u8],
            ) -> Result<(), CryptoError> {
                Err(no_media())
            }

            fn decrypt(
                &mut self,
                _: &[u8; 12],
                _: &[&[u8]],
                _: &[u8],
                _: &mut [u8],
            ) -> Result<usize, CryptoError> {
                Err(no_media())
            }
        }
    )*};
}

no_media_in!(AeadAes128GcmCipher, AeadAes256GcmCipher);
