//! Seals packets, so that only the other end of a link reads them, notices every change, and takes each once.
//!
//! A packet is its number, 8 bytes big-endian, then the ciphertext, then a tag of 16 bytes: ChaCha20-Poly1305 (RFC
//! 8439) with the number as the nonce. Each direction of each channel has a [`Secret`] of its own, which the handshake
//! derives: a packet that is sent back, or moved to another channel or another link, is as wrong as a forged one.
//!
//! Keys do not last: each seals 2^20 packets, an *epoch*. The secret of the next epoch is derived from that of the one
//! before and replaces it, so that whoever takes the keys of an end learns nothing of what was sent epochs ago. A
//! secret yields a packet key and the next secret by different labels: neither tells the other.

use std::fmt;

use bytes::{Bytes, BytesMut};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// What sealing adds to a packet, in bytes.
pub const SEALING_BYTES: usize = NUMBER_BYTES + TAG_BYTES;

/// How many packets behind the newest one may still arrive: as many as WireGuard takes.
pub const WINDOW_PACKETS: u64 = RING_BITS - WORD_BITS;

/// How many packets one key seals. RFC 9001 (section 6.6) names no limit for this cipher that matters here; a key that
/// is gone soon is one that cannot be taken later.
pub const EPOCH_PACKETS: u64 = 1 << EPOCH_SHIFT;

/// How many epochs a packet may be ahead of the newest one. An end derives the keys of those in between, also for a
/// forged packet. A link that loses so many packets in a row is down long before.
pub const EPOCHS_AHEAD_MAX: u64 = 2;

/// How many packets a link may forge before its keys count as worn: RFC 9001, section 6.6.
pub const FORGERIES_MAX: u64 = 1 << 36;

/// The first number that no packet has. It leaves the first two bits of a packet zero, by which a packet is told from a
/// message of a handshake.
pub const NUMBER_END: u64 = 1 << 62;

const NUMBER_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const EPOCH_SHIFT: u32 = 20;

const WORD_BITS: u64 = u64::BITS as u64;
const RING_WORDS: usize = 32;
const RING_BITS: u64 = RING_WORDS as u64 * WORD_BITS;

/// What one direction of a channel is sealed with. It is wiped when it is dropped, and [`Debug`] shows nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; KEY_BYTES]>);

impl Secret {
    /// Takes 32 secret bytes, which nothing else is derived from.
    #[must_use]
    pub fn from_bytes(secret: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// As [`from_bytes`](Self::from_bytes), without a copy that nobody wipes.
    pub(crate) const fn from_key(secret: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(secret)
    }

    /// Returns the key that seals this epoch's packets.
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.expand(b"liferaft 1: packet key")).into())
    }

    /// Returns the secret of the next epoch.
    fn next(&self) -> Self {
        Self(self.expand(b"liferaft 1: next secret"))
    }

    fn expand(&self, label: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut out = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::from_prk(&*self.0)
            .expect("a secret is as long as a digest")
            .expand(label, &mut *out)
            .expect("32 bytes are few enough to expand to");
        out
    }
}

/// Never shows the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// Both secrets of a channel, as one end holds them.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Of what this end sends.
    pub outgoing: Secret,
    /// Of what this end receives.
    pub incoming: Secret,
}

/// Why a packet cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// All numbers were used: the link has to be made anew.
    #[error("the link has used all its packet numbers")]
    Exhausted,
}

/// Why a packet is dropped. None of these says anything about the peer: anybody can make such packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is shorter than a number and a tag, or its number is not one of a packet.
    #[error("not a sealed packet")]
    Malformed,
    /// It was opened before, or is too old to tell.
    #[error("packet {number} was opened before, or is behind the window")]
    Replayed {
        /// The number that it shows.
        number: u64,
    },
    /// Its number is more epochs ahead than keys are derived for.
    #[error("packet {number} is too far ahead")]
    TooFarAhead {
        /// The number that it shows.
        number: u64,
    },
    /// It was not sealed by the peer on this channel of this link.
    #[error("a packet that the peer has not sealed")]
    Forged,
    /// [`FORGERIES_MAX`] forged packets have arrived: the link has to be made anew.
    #[error("the keys of the link are worn by forged packets")]
    Worn,
}

/// Seals what one end sends on one channel.
pub struct Sealer {
    secret: Secret,
    cipher: ChaCha20Poly1305,
    next: u64,
}

impl Sealer {
    /// Begins with the packet of number 0.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self::starting_at(secret, 0)
    }

    /// Begins with the packet of this number, whose epoch the secret is of.
    fn starting_at(secret: Secret, next: u64) -> Self {
        let cipher = secret.cipher();
        Self {
            secret,
            cipher,
            next,
        }
    }

    /// Seals a head and a body as one packet, which is [`SEALING_BYTES`] longer than both.
    ///
    /// # Errors
    /// When the channel has sealed as many packets as it may.
    pub fn seal(&mut self, head: &[u8], body: &[u8]) -> Result<Bytes, SealError> {
        if self.next >= NUMBER_END {
            return Err(SealError::Exhausted);
        }
        let number = self.next;
        let mut packet = BytesMut::with_capacity(head.len() + body.len() + SEALING_BYTES);
        packet.extend_from_slice(&number.to_be_bytes());
        packet.extend_from_slice(head);
        packet.extend_from_slice(body);
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &nonce(number).into(),
                &[],
                (&mut packet[NUMBER_BYTES..]).into(),
            )
            .expect("a packet in memory is shorter than the 256 GiB of RFC 8439");
        packet.extend_from_slice(&tag);
        self.next += 1;
        if self.next.is_multiple_of(EPOCH_PACKETS) {
            self.secret = self.secret.next();
            self.cipher = self.secret.cipher();
        }
        Ok(packet.freeze())
    }
}

/// Shows no key.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Opens what one end receives on one channel.
pub struct Opener {
    /// The newest epoch of which a packet was opened, and its secret.
    epoch: u64,
    secret: Secret,
    cipher: ChaCha20Poly1305,
    /// The key of the epoch before, for packets that were overtaken.
    earlier: Option<ChaCha20Poly1305>,
    window: Window,
    forgeries: u64,
}

impl Opener {
    /// Begins in the epoch of the packet of number 0.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let cipher = secret.cipher();
        Self {
            epoch: 0,
            secret,
            cipher,
            earlier: None,
            window: Window::default(),
            forgeries: 0,
        }
    }

    /// Opens a packet and returns what was sealed. It copies nothing if it holds the only reference to the bytes.
    ///
    /// # Errors
    /// When the packet is dropped; nothing has changed then but a count.
    pub fn open(&mut self, packet: Bytes) -> Result<Bytes, OpenError> {
        let (number, _) = packet
            .split_first_chunk()
            .filter(|_| packet.len() >= SEALING_BYTES)
            .ok_or(OpenError::Malformed)?;
        let number = u64::from_be_bytes(*number);
        if number >= NUMBER_END {
            return Err(OpenError::Malformed);
        }
        if self.forgeries >= FORGERIES_MAX {
            return Err(OpenError::Worn);
        }
        if !self.window.takes(number) {
            return Err(OpenError::Replayed { number });
        }
        let epoch = number >> EPOCH_SHIFT;
        let opened = match epoch.checked_sub(self.epoch) {
            Some(0) => decrypt(&self.cipher, number, packet),
            Some(ahead @ 1..=EPOCHS_AHEAD_MAX) => return self.open_ahead(ahead, number, packet),
            Some(_) => return Err(OpenError::TooFarAhead { number }),
            // The window is shorter than an epoch: a packet behind this one is of the one before.
            None => match &self.earlier {
                Some(earlier) => decrypt(earlier, number, packet),
                None => return Err(OpenError::Replayed { number }),
            },
        };
        self.count(number, opened)
    }

    /// Opens a packet of a later epoch, and goes on to that epoch if it is genuine.
    fn open_ahead(&mut self, ahead: u64, number: u64, packet: Bytes) -> Result<Bytes, OpenError> {
        let mut before = self.secret.clone();
        for _ in 1..ahead {
            before = before.next();
        }
        let secret = before.next();
        let cipher = secret.cipher();
        let opened = self.count(number, decrypt(&cipher, number, packet))?;
        self.earlier = Some(before.cipher());
        (self.epoch, self.secret, self.cipher) = (self.epoch + ahead, secret, cipher);
        Ok(opened)
    }

    fn count(&mut self, number: u64, opened: Option<Bytes>) -> Result<Bytes, OpenError> {
        match opened {
            Some(opened) => {
                self.window.take(number);
                Ok(opened)
            }
            None => {
                self.forgeries += 1;
                Err(OpenError::Forged)
            }
        }
    }
}

/// Shows no key.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("epoch", &self.epoch)
            .field("end", &self.window.end)
            .field("forgeries", &self.forgeries)
            .finish_non_exhaustive()
    }
}

/// Returns what the packet holds, `None` if its tag is wrong.
fn decrypt(cipher: &ChaCha20Poly1305, number: u64, packet: Bytes) -> Option<Bytes> {
    let mut packet = BytesMut::from(packet).split_off(NUMBER_BYTES);
    let tag = packet.split_off(packet.len() - TAG_BYTES);
    let tag = Tag::try_from(&*tag).expect("what was split off has the length of a tag");
    cipher
        .decrypt_inout_detached(&nonce(number).into(), &[], (&mut *packet).into(), &tag)
        .ok()?;
    Some(packet.freeze())
}

/// Four zero bytes, then the number, as TLS 1.3 and WireGuard have it but for the order of bytes.
fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

/// The numbers that were opened, of the last [`WINDOW_PACKETS`]: a ring of bits, as in RFC 6479. One word of it is
/// always being vacated, so that the window moves word by word and no bit is ever shifted.
#[derive(Default)]
struct Window {
    /// The number after the highest one opened.
    end: u64,
    ring: [u64; RING_WORDS],
}

impl Window {
    /// Returns true if this number was not opened, and is not behind the window.
    fn takes(&self, number: u64) -> bool {
        if number >= self.end {
            return true;
        }
        let (word, bit) = Self::place(number);
        self.end - number <= WINDOW_PACKETS && self.ring[word] & bit == 0
    }

    /// Marks a number that [`takes`](Self::takes) allows as opened.
    fn take(&mut self, number: u64) {
        if number >= self.end {
            // The words after the one of the last number opened, up to that of this one, hold numbers of a turn of the
            // ring ago.
            let from = self.end.div_ceil(WORD_BITS);
            let to = number / WORD_BITS;
            for word in (from..=to).take(RING_WORDS) {
                self.ring[Self::slot(word)] = 0;
            }
            self.end = number + 1;
        }
        let (word, bit) = Self::place(number);
        self.ring[word] |= bit;
    }

    fn place(number: u64) -> (usize, u64) {
        (Self::slot(number / WORD_BITS), 1 << (number % WORD_BITS))
    }

    fn slot(word: u64) -> usize {
        usize::try_from(word % RING_WORDS as u64).expect("a ring is small")
    }
}

#[cfg(test)]
mod tests;
