//! Remembers which signaling servers have led nowhere, of each peer that is dialed: one that swaps descriptions is
//! quick, and must not win each time by that.

use std::time::Duration;

use liferaft_platform::SortedMap;

use crate::ServerId;
use crate::signaling::Way;

/// For how long a way comes after others.
const SHUNNED_FOR: Duration = Duration::from_secs(10 * 60);

/// The most peers for which ways are remembered, all of which this end has dialed. Whose last way has led nowhere the
/// longest ago is forgotten first.
const PEERS_MAX: usize = 1_024;

/// The ways that have led nowhere. A peer has at most as many as the carrier has signaling servers.
#[derive(Debug, Default)]
pub(crate) struct Shunned(SortedMap<ServerId, Vec<(Duration, Way)>>);

impl Shunned {
    /// Returns the ways that have led nowhere for a peer, the longest ago first.
    pub(crate) fn ways_to(&self, peer: ServerId, now: Duration) -> Vec<Way> {
        let ways = self.0.get(&peer).into_iter().flatten();
        let ways = ways.filter(|(at, _)| is_recent(*at, now));
        ways.map(|(_, way)| *way).collect()
    }

    /// A way has led nowhere.
    pub(crate) fn add(&mut self, peer: ServerId, way: Way, now: Duration) {
        if !self.0.contains_key(&peer) && self.0.len() >= PEERS_MAX {
            let last = |ways: &Vec<(Duration, Way)>| ways.last().map(|(at, _)| *at);
            let oldest = self.0.iter().min_by_key(|(_, ways)| last(ways));
            let oldest = oldest.map(|(peer, _)| *peer);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let ways = self.0.entry(peer).or_default();
        ways.retain(|(at, other)| *other != way && is_recent(*at, now));
        ways.push((now, way));
    }

    /// A way has led to the peer.
    pub(crate) fn remove(&mut self, peer: ServerId, way: Way) {
        if let Some(ways) = self.0.get_mut(&peer) {
            ways.retain(|(_, other)| *other != way);
            if ways.is_empty() {
                self.0.remove(&peer);
            }
        }
    }
}

fn is_recent(at: Duration, now: Duration) -> bool {
    now < at.saturating_add(SHUNNED_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_peers_the_oldest_is_forgotten() {
        let mut shunned = Shunned::default();
        let way = Way::Server(0);
        let peers = u128::try_from(PEERS_MAX).expect("it is short") + 1;

        // Greater ids first.
        for number in (0..peers).rev() {
            let ago = u64::try_from(number).expect("it is short");
            let at = SHUNNED_FOR - Duration::from_millis(ago);
            shunned.add(ServerId::from(number), way, at);
        }

        let ways = |number| shunned.ways_to(ServerId::from(number), SHUNNED_FOR);
        assert_eq!(ways(peers - 1), []);
        assert_eq!([ways(0), ways(peers - 2)], [[way], [way]]);
    }
}
