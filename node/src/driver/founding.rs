//! Founds a cluster, once: before a founder starts, its storage holds the first configuration and is bound to the
//! cluster.
//!
//! A start needs no flag for it, so no restart can found a second cluster. A founding ends by binding the storage.
//! Until then the storage has taken part in nothing, and what was written to it counts for nothing: a crash leaves a
//! storage that is founded, or one that may be founded again.

use super::error::{BootstrapFault, FoundError};
use super::links::FRAME_OVERHEAD_BYTES;
use crate::config::Config;
use crate::configuration::{Configuration, Description, Member, SERVERS_MAX};
use crate::consensus::{self, Input, Output, Raft};
use crate::entry::{Entry, Payload};
use crate::identity::Identity;
use crate::ids::{ClusterId, ServerId};
use crate::storage::{Storage, Write};
use crate::time::Instant;

/// A cluster at its beginning: its id, and the configuration that all its founders begin with.
///
/// [`Member::found`](super::Member::found) founds a cluster with one server, to which others are added. Several servers
/// found one together if each of their storages is given the same founding:
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::configuration::Configuration;
/// use liferaft::driver::Founding;
/// use liferaft::storage::{MemoryStorage, Storage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut disks = [(); 3].map(|()| MemoryStorage::default());
/// let voters = Configuration::of_voters(disks.each_ref().map(|disk| disk.identity().id()));
///
/// let founding = Founding::new(voters);
/// for disk in &mut disks {
///     founding.found(disk).await?;
/// }
///
/// assert!(disks.iter().all(|disk| disk.cluster() == Some(founding.cluster())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    cluster: ClusterId,
    configuration: Configuration,
}

impl Founding {
    /// Returns the founding of a new cluster, and draws the cluster's id.
    ///
    /// # Panics
    /// When the system has no source of randomness.
    #[must_use]
    pub fn new(configuration: Configuration) -> Self {
        Self::of(ClusterId::random(), configuration)
    }

    /// Returns the founding of the cluster with this id, for founders that run in several processes: one of them draws
    /// the id, and all of them use it with the same configuration, for this founding only.
    #[must_use]
    pub const fn of(cluster: ClusterId, configuration: Configuration) -> Self {
        Self {
            cluster,
            configuration,
        }
    }

    /// Returns the founding of a new cluster by the server with this identity alone, and draws the cluster's id.
    ///
    /// # Panics
    /// When the system has no source of randomness.
    #[must_use]
    pub fn by(founder: &Identity) -> Self {
        let voter = Member::voter(Description::of(founder.public_key()));
        Self::new(Configuration::from_members([(founder.id(), voter)]))
    }

    /// Takes in by invitation only whoever comes later: see [`Handle::invite`](super::Handle::invite). Over a network
    /// every cluster has to be closed; without this it is open to whoever reaches it.
    #[must_use]
    pub fn closed(mut self) -> Self {
        self.configuration = self.configuration.with_open(false);
        self
    }

    /// Limits the cluster's entries to what frames of `frame_bytes_max` bytes carry. Every member's transport must
    /// carry such frames.
    #[must_use]
    pub fn within_frames(mut self, frame_bytes_max: usize) -> Self {
        let room = frame_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES) as u64;
        let bytes_max = self.configuration.entry_bytes_max().min(room);
        self.configuration = self.configuration.with_entry_bytes_max(bytes_max);
        self
    }

    /// Returns the id of the cluster, which members that join it have to name.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the configuration that the cluster begins with.
    #[must_use]
    pub const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Makes the server of this storage a founder, durably. From then on it [starts](super::MemberBuilder::start) like
    /// a member that is started again.
    ///
    /// # Errors
    /// See [`FoundError`]. After [`FoundError::Unknown`] the storage is opened again: [`Storage::cluster`] then says
    /// whether it is founded, and if it is not, the founding is made again.
    pub async fn found<S: Storage + ?Sized>(&self, storage: &mut S) -> Result<(), FoundError> {
        if let Some(cluster) = storage.cluster() {
            return Err(FoundError::Belongs(cluster));
        }
        let id = storage.identity().id();
        let mut configuration = self.configuration.clone();
        if configuration.history().is_none() {
            let history = configuration.founding();
            configuration = configuration.with_history(history);
        }
        check(&configuration, id).map_err(FoundError::Bootstrap)?;
        let history = configuration.history();
        let recovered = storage
            .recover(u64::MAX)
            .await
            .map_err(FoundError::Unknown)?;
        if !is_blank(&recovered) {
            return Err(FoundError::NotEmpty);
        }
        let mut writes = drop_unfinished(&recovered);
        writes.extend(first_writes(id, configuration));
        storage.write(writes).await.map_err(FoundError::Unknown)?;
        let bound = storage.bind(self.cluster, history).await;
        bound.map_err(FoundError::Unknown)
    }
}

/// Returns true if storage that is bound to no cluster holds nothing but, at most, a founding that was interrupted.
pub(super) fn is_blank(recovered: &consensus::Recovered) -> bool {
    let has_promised = recovered.hard_state.voted_for.is_some();
    let is_founding = match &recovered.entries[..] {
        [] => true,
        [only] => matches!(only.payload, Payload::Configuration(_)),
        _ => false,
    };
    let is_whole = recovered.outline.is_empty();
    recovered.snapshot.is_none() && !has_promised && is_founding && is_whole
}

/// Returns the write that drops what an interrupted founding left, if it left something.
pub(super) fn drop_unfinished(recovered: &consensus::Recovered) -> Vec<Write> {
    let first = recovered.entries.first();
    let drop_from = |first: &Entry| Write {
        truncate: Some(first.index),
        ..Write::default()
    };
    first.map(drop_from).into_iter().collect()
}

/// Returns what the core writes when it begins a cluster.
fn first_writes(id: ServerId, configuration: Configuration) -> Vec<Write> {
    let (config, now) = (Config::default(), Instant::ORIGIN);
    // The seed spreads elections, and none is held here.
    let raft = Raft::new(id, config, consensus::Recovered::default(), now, 0);
    let mut raft = raft.expect("a blank server starts");
    let mut output = Output::default();
    raft.input(now, Input::Bootstrap(Box::new(configuration)), &mut output);
    output.writes
}

fn check(configuration: &Configuration, id: ServerId) -> Result<(), BootstrapFault> {
    let version = configuration.version();
    let find = |is_amiss: fn(ServerId, &Member, u32) -> bool| {
        let mut members = configuration.members();
        let found = members.find(|(id, member)| is_amiss(*id, member, version));
        found.map(|(id, _)| id)
    };
    let misnamed = find(|id, member, _| !member.description.can_be_of(id));
    let mute = find(|_, member, version| !member.description.versions().contains(version));
    if let Some(id) = misnamed {
        Err(BootstrapFault::WrongKey(id))
    } else if let Some(server) = mute {
        Err(BootstrapFault::VersionNotSpoken { server, version })
    } else if configuration.members().len() > SERVERS_MAX {
        Err(BootstrapFault::TooManyServers)
    } else if configuration.voters().is_empty() {
        Err(BootstrapFault::NoVoters)
    } else if configuration.is_joint() {
        Err(BootstrapFault::Joint)
    } else if configuration.weight() > configuration.entry_bytes_max() {
        Err(BootstrapFault::TooLarge {
            bytes: configuration.weight(),
            bytes_max: configuration.entry_bytes_max(),
        })
    } else if !configuration.contains(id) {
        Err(BootstrapFault::NotAMember(id))
    } else {
        Ok(())
    }
}
