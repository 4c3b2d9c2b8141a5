//! Decides how a member leaves of its own will: to whom its vote goes, and whether those who stay can go on without it.

use alloc::vec::Vec;

use crate::consensus::{ChangeError, Contact, MembershipChange, Oversight};
use crate::ids::ServerId;
use crate::time::Instant;

/// Returns the change by which `server` leaves, as its leader makes it. The vote of a voter goes to a learner whose log
/// has caught up, in the same change, if there is one.
///
/// # Errors
/// [`ChangeError::Unreachable`] names a voter that has not answered for an election timeout, when without `server` too
/// few would be left that have: the change could never be committed, and nothing else either.
pub fn leaving(
    server: ServerId,
    view: &Oversight<'_>,
    now: Instant,
) -> Result<MembershipChange, ChangeError> {
    let leaves = MembershipChange::evict(server);
    let configuration = view.configuration;
    if !configuration.voters().contains(&server) {
        return Ok(leaves);
    }
    let answers = |contact: &Contact| {
        let heard = contact.heard_at;
        let is_silent = heard.is_none_or(|at| now.since(at) >= view.timing.election_timeout());
        !is_silent && !contact.has_forgotten
    };
    let heir = view
        .peers
        .iter()
        .filter(|peer| configuration.is_learner(peer.id))
        .filter(|peer| answers(peer) && peer.match_index >= view.commit)
        .max_by_key(|peer| peer.match_index);
    let others = configuration.voters().iter().filter(|id| **id != server);
    let silent: Vec<ServerId> = others
        .filter(|id| **id != view.id && !view.peer(**id).is_some_and(answers))
        .copied()
        .collect();
    let voters = configuration.voters().len() - 1 + usize::from(heir.is_some());
    match silent.first() {
        Some(silent_voter) if silent.len() * 2 >= voters => {
            Err(ChangeError::Unreachable(*silent_voter))
        }
        Some(_) | None => Ok(match heir {
            Some(heir) => leaves.and(MembershipChange::add_voter(heir.id)),
            None => leaves,
        }),
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::configuration::{Configuration, Description, Member};
    use crate::ids::{Index, Round, Term};
    use crate::time::ClusterTime;

    const NOW: Instant = Instant::ORIGIN;
    const COMMIT: Index = Index(9);

    /// A peer that has just answered and has all of the log.
    fn contact(id: u128) -> Contact {
        Contact {
            id: ServerId(id),
            heard_at: Some(now()),
            round: Round::ZERO,
            match_index: COMMIT,
            round_trip: None,
            headway_at: None,
            headway_within: Duration::ZERO,
            disk_stalled_for: None,
            has_forgotten: false,
        }
    }

    fn silent(id: u128) -> Contact {
        Contact {
            heard_at: None,
            ..contact(id)
        }
    }

    fn now() -> Instant {
        NOW + Duration::from_secs(60)
    }

    /// What server 1, which leads these voters and learners and knows so much of them, does when `server` leaves.
    fn left(
        server: u128,
        voters: &[u128],
        learners: &[u128],
        peers: Vec<Contact>,
    ) -> Result<MembershipChange, ChangeError> {
        let known = Description::default;
        let voters = voters
            .iter()
            .map(|id| (ServerId(*id), Member::voter(known())));
        let learners = learners
            .iter()
            .map(|id| (ServerId(*id), Member::learner(known())));
        let configuration = Configuration::from_members(voters.chain(learners));
        let view = Oversight {
            id: ServerId(1),
            term: Term(2),
            since: NOW,
            predecessor_led_at: None,
            configuration: &configuration,
            may_change: true,
            commit: COMMIT,
            round: Round::ZERO,
            cluster_time: ClusterTime::ZERO,
            timing: Config::default().timing(),
            peers,
        };
        leaving(ServerId(server), &view, now())
    }

    #[test]
    fn a_vote_goes_to_the_learner_that_has_caught_up_and_answers() {
        let behind = Contact {
            match_index: Index(8),
            ..contact(5)
        };
        let peers = vec![contact(2), contact(3), silent(4), behind, contact(6)];

        let change = left(2, &[1, 2, 3], &[4, 5, 6], peers);

        let heir = MembershipChange::add_voter(ServerId(6));
        assert_eq!(change, Ok(MembershipChange::evict(ServerId(2)).and(heir)));
    }

    #[test]
    fn a_learner_leaves_without_an_heir() {
        let change = left(
            4,
            &[1, 2, 3],
            &[4, 5],
            vec![contact(2), contact(3), contact(4), contact(5)],
        );

        assert_eq!(change, Ok(MembershipChange::evict(ServerId(4))));
    }

    #[test]
    fn a_voter_stays_while_those_who_answer_would_be_too_few() {
        let stays = left(2, &[1, 2, 3], &[], vec![contact(2), silent(3)]);
        let with_heir = left(2, &[1, 2, 3], &[4], vec![contact(2), silent(3), contact(4)]);
        let of_five = left(
            2,
            &[1, 2, 3, 4, 5],
            &[],
            vec![contact(2), contact(3), contact(4), silent(5)],
        );
        let leader = left(1, &[1, 2, 3], &[], vec![contact(2), silent(3)]);

        let unreachable = Err(ChangeError::Unreachable(ServerId(3)));
        assert_eq!([&stays, &leader], [&unreachable, &unreachable]);
        assert!(with_heir.is_ok() && of_five.is_ok());
    }
}
