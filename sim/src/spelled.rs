//! How files spell what the rest of the project has no encoding for, and what reads better otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use liferaft_raft::consensus::{MembershipChange, MembershipStep};
use liferaft_raft::ids::ServerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::clock::Nanos;
use crate::invitations::{description, number_of, number_of_token, token};

/// A member's place, written as its id: the first member is 1, in files as in alarms.
pub mod place {
    use super::*;

    /// Writes it.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(place: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        (place + 1).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is not a number from 1 on.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        let id = usize::deserialize(deserializer)?;
        id.checked_sub(1)
            .ok_or_else(|| de::Error::custom("members count from 1"))
    }
}

/// As [`place`], or `null`.
pub mod place_if_any {
    use super::*;

    /// Writes it.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(
        place: &Option<usize>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        place.map(|place| place + 1).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is neither `null` nor a number from 1 on.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<usize>, D::Error> {
        let id = Option::<usize>::deserialize(deserializer)?;
        id.map(|id| {
            id.checked_sub(1)
                .ok_or_else(|| de::Error::custom("members count from 1"))
        })
        .transpose()
    }
}

/// The settings of the members.
pub mod config {
    use liferaft_raft::config::{Config, Limits, ReadLease};

    use super::*;

    /// Every setting; what a file leaves out is the default.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Spelled {
        election_timeout: Nanos,
        heartbeat_interval: Nanos,
        command_bytes_max: u64,
        append_bytes_max: u64,
        inflight_bytes_max: u64,
        uncommitted_bytes_max: u64,
        applying_bytes_max: u64,
        log_memory_bytes_max: u64,
        snapshot_bytes_max: u64,
        snapshot_chunk_bytes: u64,
        reads_max: usize,
        trailing_entries: u64,
        trailing_bytes_max: u64,
        catch_up_bytes_max: u64,
        catch_up_entries: u64,
        catch_up_rounds: u32,
        /// Present where reads are served by lease.
        read_lease_drift_bound_ppm: Option<u32>,
    }

    impl Default for Spelled {
        fn default() -> Self {
            Self::of(&Config::default())
        }
    }

    impl Spelled {
        fn of(config: &Config) -> Self {
            let nanos = |time: Duration| Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX);
            let limits = config.limits();
            Self {
                election_timeout: nanos(config.election_timeout()),
                heartbeat_interval: nanos(config.heartbeat_interval()),
                command_bytes_max: limits.command_bytes_max,
                append_bytes_max: limits.append_bytes_max,
                inflight_bytes_max: limits.inflight_bytes_max,
                uncommitted_bytes_max: limits.uncommitted_bytes_max,
                applying_bytes_max: limits.applying_bytes_max,
                log_memory_bytes_max: limits.log_memory_bytes_max,
                snapshot_bytes_max: limits.snapshot_bytes_max,
                snapshot_chunk_bytes: limits.snapshot_chunk_bytes,
                reads_max: limits.reads_max,
                trailing_entries: limits.trailing_entries,
                trailing_bytes_max: limits.trailing_bytes_max,
                catch_up_bytes_max: limits.catch_up_bytes_max,
                catch_up_entries: limits.catch_up_entries,
                catch_up_rounds: limits.catch_up_rounds,
                read_lease_drift_bound_ppm: config.read_lease().map(ReadLease::drift_bound_ppm),
            }
        }

        fn limit(&self, limits: &mut Limits) {
            limits.command_bytes_max = self.command_bytes_max;
            limits.append_bytes_max = self.append_bytes_max;
            limits.inflight_bytes_max = self.inflight_bytes_max;
            limits.uncommitted_bytes_max = self.uncommitted_bytes_max;
            limits.applying_bytes_max = self.applying_bytes_max;
            limits.log_memory_bytes_max = self.log_memory_bytes_max;
            limits.snapshot_bytes_max = self.snapshot_bytes_max;
            limits.snapshot_chunk_bytes = self.snapshot_chunk_bytes;
            limits.reads_max = self.reads_max;
            limits.trailing_entries = self.trailing_entries;
            limits.trailing_bytes_max = self.trailing_bytes_max;
            limits.catch_up_bytes_max = self.catch_up_bytes_max;
            limits.catch_up_entries = self.catch_up_entries;
            limits.catch_up_rounds = self.catch_up_rounds;
        }
    }

    /// Writes them.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(config: &Config, serializer: S) -> Result<S::Ok, S::Error> {
        Spelled::of(config).serialize(serializer)
    }

    /// Reads them.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Config, D::Error> {
        let spelled = Spelled::deserialize(deserializer)?;
        let mut builder = Config::builder()
            .election_timeout(Duration::from_nanos(spelled.election_timeout))
            .heartbeat_interval(Duration::from_nanos(spelled.heartbeat_interval))
            .limits(|limits| spelled.limit(limits));
        if let Some(ppm) = spelled.read_lease_drift_bound_ppm {
            let lease = ReadLease::with_drift_bound_ppm(ppm).map_err(de::Error::custom)?;
            builder = builder.read_lease(lease);
        }
        builder.build().map_err(de::Error::custom)
    }
}

/// A change of membership, as its steps.
pub mod change {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Spelled {
        AddVoter(u64),
        AddLearner(u64),
        Remove(u64),
        Evict(u64),
        Retire(u64),
        Describe(u64, u8),
        Issue(u8),
        Revoke(u8),
        RaiseVersion(u32),
    }

    /// Writes it.
    ///
    /// # Errors
    /// When a server's id is none of a simulated member.
    pub fn serialize<S: Serializer>(
        change: &MembershipChange,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let place = |id: &ServerId| u64::try_from(id.0).map_err(ser::Error::custom);
        let steps = change.steps.iter().map(|step| {
            Ok(match step {
                MembershipStep::AddVoter(addition) => Spelled::AddVoter(place(&addition.id)?),
                MembershipStep::AddLearner(addition) => Spelled::AddLearner(place(&addition.id)?),
                MembershipStep::Remove(id) => Spelled::Remove(place(id)?),
                MembershipStep::Evict(id) => Spelled::Evict(place(id)?),
                MembershipStep::Retire(id) => Spelled::Retire(place(id)?),
                MembershipStep::Describe(id, description) => {
                    let number = number_of(description);
                    let none = || ser::Error::custom("the description has no number");
                    Spelled::Describe(place(id)?, number.ok_or_else(none)?)
                }
                MembershipStep::Issue(token) => Spelled::Issue(number_of_token(token.key)),
                MembershipStep::Revoke(key) => Spelled::Revoke(number_of_token(*key)),
                MembershipStep::RaiseVersion(version) => Spelled::RaiseVersion(*version),
            })
        });
        steps
            .collect::<Result<Vec<_>, S::Error>>()?
            .serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MembershipChange, D::Error> {
        let id = |id: u64| ServerId(u128::from(id));
        let steps = Vec::<Spelled>::deserialize(deserializer)?;
        Ok(steps
            .into_iter()
            .fold(MembershipChange::default(), |change, step| {
                change.and(match step {
                    Spelled::AddVoter(server) => MembershipChange::add_voter(id(server)),
                    Spelled::AddLearner(server) => MembershipChange::add_learner(id(server)),
                    Spelled::Remove(server) => MembershipChange::remove(id(server)),
                    Spelled::Evict(server) => MembershipChange::evict(id(server)),
                    Spelled::Retire(server) => MembershipChange::retire(id(server)),
                    Spelled::Describe(server, number) => {
                        MembershipChange::describe(id(server), description(number))
                    }
                    Spelled::Issue(number) => MembershipChange::issue(token(number)),
                    Spelled::Revoke(number) => MembershipChange::revoke(token(number).key),
                    Spelled::RaiseVersion(version) => MembershipChange::raise_version(version),
                })
            }))
    }
}

/// Weights, as an object of those that are not zero.
pub fn weigh<K: Copy + Ord + Serialize, S: Serializer>(
    kinds: &[K],
    weights: &[u32],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let weights = kinds.iter().zip(weights).filter(|(_, weight)| **weight > 0);
    weights.collect::<BTreeMap<_, _>>().serialize(serializer)
}

/// The weights of these kinds; zero for those that the object does not name.
pub fn weighed<'de, K, D, const N: usize>(
    kinds: &[K; N],
    deserializer: D,
) -> Result<[u32; N], D::Error>
where
    K: Ord + Deserialize<'de>,
    D: Deserializer<'de>,
{
    let weights = BTreeMap::<K, u32>::deserialize(deserializer)?;
    Ok(core::array::from_fn(|at| {
        weights.get(&kinds[at]).copied().unwrap_or(0)
    }))
}

#[cfg(test)]
mod tests {
    use crate::plan::Plan;

    #[test]
    fn a_plan_that_is_spelled_out_is_read_as_it_was() {
        for seed in 1..=100 {
            let plan = Plan::of_seed(seed);

            let text = serde_json::to_string(&plan).expect("it is written");
            let read: Plan = serde_json::from_str(&text).expect("it is read");

            assert_eq!(format!("{read:?}"), format!("{plan:?}"), "seed {seed}");
        }
    }
}
