//! The memory transport keeps every promise, and the kit notices each way of breaking one.

mod flawed;
mod lazy;

use std::time::Duration;

use liferaft_transport::conformance::{Fixture, Promise, Violation, check, check_all};
use liferaft_transport::memory::{
    Delay, Faults, LINK_BYTES_MAX, MemoryNetwork, MemoryTransport, Probability, QUEUE_BYTES_MAX,
};
use liferaft_transport::{ServerId, Transport};

use flawed::{Flaw, Flawed};
use lazy::Lazy;

/// Memory networks with these faults.
struct Memory {
    faults: Faults,
}

impl Fixture for Memory {
    type End = MemoryTransport;

    async fn connect(&mut self, ends: usize) -> Vec<MemoryTransport> {
        let network = MemoryNetwork::new(0);
        network.set_faults(self.faults);
        let peers = (1..).map(ServerId).take(ends);
        peers
            .map(|peer| network.attach(peer).expect("each peer is attached once"))
            .collect()
    }

    fn unread_bytes_max(&self) -> usize {
        LINK_BYTES_MAX + QUEUE_BYTES_MAX
    }
}

/// Memory transports with one flaw.
struct Broken(Flaw);

impl Fixture for Broken {
    type End = Flawed<MemoryTransport>;

    async fn connect(&mut self, ends: usize) -> Vec<Self::End> {
        let ends = Memory {
            faults: Faults::none(),
        }
        .connect(ends)
        .await;
        let peers: Vec<ServerId> = ends.iter().map(Transport::local).collect();
        ends.into_iter()
            .map(|end| Flawed::new(end, self.0, peers.clone()))
            .collect()
    }
}

/// Memory transports that do nothing unless they are polled.
struct Polled;

impl Fixture for Polled {
    type End = Lazy<MemoryTransport>;

    async fn connect(&mut self, ends: usize) -> Vec<Self::End> {
        let faults = Faults::none();
        let ends = Memory { faults }.connect(ends).await;
        ends.into_iter().map(Lazy::new).collect()
    }
}

async fn broken_promise(promise: Promise, flaw: Flaw) -> Option<Promise> {
    check(promise, &mut Broken(flaw))
        .await
        .err()
        .map(|violation| violation.promise)
}

#[tokio::test(start_paused = true)]
async fn the_memory_transport_keeps_every_promise() {
    assert_eq!(
        check_all(&mut Memory {
            faults: Faults::none()
        })
        .await,
        Ok(())
    );
}

#[tokio::test(start_paused = true)]
async fn the_memory_transport_keeps_every_promise_over_lossy_and_slow_links() {
    let faults = Faults::none()
        .with_loss(Probability::percent(20))
        .with_duplication(Probability::percent(10))
        .with_reordering(Probability::percent(10))
        .with_delay(Delay::uniform(Duration::ZERO..=Duration::from_millis(30)));

    assert_eq!(check_all(&mut Memory { faults }).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_without_a_flaw_keeps_every_promise() {
    assert_eq!(check_all(&mut Broken(Flaw::None)).await, Ok(()));
}

/// A transport over a bare socket sends, receives and greets in `poll_event`: both ends of a link must be polled for
/// either to make progress.
#[tokio::test(start_paused = true)]
async fn a_transport_that_works_only_while_it_is_polled_passes() {
    assert_eq!(check_all(&mut Polled).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_violation_says_what_happened() {
    let violation = check(
        Promise::EmptyFramesArrive,
        &mut Broken(Flaw::DropsEmptyFrames),
    )
    .await;

    let violation = violation.expect_err("empty frames do not arrive");
    assert_eq!(
        violation.to_string(),
        "empty frames arrive: a Datagram frame of 0 bytes did not arrive in 10s"
    );
}

#[tokio::test(start_paused = true)]
async fn one_broken_promise_does_not_hide_the_others() {
    let violations = check_all(&mut Broken(Flaw::DropsEmptyFrames)).await;

    let violations = violations.expect_err("empty frames do not arrive").0;
    let promises: Vec<Promise> = violations
        .iter()
        .map(|Violation { promise, .. }| *promise)
        .collect();
    assert_eq!(promises, [Promise::EmptyFramesArrive]);
}

/// For each flaw a test that the check of the promise that it breaks notices it.
macro_rules! flaws_that_break {
    ($($name:ident: $flaw:ident => $promise:ident;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let broken = broken_promise(Promise::$promise, Flaw::$flaw).await;

            assert_eq!(broken, Some(Promise::$promise));
        }
    )*};
}

flaws_that_break! {
    an_end_that_does_not_tell_of_peers_is_noticed: HidesPeersThatComeUp => PeersComeUp;
    an_end_that_tells_of_peers_twice_is_noticed: TellsTwiceOfPeers => PeersComeUp;
    lost_datagrams_are_noticed: LosesDatagrams => FramesArrive;
    lost_stream_frames_are_noticed: LosesStreamFrames => FramesArrive;
    eavesdroppers_are_noticed: TellsEveryone => FramesArriveAtTheirReceiver;
    forged_senders_are_noticed: ForgesSenders => SendersAreTrue;
    confused_classes_are_noticed: ConfusesClasses => ClassesAreTrue;
    split_frames_are_noticed: SplitsFrames => FramesAreWhole;
    merged_frames_are_noticed: MergesFrames => FramesAreWhole;
    damaged_frames_are_noticed: DamagesFrames => FramesAreWhole;
    dropped_empty_frames_are_noticed: DropsEmptyFrames => EmptyFramesArrive;
    a_limit_that_is_not_reached_is_noticed: RefusesLargestFrames => LargestFramesArrive;
    a_limit_that_is_not_kept_is_noticed: AcceptsLongerFrames => LongerFramesAreRefused;
    a_stream_in_disorder_is_noticed: ReordersStreams => StreamsKeepOrder;
    a_stream_that_repeats_is_noticed: RepeatsStreamFrames => StreamsKeepOrder;
    a_stream_with_gaps_is_noticed: DropsEveryTenthFrame => StreamsKeepOrder;
    accepted_strangers_are_noticed: AcceptsStrangers => StrangersHaveNoLink;
    an_accepted_self_is_noticed: AcceptsItself => NobodyHasALinkToItself;
    endless_buffers_are_noticed: KeepsWithoutBound => UnreadFramesAreBounded;
    a_full_queue_that_stays_full_is_noticed: StaysFull => UnreadFramesAreBounded;
    lost_wakers_are_noticed: ForgetsWakers => WaitersAreWoken;
    hidden_leaves_are_noticed: HidesLeaves => LeavesAreSeen;
    links_to_those_who_left_are_noticed: AcceptsThoseWhoLeft => LeavesAreSeen;
    an_end_that_hears_few_peers_is_noticed: HearsOnlyThree => ManyPeersHearEachOther;
}
