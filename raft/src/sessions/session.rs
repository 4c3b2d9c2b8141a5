//! One session: what is acknowledged, and the replies that its member may not have seen yet.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use serde::Serialize;

use super::limits::{
    ORDERED_SESSION_EXPIRY, OUTSTANDING_MAX, REPLY_OVERHEAD_BYTES, SESSION_EXPIRY,
};
use crate::codec;
use crate::configuration::TokenKey;
use crate::ids::{Index, ServerId};
use crate::state_machine::ApplyContext;
use crate::time::ClusterTime;

/// A client, as the owner of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The id of the key that its link has proven.
    pub id: ServerId,
    /// The token that let its link in, whose quota the session counts against; `None`: an open cluster took it without
    /// one. The leader's word, not the client's.
    pub token: Option<TokenKey>,
}

/// One session of the table.
#[derive(Clone, Debug)]
pub(super) struct Session<R> {
    /// The client that it is of; `None`: a member's.
    pub(super) owner: Option<Owner>,
    pub(super) nonce: u128,
    pub(super) kind: Kind,
    /// The cluster time of the entry that used it last: what it expires by.
    pub(super) last_active: ClusterTime,
    /// The index of that entry: what it is evicted by.
    pub(super) last_used: Index,
    /// Every command up to here has been answered or given up: none of them is applied from here on.
    pub(super) acknowledged_through: u64,
    replies: Replies<R>,
}

/// In which order the commands of a session take effect, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Ordered,
}

/// Where a command stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has taken effect, and this is the place of its reply among those that are kept.
    Kept(usize),
    /// It may take effect, and its reply then has this place.
    Open(usize),
    /// It is counted as answered.
    Acknowledged,
    /// It is too far ahead of what is acknowledged.
    TooFarAhead,
    /// The command before it has not taken effect, and the session is ordered.
    Early,
}

/// Replies by the numbers of their commands, in ascending order. Only those that are there take memory.
#[derive(Clone, Debug)]
struct Replies<R> {
    kept: VecDeque<Kept<R>>,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Kept<R> {
    sequence: u64,
    bytes: u64,
    reply: Reply<R>,
}

/// A reply, as it is kept.
#[derive(Clone, Debug)]
pub(super) enum Reply<R> {
    Value(R),
    /// Bytes that came with a snapshot, which are no reply of this version: its command is done, and they stay as they
    /// are for those who read them.
    Unreadable(Box<[u8]>),
}

impl<R> Reply<R> {
    /// Returns the value, if it is one.
    pub(super) const fn value(&self) -> Option<&R> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unreadable(_) => None,
        }
    }
}

/// Returns what a reply weighs: its bytes as serialised, and [`REPLY_OVERHEAD_BYTES`].
///
/// A reply that cannot be serialised weighs as if it were empty, which it is in a snapshot.
pub(super) fn weight<R: Serialize>(reply: &R) -> u64 {
    weight_of(codec::encoded_bytes(reply).unwrap_or(0))
}

/// Returns what a reply of `bytes`, as serialised, weighs.
pub(super) fn weight_of(bytes: usize) -> u64 {
    bytes as u64 + REPLY_OVERHEAD_BYTES
}

impl<R> Session<R> {
    /// Returns a session that was opened by the entry at `at`.
    pub(super) fn opened(
        at: ApplyContext,
        (owner, nonce): (Option<Owner>, u128),
        kind: Kind,
    ) -> Self {
        Self {
            owner,
            nonce,
            kind,
            last_active: at.time,
            last_used: at.index,
            acknowledged_through: 0,
            replies: Replies {
                kept: VecDeque::new(),
                bytes: 0,
            },
        }
    }

    /// The id of the client that it is of; `None`: a member's.
    pub(super) fn owner_id(&self) -> Option<ServerId> {
        self.owner.map(|owner| owner.id)
    }

    /// Notes that the entry at `at` uses the session.
    pub(super) const fn used(&mut self, at: ApplyContext) {
        self.last_active = at.time;
        self.last_used = at.index;
    }

    /// Returns the first cluster time at which the session is gone unless it is used.
    pub(super) fn expires_at(&self) -> ClusterTime {
        let expiry = match self.kind {
            Kind::Plain => SESSION_EXPIRY,
            Kind::Ordered => ORDERED_SESSION_EXPIRY,
        };
        ClusterTime((self.last_active + expiry).0.saturating_add(1))
    }

    /// Forgets the replies up to this number, and returns what they weighed.
    pub(super) fn acknowledge(&mut self, through: u64) -> u64 {
        let before = self.replies.bytes;
        while let Some(first) = self.replies.kept.front()
            && first.sequence <= through
        {
            self.replies.bytes -= first.bytes;
            self.replies.kept.pop_front();
        }
        self.acknowledged_through = self.acknowledged_through.max(through);
        before - self.replies.bytes
    }

    /// Returns where the command of this number stands.
    pub(super) fn place(&self, sequence: u64) -> Place {
        let Some(ahead) = sequence.checked_sub(self.acknowledged_through + 1) else {
            return Place::Acknowledged;
        };
        if ahead >= OUTSTANDING_MAX {
            return Place::TooFarAhead;
        }
        let kept = &self.replies.kept;
        let place = match kept.back() {
            Some(last) if last.sequence >= sequence => {
                match kept.binary_search_by_key(&sequence, |kept| kept.sequence) {
                    Ok(place) => return Place::Kept(place),
                    Err(place) => place,
                }
            }
            Some(_) | None => kept.len(),
        };
        if self.kind == Kind::Ordered && ahead != place as u64 {
            return Place::Early;
        }
        Place::Open(place)
    }

    /// Keeps a reply of this weight at a place that is open for it.
    pub(super) fn keep(&mut self, place: usize, sequence: u64, reply: Reply<R>, bytes: u64) {
        self.replies.bytes += bytes;
        let kept = Kept {
            sequence,
            bytes,
            reply,
        };
        self.replies.kept.insert(place, kept);
    }

    /// Returns the reply at a place where one is kept.
    pub(super) fn reply(&self, place: usize) -> &Reply<R> {
        &self.replies.kept[place].reply
    }

    /// The replies, with the numbers of their commands.
    pub(super) fn replies(&self) -> impl ExactSizeIterator<Item = (u64, &Reply<R>)> {
        let kept = self.replies.kept.iter();
        kept.map(|kept| (kept.sequence, &kept.reply))
    }

    /// What the replies weigh.
    pub(super) const fn reply_bytes(&self) -> u64 {
        self.replies.bytes
    }
}
