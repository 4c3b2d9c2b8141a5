//! Quorum arithmetic: what a majority has reached, and whether an election is decided.
//!
//! Every quorum of the protocol is counted here, and always over both halves of a joint configuration (§4.3): for
//! commitment, elections, read rounds and check-quorum alike.

use alloc::vec::Vec;

use super::planted::{Bug, is_planted};
use crate::configuration::Configuration;
use crate::ids::ServerId;

/// Up to so many voters are counted without allocating.
const VOTERS_ON_STACK: usize = 16;

/// How far an election has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A quorum grants its vote.
    Won,
    /// No quorum can grant its vote any more.
    Lost,
    /// Neither yet.
    Pending,
}

/// The greatest value that a quorum has reached, where `of` tells what each voter has; `None` if the configuration has
/// no voters, so that nothing bounds it.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::configuration::Configuration;
/// use liferaft::consensus::quorum;
/// use liferaft::ids::ServerId;
///
/// let configuration = Configuration::of_voters([1, 2, 3, 4].map(ServerId));
/// let reached = quorum::reached(&configuration, |voter| match voter.0 {
///     1 | 2 => 5,
///     _ => 0,
/// });
/// assert_eq!(reached, Some(0), "two of four are no majority");
/// ```
pub fn reached<T: Copy + Ord + Default>(
    configuration: &Configuration,
    of: impl Fn(ServerId) -> T,
) -> Option<T> {
    let incoming = reached_by_majority(configuration.voters(), &of);
    let outgoing = reached_by_majority(configuration.outgoing(), &of);
    match (incoming, outgoing) {
        (Some(incoming), Some(outgoing)) => Some(incoming.min(outgoing)),
        (one, other) => one.or(other),
    }
}

/// How many more voters must come to have something, at least, until a quorum has it, where `has` tells who has it
/// already.
///
/// Zero if a quorum has it, or the configuration has no voters.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::configuration::Configuration;
/// use liferaft::consensus::quorum;
/// use liferaft::ids::ServerId;
///
/// let configuration = Configuration::of_voters([1, 2, 3, 4].map(ServerId));
/// assert_eq!(quorum::missing(&configuration, |voter| voter == ServerId(1)), 2);
/// ```
pub fn missing(configuration: &Configuration, has: impl Fn(ServerId) -> bool) -> usize {
    let missing = |voters: &[ServerId]| {
        let count = voters.iter().filter(|voter| has(**voter)).count();
        majority_of(voters.len()).saturating_sub(count)
    };
    // A voter of both halves counts in both.
    missing(configuration.voters()).max(missing(configuration.outgoing()))
}

/// How the election stands, where `of` tells each voter's answer, if it has given one.
pub fn tally(configuration: &Configuration, of: impl Fn(ServerId) -> Option<bool>) -> Tally {
    let incoming = tally_majority(configuration.voters(), &of);
    let outgoing = tally_majority(configuration.outgoing(), &of);
    match (incoming, outgoing) {
        (Tally::Lost, _) | (_, Tally::Lost) => Tally::Lost,
        (Tally::Won, Tally::Won) => Tally::Won,
        _ => Tally::Pending,
    }
}

fn reached_by_majority<T: Copy + Ord + Default>(
    voters: &[ServerId],
    of: &impl Fn(ServerId) -> T,
) -> Option<T> {
    let count = voters.len();
    if count == 0 {
        return None;
    }
    // In ascending order, the values of a majority begin there.
    let least = count - majority_of(count);
    if count <= VOTERS_ON_STACK {
        let mut values = [T::default(); VOTERS_ON_STACK];
        for (slot, voter) in values.iter_mut().zip(voters) {
            *slot = of(*voter);
        }
        values[..count].sort_unstable();
        Some(values[least])
    } else {
        let mut values: Vec<T> = voters.iter().map(|voter| of(*voter)).collect();
        let (_, value, _) = values.select_nth_unstable(least);
        Some(*value)
    }
}

/// How many of so many voters are a majority; none of none.
fn majority_of(count: usize) -> usize {
    if is_planted(Bug::HalfIsMajority) {
        count.div_ceil(2)
    } else if count == 0 {
        0
    } else {
        count / 2 + 1
    }
}

/// Counts, between one look at a quorum and the next, how many more voters must pass a mark before there can be
/// another.
///
/// A leader of many voters would otherwise look at all of them for each answer, the square of their number for each
/// commit. It errs towards looking once too often.
#[derive(Debug, Default)]
pub(super) struct Gate {
    missing: usize,
}

impl Gate {
    /// So many more voters must pass the mark.
    pub(super) fn wait_for(&mut self, missing: usize) {
        self.missing = missing;
    }

    /// Nothing is known any more: another look is due.
    pub(super) fn open(&mut self) {
        self.missing = 0;
    }

    /// Takes note that a peer has got further, and whether it `passed` the mark by that. Returns true if a look is due.
    pub(super) fn is_due(&mut self, passed: bool) -> bool {
        self.missing = self.missing.saturating_sub(usize::from(passed));
        self.missing == 0
    }
}

fn tally_majority(voters: &[ServerId], of: &impl Fn(ServerId) -> Option<bool>) -> Tally {
    let majority = voters.len() / 2 + 1;
    let (mut granted, mut refused) = (0, 0);
    for answer in voters.iter().filter_map(|voter| of(*voter)) {
        if answer { granted += 1 } else { refused += 1 }
    }
    if voters.is_empty() || granted >= majority {
        Tally::Won
    } else if voters.len() - refused < majority {
        Tally::Lost
    } else {
        Tally::Pending
    }
}
