//! Membership that manages itself, as those see it who are taken in, evicted and taken in again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use liferaft_node::driver::{MemberBuilder, MemberStatus, NotJoined, Roster, WaitError};
use liferaft_raft::configuration::Suffrage;
use liferaft_raft::consensus::Event;
use liferaft_raft::ids::ServerId;
use liferaft_raft::policy::{MembershipPolicy, Target};
use liferaft_transport::memory::{Faults, Probability};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server, wait_for};
use crate::machine::Journal;

const EVICT_AFTER: Duration = ELECTION_TIMEOUT.saturating_mul(4);

fn policy() -> MembershipPolicy {
    MembershipPolicy::default().with_evict_after(EVICT_AFTER)
}

fn laboratory() -> MembershipPolicy {
    MembershipPolicy::laboratory(ELECTION_TIMEOUT)
}

/// Members 1 to `count`, all voters, who go by this policy.
async fn cluster_of(count: u128, policy: MembershipPolicy) -> Cluster {
    let mut cluster = Cluster::founded(1..=count).await;
    for id in 1..=count {
        cluster.start(id, |member| member.membership(policy)).await;
    }
    cluster.leader().await;
    cluster
}

fn joins(seed: u128) -> impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal> {
    move |member| member.membership(policy()).join(CLUSTER, server(seed))
}

/// Whether the voters are these, and the configuration is simple.
fn votes(ids: impl IntoIterator<Item = u128>) -> impl FnMut(&MemberStatus) -> bool {
    let mut voters: Vec<ServerId> = ids.into_iter().map(server).collect();
    voters.sort_unstable();
    move |status| {
        let configuration = &status.raft.configuration;
        !configuration.is_joint() && configuration.voters() == voters
    }
}

fn is_member(id: u128) -> impl FnMut(&MemberStatus) -> bool {
    move |status| status.raft.configuration.contains(server(id))
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_that_knows_one_member_becomes_a_voter() {
    let mut cluster = cluster_of(3, policy()).await;
    cluster.member(1).propose(7).await.unwrap();
    let follower = cluster.others(&[cluster.leader().await])[0];

    let newcomer = cluster.start(4, joins(follower)).await;

    wait_for(&newcomer, votes(1..=4)).await;
    assert_eq!(cluster.settled().await, [7]);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_newcomer_is_done_once_it_has_joined() {
    let mut cluster = cluster_of(1, policy()).await;
    let second = cluster.start(2, joins(1)).await;
    let third = cluster.start(3, joins(2)).await;

    let done = second.propose(7).await;
    let seen = third.read(()).await;

    assert_eq!((done, seen), (Ok(1), Ok(vec![7])));
}

// A member whose storage was lost came back as a new server, and `joined` ended with the deadline alone: nothing told
// of its old self, whose vote holds it up until that is evicted.
#[tokio::test(start_paused = true)]
async fn who_joins_beside_a_dead_voter_is_told_what_it_waits_for() {
    let mut cluster = cluster_of(3, policy()).await;
    let leader = cluster.leader().await;
    let dead = cluster.others(&[leader])[0];
    cluster.kill(dead);
    let newcomer = cluster.start(4, joins(leader)).await;

    let early = newcomer.within(EVICT_AFTER / 2).joined().await;
    let late = newcomer.within(EVICT_AFTER * 4).joined().await;

    assert_eq!(early, Err(WaitError::NotJoined(NotJoined::Learner)));
    assert_eq!(late, Ok(Suffrage::Voter));
}

#[tokio::test(start_paused = true)]
async fn twenty_newcomers_at_once_are_one_joint_change() {
    let mut cluster = Cluster::empty();
    let changes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&changes);
    let first = cluster
        .start_first(1, |member| {
            let count = move |_, event: &Event| {
                let changed = matches!(event, Event::ConfigurationChanged { .. });
                counter.fetch_add(usize::from(changed), Ordering::Relaxed);
            };
            member.membership(policy()).observe(count)
        })
        .await;
    cluster.leader().await;
    let before = changes.load(Ordering::Relaxed);

    for id in 2..=21 {
        cluster.start(id, joins(1)).await;
    }
    wait_for(&first, votes(1..=21)).await;

    // All become learners, then there is a joint configuration, then the one that it leads to.
    assert_eq!(changes.load(Ordering::Relaxed) - before, 3);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_whose_roster_names_nobody_yet_joins_when_it_does() {
    let mut cluster = cluster_of(3, policy()).await;
    let (names, roster) = watch::channel(Vec::new());
    let newcomer = cluster
        .start(4, |member| member.join(CLUSTER, Roster::from(roster)))
        .await;
    sleep(20 * ELECTION_TIMEOUT).await;
    assert!(newcomer.status().borrow().raft.configuration.is_empty());

    names.send_replace(vec![server(99), server(2)]);

    wait_for(&newcomer, votes(1..=4)).await;
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_joins_over_a_network_that_loses_a_fifth() {
    let mut cluster = cluster_of(3, policy()).await;
    let loss = Probability::percent(20);
    cluster.network.set_faults(Faults::none().with_loss(loss));

    let newcomer = cluster.start(4, joins(1)).await;

    wait_for(&newcomer, votes(1..=4)).await;
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_that_dies_at_once_holds_up_nobody() {
    let mut cluster = cluster_of(3, policy()).await;
    let leader = cluster.member(cluster.leader().await);
    cluster.start(4, joins(1)).await;
    wait_for(&leader, is_member(4)).await;
    cluster.kill(4);

    let newcomer = cluster.start(5, joins(1)).await;
    timeout(ELECTION_TIMEOUT * 2, wait_for(&newcomer, is_member(5)))
        .await
        .expect("it is taken in");

    wait_for(&leader, votes([1, 2, 3, 5])).await;
    wait_for(&leader, |status| !is_member(4)(status)).await;
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_evicted_and_the_living_go_on() {
    let mut cluster = cluster_of(5, policy()).await;
    let leader = cluster.leader().await;
    let dead = cluster.others(&[leader]);

    let killed_at = Instant::now();
    cluster.kill(dead[0]);
    cluster.kill(dead[1]);
    let survivors = cluster.others(&[]);
    for survivor in &survivors {
        wait_for(&cluster.member(*survivor), votes(survivors.clone())).await;
    }

    let took = killed_at.elapsed();
    assert!(took >= EVICT_AFTER - ELECTION_TIMEOUT / 5, "{took:?}");
    assert!(took <= EVICT_AFTER + ELECTION_TIMEOUT, "{took:?}");
    assert_eq!(cluster.member(survivors[0]).propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn in_the_laboratory_a_dead_leader_is_evicted_as_soon_as_another_leads() {
    let mut cluster = cluster_of(9, laboratory()).await;
    let leader = cluster.leader().await;

    let killed_at = Instant::now();
    cluster.kill(leader);
    let next = cluster.leader().await;
    let elected_after = killed_at.elapsed();
    wait_for(&cluster.member(next), votes(cluster.others(&[]))).await;

    let took = killed_at.elapsed() - elected_after;
    assert!(took <= ELECTION_TIMEOUT / 5, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn just_under_half_are_evicted_at_once_down_to_the_least_number() {
    let mut cluster = cluster_of(5, policy()).await;
    let first = cluster.others(&[]);
    cluster.kill(first[0]);
    cluster.kill(first[1]);
    let three = cluster.others(&[]);
    wait_for(&cluster.member(three[0]), votes(three.clone())).await;

    cluster.kill(three[0]);
    sleep(EVICT_AFTER * 5).await;

    let rest = cluster.member(three[1]).status();
    assert!(votes(three)(&rest.borrow()), "three are the fewest");
    assert_eq!(cluster.member(rest_of(&cluster)).propose(1).await, Ok(1));
}

fn rest_of(cluster: &Cluster) -> u128 {
    cluster.others(&[])[0]
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_evicted_while_it_was_cut_off_comes_back_under_its_id() {
    let cluster = cluster_of(4, policy()).await;
    let leader = cluster.leader().await;
    let away = cluster.others(&[leader])[0];
    cluster.isolate(away);
    wait_for(&cluster.member(leader), |status| !is_member(away)(status)).await;
    cluster.member(leader).propose(1).await.unwrap();

    cluster.network.heal_all();

    wait_for(&cluster.member(away), |status| {
        votes(1..=4)(status) && status.leader().is_some()
    })
    .await;
    assert_eq!(cluster.settled().await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_evicted_while_it_was_off_comes_back_from_its_disk() {
    let mut cluster = cluster_of(4, policy()).await;
    let leader = cluster.leader().await;
    let away = cluster.others(&[leader])[0];
    cluster.kill(away);
    wait_for(&cluster.member(leader), |status| !is_member(away)(status)).await;

    let back = cluster
        .start(away, |member| member.membership(policy()))
        .await;

    wait_for(&cluster.member(leader), votes(1..=4)).await;
    wait_for(&back, |status| status.leader().is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_learner_that_was_evicted_comes_back() {
    let three = policy().with_voters(Target::Count(3));
    let mut cluster = cluster_of(3, three).await;
    let learner = cluster
        .start(4, |member| {
            member.membership(three).join(CLUSTER, server(1))
        })
        .await;
    wait_for(&learner, |status| {
        status.raft.configuration.is_learner(server(4)) && status.leader().is_some()
    })
    .await;
    let leader = cluster.member(cluster.leader().await);
    cluster.isolate(4);
    wait_for(&leader, |status| !is_member(4)(status)).await;

    cluster.network.heal_all();

    wait_for(&leader, is_member(4)).await;
    assert!(votes(1..=3)(&leader.status().borrow()));
}

#[tokio::test(start_paused = true)]
async fn a_learner_takes_the_place_of_a_voter_that_died() {
    let three = policy().with_voters(Target::Count(3));
    let mut cluster = cluster_of(3, three).await;
    let learner = cluster
        .start(4, |member| {
            member.membership(three).join(CLUSTER, server(1))
        })
        .await;
    wait_for(&learner, is_member(4)).await;
    let dead = cluster.others(&[cluster.leader().await, 4])[0];

    cluster.kill(dead);

    wait_for(&learner, votes(cluster.others(&[]))).await;
}

#[tokio::test(start_paused = true)]
async fn whom_an_operator_removes_stays_away() {
    let cluster = cluster_of(4, policy()).await;
    let leader = cluster.leader().await;
    let unwanted = cluster.others(&[leader])[0];

    cluster
        .member(cluster.others(&[leader, unwanted])[0])
        .remove_server(server(unwanted))
        .await
        .unwrap();
    sleep(40 * ELECTION_TIMEOUT).await;

    let voters = cluster.others(&[unwanted]);
    assert!(votes(voters)(&cluster.member(leader).status().borrow()));
}

#[tokio::test(start_paused = true)]
async fn whom_an_operator_removed_stays_away_after_all_have_restarted() {
    let mut cluster = cluster_of(3, policy()).await;
    let leader = cluster.leader().await;
    let unwanted = cluster.others(&[leader])[0];
    let others = cluster.others(&[unwanted]);
    let operator = cluster.member(leader);
    operator.remove_server(server(unwanted)).await.unwrap();

    for id in cluster.others(&[]) {
        cluster.kill(id);
    }
    for id in others.iter().copied().chain([unwanted]) {
        cluster
            .start(id, |member| member.membership(policy()))
            .await;
    }
    let member = cluster.member(cluster.leader().await);
    sleep(40 * ELECTION_TIMEOUT).await;

    assert!(votes(others)(&member.status().borrow()));
}

#[tokio::test(start_paused = true)]
async fn whom_an_operator_removed_is_a_member_again_once_an_operator_adds_it() {
    let cluster = cluster_of(4, policy()).await;
    let leader = cluster.leader().await;
    let wanted = cluster.others(&[leader])[0];
    let operator = cluster.member(leader);
    operator.remove_server(server(wanted)).await.unwrap();
    sleep(10 * ELECTION_TIMEOUT).await;

    operator.add_server(server(wanted)).await.unwrap();

    wait_for(&cluster.member(wanted), votes(1..=4)).await;
}

// The server believes that it is dismissed, and nobody reaches it while it is not.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_added_again_and_evicted_before_it_heard_of_it_comes_back() {
    let cluster = cluster_of(4, policy()).await;
    let leader = cluster.leader().await;
    let away = cluster.others(&[leader])[0];
    let operator = cluster.member(leader);
    operator.remove_server(server(away)).await.unwrap();
    wait_for(&cluster.member(away), |status| !is_member(away)(status)).await;
    cluster.isolate(away);

    operator.add_learner(server(away)).await.unwrap();
    wait_for(&operator, |status| !is_member(away)(status)).await;
    cluster.network.heal_all();

    wait_for(&operator, votes(1..=4)).await;
}

#[tokio::test(start_paused = true)]
async fn with_manual_membership_nobody_is_evicted_or_taken_in() {
    let mut cluster = Cluster::founded(1..=5).await;
    for id in 1..=5 {
        cluster.start(id, |member| member.manual_membership()).await;
    }
    let leader = cluster.leader().await;
    let dead = cluster.others(&[leader])[0];

    cluster.kill(dead);
    cluster.start(6, joins(leader)).await;
    sleep(Duration::from_secs(100)).await;

    assert!(votes(1..=5)(&cluster.member(leader).status().borrow()));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_lives_is_evicted_by_a_network_that_loses_a_tenth() {
    let cluster = cluster_of(5, policy()).await;
    let loss = Probability::percent(10);
    cluster.network.set_faults(Faults::none().with_loss(loss));
    let leader = cluster.member(cluster.leader().await);
    let index = leader.status().borrow().raft.configuration_index;

    sleep(Duration::from_secs(300)).await;

    let status = leader.status();
    assert_eq!(status.borrow().raft.configuration_index, index);
}
