use core::time::Duration;

use liferaft_raft::ids::{Index, Term};
use liferaft_raft::state_machine::ApplyContext;
use liferaft_raft::time::ClusterTime;

use super::*;

fn encode(store: &Store) -> Vec<u8> {
    Encoding::of(store.clone()).collect::<Vec<_>>().concat()
}

fn at(index: u64) -> ApplyContext {
    ApplyContext {
        index: Index(index),
        term: Term(1),
        time: ClusterTime(1000 * index),
    }
}

/// A value, a sequence of two whose first is trimmed, a key with a lease, and one that was deleted.
fn sample() -> Store {
    let mut store = Store::new(StoreLimits::default(), 299);
    store.begin(at(1));
    store
        .set("a".into(), "1".into(), None)
        .expect("there is room");
    store.begin(at(2));
    let lease = store
        .grant_lease(Duration::from_secs(9))
        .expect("there is room");
    store.begin(at(3));
    let appended = ["x", "yz"].map(|value| store.append("s".into(), None, value.into()));
    assert!(appended.iter().all(Result::is_ok), "there is room");
    store.begin(at(4));
    store
        .set("e".into(), "2".into(), Some(lease))
        .expect("there is room");
    assert!(store.delete(&"a".into()), "it exists");
    store.begin(at(5));
    let trimmed = store.trim_before("s".into(), "1@300".parse().expect("a count"));
    assert_eq!(trimmed.map(|outcome| outcome.trimmed), Ok(1));
    store
}

fn decode(bytes: &[u8], limits: StoreLimits) -> Result<Store, RestoreError> {
    let mut decoding = Decoding::within(limits);
    decoding.take(bytes)?;
    decoding.finish()
}

#[test]
fn a_snapshot_is_decoded_wherever_its_pieces_are_cut() {
    let store = sample();
    let bytes = encode(&store);

    for length in 1..=bytes.len() {
        let mut decoding = Decoding::within(StoreLimits::default());
        for piece in bytes.chunks(length) {
            decoding.take(piece).expect("a snapshot begins like that");
        }

        assert_eq!(decoding.finish().expect("a snapshot"), store);
    }
}

#[test]
fn no_more_is_held_of_a_snapshot_than_an_item_that_has_not_ended() {
    let mut store = sample();
    for number in 0..1_000_u64 {
        store.begin(at(6 + number));
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        store
            .set(key, "a value".into(), None)
            .expect("there is room");
    }
    let mut decoding = Decoding::within(StoreLimits::default());

    let bytes = encode(&store);
    let held = bytes.chunks(100).map(|piece| {
        decoding.take(piece).expect("a snapshot begins like that");
        decoding.bytes_held()
    });

    let most = held.max().expect("it has pieces");
    assert!(most < 400, "{most} bytes");
}

#[test]
fn a_large_store_is_encoded_in_pieces_that_make_the_whole() {
    let mut store = sample();
    for number in 0..5_000_u64 {
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        store
            .set(key, "a value".into(), None)
            .expect("there is room");
    }

    let pieces: Vec<_> = Encoding::of(store.clone()).collect();

    assert!(pieces.len() > 3);
    let decoded = decode(&pieces.concat(), StoreLimits::default());
    assert_eq!(decoded.expect("a snapshot"), store);
}

#[track_caller]
fn assert_refused(bytes: &[u8], reason: &str) {
    let error = decode(bytes, StoreLimits::default()).expect_err("not a snapshot");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn the_encoding_of_snapshots_stays_as_it_is() {
    let encoded = encode(&sample());

    let expected: [&[u8]; 5] = [
        // Version 3, 300 sequences, 5 entries, 5 s; one lease, its name, 9 s, until 11 s.
        b"\x03\xac\x02\x05\x88\x27\x01\x02\xa8\x46\xf8\x55",
        // Nothing compacted, four revisions: a set; x and yz appended to s; e set and a deleted; s trimmed.
        b"\x00\x04\x01\x01\x01a\x00\x011\x01\x01\x00\x00",
        b"\x03\x02\x01s\x01\x01x\xac\x02\x01\x00\x01s\x01\x02yz\xac\x02\x02\x02\x03\x00\x01\x00\xac\x02\x01\
          \x04\x02\x01e\x00\x012\x04\x01\x02\x00\x01a\x02\x00\x01\x01\x00\x01\x00\x011",
        b"\x05\x01\x01s\x03\x01\xac\x02\x02\x02\x03\x00\x02\x00\xac\x02\x02",
        // Two keys.
        b"\x02\x01e\x04\x00\x01\x02\x00\x012\x01s\x03\x02\x03\x00\x01\xac\x02\x02\x01\x02yz",
    ];
    assert_eq!(encoded, expected.concat());
    assert_eq!(
        decode(&encoded, StoreLimits::default()).expect("a snapshot"),
        sample()
    );
}

#[test]
fn a_snapshot_that_is_cut_anywhere_is_refused() {
    let encoded = encode(&sample());

    for len in 0..encoded.len() {
        assert_refused(&encoded[..len], "too early");
    }
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused_with_the_reason() {
    // No sequences, nine entries, no leases, an empty history.
    const NINE: &[u8] = b"\x03\x00\x09\x00\x00\x00\x00";
    let refused = |rest: &[u8], reason| assert_refused(&[NINE, rest].concat(), reason);
    assert_refused(b"\x04\x00\x00", "version 4");
    assert_refused(
        b"\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00",
        "sequences made",
    );
    assert_refused(b"\x03\x00\x09\x00\x01\x00", "without a place");
    assert_refused(b"\x03\x00\x09\x00\x01\x01\x01\x00", "a lease lives between");
    assert_refused(b"\x03\x00\x09\x00\x00\x0a\x00\x00", "revision 10");
    assert_refused(b"\x03\x00\x09\x00\x00\x07\x01\x07\x01", "comes after 7");
    assert_refused(b"\x03\x00\x09\x00\x00\x00\x01\x07\x00", "changes nothing");
    assert_refused(
        b"\x03\x00\x09\x00\x00\x00\x01\x07\x01\x01a\x09",
        "a change of kind 9",
    );
    assert_refused(
        b"\x03\x00\x09\x00\x00\x00\x01\x07\x01\x01a\x02\x00\x09",
        "a past of kind 9",
    );
    assert_refused(
        b"\x03\x01\x09\x00\x00\x00\x01\x07\x01\x01a\x03\x02\x01\x01",
        "2 of 1 values trimmed",
    );
    refused(b"\x00\x00", "1 bytes too many");
    refused(b"\x01\x00", "empty");
    refused(b"\x02\x01b\x00\x00\x01\x00\x00\x00\x01a", "comes after");
    refused(b"\x02\x01a\x00\x00\x01\x00\x00\x00\x01a", "comes after");
    refused(b"\x01\x01a\x00\x00\x00", "version 0");
    refused(b"\x01\x01a\x08\x02\x01\x00", "future");
    refused(b"\x01\x01a\x00\x01\x01\x00", "after the store did");
    refused(b"\x01\x01a\x00\x00\x01\x04", "lease 4 has ended");
    refused(b"\x01\x01a\x00\x00\x01\x00\x02", "kind 2");
    refused(b"\x01\x01a\x00\x00\x01\x00\x01\x01\x01", "nothing made");
    refused(
        b"\x01\x01a\x00\x00\x01\x00\x00\xff\xff\xff\xff\x0f",
        "too early",
    );
    refused(b"\x80\x00", "padded");
    refused(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "64 bits");
    refused(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "too early");
}

#[test]
fn a_sequence_that_contradicts_the_rest_is_refused_with_the_reason() {
    const ONE_MADE: &[u8] = b"\x03\x01\x09\x00\x00\x00\x00\x01\x01a\x00\x00\x01\x00\x01";
    let refused = |rest: &[u8], reason| assert_refused(&[ONE_MADE, rest].concat(), reason);

    refused(b"\x00\x01", "nothing made");
    refused(b"\x02\x01", "nothing made");
    refused(b"\x01\x00", "nothing made");
    refused(b"\x01\xff\xff\xff\xff\x0f\x00", "4294967295 values");
    refused(
        b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "18446744073709551615 values",
    );
    refused(b"\x01\x02\x03", "3 of 2 values trimmed");
}

#[test]
fn a_snapshot_beyond_the_limits_is_refused() {
    let encoded = encode(&sample());
    let limits = StoreLimits::default();

    let refused = [
        StoreLimits {
            sequence_values_max: 0,
            ..limits
        },
        StoreLimits {
            sequence_bytes_max: 17,
            ..limits
        },
        StoreLimits {
            store_bytes_max: 100,
            ..limits
        },
        StoreLimits {
            history_changes_max: 4,
            ..limits
        },
        StoreLimits {
            history_bytes_max: 100,
            ..limits
        },
    ]
    .map(|limits| decode(&encoded, limits).map_err(|error| error.to_string()));

    assert!(refused.iter().all(Result::is_err), "{refused:?}");
}
