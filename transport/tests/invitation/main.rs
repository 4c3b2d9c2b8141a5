//! Invitations as texts: what people paste is understood or refused, and the refusal says what is wrong.

use std::str::FromStr as _;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use liferaft_platform::{Address, ClusterId, PublicKey};
use liferaft_transport::invitation::{
    INVITATION_ADDRESSES_MAX, INVITATION_SIGNALING_MAX, INVITERS_MAX, Invitation, InvitationError,
    ParseInvitationError, ROOM_BYTES_MAX, Signaling,
};
use liferaft_transport::token::TokenSecret;
use proptest::prelude::*;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn address(text: &str) -> Address {
    text.parse().expect("it is an address")
}

/// Two IPv4 addresses, one inviter and a token.
fn typical() -> Invitation {
    Invitation::new(
        ClusterId(0x9f3c_21ab_5d6e_7f80_1234_5678_9abc_def0),
        [PublicKey([0x1a; 32])],
    )
    .unwrap()
    .with_addresses(["udp:192.168.178.21:4000", "udp:203.0.113.117:4000"].map(address))
    .unwrap()
    .with_token(TokenSecret::from_bytes([0xd7; 32]))
}

/// As much of everything as there can be.
fn longest() -> Invitation {
    let address = |id: usize| address(&format!("udp:{id}{}", "a".repeat(123)));
    let room = "r".repeat(ROOM_BYTES_MAX);
    let signaling = |id| Signaling::new(address(id), Some(&room)).unwrap();
    Invitation::new(ClusterId(u128::MAX), [PublicKey([0xff; 32]); INVITERS_MAX])
        .unwrap()
        .with_addresses((0..INVITATION_ADDRESSES_MAX).map(address))
        .unwrap()
        .with_signaling((0..INVITATION_SIGNALING_MAX).map(signaling))
        .unwrap()
        .with_token(TokenSecret::from_bytes([0xff; 32]))
}

fn parsed(text: &str) -> Result<String, ParseInvitationError> {
    Invitation::from_str(text).map(|invitation| invitation.to_string())
}

/// The text alone.
fn alone(invitation: &Invitation) -> String {
    let text = invitation.to_string();
    let alone = text.strip_prefix("liferaft:").expect("it says what it is");
    alone.to_owned()
}

/// A text with this version and this body, and the checksum that they have.
fn text_of(version: u8, body: &[u8]) -> String {
    let length = u16::try_from(body.len()).expect("a short one");
    let mut bytes = vec![version];
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    Base64UrlUnpadded::encode_string(&bytes)
}

#[test]
fn the_text_has_the_bytes_of_its_format() {
    let smallest = Invitation::new(ClusterId(7), [PublicKey([3; 32])]).unwrap();
    let signaling = [
        Signaling::new(address("wss://example.org/signal"), Some("4711")).unwrap(),
        Signaling::new(address("ws://10.0.0.1:9000"), None).unwrap(),
    ];
    let signaled = smallest.clone().with_signaling(signaling).unwrap();

    assert_eq!(
        [smallest, signaled, typical()].map(|invitation| invitation.to_string()),
        [
            "liferaft:AQA0AAAAAAAAAAAAAAAAAAAABwEDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwAAAGmltPY",
            "liferaft:AQBmAAAAAAAAAAAAAAAAAAAABwEDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwAAAhh3c3M6Ly9leGFt\
             cGxlLm9yZy9zaWduYWwENDcxMRJ3czovLzEwLjAuMC4xOjkwMDAAXhHlAQ",
            "liferaft:AQCDnzwhq11uf4ASNFZ4mrze8AEaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGgHX19fX19fX19fX19fX\
             19fX19fX19fX19fX19fX19fX1wIXdWRwOjE5Mi4xNjguMTc4LjIxOjQwMDAWdWRwOjIwMy4wLjExMy4xMTc6NDAwMADQYr_3",
        ]
    );
}

#[test]
fn a_typical_invitation_stays_short() {
    let text = typical().to_string();

    println!("{} characters: {text}", text.len());
    assert!(text.len() < 220, "{} characters", text.len());
}

#[test]
fn every_form_is_understood() {
    let (text, whole) = (alone(&typical()), typical().to_string());
    let folded: String = text
        .as_bytes()
        .chunks(30)
        .flat_map(|line| [std::str::from_utf8(line).unwrap(), "\r\n\t "])
        .collect();
    let link = typical().link("https://example.org/a/?b=c").unwrap();

    for form in [
        text,
        whole.clone(),
        link.clone(),
        format!("\n {link} \n"),
        format!(" liferaft:\u{a0}{folded}"),
        format!("http://localhost:8080/#{folded}"),
    ] {
        assert_eq!(parsed(&form), Ok(whole.clone()), "{form}");
    }
}

#[test]
fn all_of_an_invitation_comes_back() {
    let found = Invitation::from_str(&longest().to_string()).unwrap();

    assert_eq!(found.cluster(), ClusterId(u128::MAX));
    assert_eq!(found.inviters(), longest().inviters());
    assert_eq!(found.addresses(), longest().addresses());
    assert_eq!(found.signaling(), longest().signaling());
    assert_eq!(found.token().unwrap().as_bytes(), &[0xff; 32]);
}

#[test]
fn every_text_that_is_cut_short_says_so() {
    let text = alone(&typical());

    for length in 1..text.len() {
        let cut = parsed(&text[..length]);

        assert!(
            matches!(cut, Err(ParseInvitationError::CutShort { .. })),
            "{length}: {cut:?}"
        );
    }
    let missing = text.len() - 100;
    assert_eq!(
        parsed(&text[..100]),
        Err(ParseInvitationError::CutShort { missing })
    );
}

#[test]
fn no_changed_character_goes_unnoticed() {
    let text = alone(&typical());

    for at in 0..text.len() {
        for other in ALPHABET {
            let mut changed = text.clone().into_bytes();
            changed[at] = *other;
            let changed = String::from_utf8(changed).unwrap();
            if changed != text {
                assert!(parsed(&changed).is_err(), "{other} at {at}");
            }
        }
    }
}

#[test]
fn two_characters_that_changed_places_are_noticed() {
    let text = alone(&typical());

    for at in 1..text.len() {
        let mut changed = text.clone().into_bytes();
        changed.swap(at - 1, at);
        let changed = String::from_utf8(changed).unwrap();
        if changed != text {
            assert!(parsed(&changed).is_err(), "at {at}");
        }
    }
}

#[test]
fn a_refusal_says_what_is_wrong() {
    let text = alone(&typical());
    let mut changed = text.clone();
    changed.replace_range(50..51, if &text[50..51] == "A" { "B" } else { "A" });

    for (refused, error) in [
        (" \n".to_owned(), ParseInvitationError::Empty),
        ("liferaft:".to_owned(), ParseInvitationError::Empty),
        (
            "https://example.org/a".to_owned(),
            ParseInvitationError::NoFragment,
        ),
        (
            format!("liferaft: {}ä{}", &text[..5], &text[5..]),
            ParseInvitationError::BadCharacter {
                character: 'ä',
                position: 15,
            },
        ),
        (
            format!("ftp://example.org/#{text}"),
            ParseInvitationError::BadCharacter {
                character: ':',
                position: 3,
            },
        ),
        (
            format!("{text} A"),
            ParseInvitationError::Continues {
                position: text.len() + 1,
            },
        ),
        (changed, ParseInvitationError::Damaged),
        (
            "A".repeat(10_000),
            ParseInvitationError::TooLong { bytes: 10_000 },
        ),
        (
            text_of(2, b"something new"),
            ParseInvitationError::NewerVersion { version: 2 },
        ),
    ] {
        assert_eq!(parsed(&refused), Err(error), "{refused}");
    }
}

#[test]
fn a_whole_text_that_makes_no_sense_is_refused() {
    let zeros = [0; 16];
    let with = |rest: &[u8]| [&zeros[..], rest].concat();
    let inviter = [&[1][..], &[3; 32]].concat();
    let after = |rest: &[u8]| with(&[&inviter, rest].concat());

    for body in [
        Vec::new(),
        with(&[]),
        with(&[0, 0, 0, 0]),
        with(&[5]),
        with(&[1, 3]),
        after(&[2]),
        after(&[1, 7]),
        after(&[0, 9]),
        after(&[0, 1, 4, b'u', b'd', b'p']),
        after(&[0, 1, 3, b'u', b'd', b'p', 0]),
        after(&[0, 1, 2, 0xff, 0xff, 0]),
        after(&[0, 0, 5]),
        after(&[0, 0, 1, 3, b'w', b's', b':', 0]),
        after(&[0, 0, 1, 4, b'w', b's', b':', b'x', 1, b' ']),
        after(&[0, 0, 0, 0]),
    ] {
        let refused = parsed(&text_of(1, &body));

        assert!(
            matches!(refused, Err(ParseInvitationError::Senseless { .. })),
            "{body:?}: {refused:?}"
        );
    }
    assert!(parsed(&text_of(1, &after(&[0, 0, 0]))).is_ok());
}

#[test]
fn an_invitation_has_bounds() {
    let inviters = |count| vec![PublicKey([3; 32]); count];
    let some = Invitation::new(ClusterId(7), inviters(1)).unwrap();
    let addresses = vec![address("memory:7"); INVITATION_ADDRESSES_MAX + 1];
    let server = Signaling::new(address("ws://example.org"), None).unwrap();
    let servers = vec![server; INVITATION_SIGNALING_MAX + 1];

    for refused in [
        Invitation::new(ClusterId(7), inviters(0)),
        Invitation::new(ClusterId(7), inviters(INVITERS_MAX + 1)),
        some.clone().with_addresses(addresses),
        some.with_signaling(servers),
    ] {
        assert!(
            matches!(refused, Err(InvitationError::Count { .. })),
            "{refused:?}"
        );
    }
    for room in ["", "a room", "ä", &"r".repeat(ROOM_BYTES_MAX + 1)] {
        let refused = Signaling::new(address("ws://example.org"), Some(room));

        assert_eq!(refused, Err(InvitationError::Room), "{room:?}");
    }
}

#[test]
fn a_link_leads_to_a_page() {
    for page in [
        "example.org",
        "https://",
        "https:///a",
        "ftp://example.org",
        "https://example.org/#a",
        "https://example.org/a b",
        &format!("https://{}", "a".repeat(1 << 10)),
    ] {
        let refused = typical().link(page);

        assert_eq!(refused, Err(InvitationError::Page), "{page}");
    }
}

#[test]
fn neither_debug_nor_an_error_shows_the_secret() {
    let text = alone(&typical());
    let mut shown = format!("{:?} {:#?}", typical(), typical());
    for length in 0..text.len() {
        let refused = parsed(&text[..length]).unwrap_err();
        shown += &format!("{refused} {refused:?}");
    }

    // 0xd7 is 215, and "19fX" again and again.
    for part in ["d7d7", "D7D7", "215", "19fX", "9fX1", "fX19", "X19f"] {
        assert!(!shown.contains(part), "{part}");
    }
}

fn any_address() -> impl Strategy<Value = Address> {
    "[a-z][a-z0-9+.-]{0,9}:[!-~]{1,100}".prop_map(|text| address(&text))
}

fn any_invitation() -> impl Strategy<Value = Invitation> {
    let signaling = (any_address(), proptest::option::of("[!-~]{1,64}"))
        .prop_map(|(server, room)| Signaling::new(server, room.as_deref()).unwrap());
    (
        any::<u128>(),
        proptest::collection::vec(any::<[u8; 32]>(), 1..=INVITERS_MAX),
        proptest::option::of(any::<[u8; 32]>()),
        proptest::collection::vec(any_address(), 0..=INVITATION_ADDRESSES_MAX),
        proptest::collection::vec(signaling, 0..=INVITATION_SIGNALING_MAX),
    )
        .prop_map(|(cluster, inviters, token, addresses, signaling)| {
            let keys = inviters.into_iter().map(PublicKey);
            let invitation = Invitation::new(ClusterId(cluster), keys).unwrap();
            let invitation = invitation.with_addresses(addresses).unwrap();
            let invitation = invitation.with_signaling(signaling).unwrap();
            match token {
                Some(token) => invitation.with_token(TokenSecret::from_bytes(token)),
                None => invitation,
            }
        })
}

proptest! {
    #[test]
    fn any_invitation_comes_back_from_its_text(invitation in any_invitation()) {
        let found = Invitation::from_str(&invitation.to_string()).unwrap();

        prop_assert_eq!(found.cluster(), invitation.cluster());
        prop_assert_eq!(found.inviters(), invitation.inviters());
        prop_assert_eq!(found.addresses(), invitation.addresses());
        prop_assert_eq!(found.signaling(), invitation.signaling());
        let tokens = [&found, &invitation].map(|of| of.token().map(|token| *token.as_bytes()));
        prop_assert_eq!(tokens[0], tokens[1]);
    }

    #[test]
    fn a_changed_character_of_any_invitation_is_noticed(
        invitation in any_invitation(),
        at in any::<prop::sample::Index>(),
        other in prop::sample::select(ALPHABET),
    ) {
        let mut text = alone(&invitation).into_bytes();
        let at = at.index(text.len());
        let before = std::mem::replace(&mut text[at], other);

        let found = parsed(&String::from_utf8(text).unwrap());

        prop_assert!(before == other || found.is_err());
    }

    #[test]
    fn any_text_is_refused_or_understood(text in "\\PC{0,200}") {
        if let Ok(text) = parsed(&text) {
            prop_assert_eq!(parsed(&text), Ok(text));
        }
    }
}
