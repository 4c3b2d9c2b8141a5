//! Natively: why a socket cannot be had, who shares an origin, and how certificates are kept.

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use zeroize::Zeroizing;

/// The bits of an IPv6 address that its sender cannot choose freely, in bytes.
const IPV6_PREFIX_BYTES: usize = 8;

/// Why a carrier does not listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The system does not give the socket.
    #[error("cannot listen on {address}: {error}")]
    Socket {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The carrier was to stay on this machine.
    #[error(
        "cannot listen on {address}: the carrier stays on this machine, and others reach that address"
    )]
    NotOnThisMachine {
        /// The address that was asked for.
        address: SocketAddr,
    },
}

/// Returns the part of an address that whoever sends from there cannot choose freely.
pub(crate) fn origin_of(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets()[..IPV6_PREFIX_BYTES].to_vec(),
    }
}

/// Appends a section in PEM (RFC 7468).
pub(crate) fn push_pem(text: &mut String, label: &str, der: &[u8]) {
    const LINE: usize = 64;
    let encoded = Zeroizing::new(<base64ct::Base64 as base64ct::Encoding>::encode_string(der));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str(&format!("-----END {label}-----\n"));
}
