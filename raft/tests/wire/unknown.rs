//! What may be unknown, and what may not.

use liferaft_raft::wire::DecodeError;

use super::samples::{
    append_entries, append_entries_reply, configuration, entry, member, metadata, step,
    with_configuration, with_entry, with_member, with_metadata, with_step,
};
use super::{Fields, decode, message, request};

#[test]
fn unknown_advisory_fields_are_skipped() {
    let plain = message(4, 5, &append_entries_reply());
    let body = append_entries_reply()
        .number(100, 1)
        .bytes(101, b"later")
        .fixed32(102, 3);
    let extended = message(4, 5, &body);
    let further = Fields::default().number(103, 1).encode();

    assert_eq!(decode(&extended), decode(&plain));
    assert_eq!(decode(&[extended, further].concat()), decode(&plain));
}

#[test]
fn an_entry_of_an_unknown_kind_is_unsupported_and_not_malformed() {
    let refused = decode(&with_entry(&entry().without(3).number(3, 9)));

    assert_eq!(
        refused,
        Err(DecodeError::Unsupported {
            part: "entry",
            number: 9
        })
    );
}

#[test]
fn a_configuration_of_an_unknown_format_is_unsupported_in_entries_and_snapshots() {
    let later = configuration().without(1).number(1, 2);
    let unsupported = Err(DecodeError::Unsupported {
        part: "configuration",
        number: 2,
    });

    assert_eq!(decode(&with_configuration(&later)), unsupported);
    assert_eq!(
        decode(&with_metadata(&metadata().without(4).message(4, &later))),
        unsupported
    );
}

#[test]
fn an_unknown_field_of_a_configuration_or_a_member_is_unsupported() {
    let unsupported = Err(DecodeError::Unsupported {
        part: "configuration",
        number: 1,
    });

    assert_eq!(
        decode(&with_configuration(&configuration().number(9, 1))),
        unsupported
    );
    assert_eq!(decode(&with_member(&member().number(9, 1))), unsupported);
}

#[test]
fn an_unknown_suffrage_is_unsupported() {
    let refused = decode(&with_member(&member().without(2).number(2, 7)));

    assert_eq!(
        refused,
        Err(DecodeError::Unsupported {
            part: "suffrage",
            number: 7
        })
    );
}

#[test]
fn a_frame_of_an_unknown_kind_is_told_apart() {
    let unknown = |number| {
        Err(DecodeError::UnknownKind {
            part: "frame",
            number,
        })
    };

    assert_eq!(decode(&message(0, 5, &Fields::default())), unknown(0));
    assert_eq!(decode(&message(15, 5, &Fields::default())), unknown(15));
    assert_eq!(decode(&request(99, &Fields::default())), unknown(99));
}

#[test]
fn an_unknown_answer_is_told_apart() {
    let unknown = |part| Err(DecodeError::UnknownKind { part, number: 99 });
    let answered = Fields::default().number(1, 1).number(2, 99);
    let failed = Fields::default().number(1, 1).number(3, 99);
    let append = append_entries().without(5).number(5, 99);

    assert_eq!(decode(&message(3, 5, &append)), unknown("reply wanted"));
    assert_eq!(
        decode(&request(17, &answered)),
        unknown("answer to a proposal")
    );
    assert_eq!(decode(&request(19, &failed)), unknown("change error"));
    assert_eq!(decode(&request(21, &failed)), unknown("transfer error"));
    assert_eq!(
        decode(&with_step(&step().without(1).number(1, 99))),
        unknown("step")
    );
}
