//! Numbers, lengths and combinations that no member sends.

use std::sync::Arc;

use bytes::Bytes;
use liferaft_raft::configuration::{
    Configuration, DISMISSED_MAX, Description, Dismissal, Member, PublicKey,
};
use liferaft_raft::ids::{Index, LogPosition, Round, ServerId, Term};
use liferaft_raft::message::{Body, InstallSnapshot, Message, SnapshotMetadata};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{
    self, Content, DecodeError, Frame, NUMBER_END, QUERIES_MAX, VIEW_MEMBERS_MAX,
};

use super::samples::{
    ID, access_token, append_entries, append_entries_reply, assert_understood, configuration,
    description, entry, envelope, install_snapshot, member, metadata, request_vote, voucher,
    with_configuration, with_description, with_entry, with_member, with_metadata, with_token,
};
use super::{Fields, decode, message, request};

#[test]
fn a_number_beyond_all_counting_is_out_of_range() {
    let out = |field| {
        Err(DecodeError::OutOfRange {
            field,
            value: NUMBER_END,
        })
    };
    let huge = |fields: Fields, field| fields.without(field).number(field, NUMBER_END);

    assert_eq!(
        decode(&message(7, NUMBER_END, &Fields::default())),
        out("term")
    );
    assert_eq!(
        decode(&message(1, 5, &huge(request_vote(), 2))),
        out("campaign")
    );
    assert_eq!(
        decode(&message(3, 5, &huge(append_entries(), 1))),
        out("round")
    );
    assert_eq!(
        decode(&message(3, 5, &huge(append_entries(), 3))),
        out("index of the previous entry")
    );
    assert_eq!(
        decode(&message(3, 5, &huge(append_entries(), 4))),
        out("commit index")
    );
    assert_eq!(decode(&with_entry(&huge(entry(), 1))), out("entry's term"));
    assert_eq!(decode(&with_entry(&huge(entry(), 2))), out("stamp"));
    assert_eq!(
        decode(&message(4, 5, &huge(append_entries_reply(), 5))),
        out("applied index")
    );
    assert_eq!(
        decode(&message(5, 5, &huge(install_snapshot(), 4))),
        out("offset")
    );
    assert_eq!(
        decode(&with_metadata(&huge(metadata(), 6))),
        out("length of the snapshot")
    );
    assert_eq!(
        decode(&message(
            9,
            5,
            &Fields::default().number(1, 1).number(2, NUMBER_END)
        )),
        out("read index")
    );
}

#[test]
fn the_largest_number_in_range_is_understood() {
    let last = append_entries().without(3).number(3, NUMBER_END - 1);

    assert_understood(&message(3, NUMBER_END - 1, &last.message(6, &entry())));
}

#[test]
fn an_id_has_sixteen_bytes() {
    let short = envelope().without(1).bytes(1, &ID[..15]);
    let long = envelope().without(2).bytes(2, &[&ID[..], &[0]].concat());
    let empty = member().without(1).bytes(1, b"");

    let bad = |field, bytes| DecodeError::BadLength { field, bytes };
    assert_eq!(
        Frame::decode(Bytes::from(short.encode())),
        Err(bad("cluster", 15))
    );
    assert_eq!(
        Frame::decode(Bytes::from(long.encode())),
        Err(bad("receiver", 17))
    );
    assert_eq!(decode(&with_member(&empty)), Err(bad("member's id", 0)));
}

#[test]
fn keys_and_signatures_have_one_length() {
    let bad = |field, bytes| Err(DecodeError::BadLength { field, bytes });
    let public_key = |bytes| with_description(&description().bytes(1, &vec![7; bytes]));
    let with_voucher = |voucher: &Fields| with_member(&member().message(6, voucher));
    let vouching = voucher().without(1).bytes(1, &[7; 31]);
    let signature = voucher().without(2).bytes(2, &[8; 65]);
    let token = access_token().without(1).bytes(1, &[7; 33]);

    assert_eq!(decode(&public_key(31)), bad("public key", 31));
    assert_eq!(decode(&public_key(33)), bad("public key", 33));
    assert_understood(&with_voucher(&voucher()));
    assert_eq!(
        decode(&with_voucher(&vouching)),
        bad("key of a voucher", 31)
    );
    assert_eq!(
        decode(&with_voucher(&signature)),
        bad("signature of a voucher", 65)
    );
    assert_eq!(decode(&with_token(&token)), bad("key of a token", 33));
}

#[test]
fn an_id_that_is_not_the_digest_of_its_key_is_refused() {
    let keyed = description().bytes(1, &[7; 32]);
    let id = PublicKey([7; 32]).server_id().0.to_be_bytes();
    let own = member().without(1).without(5);
    let own = own.bytes(1, &id).message(5, &keyed);

    let refused = decode(&with_description(&keyed));

    assert_understood(&with_member(&own));
    assert_eq!(refused, Err(DecodeError::Contradiction { part: "member" }));
}

#[test]
fn a_label_and_an_address_keep_to_their_rules() {
    let labelled = |label: &[u8]| with_description(&description().bytes(2, label));
    let at = |address: &[u8]| with_description(&description().bytes(3, address));
    let malformed = |part| Err(DecodeError::Malformed { part });

    assert_understood(&labelled(&[b'a'; 32]));
    assert_eq!(decode(&labelled(&[b'a'; 33])), malformed("label"));
    assert_eq!(decode(&labelled(b"two\nlines")), malformed("label"));
    assert_eq!(decode(&labelled(&[0xff])), malformed("label"));
    assert_understood(&at(b"memory:7"));
    assert_eq!(decode(&at(b"")), malformed("address"));
    assert_eq!(
        decode(&at(&[b"memory:" as &[u8], &[b'7'; 122]].concat())),
        malformed("address")
    );
}

#[test]
fn a_token_named_twice_or_out_of_order_is_refused() {
    let twice = configuration()
        .message(8, &access_token())
        .message(8, &access_token());

    let refused = decode(&with_configuration(&twice));

    let expected = DecodeError::Contradiction {
        part: "configuration",
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn a_member_or_a_dismissed_server_is_not_evicted_as_well() {
    let dismissed = Fields::default().bytes(1, &[9; 16]).number(2, 1);
    let member = configuration().bytes(9, &ID);
    let dismissed = configuration().message(3, &dismissed).bytes(9, &[9; 16]);

    let refused = [member, dismissed].map(|fields| decode(&with_configuration(&fields)));

    let expected = || {
        Err(DecodeError::Contradiction {
            part: "configuration",
        })
    };
    assert_eq!(refused, [expected(), expected()]);
}

#[test]
fn a_voucher_that_no_member_needs_is_refused() {
    let voucher = Fields::default().bytes(1, &[8; 32]).bytes(2, &[9; 64]);
    let past = Fields::default().bytes(1, &[7; 32]).message(2, &voucher);
    let needless = configuration().message(10, &past);

    let refused = decode(&with_configuration(&needless));

    let expected = DecodeError::Contradiction {
        part: "configuration",
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn a_member_named_twice_or_out_of_order_is_refused() {
    let twice = configuration().message(2, &member());

    let refused = decode(&with_configuration(&twice));

    assert_eq!(
        refused,
        Err(DecodeError::Contradiction {
            part: "configuration"
        })
    );
}

#[test]
fn a_member_that_neither_stays_nor_leaves_is_refused() {
    let neither = Fields::default()
        .bytes(1, &ID)
        .number(2, 0)
        .number(3, 0)
        .message(5, &description());

    let refused = decode(&with_member(&neither));

    assert_eq!(refused, Err(DecodeError::Contradiction { part: "member" }));
}

#[test]
fn a_noop_that_says_something_is_refused() {
    let refused = decode(&with_entry(&entry().without(3).number(3, 1)));

    assert_eq!(refused, Err(DecodeError::Contradiction { part: "no-op" }));
}

#[test]
fn a_wish_to_join_with_an_overlong_key_is_refused() {
    let keyed = description().bytes(1, &[0; 33]);
    let body = Fields::default().message(2, &keyed);

    assert_eq!(
        decode(&request(32, &body)),
        Err(DecodeError::BadLength {
            field: "public key",
            bytes: 33
        })
    );
}

#[test]
fn an_unknown_answer_to_a_wish_to_join_is_refused() {
    let body = Fields::default().number(1, 99);

    assert_eq!(
        decode(&request(33, &body)),
        Err(DecodeError::UnknownKind {
            part: "answer to a wish to join",
            number: 99
        })
    );
}

/// How long a chunk of 1,000 bytes is, of a snapshot with this configuration, if it says what it is and if it does not.
fn chunk_lengths(configuration: Configuration) -> [usize; 2] {
    let metadata = SnapshotMetadata {
        last: LogPosition::new(Term(1000), Index(1_000_000)),
        stamp: ClusterTime(1 << 50),
        configuration: Arc::new(configuration),
        configuration_index: Index(999_000),
        length: 1 << 30,
        digest: 7,
    };
    [Some(metadata), None].map(|metadata| {
        let chunk = InstallSnapshot {
            round: Round(1_000_000),
            transfer: 1_000,
            metadata,
            offset: 1 << 29,
            data: Bytes::from(vec![0; 1_000]),
        };
        let message = Message {
            term: Term(1000),
            body: Body::InstallSnapshot(Box::new(chunk)),
        };
        wire::encode_content(&Content::Message(message)).len()
    })
}

#[test]
fn a_chunk_of_a_known_snapshot_is_as_long_as_its_data_and_a_little() {
    let key = |n: u16| PublicKey([n.to_be_bytes(); 16].as_flattened().try_into().unwrap());
    let member = |n| (key(n).server_id(), Member::voter(Description::of(key(n))));
    let many = Configuration::from_members((0..1_001).map(member));
    let dismissed = (3..)
        .map(|id| (ServerId(id), Dismissal::Removed))
        .take(DISMISSED_MAX);
    let few = Configuration::of_voters((0..3).map(ServerId)).with_dismissed(dismissed);

    let [many_told, many_known] = chunk_lengths(many);
    let [few_told, few_known] = chunk_lengths(few);

    assert!(
        many_told > 59_000 && few_told > 5_600,
        "{many_told} {few_told}"
    );
    assert_eq!((many_known, few_known), (1_024, 1_024));
}

#[test]
fn a_client_asks_one_thing_at_a_time_and_not_too_much() {
    let query = Fields::default().number(1, 1).bytes(2, b"q");
    let both = Fields::default()
        .number(1, 1)
        .bytes(2, b"c")
        .message(3, &query);
    let crowd = (0..=QUERIES_MAX).fold(Fields::default().number(1, 1), |fields, _| {
        fields.bytes(3, &[])
    });

    let part = "request of a client";
    assert_eq!(
        decode(&request(48, &both)),
        Err(DecodeError::Malformed { part })
    );
    let too_many = DecodeError::TooMany {
        items: "queries",
        count: QUERIES_MAX + 1,
        count_max: QUERIES_MAX,
    };
    assert_eq!(decode(&request(48, &crowd)), Err(too_many));
}

#[test]
fn a_view_of_a_crowd_is_counted_before_it_is_read() {
    let count = VIEW_MEMBERS_MAX + 1;
    let view = (0..count).fold(Fields::default().number(1, 5), |fields, _| {
        fields.bytes(3, &[])
    });
    let reply = Fields::default().number(1, 1).message(2, &view);

    let too_many = DecodeError::TooMany {
        items: "members",
        count,
        count_max: VIEW_MEMBERS_MAX,
    };
    assert_eq!(decode(&request(49, &reply)), Err(too_many));
}
