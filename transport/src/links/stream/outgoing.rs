//! Cuts the frames of a stream into segments, and sends again what is lost.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::super::packet::{FRAME_HEAD_BYTES, Status, frame_head};
use super::round_trip::RoundTrip;
use super::window::Window;
use super::{CREDIT_BYTES_INITIAL, SEGMENT_BYTES_MAX, StreamError, distance, length};
use crate::DeliveryClass;
use crate::carrier::Head;

/// Segments are not cut shorter than this for the sake of a small window, in bytes.
const SEGMENT_BYTES_MIN: usize = 1_024;

/// A segment whose frame has fewer bytes left than this is filled up with a copy of the frames that follow.
const COPIED_BYTES_MAX: usize = 1_024;

/// What a queued frame costs beside its bytes, as it counts towards the bound of the queue.
const FRAME_COST_BYTES: usize = 64;

/// After this many later segments a missing one is taken for lost (RFC 5681, 3.2).
const EARLY_OF_A_LOSS: u16 = 3;

/// The sending end of a stream.
#[derive(Debug)]
pub(in super::super) struct Outgoing {
    queue: Queue,
    /// The next bytes that are sent, unless there is something to repair.
    next: u64,
    /// All bytes before this offset were sent at least once.
    sent: u64,
    acknowledged: u64,
    credit: Credit,
    window: Window,
    round_trip: RoundTrip,
    /// Where segments that were sent once end, and when they were sent.
    flights: VecDeque<(u64, Duration)>,
    repair: Repair,
    /// When to do something about the silence of the receiver.
    deadline: Option<Duration>,
    limits: Limits,
}

#[derive(Debug)]
struct Limits {
    segment_bytes_max: usize,
    queue_bytes_max: usize,
    /// The channel loses nothing: nothing is ever sent again.
    is_reliable: bool,
}

/// How far the receiver lets us go.
#[derive(Debug)]
struct Credit {
    /// It takes bytes before this offset.
    until: u64,
    /// Whether it is to be asked for more.
    asks: bool,
    /// It was asked for more than this already.
    asked: Option<u64>,
}

/// What is sent again because later bytes have arrived.
#[derive(Debug, Default)]
struct Repair {
    range: Range<u64>,
    /// Where the repaired gap begins, and when its repair began.
    begun: Option<(u64, Duration)>,
}

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Segment {
    pub(in super::super) offset: u64,
    /// Its first bytes: what is in it of a frame's head.
    pub(in super::super) head: Head,
    /// Its other bytes.
    pub(in super::super) body: Bytes,
}

impl Outgoing {
    /// Makes the sending end of a stream whose segments have at most `segment_bytes_max` bytes.
    pub(in super::super) fn new(
        segment_bytes_max: usize,
        queue_bytes_max: usize,
        is_reliable: bool,
    ) -> Self {
        let segment_bytes_max = segment_bytes_max.min(SEGMENT_BYTES_MAX);
        Self {
            queue: Queue::default(),
            next: 0,
            sent: 0,
            acknowledged: 0,
            credit: Credit {
                until: distance(CREDIT_BYTES_INITIAL),
                asks: false,
                asked: None,
            },
            window: Window::new(),
            round_trip: RoundTrip::default(),
            flights: VecDeque::new(),
            repair: Repair::default(),
            deadline: None,
            limits: Limits {
                segment_bytes_max,
                queue_bytes_max,
                is_reliable,
            },
        }
    }

    /// Bounds the bytes under way by `bytes_max`, beside the credit that the receiver gives.
    pub(in super::super) fn within(mut self, bytes_max: usize) -> Self {
        self.window = self.window.within(bytes_max);
        self
    }

    /// Queues a frame. Returns false, having queued nothing, when there is no room.
    pub(in super::super) fn push(&mut self, class: DeliveryClass, frame: Bytes) -> bool {
        let has_room = frame.len() <= self.room();
        if has_room {
            self.queue.push(class, frame);
        }
        has_room
    }

    /// Returns the length of the longest frame that there is room for.
    pub(in super::super) fn room(&self) -> usize {
        self.limits
            .queue_bytes_max
            .saturating_sub(self.queue.cost + FRAME_COST_BYTES)
    }

    /// Returns true if all that was queued is acknowledged.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.queue.frames.is_empty()
    }

    /// Returns true if at least half of the queue is free.
    pub(in super::super) fn is_half_empty(&self) -> bool {
        2 * self.queue.cost <= self.limits.queue_bytes_max
    }

    /// Returns when [`on_deadline`](Self::on_deadline) has something to do.
    pub(in super::super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns true, once, if the receiver is to be asked for more credit.
    pub(in super::super) fn take_question(&mut self) -> bool {
        std::mem::take(&mut self.credit.asks)
    }

    /// Returns the next segment to send at `now`, if one may be sent.
    pub(in super::super) fn next_segment(&mut self, now: Duration) -> Option<Segment> {
        let range = self.next_range(now)?;
        let wanted = (self.window.bytes() / 4).max(SEGMENT_BYTES_MIN);
        let bytes_max = length(range.start, range.end)
            .min(wanted)
            .min(self.limits.segment_bytes_max);
        let segment = self.queue.cut(range.start, bytes_max);
        let end = segment.end();
        if self.repair.range.is_empty() {
            if range.start >= self.sent {
                self.flights.push_back((end, now));
            }
            self.next = end;
            self.sent = self.sent.max(end);
        } else {
            self.repair.range.start = end;
        }
        self.start_timer(now);
        Some(segment)
    }

    /// Takes up what the receiver tells.
    ///
    /// # Errors
    /// When that cannot be.
    pub(in super::super) fn on_status(
        &mut self,
        status: &Status,
        now: Duration,
    ) -> Result<(), StreamError> {
        let Status {
            acknowledged,
            gap_end,
            early,
            credit,
            ..
        } = *status;
        if acknowledged > self.sent {
            return Err(StreamError::AcknowledgedUnsent {
                acknowledged,
                sent: self.sent,
            });
        }
        if credit > self.credit.until {
            self.credit.until = credit;
            self.deadline = None;
        }
        if acknowledged > self.acknowledged {
            self.on_progress(acknowledged, now);
        }
        // An older status, overtaken by a newer one, tells of a gap that may be closed.
        let has_gap = acknowledged == self.acknowledged && gap_end > acknowledged;
        if has_gap && early >= EARLY_OF_A_LOSS && !self.limits.is_reliable {
            self.on_gap(acknowledged..gap_end.min(self.next), now);
        }
        self.start_timer(now);
        Ok(())
    }

    /// Does what is due at `now`: sends again what nothing was heard of, or asks for credit.
    pub(in super::super) fn on_deadline(&mut self, now: Duration) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.deadline = None;
        self.round_trip.on_timeout();
        if self.acknowledged < self.next && !self.limits.is_reliable {
            self.window.on_timeout(self.sent);
            self.rewind(self.acknowledged);
        } else {
            self.credit.asks = self.is_out_of_credit();
        }
        self.start_timer(now);
    }

    /// The bytes from this offset on were not sent, or are taken for lost: they are sent again.
    pub(in super::super) fn rewind(&mut self, offset: u64) {
        self.next = self.next.min(offset).max(self.acknowledged);
        self.repair = Repair::default();
        // Of what is sent twice nobody knows which one was acknowledged.
        self.flights.clear();
    }

    /// Returns the bytes to send next.
    fn next_range(&mut self, now: Duration) -> Option<Range<u64>> {
        if !self.repair.range.is_empty() {
            return Some(self.repair.range.clone());
        }
        let under_way = length(self.acknowledged, self.next);
        if self.next >= self.queue.end || under_way >= self.window.bytes() {
            return None;
        }
        if self.is_out_of_credit() {
            // At once, and again when nothing comes of it for long.
            self.credit.asks |= self.credit.asked.replace(self.next) != Some(self.next);
            self.start_timer(now);
            return None;
        }
        Some(self.next..self.queue.end.min(self.credit.until))
    }

    fn is_out_of_credit(&self) -> bool {
        self.next >= self.credit.until && self.next < self.queue.end
    }

    fn on_progress(&mut self, acknowledged: u64, now: Duration) {
        let under_way = length(self.acknowledged, self.next);
        let bytes = length(self.acknowledged, acknowledged);
        self.acknowledged = acknowledged;
        self.next = self.next.max(acknowledged);
        self.repair.range.start = self.repair.range.start.max(acknowledged);
        self.queue.forget(acknowledged);
        let mut sent_at = None;
        while let Some((end, at)) = self.flights.front()
            && *end <= acknowledged
        {
            sent_at = Some(*at);
            self.flights.pop_front();
        }
        if let Some(sent_at) = sent_at {
            let sample = now.saturating_sub(sent_at);
            self.round_trip.on_sample(sample);
            self.window.on_sample(sample, now, acknowledged, self.sent);
        }
        self.round_trip.on_progress();
        self.window.on_progress(bytes, under_way);
        self.deadline = None;
    }

    fn on_gap(&mut self, gap: Range<u64>, now: Duration) {
        if let Some((start, at)) = self.repair.begun
            && start == gap.start
            && now.saturating_sub(at) < self.round_trip.patience()
        {
            return;
        }
        self.window.on_loss(self.acknowledged, self.sent);
        self.flights.clear();
        self.repair = Repair {
            begun: Some((gap.start, now)),
            range: gap,
        };
    }

    /// Waits for the receiver, if there is something to wait for and nothing waits yet.
    fn start_timer(&mut self, now: Duration) {
        let is_waiting =
            (self.acknowledged < self.next && !self.limits.is_reliable) || self.is_out_of_credit();
        self.deadline = match self.deadline {
            Some(deadline) if is_waiting => Some(deadline),
            None if is_waiting => Some(now.saturating_add(self.round_trip.timeout())),
            _ => None,
        };
    }
}

impl Segment {
    /// Returns the offset of what follows.
    fn end(&self) -> u64 {
        self.offset + distance(self.head.as_bytes().len() + self.body.len())
    }
}

/// The frames that are not acknowledged, by where they are in the stream.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Queued>,
    /// Where the last of them ends.
    end: u64,
    /// Their bytes, and what they cost beside.
    cost: usize,
}

#[derive(Debug)]
struct Queued {
    start: u64,
    class: DeliveryClass,
    frame: Bytes,
}

impl Queued {
    fn head(&self) -> [u8; FRAME_HEAD_BYTES] {
        let length = u32::try_from(self.frame.len()).expect("a queue is far below 4 GiB");
        frame_head(self.class, length)
    }

    fn end(&self) -> u64 {
        self.start + distance(FRAME_HEAD_BYTES + self.frame.len())
    }
}

impl Queue {
    fn push(&mut self, class: DeliveryClass, frame: Bytes) {
        let queued = Queued {
            start: self.end,
            class,
            frame,
        };
        self.end = queued.end();
        self.cost += queued.frame.len() + FRAME_COST_BYTES;
        self.frames.push_back(queued);
    }

    /// Forgets the frames before an offset.
    fn forget(&mut self, acknowledged: u64) {
        while let Some(queued) = self.frames.front()
            && queued.end() <= acknowledged
        {
            self.cost -= queued.frame.len() + FRAME_COST_BYTES;
            self.frames.pop_front();
        }
    }

    /// Returns the segment at an offset: a part of one frame, or a copy of several.
    fn cut(&self, offset: u64, bytes_max: usize) -> Segment {
        let at = self.frames.partition_point(|queued| queued.end() <= offset);
        let first = &self.frames[at];
        let position = length(first.start, offset);
        let mut head = Head::default();
        if position < FRAME_HEAD_BYTES {
            let bytes = bytes_max.min(FRAME_HEAD_BYTES - position);
            head.push(&first.head()[position..][..bytes]);
        }
        let room = bytes_max - head.as_bytes().len();
        let rest = position.saturating_sub(FRAME_HEAD_BYTES)..first.frame.len();
        let body = rest.start..rest.end.min(rest.start + room);
        if rest.len() >= room || rest.len() >= COPIED_BYTES_MAX || at + 1 == self.frames.len() {
            return Segment {
                offset,
                head,
                body: first.frame.slice(body),
            };
        }
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(&first.frame[body]);
        for queued in self.frames.range(at + 1..) {
            for part in [&queued.head()[..], &queued.frame[..]] {
                bytes.extend_from_slice(&part[..part.len().min(room - bytes.len())]);
            }
            if bytes.len() == room {
                break;
            }
        }
        Segment {
            offset,
            head,
            body: bytes.into(),
        }
    }
}
