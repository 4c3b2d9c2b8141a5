//! The protocol: a deterministic value that is told what happens and answers with what to do.

mod input;
mod output;
mod status;

pub use input::{ChangeId, Input, MembershipChange, MembershipStep, Proposal, ProposalId, ReadId};
pub use output::{
    Apply, ChangeError, Event, HardState, Output, ProposeRefused, ReadRefused, Recovered, Refusal,
    RoleKind, Snapshot, TransferError, Write, WriteId,
};
pub use status::{PeerStatus, ReplicationState, Status};

use crate::config::Config;
use crate::ids::ServerId;
use crate::time::Instant;
use thiserror::Error;

/// One server's part of the protocol.
#[derive(Debug)]
pub struct Raft {}

/// Why a server could not be made from what its storage gave back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// A gap.
    #[error("gap")]
    Gap,
}

impl Raft {
    /// Starts from what storage gave back (`Recovered::default()` for a blank server).
    ///
    /// # Errors
    /// When the stored log has a gap or contradicts itself.
    pub fn new(
        id: ServerId,
        config: Config,
        recovered: Recovered,
        now: Instant,
        seed: u64,
    ) -> Result<Self, RecoveryError> {
        let _ = (id, config, recovered, now, seed);
        todo!()
    }
    /// Takes one input. Effects are appended to `output`.
    pub fn input(&mut self, now: Instant, input: Input, output: &mut Output) {
        self.inputs(now, [input], output);
    }
    /// Takes several inputs that arrived together, and broadcasts once.
    pub fn inputs(
        &mut self,
        now: Instant,
        inputs: impl IntoIterator<Item = Input>,
        output: &mut Output,
    ) {
        let _ = (now, inputs.into_iter().count(), output);
        todo!()
    }
    /// When `Input::Timer` is due.
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }
    /// What this server can tell of itself.
    pub fn status(&self) -> Status {
        todo!()
    }
}
