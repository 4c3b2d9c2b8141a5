//! Invitations as QR codes: what a terminal shows is read again.

mod reader;

use liferaft_platform::{Address, ClusterId, PublicKey};
use liferaft_transport::invitation::{Invitation, InvitationError, QR_COLUMNS_MAX, qr};
use liferaft_transport::token::TokenSecret;

use reader::read;

fn columns(drawn: &str) -> usize {
    let widths = drawn.lines().map(|line| line.chars().count());
    widths.max().expect("it has lines")
}

fn typical() -> Invitation {
    let addresses: [Address; 2] =
        ["udp:192.168.178.21:4000", "udp:203.0.113.117:4000"].map(|text| text.parse().unwrap());
    Invitation::new(ClusterId(u128::MAX / 3), [PublicKey([0x1a; 32])])
        .unwrap()
        .with_addresses(addresses)
        .unwrap()
        .with_token(TokenSecret::from_bytes([0xd7; 32]))
}

#[test]
fn a_typical_invitation_is_read_from_its_code() {
    let drawn = typical().qr().unwrap();

    println!("{drawn}{} columns", columns(&drawn));
    assert!(columns(&drawn) <= QR_COLUMNS_MAX);
    assert_eq!(read(&drawn), typical().to_string());
}

#[test]
fn a_link_is_read_from_its_code() {
    let link = typical().link("https://example.org/room").unwrap();

    assert_eq!(read(&qr(&link).unwrap()), link);
}

#[test]
fn the_longest_text_that_fits_has_80_columns_at_most() {
    let text = "a".repeat(425);

    let drawn = qr(&text).unwrap();

    assert!((70..=QR_COLUMNS_MAX).contains(&columns(&drawn)));
    assert_eq!(read(&drawn), text);
}

#[test]
fn a_longer_text_is_refused() {
    let refused = qr(&"a".repeat(426));

    assert_eq!(refused, Err(InvitationError::QrTooLong { bytes: 426 }));
}
