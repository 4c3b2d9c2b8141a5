//! Says how a member of the demo runs, as a value that reaches it in whichever process it is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use liferaft::MembershipPolicy;
use liferaft::config::Config;
use liferaft::policy::Target;
use serde::{Deserialize, Serialize};

use super::options::Transport;

/// What is the same for all members, and for all their lives.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    /// The shortest election timeout.
    pub(super) election_timeout: Duration,
    /// The silence after which a member is evicted.
    pub(super) evict_after: Duration,
    /// Whether the membership policy is the laboratory's.
    pub(super) lab: bool,
    /// How long a request may take.
    pub(super) patience: Duration,
    /// How many members vote; `None` if all do.
    pub(super) voters: Option<usize>,
    /// What carries the messages.
    pub(super) transport: Transport,
}

/// What is a member's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) settings: Settings,
    /// The member, counted from 0.
    pub(super) member: usize,
    /// The seed of its election timeouts in this life.
    pub(super) seed: u64,
    /// The folder that it keeps its state in, unless it is in memory.
    pub(super) folder: Option<PathBuf>,
    /// Whether its state machine forges a line.
    pub(super) forges: bool,
}

impl Settings {
    /// How a member runs the protocol.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        Config::builder()
            .election_timeout(self.election_timeout)
            .build()
            .context("the election timeout makes no sense")
    }

    /// How the members manage who takes part.
    pub(super) fn policy(&self) -> MembershipPolicy {
        let policy = if self.lab {
            MembershipPolicy::laboratory(self.election_timeout)
        } else {
            MembershipPolicy::default()
        };
        let voters = self.voters.map_or(Target::All, Target::Count);
        policy
            .with_evict_after(self.evict_after)
            .with_voters(voters)
    }
}
