use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::super::limits::LinkLimits;
use super::super::packet::{Status, frame_head};
use super::*;
use crate::DeliveryClass;
use crate::carrier::Packet;

const FRAME_BYTES_MAX: usize = 300_000;
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
const SEGMENT_BYTES: usize = 1_180;
const STREAM: DeliveryClass = DeliveryClass::Stream;

fn limits(frame_bytes_max: usize) -> LinkLimits {
    LinkLimits {
        datagram_frame_bytes_max: frame_bytes_max,
        stream_frame_bytes_max: frame_bytes_max,
        ..LinkLimits::default()
    }
}

/// What the medium does to each packet, in percent, and how long packets travel.
#[derive(Clone, Copy, Debug)]
struct Medium {
    lost: u32,
    doubled: u32,
    held_back: u32,
    delay: Duration,
}

const PERFECT: Medium = Medium {
    lost: 0,
    doubled: 0,
    held_back: 0,
    delay: Duration::from_millis(5),
};

#[derive(Clone)]
enum Flying {
    Segment(u64, Bytes),
    Status(Status),
}

/// A stream over a medium, in virtual time.
struct Line {
    outgoing: Outgoing,
    incoming: Incoming,
    medium: Medium,
    random: ChaCha8Rng,
    now: Duration,
    flying: BTreeMap<(Duration, u64), Flying>,
    flown: u64,
    delivered: Vec<(DeliveryClass, Bytes)>,
    unread: VecDeque<usize>,
    reads: bool,
}

impl Line {
    fn over(medium: Medium, seed: u64) -> Self {
        Self {
            outgoing: Outgoing::new(SEGMENT_BYTES, QUEUE_BYTES_MAX, false),
            incoming: Incoming::new(limits(FRAME_BYTES_MAX)),
            medium,
            random: ChaCha8Rng::seed_from_u64(seed),
            now: Duration::ZERO,
            flying: BTreeMap::new(),
            flown: 0,
            delivered: Vec::new(),
            unread: VecDeque::new(),
            reads: true,
        }
    }

    fn send(&mut self, frame: &Bytes) {
        assert!(
            self.outgoing.push(STREAM, frame.clone()),
            "the queue has room"
        );
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.random.next_u32() % 100 < percent
    }

    fn fly(&mut self, packet: &Flying) {
        if self.happens(self.medium.lost) {
            return;
        }
        let copies = if self.happens(self.medium.doubled) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let held_back = if self.happens(self.medium.held_back) {
                4
            } else {
                1
            };
            self.flown += 1;
            let at = self.now + held_back * self.medium.delay;
            self.flying.insert((at, self.flown), packet.clone());
        }
    }

    /// Runs until nothing is under way or due, or for a time.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some(Segment { offset, head, body }) = self.outgoing.next_segment(self.now) {
                self.fly(&Flying::Segment(
                    offset,
                    Packet {
                        head,
                        body: body.into(),
                    }
                    .into_bytes(),
                ));
            }
            if self.outgoing.take_question() {
                self.fly(&Flying::Status(Status {
                    asks: true,
                    ..Status::default()
                }));
            }
            let arrives = self.flying.first_key_value().map(|((at, _), _)| *at);
            let next = arrives.into_iter().chain(self.outgoing.deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.outgoing.on_deadline(self.now);
            while let Some(entry) = self.flying.first_entry()
                && entry.key().0 <= self.now
            {
                let packet = entry.remove();
                self.arrive(packet);
            }
        }
    }

    fn arrive(&mut self, packet: Flying) {
        match packet {
            Flying::Segment(offset, bytes) => {
                let (delivered, unread) = (&mut self.delivered, &mut self.unread);
                let mut deliver = |class, frame: Bytes| {
                    unread.push_back(frame.len());
                    delivered.push((class, frame));
                };
                self.incoming
                    .on_segment(offset, bytes, &mut deliver)
                    .expect("the sender keeps to the rules");
                if self.reads {
                    self.read_all();
                }
                let status = self.incoming.status();
                self.fly(&Flying::Status(status));
            }
            Flying::Status(status) if status.asks => {
                self.incoming.on_asked();
                let status = self.incoming.status();
                self.fly(&Flying::Status(status));
            }
            Flying::Status(status) => {
                self.outgoing
                    .on_status(&status, self.now)
                    .expect("the receiver keeps to the rules");
            }
        }
    }

    fn read_all(&mut self) {
        while let Some(bytes) = self.unread.pop_front() {
            let (delivered, unread) = (&mut self.delivered, &mut self.unread);
            let mut deliver = |class, frame: Bytes| {
                unread.push_back(frame.len());
                delivered.push((class, frame));
            };
            if self.incoming.on_taken(bytes, &mut deliver) {
                let status = self.incoming.status();
                self.fly(&Flying::Status(status));
            }
        }
    }

    fn frames(&self) -> Vec<Bytes> {
        self.delivered
            .iter()
            .map(|(_, frame)| frame.clone())
            .collect()
    }
}

fn frame(bytes: usize, seed: u8) -> Bytes {
    (0..=250)
        .cycle()
        .take(bytes)
        .map(|byte: u8| byte ^ seed)
        .collect()
}

#[test]
fn frames_of_all_lengths_arrive_in_order() {
    let mut line = Line::over(PERFECT, 1);
    let sent: Vec<Bytes> = [0, 1, 5, 1_024, 1_180, 70_000, 3, 0, FRAME_BYTES_MAX]
        .map(|bytes| frame(bytes, 7))
        .into();

    sent.iter().for_each(|frame| line.send(frame));
    line.run_for(Duration::from_secs(10));

    assert_eq!(line.frames(), sent);
}

#[test]
fn the_credit_grows_while_it_holds_the_sender_up() {
    let mut line = Line::over(
        Medium {
            delay: Duration::from_millis(100),
            ..PERFECT
        },
        1,
    );

    (0..13).for_each(|seed| line.send(&frame(FRAME_BYTES_MAX, seed)));
    line.run_for(Duration::from_secs(30));

    assert_eq!(line.delivered.len(), 13);
    assert!(line.incoming.status().credit - line.incoming.status().acknowledged > 500_000);
}

#[test]
fn a_receiver_that_does_not_read_stops_the_sender() {
    let mut line = Line::over(PERFECT, 1);
    line.reads = false;
    (0..100).for_each(|seed| line.send(&frame(30_000, seed)));

    line.run_for(Duration::from_secs(60));
    let unread: usize = line.unread.iter().sum();
    assert!(
        unread <= CREDIT_BYTES_INITIAL + 30_000,
        "{unread} bytes wait"
    );
    assert!(!line.outgoing.is_half_empty());

    line.reads = true;
    line.read_all();
    line.run_for(Duration::from_secs(60));
    assert_eq!(line.delivered.len(), 100);
}

#[test]
fn a_lost_segment_is_repaired_without_a_timeout() {
    let mut line = Line::over(PERFECT, 1);
    line.send(&frame(100_000, 1));
    line.run_for(Duration::from_millis(1));

    line.flying.pop_first();
    line.run_for(Duration::from_millis(150));

    assert_eq!(line.delivered.len(), 1);
}

#[test]
fn a_frame_that_fits_a_segment_is_not_copied() {
    let sent = frame(10_000, 1);
    let mut outgoing = Outgoing::new(SEGMENT_BYTES_MAX, QUEUE_BYTES_MAX, true);
    outgoing.push(STREAM, sent.clone());

    let segment = outgoing
        .next_segment(Duration::ZERO)
        .expect("it may be sent");

    assert_eq!(segment.head.as_bytes(), frame_head(STREAM, 10_000));
    assert_eq!(segment.body.as_ptr(), sent.as_ptr());
}

#[test]
fn small_frames_share_a_segment() {
    let mut outgoing = Outgoing::new(SEGMENT_BYTES, QUEUE_BYTES_MAX, false);
    (0..300).for_each(|_| assert!(outgoing.push(STREAM, Bytes::from_static(b"abc"))));

    let segment = outgoing
        .next_segment(Duration::ZERO)
        .expect("it may be sent");

    assert_eq!(
        segment.head.as_bytes().len() + segment.body.len(),
        SEGMENT_BYTES
    );
}

#[test]
fn nothing_is_sent_again_where_nothing_is_lost() {
    let mut outgoing = Outgoing::new(SEGMENT_BYTES, QUEUE_BYTES_MAX, true);
    outgoing.push(STREAM, Bytes::from_static(b"abc"));
    let _sent = outgoing.next_segment(Duration::ZERO);

    assert_eq!(outgoing.deadline(), None);
}

#[test]
fn what_the_carrier_refused_is_sent_again() {
    let mut outgoing = Outgoing::new(SEGMENT_BYTES, QUEUE_BYTES_MAX, true);
    outgoing.push(STREAM, frame(5_000, 1));
    let first = outgoing.next_segment(Duration::ZERO);
    let second = outgoing
        .next_segment(Duration::ZERO)
        .expect("there is more");

    outgoing.rewind(second.offset);

    assert!(first.is_some_and(|first| first.offset == 0));
    assert_eq!(outgoing.next_segment(Duration::ZERO), Some(second));
}

#[test]
fn a_peer_that_breaks_the_rules_is_told_apart() {
    let mut incoming = Incoming::new(limits(1_000));
    let mut outgoing = Outgoing::new(SEGMENT_BYTES, QUEUE_BYTES_MAX, false);
    let mut on_segment = |offset, bytes: &[u8]| {
        incoming.on_segment(offset, Bytes::copy_from_slice(bytes), &mut |_, _| {})
    };

    let beyond = on_segment(u64::MAX, b"abc");
    let unknown = on_segment(0, b"\x02\0\0\0\x01");
    let unsent = outgoing.on_status(
        &Status {
            acknowledged: 1,
            ..Status::default()
        },
        Duration::ZERO,
    );

    let credit = distance(CREDIT_BYTES_INITIAL);
    assert_eq!(
        beyond,
        Err(StreamError::BeyondCredit {
            offset: u64::MAX,
            credit
        })
    );
    assert_eq!(unknown, Err(StreamError::UnknownClass));
    assert_eq!(
        unsent,
        Err(StreamError::AcknowledgedUnsent {
            acknowledged: 1,
            sent: 0
        })
    );
}

#[test]
fn a_frame_longer_than_allowed_is_refused_by_its_head() {
    let mut incoming = Incoming::new(limits(1_000));
    let head = Bytes::copy_from_slice(&frame_head(STREAM, u32::MAX));

    let refused = incoming.on_segment(0, head, &mut |_, _| {});

    assert!(matches!(
        refused,
        Err(StreamError::FrameTooLong {
            bytes_max: 1_000,
            ..
        })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_stream_arrives_once_in_order_and_whole(
        seed: u64,
        lost in 0_u32..30,
        doubled in 0_u32..30,
        held_back in 0_u32..50,
        lengths in proptest::collection::vec(0_usize..20_000, 1..30),
    ) {
        let medium = Medium { lost, doubled, held_back, delay: Duration::from_millis(7) };
        let mut line = Line::over(medium, seed);
        let sent: Vec<Bytes> =
            lengths.iter().zip(0..).map(|(bytes, seed)| frame(*bytes, seed)).collect();

        sent.iter().for_each(|frame| line.send(frame));
        line.run_for(Duration::from_secs(600));

        prop_assert_eq!(line.frames(), sent);
        prop_assert_eq!(line.outgoing.room(), Outgoing::new(1, QUEUE_BYTES_MAX, false).room());
    }

    #[test]
    fn a_hostile_sender_costs_a_bounded_number_of_bytes(
        segments in proptest::collection::vec((0_u64..200_000, 0_usize..70_000), 0..200),
    ) {
        let mut incoming = Incoming::new(limits(1_000));

        for (offset, bytes) in segments {
            let _refused = incoming.on_segment(offset, Bytes::from(vec![0; bytes]), &mut |_, _| {});
            prop_assert!(incoming.kept_bytes() <= CREDIT_BYTES_MAX + 1_000);
        }
    }

    #[test]
    fn hostile_statuses_never_panic(
        offsets in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u16>()), 0..40),
    ) {
        let mut outgoing = Outgoing::new(SEGMENT_BYTES, QUEUE_BYTES_MAX, false);
        outgoing.push(STREAM, frame(100_000, 1));

        for (now, (acknowledged, gap_end, credit, early)) in (0..).zip(offsets) {
            let acknowledged = acknowledged % 20_000;
            let gap_end = acknowledged.saturating_add(gap_end % 50_000);
            let status = Status { acknowledged, gap_end, early, credit, asks: false };
            let _refused = outgoing.on_status(&status, Duration::from_millis(now));
            let _segments = std::iter::from_fn(|| outgoing.next_segment(Duration::from_millis(now))).count();
        }
    }
}

/// Gives a receiver, which has given all the credit that it gives, empty frames up to that.
fn full_of_empty_frames() -> (Incoming, u64, u64) {
    let mut incoming = Incoming::new(limits(0));
    let heads = Bytes::from(frame_head(STREAM, 0).repeat(3_000));
    let (mut sent, mut delivered) = (0, 0);
    for _ in 0..5 {
        incoming.on_asked();
    }
    let credit = incoming.status().credit;
    while sent + distance(heads.len()) <= credit {
        let mut deliver = |_, _| delivered += 1;
        let taken = incoming.on_segment(sent, heads.clone(), &mut deliver);
        taken.expect("the sender keeps to the rules");
        sent += distance(heads.len());
    }
    (incoming, sent, delivered)
}

#[test]
fn empty_frames_that_nobody_reads_are_bounded() {
    let (_, _, delivered) = full_of_empty_frames();

    // One segment more than the 16,384 at most, as each is delivered whole.
    assert!(delivered < 16_384 + 3_000, "{delivered} wait");
}

#[test]
fn frames_that_are_held_back_arrive_as_others_are_read() {
    let (mut incoming, sent, mut delivered) = full_of_empty_frames();
    let mut taken = 0;

    while taken < delivered {
        taken += 1;
        incoming.on_taken(0, &mut |_, _| delivered += 1);
    }

    assert_eq!(5 * taken, sent);
    let credit = incoming.status().credit;
    assert_eq!(credit, sent + distance(CREDIT_BYTES_MAX));
}
