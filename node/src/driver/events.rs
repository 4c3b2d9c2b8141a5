//! Tells what happens to a member, as a stream that anybody may listen to.
//!
//! Nothing is made of an event when nobody listens. What a listener does not take in time is dropped, for that listener
//! alone, and it is told how much it missed: an application that is slow to read never slows its member.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::stream::{self, BoxStream, Stream};
use liferaft_platform::SortedMap;
use thiserror::Error;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::error::StopReason;
use super::joining::Exclusion;
use crate::configuration::Foreign;
use crate::consensus::{Refusal, RoleKind};
use crate::ids::{Index, ServerId, Term};
use crate::time::Instant;

/// The most events that wait for a listener. Beyond that it misses the oldest.
pub const EVENTS_WAITING_MAX: usize = 256;

/// The most peers and reasons that refused messages are told apart by, within a heartbeat.
const REFUSALS_MAX: usize = 64;

/// Something that happened to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberEvent {
    /// When, on the clock of [`liferaft_platform::now`].
    pub at: Instant,
    /// The member's term by then.
    pub term: Term,
    /// What.
    pub what: Happening,
}

/// What happened to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// It plays another role, or the same one in another term.
    RoleChanged {
        /// The role.
        role: RoleKind,
    },
    /// Another server leads, or none that is known.
    LeaderChanged {
        /// The leader, if one is known.
        leader: Option<ServerId>,
    },
    /// Another configuration is in force: [`MemberStatus`](super::MemberStatus) has it. It may yet be replaced.
    MembershipChanged {
        /// The index of its entry.
        index: Index,
    },
    /// The configuration in force is committed.
    MembershipCommitted {
        /// The index of its entry.
        index: Index,
    },
    /// The member was asleep, or its clock leapt: it gave its leader one more chance.
    ElectionDeferred,
    /// The state machine is being captured.
    SnapshotBegun,
    /// A snapshot was taken; what it covers may leave the log.
    SnapshotTaken {
        /// The last entry that it covers.
        through: Index,
        /// Its length.
        bytes: u64,
    },
    /// A snapshot was made and is longer than this member takes one
    /// ([`Limits::snapshot_bytes_max`](crate::config::Limits::snapshot_bytes_max)): the log is not cut. It is tried
    /// again after more log, and as soon as fewer replies are kept for sessions so that it would fit.
    SnapshotRefused {
        /// The last entry that it covers.
        through: Index,
        /// Its length.
        bytes: u64,
        /// The longest allowed.
        bytes_max: u64,
    },
    /// The disk had no room for a snapshot, of this member's state or of its leader's, and has nothing of it. It is
    /// tried again: its own after as much log as usual, that of the leader after a second, and each time after twice as
    /// long, up to a minute.
    SnapshotWithoutRoom,
    /// A follower, or a server that joins, is being sent the snapshot.
    SnapshotSending {
        /// The receiver.
        to: ServerId,
    },
    /// It has the snapshot, or what the snapshot covers.
    SnapshotSent {
        /// The receiver.
        to: ServerId,
    },
    /// A snapshot of the leader has taken the place of the state.
    SnapshotInstalled {
        /// The last entry that it covers.
        through: Index,
    },
    /// The transport has a link to this server.
    PeerUp {
        /// The server.
        peer: ServerId,
    },
    /// The transport has no link to this server any more.
    PeerDown {
        /// The server.
        peer: ServerId,
    },
    /// A server has lost some of what it had acknowledged to this member, which leads. It counts towards no quorum for
    /// the rest of this term, and has to come back under another id.
    PeerForgot {
        /// The server.
        peer: ServerId,
        /// Up to here it had acknowledged the log.
        acknowledged: Index,
        /// Here its log ends.
        last: Index,
    },
    /// A server that this member, which leads, was to add belongs elsewhere, as it says.
    PeerForeign {
        /// The server.
        peer: ServerId,
        /// To what.
        why: Foreign,
    },
    /// It was told why it takes no part in the cluster that it asks to join, or something else than before; `None` if
    /// it may take part after all. [`MemberStatus`](super::MemberStatus) has it too.
    Excluded {
        /// Why.
        why: Option<Exclusion>,
    },
    /// Messages of a server were refused since this was last told, once each heartbeat at most.
    MessagesRefused {
        /// The server.
        from: ServerId,
        /// Why.
        reason: Refusal,
        /// How many.
        count: u64,
    },
    /// The storage has made nothing durable, or read nothing, for as long as the member takes for normal at most
    /// ([`MemberStatus::storage`](super::MemberStatus::storage)).
    StorageStalled {
        /// How many bytes wait.
        waiting_bytes: u64,
    },
    /// The storage goes on after it has stalled.
    StorageGoesOn,
    /// The storage failed. The member stops.
    StorageFailed {
        /// How.
        error: String,
    },
    /// The member has stopped. This is the last event.
    Stopped {
        /// Why.
        reason: StopReason,
    },
}

/// Events were dropped before this listener took them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{count} events were missed")]
pub struct Missed {
    /// How many.
    pub count: u64,
}

/// The events of a member from the moment of [`Handle::events`](super::Handle::events) on. It ends when the member has
/// stopped.
pub struct Events(BoxStream<'static, Result<MemberEvent, Missed>>);

impl Stream for Events {
    type Item = Result<MemberEvent, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// Where listeners are let in. It does not keep the stream open.
pub(super) type Entrance = broadcast::WeakSender<MemberEvent>;

impl Events {
    pub(super) fn through(entrance: &Entrance) -> Self {
        let Some(sender) = entrance.upgrade() else {
            return Self(stream::empty().boxed());
        };
        let events = stream::unfold(sender.subscribe(), |mut receiver| async {
            let item = match receiver.recv().await {
                Ok(event) => Ok(event),
                Err(RecvError::Lagged(count)) => Err(Missed { count }),
                Err(RecvError::Closed) => return None,
            };
            Some((item, receiver))
        });
        Self(events.boxed())
    }
}

/// Where events are told.
#[derive(Debug)]
pub(super) struct Announcer {
    sender: broadcast::Sender<MemberEvent>,
    /// The messages refused since that was last told.
    refused: SortedMap<(ServerId, Refusal), u64>,
}

impl Announcer {
    pub(super) fn new() -> Self {
        let (sender, _) = broadcast::channel(EVENTS_WAITING_MAX);
        Self {
            sender,
            refused: SortedMap::new(),
        }
    }

    pub(super) fn entrance(&self) -> Entrance {
        self.sender.downgrade()
    }

    /// Tells what has happened, if anybody listens.
    pub(super) fn tell(&self, at: Instant, term: Term, what: impl FnOnce() -> Happening) {
        if self.sender.receiver_count() > 0 {
            let what = what();
            // The last listener may have left in between.
            let _unheard = self.sender.send(MemberEvent { at, term, what });
        }
    }

    /// Counts a refused message, to be told with others like it.
    pub(super) fn refused(&mut self, from: ServerId, reason: Refusal) {
        let has_room = self.refused.len() < REFUSALS_MAX;
        if self.sender.receiver_count() > 0
            && (has_room || self.refused.contains_key(&(from, reason)))
        {
            *self.refused.entry((from, reason)).or_default() += 1;
        }
    }

    /// Tells of the refused messages that have gathered.
    pub(super) fn tell_refused(&mut self, at: Instant, term: Term) {
        for ((from, reason), count) in std::mem::take(&mut self.refused) {
            self.tell(at, term, || Happening::MessagesRefused {
                from,
                reason,
                count,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const TERM: Term = Term(3);

    fn next(events: &mut Events) -> Option<Result<MemberEvent, Missed>> {
        events.next().now_or_never().flatten()
    }

    #[test]
    fn nothing_is_made_of_an_event_that_nobody_hears() {
        let announcer = Announcer::new();

        announcer.tell(Instant::ORIGIN, TERM, || panic!("nobody listens"));
    }

    #[test]
    fn a_listener_that_is_too_slow_is_told_how_much_it_missed() {
        let announcer = Announcer::new();
        let mut events = Events::through(&announcer.entrance());

        for index in 1..=EVENTS_WAITING_MAX as u64 + 3 {
            announcer.tell(Instant::ORIGIN, TERM, || Happening::MembershipChanged {
                index: Index(index),
            });
        }

        assert_eq!(next(&mut events), Some(Err(Missed { count: 3 })));
        let first_kept = next(&mut events).unwrap().unwrap();
        assert_eq!(
            first_kept.what,
            Happening::MembershipChanged { index: Index(4) }
        );
    }

    #[test]
    fn refused_messages_are_told_together() {
        let mut announcer = Announcer::new();
        let mut events = Events::through(&announcer.entrance());

        announcer.refused(ServerId(7), Refusal::NotAPeer);
        announcer.refused(ServerId(7), Refusal::NotAPeer);
        announcer.tell_refused(Instant::ORIGIN, TERM);
        announcer.tell_refused(Instant::ORIGIN, TERM);

        let told = next(&mut events).unwrap().unwrap().what;
        let expected = Happening::MessagesRefused {
            from: ServerId(7),
            reason: Refusal::NotAPeer,
            count: 2,
        };
        assert_eq!(told, expected);
        assert_eq!(next(&mut events), None);
    }

    #[test]
    fn peers_that_are_refused_are_told_apart_up_to_a_bound() {
        let mut announcer = Announcer::new();
        let _events = Events::through(&announcer.entrance());

        for peer in 0..1000 {
            announcer.refused(ServerId(peer), Refusal::NotAPeer);
        }

        assert_eq!(announcer.refused.len(), REFUSALS_MAX);
    }

    #[test]
    fn the_stream_ends_with_the_member() {
        let announcer = Announcer::new();
        let entrance = announcer.entrance();
        let mut before = Events::through(&entrance);

        drop(announcer);
        let mut after = Events::through(&entrance);

        assert_eq!(before.next().now_or_never(), Some(None));
        assert_eq!(after.next().now_or_never(), Some(None));
    }
}
