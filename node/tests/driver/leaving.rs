//! Members that go: by leaving their cluster, or by stopping, and what those who stay can do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use liferaft_node::driver::{
    Handle, LeaveError, MembershipError, OnlyVoter, ShutdownError, StopReason, WaitError,
};
use liferaft_raft::policy::{MembershipPolicy, Target};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, server};
use crate::machine::Journal;

/// Members 1 to `count` of a cluster that wants three voters: as many as there are vote, the others learn.
async fn three_voters_of(count: u128) -> Cluster {
    let policy = MembershipPolicy::default().with_voters(Target::Count(3));
    let mut cluster = Cluster::empty();
    cluster
        .start_first(1, |member| member.membership(policy))
        .await;
    for id in 2..=count {
        let member = cluster
            .start(id, |member| {
                member.membership(policy).join(CLUSTER, server(1))
            })
            .await;
        member.joined().await.unwrap();
    }
    cluster
}

#[tokio::test(start_paused = true)]
async fn the_vote_of_a_member_that_leaves_goes_to_a_learner() {
    let cluster = three_voters_of(4).await;
    let leader = cluster.leader().await;
    let (stays, leaves) = (cluster.member(leader), cluster.others(&[leader, 4])[0]);
    let counts = Arc::new(Mutex::new(Vec::new()));
    let mut status = stays.status();
    let counted = Arc::clone(&counts);
    let counting = tokio::spawn(async move {
        while status.changed().await.is_ok() {
            let voters = status.borrow().raft.configuration.voters().len();
            counted.lock().unwrap().push(voters);
        }
    });

    let member = cluster.member(leaves);
    let left = member.leave().await;

    assert_eq!(left, Ok(()));
    let stopped = member.status().borrow().stopped.clone();
    assert_eq!(stopped, Some(StopReason::Shutdown));
    tokio::time::sleep(4 * ELECTION_TIMEOUT).await;
    counting.abort();
    let configuration = stays.status().borrow().raft.configuration.clone();
    assert!(configuration.is_voter(server(4)) && !configuration.contains(server(leaves)));
    assert!(!configuration.is_dismissed(server(leaves)));
    let counts = counts.lock().unwrap();
    assert!(counts.iter().all(|voters| *voters == 3), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_leaves_and_the_others_go_on_at_once() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let other = cluster.member(cluster.others(&[leader])[0]);
    let began = tokio::time::Instant::now();

    let left = cluster.member(leader).leave().await;
    let reply = other.propose(1).await;

    assert_eq!((left, reply), (Ok(()), Ok(1)));
    assert!(began.elapsed() < ELECTION_TIMEOUT, "{:?}", began.elapsed());
    let configuration = other.status().borrow().raft.configuration.clone();
    assert_eq!(configuration.voters().len(), 2);
}

/// What a member says that is asked to leave twice at once, and once more after it has.
async fn asked_to_leave_three_times(member: &Handle<Journal>) -> [Result<(), LeaveError>; 3] {
    let (first, second) = futures::join!(member.leave(), member.leave());
    [first, second, member.leave().await]
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_left_says_so_to_whoever_asks_again() {
    let cluster = Cluster::of(4).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];

    let following = asked_to_leave_three_times(&cluster.member(follower)).await;
    let leading = asked_to_leave_three_times(&cluster.member(leader)).await;

    assert_eq!(following, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(leading, [Ok(()), Ok(()), Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn a_founder_that_is_asked_to_go_at_once_says_what_would_be_lost() {
    let mut cluster = Cluster::empty();
    let left = cluster.start_first(1, |member| member).await.leave().await;
    let stopped = cluster
        .start_first(2, |member| member)
        .await
        .shutdown()
        .await;

    let only = |only: &OnlyVoter| only.others == 0;
    assert!(
        matches!(&left, Err(LeaveError::OnlyVoter(voter)) if only(voter)),
        "{left:?}"
    );
    assert!(
        matches!(&stopped, Err(ShutdownError::OnlyVoter(voter)) if only(voter)),
        "{stopped:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stopped_before_it_was_asked_has_not_left() {
    let cluster = Cluster::of(3).await;
    cluster.member(1).stop().await;

    let left = cluster.member(1).leave().await;

    assert_eq!(left, Err(LeaveError::Change(MembershipError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn all_members_leave_one_after_the_other_but_the_last() {
    let cluster = Cluster::of(3).await;
    cluster.member(1).propose(7).await.unwrap();

    let first = cluster.member(1).leave().await;
    let second = cluster.member(2).leave().await;
    let last = cluster.member(3).leave().await;

    assert_eq!((first, second), (Ok(()), Ok(())));
    let Err(LeaveError::OnlyVoter(OnlyVoter { others: 0, .. })) = last else {
        panic!("{last:?}");
    };
    assert_eq!(cluster.member(3).read(()).await, Ok(vec![7]));
}

// Of three voters one is dead: were another to go, the third could commit nothing any more, not even its going.
#[tokio::test(start_paused = true)]
async fn no_member_leaves_where_the_others_would_stand_still() {
    let mut cluster = Cluster::founded(1..=3).await;
    for id in 1..=3 {
        cluster.start(id, |member| member.manual_membership()).await;
    }
    let leader = cluster.leader().await;
    let others = cluster.others(&[leader]);
    cluster.kill(others[1]);
    tokio::time::sleep(2 * ELECTION_TIMEOUT).await;

    let patience = Duration::from_secs(5);
    let follower = cluster.member(others[0]).within(patience).leave().await;
    let leading = cluster.member(leader).within(patience).leave().await;

    let unreachable = LeaveError::Change(MembershipError::Unreachable(server(others[1])));
    assert_eq!(follower, Err(unreachable.clone()));
    assert_eq!(leading, Err(unreachable));
    assert_eq!(cluster.member(others[0]).propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn the_only_voter_says_what_would_be_lost_with_it() {
    let mut cluster = Cluster::empty();
    let member = cluster
        .start_first(1, |member| member.manual_membership())
        .await;
    let learner = cluster.start(2, |member| member.manual_membership()).await;
    member.propose(7).await.unwrap();
    member.add_learner(server(2)).await.unwrap();
    let commit = member.status().borrow().raft.commit;

    let refused = member.shutdown().await;
    let after = member.propose(8).await;
    let left = member.leave().await;
    let last = learner.leave().await;

    let only = OnlyVoter { commit, others: 1 };
    assert_eq!(refused, Err(ShutdownError::OnlyVoter(only)));
    assert_eq!((after, left), (Ok(2), Ok(())));
    let Err(LeaveError::OnlyVoter(OnlyVoter { others: 0, .. })) = last else {
        panic!("its vote went to the learner: {last:?}");
    };
    let stopped = member.joined().await;
    assert_eq!(stopped, Err(WaitError::Stopped(StopReason::Shutdown)));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_left_may_join_again() {
    let mut cluster = three_voters_of(3).await;
    let leader = cluster.leader().await;
    let leaves = cluster.others(&[leader])[0];
    cluster.member(leaves).leave().await.unwrap();
    tokio::time::sleep(4 * ELECTION_TIMEOUT).await;
    let without = cluster.member(leader).status().borrow().clone();

    cluster.wipe(leaves).await;
    let again = cluster
        .start(9, |member| member.join(CLUSTER, server(leader)))
        .await;

    assert!(!without.raft.configuration.contains(server(leaves)));
    assert!(again.joined().await.is_ok());
}
