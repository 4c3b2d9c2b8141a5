//! The settings of a server, checked once.

use core::time::Duration;

use liferaft_platform::CACHED_BYTES_MAX;
use thiserror::Error;

/// The settings of a [`Raft`](crate::consensus::Raft): timing and bounds. Made by [`Config::builder`], so that one in
/// hand always makes sense.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use core::time::Duration;
/// use liferaft::config::Config;
///
/// let config = Config::builder().election_timeout(Duration::from_millis(500)).build()?;
/// assert_eq!(config.heartbeat_interval(), Duration::from_millis(100));
/// # Ok::<(), liferaft::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    timing: Timing,
    limits: Limits,
    read_lease: Option<ReadLease>,
}

/// The opt-in to reads by lease (§6.4.1): while a quorum has promised to elect nobody else, the leader answers reads
/// without asking it.
///
/// That is safe only while clocks keep to the drift bound, so it is off unless asked for. What a member promises, and
/// what a leader makes of it, is told in [`consensus::lease`](crate::consensus::lease). A cluster reads by lease as far
/// as its members are built with this: a leader counts only the promises of voters that make them.
///
/// A member may be started again with other settings at any time: what it has promised is stored, and it waits for that
/// before it votes, whatever its election timeout is by then and whether it has leases or not.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::config::{Config, ReadLease};
///
/// // Crystals are good to 100 parts per million, and clock discipline may add 500.
/// let config = Config::builder().read_lease(ReadLease::with_drift_bound_ppm(1_000)?).build()?;
/// assert_eq!(config.read_lease().map(|lease| lease.drift_bound_ppm()), Some(1_000));
/// # Ok::<(), liferaft::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLease {
    drift_bound_ppm: u32,
    uncounted_max: Duration,
}

/// The two times that may change while a server runs (§3.9, §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    election_timeout: Duration,
    heartbeat_interval: Duration,
}

/// The bounds of a server. Every field is public: each stands alone, and `Config::builder` refuses a zero, unless the
/// field says that it may be zero.
///
/// # What a server holds in memory
///
/// Let *S* be the length of a snapshot, at most [`snapshot_bytes_max`](Self::snapshot_bytes_max).
///
/// - *Snapshots* are in storage. A leader holds of each peer's what was read to be sent and is not, at most
///   [`inflight_bytes_max`](Self::inflight_bytes_max). A follower holds what has arrived and storage has not taken, and
///   chunks that came too early, at most as much of each. A driver encodes one in pieces of 1 MiB, and restores one in
///   pieces of 256 KiB; but a state machine that wants it whole, as `StateMachine::restore` does, holds *S*, once.
/// - *The log*: at most [`log_memory_bytes_max`](Self::log_memory_bytes_max) of its end, or what is not both committed
///   and on this server's disk if that is more, at most [`uncommitted_bytes_max`](Self::uncommitted_bytes_max) on a
///   leader. These last, and those handed out to be applied, count with what they weigh on their way
///   ([`Entry::weight`]); in memory each takes up to 88 bytes more ([`Entry::memory`]). Of what is before that, and is
///   read from storage when it is needed: 16 bytes for each 64 KiB, and for each
///   term. What is read is at most 1 MiB for the state machine, within
///   [`applying_bytes_max`](Self::applying_bytes_max), and a message for each peer, or one entry if that is longer.
/// - *On the disk*, the log behind its last compaction: the entries kept then, for peers at most
///   [`catch_up_bytes_max`](Self::catch_up_bytes_max) or *S*, and those written since, until the next snapshot is due and
///   durable. A driver's snapshot is due after as many bytes as it is told, or *S*.
/// - *The replies kept for sessions*, beside the state and in each snapshot: at most `sessions::REPLY_BYTES_MAX`, 256
///   MiB as serialised, and once more while a snapshot is encoded or restored.
/// - *For each peer*, nothing else but positions: entries in flight share their bytes with the log. The transport holds
///   them until they are sent: at most [`inflight_bytes_max`](Self::inflight_bytes_max) and one message are
///   unacknowledged.
///
/// [`Entry::weight`]: crate::entry::Entry::weight
/// [`Entry::memory`]: crate::entry::Entry::memory
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest command, in bytes; a longer one is refused. A member bounds the commands of its own callers by it,
    /// and nobody takes a longer one than an entry of the cluster may have: see
    /// [`Configuration::entry_bytes_max`](crate::configuration::Configuration::entry_bytes_max). Default 1 MiB.
    pub command_bytes_max: u64,
    /// The most bytes of entries in one AppendEntries; a single entry may be heavier. Never more than an entry of the
    /// cluster may have. Default 256 KiB.
    pub append_bytes_max: u64,
    /// The most bytes of entries, or of a snapshot, in flight to one peer: the replication window (§10.2.1). The window
    /// is found by how long things take, so that heartbeats wait for no more than half of their interval behind it;
    /// this bounds it. Default 4 MiB.
    pub inflight_bytes_max: u64,
    /// The most bytes of commands that a leader keeps appended and uncommitted, or committed by the others and not on
    /// its own disk. What would exceed it is refused as busy; one command is always allowed on an empty tail. A
    /// follower takes no entries either while as many bytes of them wait for its disk. Default 64 MiB.
    pub uncommitted_bytes_max: u64,
    /// The most bytes of committed entries handed out and not yet reported applied; the last entry may exceed it. A
    /// leader's snapshot is handed out when all of them are applied. Default 16 MiB.
    pub applying_bytes_max: u64,
    /// The most bytes that the entries of its log take which a server keeps in memory, counted as
    /// [`Entry::memory`](crate::entry::Entry::memory), those apart that are not both committed and on its own disk.
    /// Older ones are read from storage when a peer or the state machine needs them. May be zero. Default 64 MiB, in
    /// browsers 8 MiB.
    pub log_memory_bytes_max: u64,
    /// The largest snapshot that is taken or accepted, in bytes. Default 1 GiB.
    pub snapshot_bytes_max: u64,
    /// The most data in one chunk of a snapshot, in bytes; on slow links there is less in one. Never more than an entry
    /// of the cluster may have. Default 64 KiB.
    pub snapshot_chunk_bytes: u64,
    /// The most reads that may wait to be confirmed. Default 65,536.
    pub reads_max: usize,
    /// How many entries stay in the log behind a snapshot, so that a follower only a little behind does not need it.
    /// May be zero. Default 1,024.
    pub trailing_entries: u64,
    /// The most bytes of these entries. May be zero. Default 16 MiB.
    pub trailing_bytes_max: u64,
    /// The most bytes of entries that stay in a leader's log behind a snapshot because a peer has yet to be sent them,
    /// or as many as the snapshot has, if those are more: until then the log is the cheaper way for it to catch up.
    /// Beyond it, the peer is sent a snapshot. May be zero. Default 16 MiB.
    pub catch_up_bytes_max: u64,
    /// The most of these entries: storage that writes whole pages takes 4 KiB for a short one. May be zero. Default
    /// 65,536.
    pub catch_up_entries: u64,
    /// How many rounds of replication a joining server has to catch up in (§4.2.1). Default 10.
    pub catch_up_rounds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_bytes_max: 1 << 20,
            append_bytes_max: 256 << 10,
            inflight_bytes_max: 4 << 20,
            uncommitted_bytes_max: 64 << 20,
            applying_bytes_max: 16 << 20,
            log_memory_bytes_max: CACHED_BYTES_MAX,
            snapshot_bytes_max: 1 << 30,
            snapshot_chunk_bytes: 64 << 10,
            reads_max: 1 << 16,
            trailing_entries: 1024,
            trailing_bytes_max: 16 << 20,
            catch_up_bytes_max: 16 << 20,
            catch_up_entries: 1 << 16,
            catch_up_rounds: 10,
        }
    }
}

impl Default for Config {
    /// An election timeout of 1 s, a heartbeat each 200 ms and the default [`Limits`].
    fn default() -> Self {
        Self::builder()
            .build()
            .expect("the default settings make sense")
    }
}

impl Config {
    /// Begins with the defaults.
    #[must_use]
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The least time without a leader's word after which a server campaigns; each draws its own, up to twice this.
    #[must_use]
    pub const fn election_timeout(&self) -> Duration {
        self.timing.election_timeout
    }

    /// How often a leader makes itself heard.
    #[must_use]
    pub const fn heartbeat_interval(&self) -> Duration {
        self.timing.heartbeat_interval
    }

    /// Both times.
    #[must_use]
    pub const fn timing(&self) -> Timing {
        self.timing
    }

    /// How reads are served by lease; `None` if each of them costs a round, the default.
    #[must_use]
    pub const fn read_lease(&self) -> Option<ReadLease> {
        self.read_lease
    }

    /// The bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes the timing of a member that runs.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// The core takes whatever fits into an entry of the cluster: a member's own bound is for its own callers.
    pub fn lift_command_bytes_max(&mut self) {
        self.limits.command_bytes_max = u64::MAX;
    }

    /// The member's clock may miss this much of the time that its machine was suspended.
    pub fn set_uncounted_max(&mut self, uncounted_max: Duration) {
        if let Some(lease) = &mut self.read_lease {
            lease.uncounted_max = uncounted_max;
        }
    }
}

impl ReadLease {
    /// No clock of a member gains or loses more than this many millionths of the time that passes.
    ///
    /// # Errors
    /// [`ConfigError::DriftBound`] when it is zero, which no clock keeps to, or above [`DRIFT_BOUND_PPM_MAX`].
    pub const fn with_drift_bound_ppm(ppm: u32) -> Result<Self, ConfigError> {
        if ppm == 0 || ppm > DRIFT_BOUND_PPM_MAX {
            return Err(ConfigError::DriftBound { ppm });
        }
        Ok(Self {
            drift_bound_ppm: ppm,
            uncounted_max: Duration::ZERO,
        })
    }

    /// How many millionths of the time a member's clock may gain or lose.
    #[must_use]
    pub const fn drift_bound_ppm(self) -> u32 {
        self.drift_bound_ppm
    }

    /// How long a leader may rely, by its clock, on a promise of so long by another server's clock: its own may be as
    /// slow as the bound allows, the other's as fast.
    #[must_use]
    pub fn reliable(self, promise: Duration) -> Duration {
        let promise = promise.min(ELECTION_TIMEOUT_MAX).as_nanos();
        let drift = u128::from(self.drift_bound_ppm);
        let reliable = promise * (MILLION - drift) / (MILLION + drift);
        Duration::from_nanos(u64::try_from(reliable).unwrap_or(u64::MAX))
            .saturating_sub(self.uncounted_max)
    }
}

const MILLION: u128 = 1_000_000;

impl Timing {
    /// An election timeout and a heartbeat interval.
    ///
    /// # Errors
    /// When an election could not wait for a heartbeat: see [`ConfigError`].
    pub fn new(
        election_timeout: Duration,
        heartbeat_interval: Duration,
    ) -> Result<Self, ConfigError> {
        if heartbeat_interval.is_zero() {
            return Err(ConfigError::ZeroHeartbeat);
        }
        if election_timeout < heartbeat_interval * 2 {
            return Err(ConfigError::ElectionBeforeHeartbeat {
                election_timeout,
                heartbeat_interval,
            });
        }
        if election_timeout > ELECTION_TIMEOUT_MAX {
            return Err(ConfigError::ElectionTimeoutTooLong { election_timeout });
        }
        Ok(Self {
            election_timeout,
            heartbeat_interval,
        })
    }

    /// The least time without a leader's word after which a server campaigns.
    #[must_use]
    pub const fn election_timeout(self) -> Duration {
        self.election_timeout
    }

    /// How often a leader makes itself heard.
    #[must_use]
    pub const fn heartbeat_interval(self) -> Duration {
        self.heartbeat_interval
    }
}

/// The highest drift bound that makes sense: half of the time.
pub const DRIFT_BOUND_PPM_MAX: u32 = 500_000;

/// The longest election timeout that makes sense: an hour.
pub const ELECTION_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Makes a [`Config`].
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    election_timeout: Duration,
    heartbeat_interval: Option<Duration>,
    limits: Limits,
    read_lease: Option<ReadLease>,
}

impl Default for ConfigBuilder {
    fn default() -> Self {
        Self {
            election_timeout: Duration::from_secs(1),
            heartbeat_interval: None,
            limits: Limits::default(),
            read_lease: None,
        }
    }
}

impl ConfigBuilder {
    /// The least time without a leader's word after which a server campaigns; each draws its own, up to twice this.
    /// Default 1 s.
    #[must_use]
    pub const fn election_timeout(mut self, timeout: Duration) -> Self {
        self.election_timeout = timeout;
        self
    }

    /// How often a leader makes itself heard. Default a fifth of the election timeout.
    #[must_use]
    pub const fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = Some(interval);
        self
    }

    /// Serves reads by lease (§6.4.1). Default off: see [`ReadLease`] for what it rests on.
    ///
    /// A member refuses to start with it where the system's clock does not count suspended time, and in browsers.
    #[must_use]
    pub const fn read_lease(mut self, lease: ReadLease) -> Self {
        self.read_lease = Some(lease);
        self
    }

    /// Changes the bounds.
    ///
    /// ```
    /// # use liferaft_raft as liferaft;
    /// # use liferaft::config::Config;
    /// let config = Config::builder().limits(|limits| limits.command_bytes_max = 4096).build()?;
    /// # Ok::<(), liferaft::config::ConfigError>(())
    /// ```
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// When they make no sense: see [`ConfigError`].
    pub fn build(self) -> Result<Config, ConfigError> {
        let heartbeat = self.heartbeat_interval.unwrap_or(self.election_timeout / 5);
        let timing = Timing::new(self.election_timeout, heartbeat)?;
        let limits = self.limits;
        let zero = [
            ("command_bytes_max", limits.command_bytes_max),
            ("append_bytes_max", limits.append_bytes_max),
            ("inflight_bytes_max", limits.inflight_bytes_max),
            ("uncommitted_bytes_max", limits.uncommitted_bytes_max),
            ("applying_bytes_max", limits.applying_bytes_max),
            ("snapshot_bytes_max", limits.snapshot_bytes_max),
            ("snapshot_chunk_bytes", limits.snapshot_chunk_bytes),
            ("reads_max", limits.reads_max as u64),
            ("catch_up_rounds", u64::from(limits.catch_up_rounds)),
        ]
        .into_iter()
        .find(|(_, value)| *value == 0);
        if let Some((limit, _)) = zero {
            return Err(ConfigError::ZeroLimit { limit });
        }
        Ok(Config {
            timing,
            limits,
            read_lease: self.read_lease,
        })
    }
}

/// Why settings were refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The heartbeat interval is zero.
    #[error("the heartbeat interval is zero")]
    ZeroHeartbeat,
    /// Servers would campaign against a leader that is alive.
    #[error(
        "the election timeout ({election_timeout:?}) is below two heartbeats of {heartbeat_interval:?}"
    )]
    ElectionBeforeHeartbeat {
        /// The election timeout asked for.
        election_timeout: Duration,
        /// The heartbeat interval asked for.
        heartbeat_interval: Duration,
    },
    /// The cluster would never notice that its leader is gone.
    #[error("the election timeout ({election_timeout:?}) is above {ELECTION_TIMEOUT_MAX:?}")]
    ElectionTimeoutTooLong {
        /// The election timeout asked for.
        election_timeout: Duration,
    },
    /// No clock drifts so little, or nothing could be told by one that drifts so much.
    #[error("a clock drift of {ppm} millionths is not between 1 and {DRIFT_BOUND_PPM_MAX}")]
    DriftBound {
        /// The bound asked for.
        ppm: u32,
    },
    /// A bound of zero would stop the server.
    #[error("the limit {limit} is zero")]
    ZeroLimit {
        /// The name of the bound.
        limit: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_timeout_below_two_heartbeats_is_refused() {
        let refused = Config::builder()
            .election_timeout(Duration::from_millis(100))
            .heartbeat_interval(Duration::from_millis(60))
            .build();

        assert!(matches!(
            refused,
            Err(ConfigError::ElectionBeforeHeartbeat { .. })
        ));
    }

    #[test]
    fn a_drift_bound_that_no_clock_keeps_to_is_refused() {
        let none = ReadLease::with_drift_bound_ppm(0);
        let wild = ReadLease::with_drift_bound_ppm(DRIFT_BOUND_PPM_MAX + 1);

        assert_eq!(none, Err(ConfigError::DriftBound { ppm: 0 }));
        assert_eq!(wild, Err(ConfigError::DriftBound { ppm: 500_001 }));
    }

    #[test]
    fn a_promise_by_the_fastest_clock_is_relied_upon_by_the_slowest() {
        let lease = ReadLease::with_drift_bound_ppm(200_000).unwrap();

        let reliable = lease.reliable(Duration::from_millis(1_200));

        // Promised are 1,000 ms of true time, in which the slowest clock counts 800.
        assert_eq!(reliable, Duration::from_millis(800));
    }

    #[test]
    fn a_zero_heartbeat_and_a_zero_limit_are_refused() {
        let heartbeat = Config::builder().heartbeat_interval(Duration::ZERO).build();
        let limit = Config::builder()
            .limits(|limits| limits.reads_max = 0)
            .build();

        assert_eq!(heartbeat, Err(ConfigError::ZeroHeartbeat));
        assert_eq!(limit, Err(ConfigError::ZeroLimit { limit: "reads_max" }));
    }
}
