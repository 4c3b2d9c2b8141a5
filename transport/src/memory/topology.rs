//! Who can reach whom.

use std::collections::BTreeSet;

use crate::ServerId;

/// The cuts and the partition of a network. Peers that are not attached may be named too.
#[derive(Debug, Default)]
pub(super) struct Topology {
    cuts: BTreeSet<(ServerId, ServerId)>,
    groups: Vec<BTreeSet<ServerId>>,
}

impl Topology {
    /// Whether frames from `from` reach `to`.
    pub(super) fn connects(&self, from: ServerId, to: ServerId) -> bool {
        !self.cuts.contains(&(from, to)) && self.share_a_group(from, to)
    }

    pub(super) fn cut(&mut self, from: ServerId, to: ServerId) {
        self.cuts.insert((from, to));
    }

    pub(super) fn heal(&mut self, from: ServerId, to: ServerId) {
        self.cuts.remove(&(from, to));
    }

    pub(super) fn heal_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn partition(&mut self, groups: &[&[ServerId]]) {
        self.groups = groups
            .iter()
            .map(|group| group.iter().copied().collect())
            .collect();
    }

    /// Peers that no group names form one more group.
    fn share_a_group(&self, a: ServerId, b: ServerId) -> bool {
        let unnamed = |peer| !self.groups.iter().any(|group| group.contains(&peer));
        self.groups
            .iter()
            .any(|group| group.contains(&a) && group.contains(&b))
            || (unnamed(a) && unnamed(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerId = ServerId(1);
    const B: ServerId = ServerId(2);
    const C: ServerId = ServerId(3);
    const D: ServerId = ServerId(4);

    #[test]
    fn groups_that_overlap_make_a_bridge() {
        let mut topology = Topology::default();

        topology.partition(&[&[A, B], &[B, C]]);

        assert!(topology.connects(A, B) && topology.connects(B, C));
        assert!(!topology.connects(A, C) && !topology.connects(C, A));
    }

    #[test]
    fn peers_that_no_group_names_reach_each_other_only() {
        let mut topology = Topology::default();

        topology.partition(&[&[A, B]]);

        assert!(topology.connects(C, D));
        assert!(!topology.connects(A, C) && !topology.connects(C, A));
    }

    #[test]
    fn a_cut_outlives_a_partition() {
        let mut topology = Topology::default();
        topology.cut(A, B);

        topology.partition(&[&[A], &[B]]);
        topology.partition(&[]);

        assert!(!topology.connects(A, B) && topology.connects(B, A));
    }
}
