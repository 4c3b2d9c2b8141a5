//! Says what a state machine could not do, so that its member stops.

use alloc::string::String;

use thiserror::Error;

use crate::ids::Index;

/// What a state machine could not do. Its member stops, since its state would not be that of the others.
///
/// What comes of an entry comes of it on every member that runs the same version: each stops when it applies the entry,
/// and again when it is restarted. A version that can apply it has to take over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MachineFault {
    /// A committed entry holds no command of this version: a later one wrote it. See [`codec`](crate::codec).
    #[error("entry {index} holds no `{type_name}`: {reason}")]
    Undecodable {
        /// The entry.
        index: Index,
        /// The type that it should hold: [`StateMachine::Command`](crate::state_machine::StateMachine::Command), or
        /// what wraps it.
        type_name: &'static str,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// It panicked at an entry: in [`apply`](crate::state_machine::StateMachine::apply),
    /// [`advance`](crate::state_machine::StateMachine::advance) or
    /// [`wakes_at`](crate::state_machine::StateMachine::wakes_at).
    #[error("it panicked at entry {index}: {message}")]
    Panicked {
        /// The entry.
        index: Index,
        /// The message of the panic.
        message: String,
    },
    /// It [says](crate::state_machine::StateMachine::failure) that it failed at an entry.
    #[error("it failed at entry {index}: {message}")]
    Failed {
        /// The entry.
        index: Index,
        /// What it says.
        message: String,
    },
    /// No snapshot of it can be made: it panicked, or says that it failed.
    #[error("no snapshot of it can be made as of entry {through}: {reason}")]
    Snapshot {
        /// The last entry that the snapshot was to reflect.
        through: Index,
        /// What is wrong.
        reason: String,
    },
    /// It cannot take over the state of a snapshot, which its leader has sent.
    #[error("the snapshot as of entry {through} cannot be restored: {reason}")]
    Restore {
        /// The last entry that the snapshot reflects.
        through: Index,
        /// What is wrong.
        reason: String,
    },
}
