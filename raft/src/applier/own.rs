//! Says what entries mean for a member's own sessions, and for the clients that it serves.

use alloc::vec::Vec;

use crate::ids::Index;
use crate::wire::CommandOutcome;

/// What an entry means for a member's own sessions, or for a client that it serves.
#[derive(Debug)]
pub enum Own<R> {
    /// It has a session, says a registration, which may be older than this run.
    Registered {
        /// What the session was registered under.
        nonce: u128,
        /// The session's name.
        session: Index,
        /// The registration.
        at: Index,
    },
    /// A command of a session is done.
    Reply {
        /// The session.
        session: Index,
        /// The command.
        sequence: u64,
        /// Its reply; `None` if that came with a snapshot and is none of this version.
        reply: Option<R>,
    },
    /// A command was refused, because its session is gone.
    Expired {
        /// The session.
        session: Index,
    },
    /// A command of an ordered session had no effect, since it came before its turn.
    Early {
        /// The session.
        session: Index,
        /// The command.
        sequence: u64,
    },
    /// A command of an ordered session had no effect, since it had been acknowledged.
    Acknowledged {
        /// The session.
        session: Index,
        /// The command.
        sequence: u64,
    },
    /// What became of a command that was to be told.
    Told {
        /// Its entry.
        index: Index,
        /// `None` if nobody waits for it.
        outcome: Option<CommandOutcome>,
    },
}

/// What the session table knows of a member's own sessions, as after a snapshot.
#[derive(Debug)]
pub struct Known<R> {
    /// The session of this run of the member, with the nonce that it registered under last.
    pub session: Option<(u128, Index)>,
    /// The ordered sessions that are watched, by their nonces, with their names where there are such.
    pub ordered: Vec<(u128, Option<Index>)>,
    /// The replies kept for all of these.
    pub replies: Vec<Own<R>>,
}
