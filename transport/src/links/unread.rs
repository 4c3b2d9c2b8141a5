//! Keeps the events that the member has not taken.

use std::collections::VecDeque;

use super::event::LinkEvent;
use super::limits::UNREAD_EVENTS_MAX;
use super::link::Delivered;
use crate::ServerId;

/// The events, in the order in which they happened.
///
/// Frames are bounded by their links, which are told when one is taken. Other events are few: while too many wait,
/// those that can be done without are dropped and no new link is accepted.
#[derive(Debug, Default)]
pub(super) struct UnreadEvents {
    queue: VecDeque<(LinkEvent, Source)>,
    others: usize,
}

/// How an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stream,
    Datagram,
    Links,
}

/// A frame that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) generation: u64,
    pub(super) bytes: usize,
    pub(super) is_of_stream: bool,
}

impl UnreadEvents {
    pub(super) fn push(&mut self, event: LinkEvent) {
        self.others += 1;
        self.queue.push_back((event, Source::Links));
    }

    pub(super) fn push_frame(&mut self, from: ServerId, generation: u64, delivered: Delivered) {
        let Delivered {
            class,
            frame,
            is_of_stream,
        } = delivered;
        let source = if is_of_stream {
            Source::Stream
        } else {
            Source::Datagram
        };
        let frame = LinkEvent::Frame {
            from,
            generation,
            class,
            frame,
        };
        self.queue.push_back((frame, source));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns true if no more links may be accepted.
    pub(super) fn is_full(&self) -> bool {
        self.others >= UNREAD_EVENTS_MAX
    }

    /// Takes the next event, and tells what was taken with it.
    pub(super) fn pop(&mut self) -> Option<(LinkEvent, Option<Taken>)> {
        let (event, source) = self.queue.pop_front()?;
        let taken = match &event {
            LinkEvent::Frame {
                generation, frame, ..
            } => Some(Taken {
                generation: *generation,
                bytes: frame.len(),
                is_of_stream: source == Source::Stream,
            }),
            _ => None,
        };
        self.others -= usize::from(source == Source::Links);
        Some((event, taken))
    }

    /// Forgets the frames of a peer's earlier link, so that one that returns again and again costs no more than one
    /// that stays.
    pub(super) fn forget_frames_of(&mut self, peer: ServerId) {
        self.queue
            .retain(|(event, _)| !matches!(event, LinkEvent::Frame { from, .. } if *from == peer));
    }
}
