use alloc::string::String;

use super::*;
use crate::configuration::{
    AccessToken, Description, Member, PublicKey, Scope, TokenKey, Versions,
};
use crate::policy::Target;

/// Voters 1 to `voters` and, after them, so many learners. Server 1 leads, all have answered.
fn cluster(voters: u128, learners: u128) -> Configuration {
    let voter = (1..=voters).map(|id| (ServerId(id), Member::voter(Description::default())));
    let learner = (voters + 1..=voters + learners)
        .map(|id| (ServerId(id), Member::learner(Description::default())));
    Configuration::from_members(voter.chain(learner))
}

fn all_answer(configuration: &Configuration) -> Situation<'_> {
    let others = configuration.members().map(|(id, _)| (id, Voice::Answered));
    Situation {
        id: ServerId(1),
        configuration,
        voices: others.collect(),
        caught_up: SortedSet::new(),
        joiners: SortedMap::new(),
        cluster_time: ClusterTime(1000),
    }
}

impl Situation<'_> {
    fn with(mut self, voice: Voice, ids: &[u128]) -> Self {
        self.voices
            .extend(ids.iter().map(|id| (ServerId(*id), voice)));
        self
    }

    fn with_caught_up(mut self, ids: &[u128]) -> Self {
        self.caught_up.extend(ids.iter().map(|id| ServerId(*id)));
        self
    }

    fn with_joiners(mut self, ids: &[u128]) -> Self {
        let joiners = ids
            .iter()
            .map(|id| (ServerId(*id), Addition::of(ServerId(*id))));
        self.joiners.extend(joiners);
        self
    }
}

/// The steps of a change in words: `-1` leaves, `x1` leaves for good, `+1` votes, `~1` learns.
fn told(change: Option<MembershipChange>) -> String {
    let steps = change.unwrap_or_default().steps;
    let words = steps.iter().map(|step| match step {
        MembershipStep::Evict(id) | MembershipStep::Remove(id) => alloc::format!("-{}", id.0),
        MembershipStep::Retire(id) => alloc::format!("x{}", id.0),
        MembershipStep::AddVoter(Addition { id, .. }) => alloc::format!("+{}", id.0),
        MembershipStep::AddLearner(Addition { id, .. }) => alloc::format!("~{}", id.0),
        MembershipStep::RaiseVersion(version) => alloc::format!("v{version}"),
        other => panic!("no policy calls for {other:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn decide(situation: &Situation<'_>) -> String {
    told(next_change(&MembershipPolicy::default(), situation))
}

fn count(voters: usize) -> MembershipPolicy {
    MembershipPolicy::default().with_voters(Target::Count(voters))
}

use Voice::{Awaited, Dead, Forgot};

#[test]
fn where_all_answer_and_nobody_asks_nothing_is_done() {
    let configuration = cluster(3, 0);

    assert_eq!(decide(&all_answer(&configuration)), "");
}

/// A change that is refused because it is too large is called for again and again, and with it what it does beside.
#[test]
fn no_more_join_than_the_longest_entry_has_room_for() {
    let configuration = cluster(4, 0);
    let one_more = configuration.weight() + Member::voter(Description::default()).weight();
    let narrow = configuration.with_entry_bytes_max(one_more);
    let full = narrow.clone().with_entry_bytes_max(one_more - 1);

    let one = all_answer(&narrow).with_joiners(&[8, 9]);
    let none = all_answer(&full).with(Dead, &[3]).with_joiners(&[8, 9]);

    assert_eq!(decide(&one), "~8");
    assert_eq!(decide(&none), "-3");
}

/// A joint configuration names those who leave beside those who come.
#[test]
fn who_leaves_makes_no_room_within_the_same_change() {
    let most = u128::try_from(SERVERS_MAX).expect("it is a small number");
    let configuration = cluster(most, 0);
    let situation = all_answer(&configuration)
        .with(Dead, &[3, 5])
        .with_joiners(&[most + 1]);

    assert_eq!(decide(&situation), "-3 -5");
}

#[test]
fn the_dead_are_removed_all_at_once() {
    let configuration = cluster(7, 2);
    let situation = all_answer(&configuration).with(Dead, &[2, 5, 7, 9]);

    assert_eq!(decide(&situation), "-2 -5 -7 -9");
}

#[test]
fn eviction_stops_at_the_least_number_of_voters() {
    let three = cluster(3, 0);
    let four = cluster(4, 0);
    let two_at_least = MembershipPolicy::default().with_voters_min(2);
    let one_dead = all_answer(&three).with(Dead, &[3]);

    assert_eq!(decide(&one_dead), "");
    assert_eq!(told(next_change(&two_at_least, &one_dead)), "-3");
    assert_eq!(decide(&all_answer(&four).with(Dead, &[3])), "-3");
}

#[test]
fn a_dead_voter_that_must_stay_leaves_with_the_one_that_replaces_it() {
    let configuration = cluster(3, 1);
    let situation = all_answer(&configuration)
        .with(Dead, &[2])
        .with_caught_up(&[4]);

    assert_eq!(decide(&situation), "-2 +4");
}

#[test]
fn of_several_dead_voters_as_many_stay_as_are_missed_and_the_others_are_replaced() {
    let configuration = cluster(5, 1);
    let at_least_five = MembershipPolicy::default().with_voters_min(5);
    let situation = all_answer(&configuration)
        .with(Dead, &[4, 5])
        .with_caught_up(&[6]);

    assert_eq!(told(next_change(&at_least_five, &situation)), "-5 +6");
}

#[test]
fn who_forgot_leaves_for_good_as_soon_as_all_others_have_answered() {
    let configuration = cluster(4, 1);
    let forgot = all_answer(&configuration).with(Forgot, &[2, 5]);
    let unanswered = forgot.clone().with(Awaited, &[3]);

    assert_eq!(decide(&forgot), "x2 x5");
    assert_eq!(decide(&unanswered), "");
}

#[test]
fn who_forgot_and_must_stay_leaves_with_the_one_that_replaces_it() {
    let configuration = cluster(3, 1);
    let alone = all_answer(&configuration).with(Forgot, &[2]);
    let replaced = alone.clone().with_caught_up(&[4]);

    assert_eq!(decide(&alone), "");
    assert_eq!(decide(&replaced), "x2 +4");
}

#[test]
fn of_those_that_are_missed_the_dead_stay_rather_than_who_forgot() {
    let configuration = cluster(5, 0);
    let at_least_four = MembershipPolicy::default().with_voters_min(4);
    let situation = all_answer(&configuration)
        .with(Dead, &[4])
        .with(Forgot, &[2]);

    assert_eq!(told(next_change(&at_least_four, &situation)), "x2");
}

#[test]
fn while_a_voter_may_yet_answer_no_voters_change() {
    let configuration = cluster(5, 1);
    let situation = all_answer(&configuration)
        .with(Awaited, &[2])
        .with(Dead, &[3])
        .with_caught_up(&[6]);

    assert_eq!(decide(&situation), "");
}

#[test]
fn a_dead_learner_leaves_even_while_a_voter_may_yet_answer() {
    let configuration = cluster(3, 1);
    let situation = all_answer(&configuration)
        .with(Awaited, &[2])
        .with(Dead, &[4]);

    assert_eq!(decide(&situation), "-4");
}

#[test]
fn without_a_majority_of_the_voters_nothing_can_be_changed() {
    let configuration = cluster(4, 0);
    let situation = all_answer(&configuration).with(Dead, &[3, 4]);

    assert_eq!(
        told(next_change(
            &MembershipPolicy::default().with_voters_min(1),
            &situation
        )),
        ""
    );
}

#[test]
fn learners_are_promoted_once_they_have_caught_up_and_answer() {
    let configuration = cluster(1, 3);
    let situation = all_answer(&configuration)
        .with_caught_up(&[2, 3])
        .with(Awaited, &[3]);

    assert_eq!(decide(&situation), "+2");
}

#[test]
fn who_asks_to_join_learns_at_once_even_while_a_voter_may_yet_answer() {
    let configuration = cluster(3, 0);
    let situation = all_answer(&configuration)
        .with(Awaited, &[2])
        .with_joiners(&[8, 9]);

    assert_eq!(decide(&situation), "~8 ~9");
}

#[test]
fn the_dead_leave_while_the_caught_up_and_those_who_ask_come() {
    let configuration = cluster(5, 2);
    let situation = all_answer(&configuration)
        .with(Dead, &[2, 3])
        .with_caught_up(&[6, 7])
        .with_joiners(&[8]);

    assert_eq!(decide(&situation), "-2 -3 +6 +7 ~8");
}

#[test]
fn a_member_that_asks_to_join_changes_nothing() {
    let configuration = cluster(3, 0);
    let situation = all_answer(&configuration).with_joiners(&[2]);

    assert_eq!(decide(&situation), "");
}

#[test]
fn of_many_members_only_so_many_vote() {
    let configuration = cluster(3, 3);
    let situation = all_answer(&configuration).with_caught_up(&[4, 5, 6]);

    assert_eq!(told(next_change(&count(5), &situation)), "+4 +5");
    assert_eq!(told(next_change(&count(3), &situation)), "");
}

#[test]
fn a_learner_takes_the_place_of_a_voter_that_dies() {
    let configuration = cluster(5, 2);
    let situation = all_answer(&configuration)
        .with(Dead, &[3])
        .with_caught_up(&[6, 7]);

    assert_eq!(told(next_change(&count(5), &situation)), "-3 +6");
}

#[test]
fn voters_beyond_the_wanted_number_become_learners_but_never_the_leader() {
    let configuration = cluster(5, 0);
    let mut situation = all_answer(&configuration);
    situation.id = ServerId(5);

    assert_eq!(told(next_change(&count(3), &situation)), "~4 ~3");
}

#[test]
fn a_promotion_says_nothing_of_its_server_that_is_known() {
    let described = Description::default().with_label("ada".parse().expect("it is a label"));
    let learner = (ServerId(2), Member::learner(described));
    let voter = (ServerId(1), Member::voter(Description::default()));
    let configuration = Configuration::from_members([voter, learner]);
    let situation = all_answer(&configuration).with_caught_up(&[2]);

    let change = next_change(&MembershipPolicy::default(), &situation);

    assert_eq!(change, Some(MembershipChange::add_voter(ServerId(2))));
}

/// Voters 1 to 3 that speak these versions, in a cluster that speaks version 1.
fn speaking(versions: [(u32, u32); 3]) -> Configuration {
    let members = (1..).zip(versions).map(|(id, (min, max))| {
        let description = Description::default().with_versions(Versions { min, max });
        (ServerId(id), Member::voter(description))
    });
    Configuration::from_members(members)
}

#[test]
fn the_cluster_speaks_the_highest_version_that_all_members_do() {
    let later = speaking([(1, 3), (1, 2), (2, 4)]);
    let one_is_old = speaking([(1, 3), (1, 1), (1, 3)]);
    let none_in_common = speaking([(1, 3), (1, 2), (3, 4)]);

    let decided =
        [&later, &one_is_old, &none_in_common].map(|speaking| decide(&all_answer(speaking)));

    assert_eq!(decided, ["v2", "", ""]);
}

#[test]
fn a_learner_that_speaks_no_later_version_holds_the_cluster_back() {
    let mut members = speaking([(1, 2), (1, 2), (1, 2)])
        .members()
        .map(|(id, member)| (id, member.clone()))
        .collect::<Vec<_>>();
    members.push((ServerId(4), Member::learner(Description::default())));
    let configuration = Configuration::from_members(members);

    assert_eq!(decide(&all_answer(&configuration)), "");
}

#[test]
fn a_version_is_raised_once_nothing_else_is_to_be_done() {
    let configuration = speaking([(1, 2), (1, 2), (1, 2)]);
    let situation = all_answer(&configuration).with_joiners(&[9]);

    assert_eq!(decide(&situation), "~9");
}

#[test]
fn no_more_join_by_a_token_than_it_has_uses() {
    let key = TokenKey(PublicKey([7; 32]));
    let token = AccessToken {
        key,
        grants: Grants::Membership,
        expires_at: ClusterTime(1001),
        uses_left: 2,
        scope: Scope::everything(),
    };
    let configuration = cluster(3, 0).with_tokens([token]);
    let mut situation = all_answer(&configuration).with_joiners(&[6, 7, 8, 9]);
    for id in [6, 8, 9] {
        let joiner = situation.joiners.get_mut(&ServerId(id));
        joiner.expect("it asks").token = Some(key);
    }

    assert_eq!(decide(&situation), "~6 ~7 ~8");
    situation.cluster_time = ClusterTime(1001);
    assert_eq!(decide(&situation), "~7");
}
