//! The bytes of each file, as `docs/storage.md` shows them. Whoever changes one changes `record::FORMAT` as well.

use std::fmt::Write as _;
use std::time::Duration;

use crate::configuration::History;
use crate::consensus::HardState;
use crate::identity::SECRET_KEY_BYTES;
use crate::ids::{ClusterId, Index, LogPosition, ServerId, Term};
use crate::storage::Bound;
use crate::storage::conformance::{boots, entry, metadata};
use crate::storage::disk::change::{Change, Shape, SnapshotRef};
use crate::storage::disk::header::{Header, Secret};
use crate::storage::disk::record::{FORMAT, PAGE_BYTES};
use crate::storage::disk::segment::{NewBatch, SegmentHead};
use crate::storage::disk::snapshot_file;
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

#[test]
fn a_header_has_the_bytes_of_its_format() {
    let mut secret = [0; SECRET_KEY_BYTES];
    for (byte, value) in secret.iter_mut().zip(0x10..) {
        *byte = value;
    }
    let header = Header {
        sequence: 1,
        secret: Secret(secret),
        bound: Bound {
            cluster: Some(ClusterId(0xc1)),
            history: Some(History(2)),
        },
        boot: 3,
        nonce: 4,
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
    };

    let page = header.encode();

    assert_eq!((FORMAT, page.len()), (3, PAGE_BYTES));
    assert_eq!(
        hex(&page),
        "6c69666572616674 4d813eb901000000 a800000000000000 0100000000000000 0300000000000000 \
         0700000000000000 0300000000000000 0400000000000000 0500000000000000 0600000000000000 \
         0700000000000000 0800000000000000 0900000000000000 0200000000000000 0000000000000000 \
         00000000000000c1 0000000000000000 000000000000005e 1011121314151617 18191a1b1c1d1e1f \
         2021222324252627 28292a2b2c2d2e2f 0000000000000000 00000000000000b0 0a00000000000000 \
         f5ffffffffffffff"
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
        "6c69666572616674 5926ffe602000000 4000000000000000 0100000000000000 0300000000000000 \
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
        "4176508904000000 1800000000000000 0900000000000000 0000000000000000 0200000000000000 \
         0800000000000000 2201000000000000 523e25da08000000 5300000000000000 0500000000000000 \
         0400000000000000 0300000000000000 080410051832223a 080112180a100000 0000000000000000 \
         0000000000011001 1800220012180a10 0000000000000000 0000000000000002 1001180022002080 \
         8040280130053dfb d293a343105dd606 0000000000000000 0000000600000000 0000000000000000 \
         00000061cd18a305 0000000f00000000 0000000600000000 0000000400000000 0000000804103c18 \
         022207636f6d6d61 6e64ac5920fe0700 0000000000000000 0000050000000000 0000000000000000 \
         000098ea6f150d00 0000200000000000 0000000000000000 0000000000000000 0000000000000000 \
         0000000000000000 00b00a0000000000 0000f5ffffffffff ffff"
    );
}

#[test]
fn a_snapshot_has_the_bytes_of_its_format() {
    let head = snapshot_file::encode_head(3);

    assert_eq!(
        hex(&head),
        "6c69666572616674 dfc3e92503000000 0000000000000000 0300000000000000 03"
    );
}
