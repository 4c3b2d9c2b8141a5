//! Tests which parts of a message may be unknown, and which may not.

use bytes::Bytes;
use liferaft_raft::admission::Kind;
use liferaft_raft::ids::{Index, Term};
use liferaft_raft::wire::{DecodeError, RawFrame};

use super::samples::{
    access_token, append_entries, append_entries_reply, configuration, description, entry, member,
    metadata, step, voucher, with_configuration, with_description, with_entry, with_member,
    with_metadata, with_step, with_token,
};
use super::{CLUSTER, Fields, RECEIVER, decode, frame, message, request};

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
        Err(DecodeError::UnknownEntry {
            index: Index(10),
            kind: 9
        })
    );
}

#[test]
fn a_configuration_of_an_unknown_format_is_unsupported_in_entries_and_snapshots() {
    let later = configuration().without(1).number(1, 3);
    let unsupported = Err(DecodeError::Unsupported {
        part: "configuration",
        number: 3,
    });

    assert_eq!(decode(&with_configuration(&later)), unsupported);
    assert_eq!(
        decode(&with_metadata(&metadata().without(4).message(4, &later))),
        unsupported
    );
}

#[test]
fn an_unknown_field_of_a_configuration_or_in_it_is_unsupported() {
    let unsupported = Err(DecodeError::Unsupported {
        part: "configuration",
        number: 2,
    });

    assert_eq!(
        decode(&with_configuration(&configuration().number(19, 1))),
        unsupported
    );
    assert_eq!(decode(&with_member(&member().number(9, 1))), unsupported);
    assert_eq!(
        decode(&with_description(&description().number(9, 1))),
        unsupported
    );
    assert_eq!(
        decode(&with_member(&member().message(6, &voucher().number(9, 1)))),
        unsupported
    );
    assert_eq!(
        decode(&with_token(&access_token().number(9, 1))),
        unsupported
    );
}

/// Such a one is of a later version, which says what it speaks in the fields that are known.
#[test]
fn an_unknown_field_of_who_wishes_to_join_is_skipped() {
    let wish = |description: &Fields| request(32, &Fields::default().message(2, description));

    let extended = wish(&description().number(9, 1));

    assert_eq!(decode(&extended), decode(&wish(&description())));
}

#[test]
fn what_an_unknown_token_grants_is_unsupported() {
    let refused = decode(&with_token(&access_token().without(2).number(2, 9)));

    assert_eq!(
        refused,
        Err(DecodeError::Unsupported {
            part: "access token",
            number: 9
        })
    );
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

#[test]
fn an_envelope_is_read_whatever_the_body_says() {
    let unknown = with_entry(&entry().without(3).number(3, 9));
    let raw = RawFrame::decode(frame(&unknown)).expect("it is a frame");

    assert_eq!((raw.cluster(), raw.to()), (CLUSTER, RECEIVER));
    assert_eq!(raw.kind(), Some(Kind::AppendEntries));
    assert_eq!(raw.term(), Some(Term(5)));
    assert!(raw.decode_content().is_err());
}

#[test]
fn each_kind_of_frame_has_its_number() {
    let kind = |number| {
        let content = Bytes::from(request(number, &Fields::default()));
        let raw = RawFrame::decode(frame(&content));
        raw.expect("it is a frame").kind()
    };

    let known: Vec<_> = (0..100)
        .filter_map(|number| kind(number).map(|kind| (number, kind)))
        .collect();

    let expected = [
        (1, Kind::RequestVote),
        (2, Kind::RequestVoteReply),
        (3, Kind::AppendEntries),
        (4, Kind::AppendEntriesReply),
        (5, Kind::InstallSnapshot),
        (6, Kind::InstallSnapshotReply),
        (7, Kind::TimeoutNow),
        (8, Kind::ReadIndex),
        (9, Kind::ReadIndexReply),
        (16, Kind::Propose),
        (17, Kind::ProposeReply),
        (18, Kind::Change),
        (19, Kind::ChangeReply),
        (20, Kind::Transfer),
        (21, Kind::TransferReply),
        (32, Kind::Join),
        (33, Kind::JoinReply),
        (34, Kind::Foreign),
        (48, Kind::ClientRequest),
        (49, Kind::ClientReply),
    ];
    assert_eq!(known, expected);
}
