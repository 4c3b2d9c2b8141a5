//! Keeps whom carriers have found who was not asked for: servers to dial as well, for as long as nobody else is
//! reached.
//!
//! Whoever says that they are there is not believed, and may be a signaling server that makes them up: each costs a
//! dial now and then, of a few at a time, and who is at the other end is proven as ever. So a hint leads to a link with
//! a server of the cluster, or to none; who is a member is for members to say.

use std::time::Duration;

use liferaft_platform::{Address, PublicKey};

use crate::ServerId;
use crate::links::Wanted;

/// The most servers of an answer that are dialed. Of more some are taken by chance, and others the next time.
const HINTS_OF_ANSWER_MAX: usize = 8;

/// The most answers that are taken each time that others are looked for: one that lies keeps the others from nothing.
const ANSWERS_MAX: usize = 8;

/// How long after others were looked for they are not looked for again.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Whom a member wants links to, and who was found beside them.
#[derive(Debug)]
pub(super) struct Hints {
    wanted: Vec<Wanted>,
    found: Vec<(ServerId, Address)>,
    /// How many answers are taken since others were last looked for.
    answers_left: usize,
    look_at: Duration,
}

impl Hints {
    pub(super) const fn new() -> Self {
        Self {
            wanted: Vec::new(),
            found: Vec::new(),
            answers_left: 0,
            look_at: Duration::ZERO,
        }
    }

    /// Returns true if others are to be looked for. Who was found before counts no more once an answer comes.
    pub(super) fn look(&mut self, now: Duration) -> bool {
        let is_due = now >= self.look_at;
        if is_due {
            self.look_at = now.saturating_add(LOOK_AGAIN_AFTER);
            self.answers_left = ANSWERS_MAX;
        }
        is_due
    }

    /// Replaces whom the member wants.
    pub(super) fn want(&mut self, wanted: Vec<Wanted>) {
        self.wanted = wanted;
    }

    /// Takes an answer, of which some are chosen by a number that was drawn by chance.
    pub(super) fn find(&mut self, mut found: Vec<(ServerId, Address)>, random: u64) {
        match self.answers_left {
            0 => return,
            ANSWERS_MAX => self.found.clear(),
            _ => {}
        }
        self.answers_left -= 1;
        let is_found = |server| self.found.iter().any(|(known, _)| *known == server);
        found.retain(|(server, _)| !self.is_wanted(*server) && !is_found(*server));
        let count = u64::try_from(found.len()).unwrap_or(u64::MAX).max(1);
        found.rotate_left(usize::try_from(random % count).unwrap_or_default());
        found.truncate(HINTS_OF_ANSWER_MAX);
        self.found.extend(found);
    }

    /// Somebody is reached: no others are dialed any more.
    pub(super) fn keep(&mut self, is_linked: impl Fn(ServerId) -> bool) {
        self.found.retain(|(server, _)| is_linked(*server));
    }

    /// Returns true if there is anybody beside those whom the member wants.
    pub(super) fn is_some(&self) -> bool {
        !self.found.is_empty()
    }

    /// Returns all who are to be linked with. Whoever answers as a hint is one of those whom the member wants, or
    /// vouched for by one.
    pub(super) fn all(&self) -> Vec<Wanted> {
        if self.found.is_empty() {
            return self.wanted.clone();
        }
        let mut keys: Vec<PublicKey> = Vec::new();
        for key in self.wanted.iter().flat_map(|wanted| &wanted.keys) {
            if !keys.contains(key) {
                keys.push(*key);
            }
        }
        let found = self
            .found
            .iter()
            .filter(|(server, _)| !self.is_wanted(*server));
        let found = found.map(|(server, address)| Wanted {
            peer: *server,
            keys: keys.clone(),
            addresses: vec![address.clone()],
        });
        self.wanted.iter().cloned().chain(found).collect()
    }

    fn is_wanted(&self, server: ServerId) -> bool {
        self.wanted.iter().any(|wanted| wanted.peer == server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn id(number: usize) -> ServerId {
        ServerId::from(u128::try_from(number).expect("it is short"))
    }

    fn wanted(number: u8) -> Wanted {
        Wanted {
            peer: id(number.into()),
            keys: vec![PublicKey([number; 32])],
            addresses: Vec::new(),
        }
    }

    fn found(numbers: std::ops::Range<usize>) -> Vec<(ServerId, Address)> {
        let address = |number| format!("rtc:{number}").parse().expect("it is one");
        numbers
            .map(|number| (id(number), address(number)))
            .collect()
    }

    fn peers(hints: &Hints) -> Vec<ServerId> {
        hints.all().iter().map(|wanted| wanted.peer).collect()
    }

    fn looking(wants: &[u8]) -> Hints {
        let mut hints = Hints::new();
        hints.want(wants.iter().copied().map(wanted).collect());
        assert!(hints.look(NOW));
        hints
    }

    #[test]
    fn few_of_those_who_are_said_to_be_there_are_dialed() {
        let mut hints = looking(&[1, 2]);

        hints.find(found(0..100), 97);

        let expected = [1, 2, 99, 0, 3, 4, 5, 6, 7, 8].map(id);
        assert_eq!(peers(&hints), expected);
        let keys = [1, 2].map(|number| PublicKey([number; 32]));
        assert_eq!(hints.all()[2].keys, keys);
    }

    #[test]
    fn a_list_that_is_made_up_crowds_out_no_other() {
        let mut hints = looking(&[1]);

        for _ in 0..100 {
            hints.find(found(100..200), 7);
        }
        let of_liar = peers(&hints).len();
        assert!(!hints.look(NOW + LOOK_AGAIN_AFTER - Duration::from_millis(1)));
        assert!(hints.look(NOW + LOOK_AGAIN_AFTER));
        hints.find(found(100..200), 0);
        hints.find(found(2..4), 0);

        assert_eq!(of_liar, 1 + ANSWERS_MAX * HINTS_OF_ANSWER_MAX);
        let peers = peers(&hints);
        assert_eq!(peers.len(), 1 + HINTS_OF_ANSWER_MAX + 2);
        assert_eq!(peers[peers.len() - 2..], [2, 3].map(id));
    }

    #[test]
    fn nobody_is_found_who_was_not_looked_for() {
        let mut hints = Hints::new();

        hints.find(found(0..100), 0);

        assert_eq!(hints.all(), []);
    }

    #[test]
    fn when_somebody_is_reached_nobody_else_is_dialed_as_a_hint() {
        let mut hints = looking(&[1]);
        hints.find(found(2..6), 0);

        hints.keep(|server| server == id(4));

        assert_eq!(peers(&hints), [1, 4].map(id));
        hints.want(vec![wanted(1), wanted(4)]);
        assert_eq!(peers(&hints), [1, 4].map(id));
    }
}
