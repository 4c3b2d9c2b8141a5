use alloc::vec::Vec;
use core::time::Duration;

use super::super::watch::ASKS;
use super::*;
use crate::config::Timing;
use crate::configuration::{
    AccessToken, Configuration, Dismissal, PublicKey, Scope, TokenKey, Versions,
};

use crate::consensus::{Contact, MembershipChange, MembershipStep};
use crate::ids::Round;
use crate::sorted::SortedSet;
use crate::time::ClusterTime;

const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_millis(200);

/// A leader of a cluster, as its steward sees it. Rounds are echoed at once by those who live.
struct Leader {
    steward: Steward,
    configuration: Configuration,
    now: Instant,
    since: Instant,
    predecessor_led_at: Option<Instant>,
    round: Round,
    peers: Vec<Contact>,
    silent: SortedSet<ServerId>,
    /// Those that answer and do not get on.
    stuck: SortedSet<ServerId>,
    asks: u32,
    may_change: bool,
}

impl Leader {
    /// Server 1 leads voters 1 to `voters`, 1000 s after the origin.
    fn of(voters: u128, policy: MembershipPolicy) -> Self {
        let now = Instant::from_origin(Duration::from_secs(1000));
        let configuration = Configuration::of_voters((1..=voters).map(ServerId));
        Self {
            steward: Steward::new(policy),
            configuration,
            now,
            since: now,
            predecessor_led_at: None,
            round: Round(1),
            peers: (2..=voters).map(contact).collect(),
            silent: SortedSet::new(),
            stuck: SortedSet::new(),
            asks: 0,
            may_change: true,
        }
    }

    fn elected_after(mut self, silence: Duration) -> Self {
        self.predecessor_led_at = Some(self.now - silence);
        self
    }

    fn silence(&mut self, ids: &[u128]) {
        self.silent.extend(ids.iter().map(|id| ServerId(*id)));
    }

    fn view(&self) -> Oversight<'_> {
        Oversight {
            id: ServerId(1),
            term: Term(7),
            since: self.since,
            predecessor_led_at: self.predecessor_led_at,
            configuration: &self.configuration,
            may_change: self.may_change,
            commit: Index(10),
            round: self.round,
            cluster_time: ClusterTime(1000),
            timing: Timing::new(ELECTION_TIMEOUT, HEARTBEAT).expect("it makes sense"),
            peers: self.peers.clone(),
        }
    }

    fn begin_round(&mut self) {
        self.round = self.round.next();
        for peer in &mut self.peers {
            if !self.silent.contains(&peer.id) {
                peer.round = self.round;
                peer.heard_at = Some(self.now);
                if !self.stuck.contains(&peer.id) {
                    peer.match_index = Index(10);
                }
            }
        }
    }

    /// Looks whenever it is due, with a heartbeat each heartbeat interval, until a change is called for or this much
    /// time has passed. Returns the change and how long it took.
    fn run(&mut self, span: Duration) -> Option<(MembershipChange, Duration)> {
        let (began, end) = (self.now, self.now + span);
        let mut heartbeat_at = self.now;
        loop {
            if self.now >= heartbeat_at {
                self.begin_round();
                heartbeat_at = self.now + HEARTBEAT;
            }
            if self.steward.is_due(Some(Term(7)), self.now) {
                let mut steward = self.steward.clone();
                let act = steward.look(Some(&self.view()), self.now);
                self.steward = steward;
                match act {
                    Act::Rest => {}
                    Act::Ask => {
                        self.asks += 1;
                        self.begin_round();
                    }
                    Act::Change(change) => return Some((change, self.now.since(began))),
                }
            }
            self.now = self.steward.due().min(heartbeat_at);
            if self.now > end {
                self.now = end;
                return None;
            }
        }
    }

    fn join(&mut self, id: u128) -> JoinAnswer {
        self.join_with(Addition::of(ServerId(id)))
    }

    fn join_with(&mut self, addition: Addition) -> JoinAnswer {
        let mut steward = self.steward.clone();
        let answer = steward.ask_to_join(addition, &self.view(), self.now);
        self.steward = steward;
        answer
    }

    /// The change is made.
    fn made(&mut self, configuration: Configuration) {
        let known: SortedSet<ServerId> = self.peers.iter().map(|peer| peer.id).collect();
        let others = configuration.members().map(|(id, _)| id);
        let met = others.filter(|id| !known.contains(id) && id.0 != 1);
        self.peers.extend(met.map(|id| contact(id.0)));
        self.peers.retain(|peer| configuration.contains(peer.id));
        self.configuration = configuration;
        let mut steward = self.steward.clone();
        steward.changed(&Ok(Index(11)), Some(&self.view()), self.now);
        self.steward = steward;
    }
}

fn contact(id: u128) -> Contact {
    Contact {
        id: ServerId(id),
        heard_at: None,
        round: Round::ZERO,
        match_index: Index::ZERO,
        round_trip: None,
        headway_at: None,
        headway_within: ELECTION_TIMEOUT * 5,
        disk_stalled_for: None,
        has_forgotten: false,
    }
}

fn removed(change: &MembershipChange) -> Vec<u128> {
    let removed = change.steps.iter().filter_map(|step| match step {
        MembershipStep::Evict(id) | MembershipStep::Remove(id) | MembershipStep::Retire(id) => {
            Some(id.0)
        }
        _ => None,
    });
    removed.collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How long after a voter fell silent it is evicted, if that was so long after a heartbeat, and how many asks it took.
fn evicted_after(since_heartbeat: Duration) -> (Duration, u32) {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    for peer in &mut leader.peers {
        peer.round_trip = Some(ms(40));
    }
    assert_eq!(leader.run(ms(30_000) + since_heartbeat), None);
    leader.silence(&[4]);
    let (change, took) = leader.run(ms(30_000)).expect("it is evicted");
    assert_eq!(removed(&change), [4]);
    (took, leader.asks)
}

// The last answer may have come a heartbeat interval before, and it was asked for a part of one once its time was over.
#[test]
fn a_voter_is_evicted_within_a_heartbeat_of_its_time() {
    let just_after = evicted_after(ms(1));
    let just_before = evicted_after(ms(199));

    assert_eq!(just_after, (ms(10_199), ASKS));
    assert_eq!(just_before, (ms(10_001), ASKS));
}

#[test]
fn who_is_silent_for_less_than_that_time_is_not_evicted() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.run(ms(30_199));
    leader.silence(&[4]);
    assert_eq!(leader.run(ms(10_000)), None);

    leader.silent.clear();
    leader.begin_round();

    assert_eq!(leader.run(ms(1)), None);
    assert!(leader.asks >= ASKS, "it was about to be evicted");
}

#[test]
fn those_who_fall_silent_one_soon_after_another_are_evicted_together() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.run(ms(30_190));
    leader.silence(&[4]);
    leader.run(ms(20));
    leader.silence(&[5]);

    let (change, took) = leader.run(ms(30_000)).expect("they are evicted");

    assert_eq!(removed(&change), [4, 5]);
    assert_eq!(took, ms(10_180));
}

#[test]
fn where_nobody_is_silent_nobody_is_asked() {
    let mut leader = Leader::of(5, MembershipPolicy::default());

    leader.run(ms(60_000));

    assert_eq!(leader.asks, 0);
}

#[test]
fn a_new_leader_in_the_laboratory_evicts_the_silent_within_a_few_asks() {
    let policy = MembershipPolicy::laboratory(ELECTION_TIMEOUT);
    let mut leader = Leader::of(41, policy).elected_after(ELECTION_TIMEOUT);
    leader.silence(&[2, 9, 17]);

    let (change, took) = leader.run(ms(1000)).expect("they are evicted");

    assert_eq!(removed(&change), [2, 9, 17]);
    assert!(took <= ms(150), "{took:?}");
}

#[test]
fn a_new_leader_with_patience_asks_for_all_of_it_before_it_evicts() {
    let policy = MembershipPolicy::default();
    let mut leader = Leader::of(5, policy).elected_after(Duration::from_secs(3600));
    leader.silence(&[4]);

    let evicted = leader.run(ms(9_900));
    let (change, _) = leader.run(ms(500)).expect("it is evicted");

    assert_eq!(evicted, None);
    assert_eq!(removed(&change), [4]);
}

#[test]
fn a_server_that_answers_the_last_ask_stays() {
    let policy = MembershipPolicy::laboratory(ELECTION_TIMEOUT);
    let mut leader = Leader::of(5, policy).elected_after(ELECTION_TIMEOUT);
    leader.silence(&[4]);
    assert_eq!(leader.run(ms(80)), None);

    leader.silent.clear();

    assert_eq!(leader.run(ms(10_000)), None);
}

#[test]
fn time_that_the_leader_slept_is_nobodys_silence() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.run(ms(1000));
    leader.silence(&[4]);

    leader.now = leader.now + Duration::from_secs(100);
    let evicted = leader.run(ms(9_000));

    assert_eq!(evicted, None);
}

// An answer that came since the last look counts from before a sleep that followed it: the sleep passed between the two
// looks as well, and was taken for silence as far as the answer was newer than the one before.
#[test]
fn an_answer_just_before_the_leader_slept_is_followed_by_no_silence_while_it_slept() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.run(ms(1000));
    leader.now = leader.now + HEARTBEAT * 3 / 4;
    leader.begin_round();
    leader.silence(&[4]);

    leader.now = leader.now + HEARTBEAT * 9 / 4;
    let evicted = leader.run(ms(9_750));

    assert_eq!(evicted, None);
}

// The answers to questions that a change of the operator's, or a sleep, interrupted are old when the policy goes on: it
// made a configuration with a voter that had been silent ever since.
#[test]
fn answers_from_before_another_change_are_not_believed_after_it() {
    let mut leader = asking_for_the_fifth();
    leader.silence(&[4]);

    leader.may_change = false;
    leader.run(ms(5000));
    leader.may_change = true;

    assert_eq!(leader.run(ms(3000)), None);
}

#[test]
fn answers_from_before_the_leader_slept_are_not_believed_after_it() {
    let mut leader = asking_for_the_fifth();
    leader.silence(&[4]);

    leader.now = leader.now + ms(3_600_000);

    assert_eq!(leader.run(ms(3000)), None);
}

// The last answers are waited for longer than two heartbeat intervals where messages take that long: that is no sleep.
#[test]
fn the_dead_are_evicted_also_where_a_round_trip_takes_longer_than_a_heartbeat_interval() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    for peer in &mut leader.peers {
        peer.round_trip = Some(HEARTBEAT * 3 / 2);
    }
    leader.run(ms(1000));
    leader.silence(&[5]);

    let (change, _) = leader.run(ms(20_000)).expect("it is evicted");

    assert_eq!(removed(&change), [5]);
}

/// A leader of five that has begun to ask, because the fifth has been silent for too long.
fn asking_for_the_fifth() -> Leader {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.run(ms(1000));
    leader.silence(&[5]);
    while leader.asks == 0 {
        assert_eq!(leader.run(ms(10)), None);
    }
    leader
}

#[test]
fn twenty_who_ask_at_about_the_same_time_are_taken_in_together() {
    let mut leader = Leader::of(1, MembershipPolicy::default());
    leader.run(ms(1000));
    let answers: Vec<_> = (2..=21).map(|id| leader.join(id)).collect();

    let (change, took) = leader.run(ms(1000)).expect("they are taken in");

    assert!(answers.iter().all(|answer| *answer == JoinAnswer::Accepted));
    assert_eq!(change.steps.len(), 20);
    assert!(took <= HEARTBEAT / 4);
}

#[test]
fn learners_that_have_caught_up_are_promoted_together_and_one_that_died_holds_up_nobody() {
    let mut leader = Leader::of(1, MembershipPolicy::default());
    let learners = (2..=5).map(|id| {
        let learner = crate::configuration::Member::learner(Default::default());
        (ServerId(id), learner)
    });
    let voter = (
        ServerId(1),
        crate::configuration::Member::voter(Default::default()),
    );
    leader.run(ms(1000));
    leader.silence(&[5]);
    leader.made(Configuration::from_members(learners.chain([voter])));

    let (change, took) = leader.run(ms(5000)).expect("they are promoted");

    assert_eq!(change.steps.len(), 3);
    assert!(took <= HEARTBEAT * 3, "{took:?}");
}

#[test]
fn whom_an_operator_removed_is_not_taken_in_until_an_operator_adds_it() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.run(ms(1000));
    leader.configuration = leader
        .configuration
        .clone()
        .with_dismissed([(ServerId(9), Dismissal::Removed)]);

    let dismissed = leader.join(9);
    leader.configuration = leader.configuration.clone().with_dismissed([]);
    let added = leader.join(9);

    assert_eq!(
        (dismissed, added),
        (JoinAnswer::Dismissed, JoinAnswer::Accepted)
    );
}

/// It was added and removed between two looks.
#[test]
fn whom_an_operator_removed_while_it_waited_is_not_taken_in() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.run(ms(1000));
    let accepted = leader.join(9);
    leader.configuration = leader
        .configuration
        .clone()
        .with_dismissed([(ServerId(9), Dismissal::Removed)]);

    let taken_in = leader.run(ms(1000));

    assert_eq!(accepted, JoinAnswer::Accepted);
    assert_eq!(taken_in, None);
}

/// It answers each round.
#[test]
fn a_voter_whose_disk_hangs_is_evicted_like_a_silent_one() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.peers[1].disk_stalled_for = Some(ms(9_900));
    assert_eq!(leader.run(ms(30_000)), None);

    leader.peers[1].disk_stalled_for = Some(ms(10_000));
    let (change, _) = leader.run(ms(5000)).expect("it is evicted");

    assert_eq!(change, MembershipChange::evict(ServerId(3)));
}

#[test]
fn a_stalled_disk_gets_as_long_as_the_install_of_its_snapshot_takes() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.peers[1].disk_stalled_for = Some(ms(59_000));
    leader.peers[1].headway_within = ms(60_000);

    assert_eq!(leader.run(ms(30_000)), None);
}

#[test]
fn a_learner_whose_disk_hangs_is_left_alone() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    let learner = crate::configuration::Member::learner(Default::default());
    let voters = [1, 2, 3].map(|id| {
        let voter = crate::configuration::Member::voter(Default::default());
        (ServerId(id), voter)
    });
    let members = voters.into_iter().chain([(ServerId(4), learner)]);
    leader.made(Configuration::from_members(members));
    leader.stuck.insert(ServerId(4));
    leader.peers[2].disk_stalled_for = Some(ms(60_000));

    assert_eq!(leader.run(ms(30_000)), None);
}

/// It answers each round, and is not asked whether it is there.
#[test]
fn a_voter_that_forgot_is_retired_before_any_silence() {
    let mut leader = Leader::of(5, MembershipPolicy::default());
    leader.run(ms(1000));
    leader.peers[1].has_forgotten = true;

    let (change, took) = leader.run(ms(5000)).expect("it is retired");

    assert_eq!(change, MembershipChange::retire(ServerId(3)));
    assert!(took <= HEARTBEAT * 2, "{took:?}");
}

#[test]
fn the_id_of_a_server_that_forgot_is_never_taken_in_again() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.run(ms(1000));
    leader.peers[1].has_forgotten = true;
    let found = leader.join(3);

    leader.made(Configuration::of_voters([1, 2].map(ServerId)));
    let dismissed = [(ServerId(3), Dismissal::Forgot)];
    leader.configuration = leader.configuration.clone().with_dismissed(dismissed);
    leader.may_change = false;
    let remembered = leader.join(3);

    assert_eq!(
        (found, remembered),
        (JoinAnswer::Forgot, JoinAnswer::Forgot)
    );
}

// A removal that is not committed may be undone with its leader. A server that took it for final would never ask again,
// though it was a member all the time, and evicted later.
#[test]
fn a_removal_that_may_yet_be_undone_is_told_to_nobody_as_final() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.run(ms(1000));
    leader.configuration = leader
        .configuration
        .clone()
        .with_dismissed([(ServerId(9), Dismissal::Removed)]);
    leader.may_change = false;

    let under_way = leader.join(9);
    leader.may_change = true;
    let committed = leader.join(9);

    assert_eq!(
        (under_way, committed),
        (JoinAnswer::Busy, JoinAnswer::Dismissed)
    );
}

#[test]
fn more_than_may_wait_are_told_to_ask_again_and_those_who_wait_are_not() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.run(ms(1000));
    for id in 0..JOINERS_MAX as u128 {
        assert_eq!(leader.join(100 + id), JoinAnswer::Accepted);
    }

    assert_eq!(leader.join(9), JoinAnswer::Busy);
    assert_eq!(leader.join(100), JoinAnswer::Accepted);
    assert_eq!(leader.join(3), JoinAnswer::Member);
}

#[test]
fn a_server_that_does_not_lead_has_nothing_to_do() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.run(ms(1000));

    let act = leader.steward.look(None, leader.now);

    assert_eq!((act, leader.steward.due()), (Act::Rest, Instant::MAX));
}

/// An invitation for so many more, until this time.
fn invitation(uses_left: u32, expires_at: u64) -> AccessToken {
    AccessToken {
        key: TokenKey(PublicKey([7; 32])),
        grants: Grants::Membership,
        expires_at: ClusterTime(expires_at),
        uses_left,
        scope: Scope::everything(),
    }
}

/// Who would use the invitation.
fn invited(id: u128) -> Addition {
    Addition {
        token: Some(invitation(0, 0).key),
        ..Addition::of(ServerId(id))
    }
}

#[test]
fn a_closed_cluster_takes_in_who_is_invited_or_was_evicted() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.configuration = leader
        .configuration
        .clone()
        .with_open(false)
        .with_evicted([ServerId(8)])
        .with_tokens([invitation(1, 5000)]);

    let answers = [leader.join(7), leader.join(8), leader.join_with(invited(9))];

    let accepted = JoinAnswer::Accepted;
    assert_eq!(answers, [JoinAnswer::NotInvited, accepted, accepted]);
}

#[test]
fn who_was_evicted_comes_back_and_uses_no_invitation() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.configuration = leader
        .configuration
        .clone()
        .with_evicted([ServerId(8)])
        .with_tokens([invitation(0, 5000)]);

    let answer = leader.join_with(invited(8));
    let change = leader.run(HEARTBEAT).map(|(change, _)| change);

    assert_eq!(answer, JoinAnswer::Accepted);
    assert_eq!(change, Some(MembershipChange::add_learner(ServerId(8))));
}

#[test]
fn an_invitation_that_lets_nobody_in_is_refused_with_the_reason() {
    let ended = [
        (Some(invitation(0, 5000)), TokenFault::UsedUp),
        (Some(invitation(1, 1000)), TokenFault::Expired),
        (None, TokenFault::Unknown),
    ];
    for (token, fault) in ended {
        let mut leader = Leader::of(3, MembershipPolicy::default());
        leader.configuration = leader.configuration.clone().with_tokens(token);

        assert_eq!(leader.join_with(invited(9)), JoinAnswer::Token(fault));
    }
}

/// The change that it asked for would be refused, and called for again.
#[test]
fn who_waits_with_an_invitation_that_ends_waits_no_longer() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    let open = leader.configuration.clone();
    leader.configuration = open.clone().with_tokens([invitation(1, 5000)]);
    leader.join_with(invited(9));
    leader.configuration = open.with_tokens([invitation(0, 5000)]);

    let change = leader.run(2 * HEARTBEAT);

    assert_eq!(change, None);
    assert!(!leader.steward.expects(ServerId(9)));
}

/// It would be refused as a member, and whoever asked together with it.
#[test]
fn a_server_without_the_version_of_the_cluster_is_told_so() {
    let mut leader = Leader::of(3, MembershipPolicy::default());
    leader.configuration = leader.configuration.clone().with_version(2);
    let speaking = |max| Addition {
        description: Some(Description::default().with_versions(Versions { min: 1, max })),
        ..Addition::of(ServerId(9))
    };

    let answers = [leader.join_with(speaking(1)), leader.join_with(speaking(2))];

    assert_eq!(answers, [JoinAnswer::OtherVersion, JoinAnswer::Accepted]);
}
