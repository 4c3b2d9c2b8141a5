//! The driver: gives a [`Raft`](crate::consensus::Raft) time, disk and network, and callers a [`Handle`].
//!
//! One task owns the core and waits for nothing but its inputs. A second, the applier, owns the state machine and the
//! sessions around it. Disk, state machine, snapshots and sends never hold up the first: their completions come back as
//! inputs.
//!
//! ```text
//! handles ──requests──▶ ┌────────┐ ──jobs, queries──▶ ┌─────────┐
//!   ▲                   │ driver │                    │ applier │
//!   └────outcomes────── └────────┘ ◀─────reports────── └─────────┘
//!                        ▲      ▲
//!                 frames │      │ writes
//!                   transport  storage
//! ```
//!
//! What a call can come to:
//!
//! - *done*: its reply or answer;
//! - *not done*: an error of which `is_definite` is true, as of any error of a read, which changes nothing;
//! - *unknown*: the deadline passed, or the member stopped, after a leader may have taken the request up.
//!
//! Everything that waits is bounded. The queue of requests, the pending commands and their bytes, reads and operations
//! each have a constant; what exceeds one is answered [`Busy`], which tells the bound.

mod applier;
mod arrivals;
mod asker;
mod attempt;
mod bounds;
mod budget;
mod builder;
mod calls;
mod client;
mod clock;
mod describing;
mod disk;
mod effects;
mod error;
mod events;
mod forwards;
mod founding;
mod freshness;
mod handle;
mod inbound;
mod invite;
mod joining;
mod lanes;
mod links;
mod local;
mod log_reads;
mod membership;
#[cfg(feature = "metrics")]
mod meters;
#[cfg(not(feature = "metrics"))]
#[path = "meters_off.rs"]
mod meters;
mod operations;
mod outbox;
mod peers;
mod proposals;
mod reads;
mod request;
mod served;
mod serving;
mod snapshots;
mod solitude;
mod status;
mod stop_reason;
mod task;
#[cfg(test)]
mod testing;
mod transfers;
mod vouching;
mod wakes;
mod work;
mod yielding;

pub use crate::applier::MachineFault;
pub use builder::{LABEL_CHARACTERS_MAX, Member, MemberBuilder};
pub use calls::Calls;
pub use client::{Client, ClientBuilder, ClientStatus, Tried, Unreached, UnreachedCause};
pub use error::{
    BootstrapFault, Busy, ClientRefused, FoundError, LeaveError, MembershipError, NotJoined,
    OnlyVoter, ProposeError, ReadError, ShutdownError, StartError, StopReason,
    TransferLeadershipError, UnknownCause, WaitError,
};
pub use events::{EVENTS_WAITING_MAX, Events, Happening, MemberEvent, Missed};
pub use founding::Founding;
pub use freshness::Freshness;
pub use handle::Handle;
pub use invite::Terms;
pub use joining::{Exclusion, Roster};
pub use local::Local;
pub use outbox::{
    FlushError, OnExpiry, OpenOutboxError, Outbox, OutboxCause, OutboxConfig, OutboxError,
    OutboxEvent, OutboxState, OutboxStatus, PendingCommand, PendingState, PushError, Ticket,
};
pub use status::{
    Counters, LastError, LinkStatus, MemberError, MemberStatus, MessageCounts, Queues,
    StorageStatus,
};
