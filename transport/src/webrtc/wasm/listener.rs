//! Writes the answer of a native listener, which is known before it is asked (`docs/webrtc.md` in the repository).

use std::fmt::Write;

use super::super::address::Target;
use super::super::credentials::Credentials;
use super::super::limits::PACKET_BYTES_MAX;
use crate::hosts::Fingerprint;

/// Returns the description with which a listener answers any offer.
pub(super) fn answer_of(listener: &Target) -> String {
    let Target {
        host,
        port,
        fingerprint,
    } = listener;
    let Credentials { ufrag, password } = Credentials::of_listener(fingerprint);
    let fingerprint = hexadecimal(fingerprint);
    let lines = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=ice-lite",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        &format!("a=ice-ufrag:{ufrag}"),
        &format!("a=ice-pwd:{password}"),
        &format!("a=fingerprint:sha-256 {fingerprint}"),
        "a=setup:passive",
        "a=sctp-port:5000",
        &format!("a=max-message-size:{PACKET_BYTES_MAX}"),
        &format!("a=candidate:1 1 udp 2130706431 {host} {port} typ host"),
        "a=end-of-candidates",
    ];
    lines.map(|line| format!("{line}\r\n")).concat()
}

fn hexadecimal(fingerprint: &Fingerprint) -> String {
    let mut text = String::new();
    for (place, byte) in fingerprint.0.iter().enumerate() {
        let colon = if place == 0 { "" } else { ":" };
        write!(text, "{colon}{byte:02X}").expect("a string takes all");
    }
    text
}
