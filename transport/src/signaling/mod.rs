//! Carries what two servers tell each other before there is a connection between them: signals.
//!
//! A [`Signaling`] takes signals to servers by their ids: a signaling server does, and so may whatever else reaches
//! them. The members of a cluster do it for each other too, over their links
//! ([`CarrierEvent::Signal`](crate::carrier::CarrierEvent::Signal)). Nobody is believed: signals may be lost, late,
//! doubled, changed and made up, and who is at the other end of a connection is proven on that connection.

mod by_hand;
mod json;
mod server;
mod signal;
#[allow(dead_code, reason = "tabs receive no visitors")]
mod visitor;

use std::task::{Context, Poll};

pub use self::by_hand::{BY_HAND_CHARS_MAX, BY_HAND_TEXT_BYTES_MAX, ParseByHandError};
pub(crate) use self::by_hand::{Note, NoteKind};
pub(crate) use self::server::{Place, TokenSource, read_id, write_id};
pub use self::server::{SignalingAddressFault, SignalingServer, SignalingServerError};
pub use self::signal::Signal;
pub(crate) use self::signal::{Body, Session};
pub use self::visitor::Visit;
pub(crate) use self::visitor::{Serialization, VisitBody, Visitor};

use crate::ServerId;

/// A way to other servers that is there before connections are.
pub trait Signaling: Send + 'static {
    /// Takes the id by which others reach this server. It is told once, before anything else.
    fn introduce(&mut self, local: ServerId);

    /// Sends a signal, best effort and without waiting. What cannot be sent for now is dropped: whoever sends repeats
    /// it.
    fn send(&mut self, to: ServerId, signal: &Signal);

    /// Answers a client that is no server, best effort and without waiting, if such come this way
    /// ([`SignalingEvent::Visit`]). It does nothing otherwise, which is the default.
    fn answer(&mut self, _answer: &Visit) {}

    /// Finds out who else is there, best effort and without waiting, if this way can be asked:
    /// [`SignalingEvent::Present`] tells. It does nothing otherwise, which is the default.
    fn look_around(&mut self) {}

    /// Returns the next event; `None` once the way has ended for good.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<SignalingEvent>>;
}

/// What a way to other servers tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignalingEvent {
    /// Signals reach others now. It is told again whenever the way was interrupted.
    Ready,
    /// Signals reach nobody for now, as the way is interrupted or was not there yet. It is told each time that it is
    /// tried in vain.
    Interrupted {
        /// What went wrong, for people, such as "the connection is refused".
        why: String,
    },
    /// A signal came, from whom is not proven.
    Signal {
        /// Who has sent it, as the way says.
        from: ServerId,
        /// The signal.
        signal: Signal,
    },
    /// A signal was not delivered: nobody of this id is there.
    Unreached {
        /// Whom it was for.
        to: ServerId,
    },
    /// These servers are there, as the way says: none of them is twice among them, nor is this server.
    Present(Vec<ServerId>),
    /// A client that is no server, such as one of PeerJS, offers a connection, or says more of one that it has offered.
    Visit(Visit),
}

/// The ways by which a carrier sends and takes signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The links of members, who have proven who they are.
    Mesh,
    /// One of the carrier's [`Signaling`]s, by its number.
    Server(usize),
    /// People, who carry one text each way and no more.
    Hand,
}
