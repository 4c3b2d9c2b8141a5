//! Bytes from someone who wishes harm, or from a broken cable.

use bytes::Bytes;
use liferaft_raft::wire::{self, DecodeError, FRAME_BYTES_MAX, Frame};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::arbitrary::frame;
use super::{Fields, decode, message, request};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn random_bytes_are_refused_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Frame::decode(Bytes::from(bytes));
    }

    #[test]
    fn random_content_is_refused_without_a_panic(
        kind in 0..24_u64,
        body in vec(any::<u8>(), 0..100),
    ) {
        let content = Fields::default().number(3, kind).number(4, 1).bytes(5, &body).encode();

        let _ = decode(&content);
    }

    #[test]
    fn a_damaged_frame_is_refused_or_understood_without_a_panic(
        frame in frame(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = frame.encode().to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }

        if let Ok(understood) = Frame::decode(Bytes::from(bytes)) {
            prop_assert_eq!(Frame::decode(understood.encode()), Ok(understood));
        }
    }

    #[test]
    fn a_frame_cut_short_is_refused(frame in frame(), end in any::<Index>()) {
        let bytes = frame.encode();
        let cut = bytes.slice(..end.index(bytes.len()));

        prop_assert!(Frame::decode(cut).is_err());
    }
}

#[test]
fn a_frame_beyond_the_longest_is_refused_unread() {
    let bytes = Bytes::from(vec![0; FRAME_BYTES_MAX + 1]);

    let refused = Frame::decode(bytes);

    let (bytes, bytes_max) = (FRAME_BYTES_MAX + 1, FRAME_BYTES_MAX);
    assert_eq!(refused, Err(DecodeError::FrameTooLong { bytes, bytes_max }));
}

#[test]
fn a_crowd_of_empty_entries_is_counted_before_it_is_read() {
    let body = [0x32, 0x00].repeat(wire::ENTRIES_MAX + 1);

    let refused = decode(
        &Fields::default()
            .number(3, 3)
            .number(4, 1)
            .bytes(5, &body)
            .encode(),
    );

    let (count, count_max) = (wire::ENTRIES_MAX + 1, wire::ENTRIES_MAX);
    assert_eq!(
        refused,
        Err(DecodeError::TooMany {
            items: "entries",
            count,
            count_max
        })
    );
}

#[test]
fn a_crowd_of_empty_commands_is_counted_before_it_is_read() {
    let body = [0x12, 0x00].repeat(wire::COMMANDS_MAX + 1);

    let refused = decode(&Fields::default().number(3, 16).bytes(5, &body).encode());

    let (count, count_max) = (wire::COMMANDS_MAX + 1, wire::COMMANDS_MAX);
    assert_eq!(
        refused,
        Err(DecodeError::TooMany {
            items: "commands",
            count,
            count_max
        })
    );
}

#[test]
fn a_crowd_of_members_is_counted_before_it_is_read() {
    let refused = decode(&with_configuration(&[0x12, 0x00].repeat(4097)));

    let expected = DecodeError::TooMany {
        items: "members",
        count: 4097,
        count_max: 4096,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn a_crowd_of_dismissed_servers_is_counted_before_it_is_read() {
    let refused = decode(&with_configuration(&[0x1a, 0x00].repeat(257)));

    let expected = DecodeError::TooMany {
        items: "dismissed servers",
        count: 257,
        count_max: 256,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn a_crowd_in_a_configuration_is_counted_before_it_is_read() {
    let tokens = decode(&with_configuration(&[0x42, 0x00].repeat(65)));
    let evicted = decode(&with_configuration(&[0x4a, 0x00].repeat(257)));
    let prefixes = [
        &[0x08, 0x02, 0x42, 0x0c, 0x2a, 0x0a][..],
        &[0x0a, 0x00].repeat(5),
    ]
    .concat();
    let prefixes = decode(&with_configuration(&prefixes));
    let vouchers = decode(&with_configuration(&[0x52, 0x00].repeat(65)));

    let too_many = |items, count, count_max| {
        Err(DecodeError::TooMany {
            items,
            count,
            count_max,
        })
    };
    assert_eq!(tokens, too_many("access tokens", 65, 64));
    assert_eq!(prefixes, too_many("prefixes", 5, 4));
    assert_eq!(evicted, too_many("evicted servers", 257, 256));
    let items = "vouchers of servers that have left";
    assert_eq!(vouchers, too_many(items, 65, 64));
}

#[test]
fn a_crowd_of_addresses_is_counted_before_it_is_read() {
    let body = Fields::default().bytes(2, &[0x1a, 0x00].repeat(5));

    let refused = decode(&request(32, &body));

    let expected = DecodeError::TooMany {
        items: "addresses",
        count: 5,
        count_max: 4,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn a_server_that_is_dismissed_twice_contradicts_itself() {
    let dismissed = Fields::default().bytes(1, &[1; 16]).number(2, 1);
    let configuration = Fields::default().number(1, 2);
    let configuration = configuration.message(3, &dismissed).message(3, &dismissed);
    let configuration = configuration.number(4, 1000).number(6, 1).number(7, 1);

    let refused = decode(&with_configuration(&configuration.encode()));

    let expected = DecodeError::Contradiction {
        part: "configuration",
    };
    assert_eq!(refused, Err(expected));
}

/// A message with one entry, of this configuration.
fn with_configuration(configuration: &[u8]) -> Vec<u8> {
    let entry = Fields::default()
        .number(1, 1)
        .number(2, 0)
        .number(3, 3)
        .bytes(4, configuration);
    let append = Fields::default()
        .number(1, 1)
        .number(2, 0)
        .number(3, 0)
        .number(4, 0);
    message(3, 1, &append.message(6, &entry))
}

#[test]
fn a_crowd_of_steps_is_counted_before_it_is_read() {
    let body = [0x12, 0x00].repeat(4097);

    let refused = decode(&Fields::default().number(3, 18).bytes(5, &body).encode());

    let expected = DecodeError::TooMany {
        items: "steps",
        count: 4097,
        count_max: 4096,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn a_length_beyond_the_frame_is_refused() {
    let propose = Fields::default().number(1, 1).encode();
    let lying = [&propose[..], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();

    let refused = decode(&Fields::default().number(3, 16).bytes(5, &lying).encode());

    assert_eq!(refused, Err(DecodeError::Malformed { part: "proposal" }));
}

#[test]
fn a_list_hidden_in_a_group_is_refused() {
    let hidden = [0x0b, 0x12, 0x00, 0x0c];

    let refused = decode(&Fields::default().number(3, 16).bytes(5, &hidden).encode());

    assert_eq!(refused, Err(DecodeError::Malformed { part: "proposal" }));
}

#[test]
fn a_request_of_an_empty_body_is_refused() {
    let refused = decode(&request(16, &Fields::default()));

    assert_eq!(refused, Err(DecodeError::Missing { field: "request" }));
}
