//! The errors of links over WebSocket, with their texts.

use std::io;

use liferaft::transport::websocket::{ContactError, ListenError, ParseFingerprintError, TlsError};

use crate::row::Row;

/// All rows.
pub(crate) fn table() -> Vec<Row> {
    let address = "0.0.0.0:4000".parse().expect("it is an address");
    let place = || "ws://there:4000".parse().expect("it is an address");
    let refused = || io::Error::from(io::ErrorKind::AddrInUse);
    causes! {
        "ListenError::Socket": ListenError::Socket { address, error: refused() }
            => "cannot listen on 0.0.0.0:4000: address in use";
        "ListenError::NotOnThisMachine": ListenError::NotOnThisMachine { address }
            => "cannot listen on 0.0.0.0:4000: the carrier stays on this machine, and others reach that address";
        "TlsError::Read": TlsError::Read { path: "key.pem".into(), error: io::ErrorKind::NotFound.into() }
            => "cannot read key.pem: entity not found";
        "TlsError::NoCertificate": TlsError::NoCertificate
            => "there is no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        "TlsError::NoKey": TlsError::NoKey => "there is no private key in PEM (-----BEGIN PRIVATE KEY-----)";
        "TlsError::Unusable": TlsError::Unusable("of an unknown kind".into())
            => "the certificate or its key cannot be used: of an unknown kind";
        "ParseFingerprintError": ParseFingerprintError => "a fingerprint is 43 characters of base64url";
        "ContactError::BadAddress": ContactError::BadAddress(place()) => "no WebSocket address: ws://there:4000";
        "ContactError::NotReached": ContactError::NotReached { address: place(), why: "it took too long".into() }
            => "ws://there:4000 is not reached: it took too long";
        "ContactError::Untold": ContactError::Untold(place())
            => "whoever is at ws://there:4000 does not say who it is: a closed cluster is reached by an invitation";
    }
}
