//! Shows what a leader makes of a peer, piece by piece.

use super::*;
use crate::consensus::SnapshotName;
use crate::ids::LogPosition;
use crate::message::SnapshotMetadata;
use crate::time::ClusterTime;

#[test]
fn a_late_refusal_never_moves_the_next_index_below_the_match() {
    let mut progress = Progress::new(Index(9), Standing::Member);
    progress.advance(Index(7), Index(7));

    progress.probe_from(Index(3));

    assert_eq!(progress.next_index, Index(8));
    assert_eq!(progress.match_index, Index(7));
}

#[test]
fn an_old_acknowledgement_changes_nothing() {
    let mut progress = Progress::new(Index(9), Standing::Member);
    progress.replicate_from(Index(5));
    assert!(progress.advance(Index(8), Index(9)));

    assert!(!progress.advance(Index(6), Index(6)));

    assert_eq!(
        (progress.match_index, progress.received),
        (Index(8), Index(9))
    );
    assert_eq!(progress.next_index, Index(10));
}

#[test]
fn the_window_is_freed_by_what_is_durable_and_forgets_what_is_sent_again() {
    let mut window = Window::default();
    window.add(Index(2), 100);
    window.add(Index(4), 100);
    assert!(!window.has_room(200));

    window.free_to(Index(3));
    assert_eq!(window.bytes, 100);

    window.forget_after(Index(3));
    assert_eq!(window.bytes, 0);
}

/// A snapshot of so many bytes on its way.
fn sending(length: usize, acked: u64, sent: u64) -> Sending {
    let metadata = SnapshotMetadata {
        last: LogPosition::ZERO,
        stamp: ClusterTime::ZERO,
        configuration: Arc::default(),
        configuration_index: Index::ZERO,
        length: length as u64,
        digest: 0,
    };
    let name = SnapshotName(1);
    Sending {
        transfer: 1,
        snapshot: Arc::new(Snapshot { metadata, name }),
        acked,
        received: acked,
        sent,
        read: Vec::new(),
        ask: false,
        known: false,
    }
}

#[test]
fn several_chunks_fill_a_window_and_the_next_waits_for_room() {
    let window = 8 * WINDOW_MIN;
    let next = |acked, sent| sending(10_000, acked, sent).next_chunk(window, u64::MAX);

    assert_eq!(next(0, 0), Some((0, 2048)));
    assert_eq!(next(0, 6144), Some((6144, 8192)));
    assert_eq!(next(0, 8192), None);
    assert_eq!(next(2048, 8192), Some((8192, 10_000)));
    assert_eq!(next(2048, 10_000), None);
}

#[test]
fn a_chunk_that_no_window_holds_is_sent_alone() {
    let next = |acked, sent| sending(10_000, acked, sent).next_chunk(100, u64::MAX);

    assert_eq!(next(0, 0), Some((0, WINDOW_MIN)));
    assert_eq!(next(0, WINDOW_MIN), None);
    assert_eq!(
        next(WINDOW_MIN, WINDOW_MIN),
        Some((WINDOW_MIN, 2 * WINDOW_MIN))
    );
}

#[test]
fn answers_out_of_order_are_taken_for_a_loss_only_when_there_are_several() {
    let mut progress = Progress::new(Index(9), Standing::Member);
    progress.replicate_from(Index(5));

    let shown = [
        progress.gap_shown(),
        progress.gap_shown(),
        progress.gap_shown(),
    ];

    assert_eq!(shown, [false, false, true]);
}
