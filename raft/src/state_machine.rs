//! Defines what users write: a state machine.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::configuration::Scope;
use crate::ids::{Index, Term};
use crate::time::ClusterTime;

/// A deterministic state machine, replicated on every member of a cluster.
///
/// All members apply the same commands in the same order, each exactly once, so all hold the same state: `apply` may
/// depend on the state, the command and the [`ApplyContext`], and on nothing else: no clock, no randomness, no order of
/// a hash map, no I/O.
///
/// Commands and replies are encoded in a compact format without names, which other versions of the program read: see
/// [`codec`](crate::codec) for what has no encoding there and how these types may change.
///
/// # Panics
/// A panic in [`apply`](Self::apply), [`advance`](Self::advance) or [`wakes_at`](Self::wakes_at) stops the member with
/// the index of the entry (`MachineFault::Panicked`). All members apply the same entry to the same state, so all of
/// them stop, and stop again when they are restarted, until a version that does not panic there takes over. A command
/// that makes no sense is better answered by a reply that says so. A panic in [`snapshot`](Self::snapshot), in its
/// [`Capture`], in [`restore`](Self::restore) or in [`Restoring`] stops the member as well. A panic in
/// [`query`](Self::query) fails that read alone. Where the serde code of a command panics, the
/// command is refused before it is sent; where that of a reply does, its caller is told that it cannot be read.
///
/// All of this holds where panics unwind. Where they abort, as in WebAssembly or with `panic = "abort"`, any of them
/// ends the program, a panicking query too.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl StateMachine for Counter {
///     type Command = u64;
///     type Reply = u64;
///     type Query = ();
///     type Answer = u64;
///
///     fn apply(&mut self, _: ApplyContext, add: u64) -> u64 {
///         self.0 += add;
///         self.0
///     }
///
///     fn query(&self, (): ()) -> u64 {
///         self.0
///     }
///
///     fn snapshot(&self) -> impl Capture {
///         let state = self.0;
///         move || state.to_be_bytes().to_vec()
///     }
///
///     fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
///         self.0 = u64::from_be_bytes(state.try_into().map_err(RestoreError::new)?);
///         Ok(())
///     }
/// }
/// ```
pub trait StateMachine: Send + 'static {
    /// A change to the state: what is replicated. It must [decode](crate::codec) from its own bytes, or it is refused.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What a command answers. It is part of the replicated state until its client has seen it (§6.3).
    ///
    /// The replies that a cluster keeps have a bound: 64 MiB for all callers of a member together, or for an outbox,
    /// and 256 MiB over all ([`SESSION_REPLY_BYTES_MAX`](crate::sessions::SESSION_REPLY_BYTES_MAX),
    /// [`REPLY_BYTES_MAX`](crate::sessions::REPLY_BYTES_MAX)). What is large is better read by a query. Members decide
    /// by the serialised length, so versions of one cluster must serialise a reply to the same length. Replies stay in
    /// snapshots: how their type may change says [`codec`](crate::codec).
    type Reply: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// A question about the state. It never leaves the member that asks.
    type Query: Send + 'static;
    /// What a question answers.
    type Answer: Send + 'static;

    /// Applies a committed command.
    fn apply(&mut self, context: ApplyContext, command: Self::Command) -> Self::Reply;

    /// The log has come to here: called once for every entry, of any kind, after its command has been applied if it has
    /// one that takes effect.
    ///
    /// What happens by cluster time alone happens here, or earlier at the same entry in [`apply`](Self::apply): at a
    /// definite place of the log, the same on every member.
    fn advance(&mut self, at: ApplyContext) {
        let _ = at;
    }

    /// The cluster time at which something is to happen even if nobody commands anything: an entry of no other meaning
    /// is then appended, so that [`advance`](Self::advance) learns of the time. Asked for after each stretch of
    /// entries; `None`: nothing waits for time.
    ///
    /// It is a wish, granted by a leader with a quorum, a little later than the time wished for and never earlier.
    fn wakes_at(&self) -> Option<ClusterTime> {
        None
    }

    /// Why this machine cannot go on, if it cannot: asked after each command and each capture of the state, which then
    /// count for nothing. Its member stops, as after a panic, for machines in languages of which no panic is caught.
    fn failure(&self) -> Option<String> {
        None
    }

    /// Answers a question without changing the state.
    ///
    /// If it panics, that read ends with `ReadError::Panicked` and the member's log has the message; the state machine
    /// is used again. What it changes behind a lock or a cell must survive that.
    fn query(&self, query: Self::Query) -> Self::Answer;

    /// Whether a command stays within the keys that a client's invitation is for
    /// (`Terms::within_prefixes`): whatever it changes, and whatever its reply tells of. The leader asks before it
    /// takes a command of a client whose invitation is limited, and of no other. Default: it does not, so that such
    /// clients write nothing.
    /// It is judged on the leader's task, by the command alone, and has to be quick. If it panics, the command is
    /// refused.
    fn is_command_within(command: &Self::Command, scope: &Scope) -> bool {
        let _ = (command, scope);
        false
    }

    /// Whether a query, and its answer, stay within the keys that a client's invitation is for, as
    /// [`is_command_within`](Self::is_command_within) says it of commands. Default: they do not, so that such clients
    /// read nothing.
    fn is_query_within(query: &Self::Query, scope: &Scope) -> bool {
        let _ = (query, scope);
        false
    }

    /// Captures the state, quickly: the capture is encoded elsewhere and later, while commands go on being applied. A
    /// closure that returns the bytes will do; a large state had better come in [`Pieces`].
    ///
    /// Nothing is applied or answered while this runs: a state of any size should be kept in a structure that is cloned
    /// in constant time. The bytes must be the same on all members.
    fn snapshot(&self) -> impl Capture;

    /// Replaces the state by that of a snapshot. Natively it runs on a thread for long work; in a browser it holds up
    /// the page as long as it takes.
    ///
    /// # Errors
    /// When the bytes are not those of a snapshot. The state is then undefined and the member stops.
    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError>;

    /// Begins to replace the state by that of a snapshot, whose bytes are read from storage piece by piece.
    ///
    /// The default gathers them for [`restore`](Self::restore), and holds all of them in memory beside the state that
    /// it makes of them. A state machine whose state is large makes its state as they come.
    fn restoring(self) -> impl Restoring<Self>
    where
        Self: Sized,
    {
        Gathering {
            machine: self,
            state: Vec::new(),
        }
    }
}

/// A state machine on its way from the bytes of a snapshot.
pub trait Restoring<S>: Send + 'static {
    /// Takes the bytes that come next, of any length: where they are cut means nothing.
    ///
    /// # Errors
    /// When no snapshot begins with what has come. No more of it is taken, and the member stops.
    fn take(&mut self, bytes: &[u8]) -> Result<(), RestoreError>;

    /// Returns the state machine with the state of the snapshot, all of which has been taken and is what was stored.
    ///
    /// # Errors
    /// When that is no snapshot. The member stops.
    fn finish(self) -> Result<S, RestoreError>;
}

/// Holds all of the bytes.
struct Gathering<S> {
    machine: S,
    state: Vec<u8>,
}

impl<S: StateMachine> Restoring<S> for Gathering<S> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.state.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self) -> Result<S, RestoreError> {
        self.machine.restore(&self.state)?;
        Ok(self.machine)
    }
}

/// A captured state on its way to bytes: a closure that returns them, or [`Pieces`].
pub trait Capture: Send + 'static {
    /// The bytes, in pieces that are made one at a time. The next is made only when it is asked for.
    fn into_pieces(self) -> impl Iterator<Item = Vec<u8>> + Send + 'static;

    /// All of the bytes at once, as for a test.
    fn encode(self) -> Vec<u8>
    where
        Self: Sized,
    {
        self.into_pieces().collect::<Vec<_>>().concat()
    }
}

impl<F: FnOnce() -> Vec<u8> + Send + 'static> Capture for F {
    fn into_pieces(self) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
        core::iter::once_with(self)
    }
}

/// A captured state that is encoded piece by piece, so that in a browser the page goes on between them.
///
/// Each piece should take a few milliseconds at most, and hold some kilobytes at least.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::state_machine::{Capture, Pieces};
///
/// let numbers = std::sync::Arc::new(vec![1_u32, 2, 3]);
/// let pieces = Pieces((0..numbers.len()).map(move |at| numbers[at].to_be_bytes().to_vec()));
/// assert_eq!(pieces.encode().len(), 12);
/// ```
#[derive(Clone, Debug)]
pub struct Pieces<I>(pub I);

impl<I: Iterator<Item = Vec<u8>> + Send + 'static> Capture for Pieces<I> {
    fn into_pieces(self) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
        self.0
    }
}

/// Where in the replicated history a command is applied: the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyContext {
    /// The index of the command's entry.
    pub index: Index,
    /// The term of the leader that appended it.
    pub term: Term,
    /// The cluster time at which it was appended. It only grows.
    pub time: ClusterTime,
}

/// Bytes that are not those of a snapshot.
#[derive(Debug, Error)]
#[error("not a snapshot of this state machine: {reason}")]
pub struct RestoreError {
    reason: String,
}

impl RestoreError {
    /// An error with its reason.
    #[must_use]
    pub fn new(reason: impl core::fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
        }
    }
}
