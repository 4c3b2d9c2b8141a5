//! Puts the segments of a stream together, and gives credit for more.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};

use super::super::limits::{FRAME_COST_BYTES, LinkLimits};
use super::super::packet::{FRAME_HEAD_BYTES, Status, read_frame_head};
use super::{
    CREDIT_BYTES_INITIAL, CREDIT_BYTES_MAX, EARLY_SEGMENTS_MAX, SEGMENT_BYTES_MAX, StreamError,
    distance, length,
};
use crate::DeliveryClass;

/// While so many frames wait unread, those that arrive stay bytes of the stream: an empty frame takes five bytes of
/// credit, and costs the member [`FRAME_COST_BYTES`].
const UNREAD_FRAMES_MAX: usize = CREDIT_BYTES_MAX / FRAME_COST_BYTES;

/// The receiving end of a stream.
#[derive(Debug)]
pub(in super::super) struct Incoming {
    /// All bytes before this offset have arrived.
    next: u64,
    /// What arrived after a gap, by its offset.
    early: BTreeMap<u64, Bytes>,
    early_bytes: usize,
    /// What arrived in order while too many frames waited: the bytes before [`next`](Self::next).
    held: BytesMut,
    frame: PartialFrame,
    unread_frames: usize,
    /// The bytes of whole frames that the member has not taken, with their heads.
    unread: usize,
    /// How many bytes beyond those that the member has taken the sender may send.
    window: usize,
    /// The offset up to which credit was given. It never decreases.
    credit: u64,
}

/// A frame of which not all bytes have arrived.
#[derive(Debug)]
struct PartialFrame {
    limits: LinkLimits,
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    body: BytesMut,
}

impl Incoming {
    /// Makes the receiving end of a stream whose frames are as long as `limits` allow.
    pub(in super::super) fn new(limits: LinkLimits) -> Self {
        let head = [0; FRAME_HEAD_BYTES];
        Self {
            next: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
            held: BytesMut::new(),
            frame: PartialFrame {
                limits,
                head,
                head_bytes: 0,
                body: BytesMut::new(),
            },
            unread_frames: 0,
            unread: 0,
            window: CREDIT_BYTES_INITIAL,
            credit: distance(CREDIT_BYTES_INITIAL),
        }
    }

    /// Takes up bytes of the stream, and delivers the frames that are whole with them.
    ///
    /// # Errors
    /// When the peer breaks a rule: the stream is of no use any more.
    pub(in super::super) fn on_segment(
        &mut self,
        offset: u64,
        bytes: Bytes,
        deliver: &mut impl FnMut(DeliveryClass, Bytes),
    ) -> Result<(), StreamError> {
        let end = offset.saturating_add(distance(bytes.len()));
        if end > self.credit {
            return Err(StreamError::BeyondCredit {
                offset: end,
                credit: self.credit,
            });
        }
        if offset > self.next {
            self.keep_early(offset, bytes);
            return Ok(());
        }
        self.append(offset, bytes, deliver)?;
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() > self.next {
                break;
            }
            let (offset, bytes) = entry.remove_entry();
            self.early_bytes -= bytes.len();
            self.append(offset, bytes, deliver)?;
        }
        Ok(())
    }

    /// The member has taken a frame of this length: frames that were held take its place. Returns true if the sender
    /// should be told of the room.
    pub(in super::super) fn on_taken(
        &mut self,
        frame_bytes: usize,
        deliver: &mut impl FnMut(DeliveryClass, Bytes),
    ) -> bool {
        self.unread = self.unread.saturating_sub(FRAME_HEAD_BYTES + frame_bytes);
        self.unread_frames = self.unread_frames.saturating_sub(1);
        // A rule that the held bytes break is broken for good: the next segment tells.
        let _ = self.deliver_held(deliver);
        length(self.credit, self.possible_credit()) >= self.window / 2
    }

    /// The sender is held up by its credit: it gets more from now on, unless it is the member that does not read.
    pub(in super::super) fn on_asked(&mut self) {
        if self.unread == 0 && self.held.is_empty() {
            self.window = (2 * self.window).min(CREDIT_BYTES_MAX);
        }
    }

    /// Returns what to tell the sender, and gives it the credit that this names.
    pub(in super::super) fn status(&mut self) -> Status {
        self.credit = self.credit.max(self.possible_credit());
        Status {
            acknowledged: self.next,
            gap_end: self
                .early
                .first_key_value()
                .map_or(self.next, |(offset, _)| *offset),
            early: u16::try_from(self.early.len()).unwrap_or(u16::MAX),
            credit: self.credit,
            asks: false,
        }
    }

    /// Returns how many bytes are kept of frames that are not whole.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.early_bytes + self.frame.body.len()
    }

    /// A frame that is not whole takes no credit, so that one longer than the window arrives.
    fn possible_credit(&self) -> u64 {
        let taken = self.next - distance(self.unread + self.held.len());
        taken.saturating_add(distance(self.window)).max(self.next)
    }

    /// Keeps bytes after a gap, unless too many are kept: then they are sent again.
    fn keep_early(&mut self, offset: u64, bytes: Bytes) {
        let has_room = self.early.len() < EARLY_SEGMENTS_MAX
            && self.early_bytes + bytes.len() <= CREDIT_BYTES_MAX;
        let is_longer = self
            .early
            .get(&offset)
            .is_none_or(|kept| kept.len() < bytes.len());
        if bytes.is_empty() || !has_room || !is_longer {
            return;
        }
        self.early_bytes += bytes.len();
        if let Some(replaced) = self.early.insert(offset, bytes) {
            self.early_bytes -= replaced.len();
        }
    }

    /// Appends the bytes that have not arrived yet, of some that begin where all before them have.
    fn append(
        &mut self,
        offset: u64,
        mut bytes: Bytes,
        deliver: &mut impl FnMut(DeliveryClass, Bytes),
    ) -> Result<(), StreamError> {
        let known = length(offset, self.next);
        if known >= bytes.len() {
            return Ok(());
        }
        bytes.advance(known);
        self.next += distance(bytes.len());
        if self.held.is_empty() && self.has_room() {
            return self.deliver_whole(bytes, deliver);
        }
        self.held.extend_from_slice(&bytes);
        self.deliver_held(deliver)
    }

    /// Delivers frames of what is held, a segment at a time, until too many wait again.
    fn deliver_held(
        &mut self,
        deliver: &mut impl FnMut(DeliveryClass, Bytes),
    ) -> Result<(), StreamError> {
        while !self.held.is_empty() && self.has_room() {
            let bytes = self.held.len().min(SEGMENT_BYTES_MAX);
            // A copy, so that no frame keeps all that is held in memory.
            let segment = Bytes::copy_from_slice(&self.held[..bytes]);
            self.held.advance(bytes);
            self.deliver_whole(segment, deliver)?;
        }
        Ok(())
    }

    /// Delivers the frames that are whole with these bytes.
    fn deliver_whole(
        &mut self,
        mut bytes: Bytes,
        deliver: &mut impl FnMut(DeliveryClass, Bytes),
    ) -> Result<(), StreamError> {
        while let Some((class, frame)) = self.frame.take(&mut bytes)? {
            self.unread += FRAME_HEAD_BYTES + frame.len();
            self.unread_frames += 1;
            deliver(class, frame);
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.unread_frames < UNREAD_FRAMES_MAX
    }
}

impl PartialFrame {
    /// Takes bytes up to the end of a frame. Returns the frame if it is whole then.
    fn take(&mut self, bytes: &mut Bytes) -> Result<Option<(DeliveryClass, Bytes)>, StreamError> {
        let head_bytes = bytes.len().min(FRAME_HEAD_BYTES - self.head_bytes);
        bytes.copy_to_slice(&mut self.head[self.head_bytes..][..head_bytes]);
        self.head_bytes += head_bytes;
        if self.head_bytes < FRAME_HEAD_BYTES {
            return Ok(None);
        }
        let (class, length) = read_frame_head(self.head).ok_or(StreamError::UnknownClass)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes_max = self.limits.frame_bytes_max(class);
        if length > bytes_max {
            return Err(StreamError::FrameTooLong {
                bytes: length,
                bytes_max,
            });
        }
        let missing = length - self.body.len();
        let frame = if bytes.len() < missing {
            // It grows with what arrives, not with what the head promises.
            self.body.extend_from_slice(bytes);
            bytes.clear();
            return Ok(None);
        } else if self.body.is_empty() && 2 * missing >= bytes.len() {
            bytes.split_to(missing)
        } else {
            // A short frame is copied, so that it does not keep all of a long packet in memory.
            self.body.extend_from_slice(&bytes[..missing]);
            bytes.advance(missing);
            std::mem::take(&mut self.body).freeze()
        };
        self.head_bytes = 0;
        Ok(Some((class, frame)))
    }
}
