//! Defines what the demo and a member in a process of its own send each other, as lines of JSON: orders on the member's
//! standard input, words on its standard output.

use liferaft::configuration::Address;
use liferaft::driver::MemberStatus;
use liferaft::ids::{ClusterId, Index, ServerId};
use liferaft::platform::PublicKey;
use serde::{Deserialize, Serialize};

use super::chronicle::Deed;
use super::medium::Carried;
use super::settings::Part;
use super::verify::Outcome;

/// The most lines of chat in one word, which stays far below what is read as one line.
pub(super) const PAGE_LINES: usize = 256;

/// What a member is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(super) enum Order {
    /// Opens its disk, and listens.
    Open(Part),
    /// Founds a cluster, and starts.
    Found,
    /// Starts, and joins by this invitation.
    Join { invitation: String },
    /// Starts as the member that it was before.
    Return,
    /// Appends a line to the chat.
    Append { request: u64, line: String },
    /// Reads the whole chat, linearizably.
    Read { request: u64 },
}

/// What a member tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub(super) enum Word {
    /// It can be reached.
    Opened { contact: Contact },
    /// It takes part in this cluster, or asks to.
    Started { cluster: ClusterId },
    /// Its protocol did something that matters.
    Did { deed: Deed },
    /// Where it stands, whenever that is another.
    Standing { standing: Standing },
    /// Its state machine has applied lines, after those before.
    Applied { lines: Vec<String> },
    /// Its state machine was restored: those that it tells of from here on are all that it has.
    Restored,
    /// What became of a line.
    Appended { request: u64, outcome: Outcome },
    /// A part of the whole chat.
    Read {
        request: u64,
        lines: Vec<String>,
        is_last: bool,
    },
    /// It cannot read.
    Unread { request: u64, why: String },
    /// Its last word: it has stopped, and UDP has carried this for it, if that is counted.
    Stopped { carried: Option<Carried> },
}

/// Who a member is, and where others reach it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Contact {
    pub(super) key: PublicKey,
    /// `None` where members find each other by their ids.
    pub(super) address: Option<Address>,
}

/// Which configuration a member goes by, and how many links it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) voters: Vec<ServerId>,
    members: Vec<ServerId>,
    is_joint: bool,
    index: u64,
    is_committed: bool,
    pub(super) links: usize,
    links_wanted: usize,
}

impl Standing {
    pub(super) fn of(status: &MemberStatus) -> Self {
        let raft = &status.raft;
        let members = raft.configuration.members().map(|(id, _)| id);
        let members: Vec<ServerId> = members.collect();
        let voters = raft.configuration.voters();
        let links_wanted = if voters.contains(&raft.id) {
            members.len() - 1
        } else {
            voters.len()
        };
        Self {
            voters: voters.to_vec(),
            members,
            is_joint: raft.configuration.is_joint(),
            index: raft.configuration_index.0,
            is_committed: raft.commit >= raft.configuration_index,
            links: status.links.len(),
            links_wanted,
        }
    }

    /// Returns the index of the configuration if these, in ascending order, are all its members, as many as there are
    /// to be vote, and it knows that it is committed.
    pub(super) fn settled(&self, members: &[ServerId], voters: usize) -> Option<Index> {
        let is_settled = !self.is_joint
            && self.is_committed
            && self.members == members
            && self.voters.len() == voters.min(members.len());
        is_settled.then_some(Index(self.index))
    }

    /// Returns true if it has the links that it is to have, and no others.
    pub(super) const fn is_meshed(&self) -> bool {
        self.links == self.links_wanted
    }
}
