//! The errors of links over WebRTC, with their texts; why it does not listen is in the table of WebSocket.

use liferaft::transport::signaling::SignalingServerError;
use liferaft::transport::webrtc::WebRtcIdentityError;

use crate::row::Row;

/// All rows.
pub(crate) fn table() -> Vec<Row> {
    causes! {
        "WebRtcIdentityError::NoCertificate": WebRtcIdentityError::NoCertificate
            => "there is no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        "WebRtcIdentityError::NoKey": WebRtcIdentityError::NoKey
            => "there is no private key in PEM (-----BEGIN PRIVATE KEY-----)";
        "WebRtcIdentityError::UnusableKey": WebRtcIdentityError::UnusableKey
            => "the private key is none of ECDSA with P-256 in PKCS #8";
        "WebRtcIdentityError::NotOfOneAnother": WebRtcIdentityError::NotOfOneAnother
            => "the certificate is not that of the private key";
        "SignalingServerError::BadAddress": SignalingServerError::BadAddress("http://a/b".to_owned())
            => "\"http://a/b\" is no signaling server: ws://host:port/room and wss://host/room are";
        "SignalingServerError::TooLong": SignalingServerError::TooLong { bytes: 140 }
            => "an address of 140 bytes is too long for a signaling server: with the id of a server it has at most 128";
        "SignalingServerError::BadToken": SignalingServerError::BadToken
            => "a token has 1 to 128 letters, digits, '-' and '_'";
    }
}
