//! The bytes of each file, as `docs/storage.md` shows them. Whoever changes one changes `record::FORMAT` as well.

use std::fmt::Write as _;
use std::time::Duration;

use crate::configuration::History;
use crate::consensus::HardState;
use crate::identity::SECRET_KEY_BYTES;
use crate::ids::{Boot, ClusterId, Index, LogPosition, ServerId, Starts, Term};
use crate::storage::Bound;
use crate::storage::conformance::{boots, entry, metadata};
use crate::storage::disk::header::{Header, Secret};
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::segment::{NewBatch, SegmentHead};
use crate::storage::disk::snapshot_file;
use crate::storage::records::change::{Change, Shape, SnapshotRef};
use crate::storage::records::record::FORMAT;
use crate::storage::{Snapshot, SnapshotName};

const SNAPSHOT: SnapshotRef = SnapshotRef {
    file: 3,
    last: LogPosition::new(Term(4), Index(5)),
};

/// The bytes before the padding, eight in a group.
pub(super) fn hex(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let mut text = String::new();
    for (at, byte) in bytes[..end].iter().enumerate() {
        let gap = if at > 0 && at % 8 == 0 { " " } else { "" };
        write!(text, "{gap}{byte:02x}").expect("a string takes anything");
    }
    text
}

fn header() -> Header {
    let mut secret = [0; SECRET_KEY_BYTES];
    for (byte, value) in secret.iter_mut().zip(0x10..) {
        *byte = value;
    }
    let newest = Boot {
        number: 3,
        nonce: 4,
    };
    Header {
        sequence: 1,
        secret: Secret(secret),
        bound: Bound {
            cluster: Some(ClusterId(0xc1)),
            history: Some(History(2)),
        },
        starts: Starts::new(newest, &[0xa1a2, 0xa3a4]).expect("it is the third"),
        mark: 5,
        segment: 6,
        hard_state: HardState {
            term: Term(7),
            voted_for: Some(ServerId(0x5e)),
            commit: Index(8),
            promise: Duration::from_nanos(9),
        },
        peer_boots: boots([(0xb0, 10)]),
        is_backup: false,
    }
}

#[test]
fn a_header_has_the_bytes_of_its_format() {
    let page = header().encode();

    assert_eq!((FORMAT, page.len()), (5, PAGE_BYTES));
    assert_eq!(
        hex(&page),
        "6c69666572616674 a81dfe8b01000000 ac00000000000000 0100000000000000 0500000000000000 \
         0700000002000000 0300000000000000 0400000000000000 0500000000000000 0600000000000000 \
         0700000000000000 0800000000000000 0900000000000000 0200000000000000 0000000000000000 \
         00000000000000c1 0000000000000000 000000000000005e 1011121314151617 18191a1b1c1d1e1f \
         2021222324252627 28292a2b2c2d2e2f a2a1a4a300000000 0000000000000000 000000b00a000000 \
         00000000f5ffffff ffffffff"
    );
}

#[test]
fn a_segment_has_the_bytes_of_its_format() {
    let head = SegmentHead {
        number: 1,
        salt: 2,
        bytes: 0x4000,
        first_batch: 6,
        shape: Shape {
            first: Index(7),
            next: Index(8),
            snapshot: Some(SNAPSHOT),
        },
    };

    let page = head.encode();

    assert_eq!(page.len(), PAGE_BYTES);
    assert_eq!(
        hex(&page),
        "6c69666572616674 a3c326b402000000 4000000000000000 0100000000000000 0500000000000000 \
         0200000000000000 0040000000000000 0600000000000000 0700000000000000 0800000000000000 \
         0300000000000000 0500000000000000 04"
    );
}

#[test]
fn a_batch_has_the_bytes_of_its_format() {
    let changes = [
        Change::Snapshot(Snapshot {
            name: SnapshotName(3),
            metadata: metadata(5, 4, b"state"),
        }),
        Change::Truncate(Index(6)),
        Change::Entry(entry(6, 4, "command")),
        Change::Compact(Index(5)),
        Change::PeerBoots(boots([(0xb0, 10)])),
    ];

    let batch = NewBatch::of(&changes).encode(9, 8, 2);

    assert_eq!(batch.len(), PAGE_BYTES);
    assert_eq!(
        hex(&batch),
        "0e63ffde04000000 1800000000000000 0900000000000000 0000000000000000 0200000000000000 \
         0800000000000000 2e01000000000000 89b8936708000000 5f00000000000000 0500000000000000 \
         0400000000000000 0300000000000000 0804100518322246 0802121c0a100000 0000000000000000 \
         0000000000011001 18002a0420012801 121c0a1000000000 0000000000000000 0000000210011800 \
         2a04200128012080 8040300138012801 30053dfbd293a343 105dd60600000000 0000000000000006 \
         0000000000000000 0000000000000061 cd18a3050000000f 0000000000000006 0000000000000004 \
         0000000000000008 04103c1802220763 6f6d6d616e64ac59 20fe070000000000 0000000000000500 \
         0000000000000000 00000000000098ea 6f150d0000002000 0000000000000000 0000000000000000 \
         0000000000000000 0000000000000000 0000000000b00a00 000000000000f5ff ffffffffffff"
    );
}

#[test]
fn a_snapshot_has_the_bytes_of_its_format() {
    let head = snapshot_file::encode_head(3);

    assert_eq!(
        hex(&head),
        "6c69666572616674 58ca86e303000000 0000000000000000 0300000000000000 05"
    );
}
