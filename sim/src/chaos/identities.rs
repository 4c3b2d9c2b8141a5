//! Draws what puts it to the test who is who: strangers and impostors, copies of storages, newcomers whom somebody
//! knows by the word of others alone.

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::MembershipChange;

use super::{Chaos, Timed};
use crate::action::Action;
use crate::clock::Nanos;
use crate::member::Member;
use crate::strangers::{LATER_MIN, Saying, What};

/// How many strangers there are, and how far their terms are ahead at most.
const STRANGERS: usize = 3;
const LATER_MAX: u64 = 1_000;

/// An impostor's term is ahead of its hearer's by less than this: most often not at all.
const PRETENDED: [u64; 4] = [0, 0, 1, 2];

/// How often a copy of a storage shows itself to all others.
const COPY_DIALS: Nanos = 4;

/// How often leadership is handed to a newcomer.
const HANDOVERS: Nanos = 3;

impl Chaos {
    /// A stranger speaks to all members, and to one first.
    pub(super) fn stranger(&mut self, victim: usize) -> Timed {
        let what = self.saying_of_others();
        let saying = Saying {
            by: u8::try_from(self.dice.below(STRANGERS)).unwrap_or(0),
            what,
            later: self.dice.between(LATER_MIN, LATER_MAX),
        };
        self.heard_by_all(victim, |at| Action::Stranger(at, saying))
    }

    /// Somebody pretends before all members to be one of them, and before one first.
    pub(super) fn impostor(&mut self, victim: usize) -> Timed {
        let what = self.saying_of_others();
        let saying = Saying {
            by: u8::try_from(self.dice.between(0, u64::from(u8::MAX))).unwrap_or(0),
            what,
            later: self.dice.pick(&PRETENDED).unwrap_or(0),
        };
        self.heard_by_all(victim, |at| Action::Impostor(at, saying))
    }

    /// In an open cluster whoever leads or campaigns may be newer than what its hearer knows.
    fn saying_of_others(&mut self) -> What {
        let sayings: &[What] = if self.plan.is_closed {
            &What::ALL
        } else {
            &What::EVER_REFUSED
        };
        self.dice.pick(sayings).unwrap_or(What::AppendReply)
    }

    fn heard_by_all(&self, first: usize, hears: impl Fn(usize) -> Action) -> Timed {
        let others = (0..self.plan.members).filter(|at| *at != first);
        let heard_by = core::iter::once(first).chain(others);
        heard_by.map(|at| (0, hears(at))).collect()
    }

    /// A server's storage is copied while it runs, and the server starts again. Its copy is started when others have
    /// met it since, and shows itself again and again.
    pub(super) fn clone_of(&mut self, victim: usize, brief: Nanos, lasts: Nanos) -> Timed {
        let mut actions = vec![
            (0, Action::CopyDisk(victim)),
            (0, Action::Crash(victim, self.survival())),
            (brief, Action::Restart(victim)),
        ];
        let between = lasts.max(self.election_timeout());
        for turn in 1..=COPY_DIALS {
            actions.push((brief + between * turn / 2, Action::ShowCopy(victim)));
        }
        actions
    }

    /// A member is cut off while operators put others in the places of those whom it knows, and one of the newcomers
    /// is made the leader. When the member comes back it knows the newcomers by the word of others alone.
    pub(super) fn replaced(&mut self, members: &[Member], victim: usize, lasts: Nanos) -> Timed {
        let leads = |at: &usize| *at != victim && members[*at].leads();
        let leader = (0..members.len()).find(leads);
        let leader = leader.unwrap_or_else(|| self.other_than(victim));
        let configuration = members[leader].log.configuration().1;
        let voters = configuration.map_or(&[][..], Configuration::voters);
        let (id, cut_off) = (members[leader].id, members[victim].id);
        let coming: Vec<usize> = (0..members.len())
            .filter(|at| members[*at].is_up() && !voters.contains(&members[*at].id))
            .collect();
        let others = voters.iter().filter(|other| **other != cut_off);
        // The leader goes last: with one newcomer it stays, and hands over.
        let (last, first): (Vec<_>, Vec<_>) = others.copied().partition(|other| *other == id);
        let leaving: Vec<_> = first
            .into_iter()
            .chain(last)
            .take(coming.len().max(1))
            .collect();
        let change = leaving
            .iter()
            .fold(MembershipChange::default(), |change, id| {
                change.and(MembershipChange::remove(*id))
            });
        let change = coming
            .iter()
            .take(leaving.len())
            .fold(change, |change, at| {
                change.and(MembershipChange::add_voter(members[*at].id))
            });
        let lasts = lasts + (HANDOVERS + 1) * self.election_timeout();
        let mut actions = self.cuts(lasts, |a, b| a == victim || b == victim);
        actions.push((0, Action::Change(leader, change)));
        for turn in 1..=HANDOVERS {
            let newcomer = self.dice.pick(&coming);
            for at in (0..members.len()).filter(|at| *at != victim) {
                let wait = turn * self.election_timeout();
                actions.push((wait, Action::Transfer(at, newcomer)));
            }
        }
        // Whoever left comes back.
        let back = leaving
            .iter()
            .fold(MembershipChange::default(), |change, id| {
                change.and(MembershipChange::add_voter(*id))
            });
        for member in 0..members.len() {
            let wait = 2 * lasts + self.dice.around(lasts);
            actions.push((wait, Action::Change(member, back.clone())));
        }
        actions
    }
}
