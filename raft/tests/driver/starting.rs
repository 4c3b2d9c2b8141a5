//! Settings that make no sense are refused before anything runs.

use liferaft_raft::configuration::Configuration;
use liferaft_raft::driver::{BootstrapFault, Member, MemberBuilder, StartError};
use liferaft_raft::ids::ServerId;
use liferaft_transport::memory::MemoryNetwork;

use crate::cluster::CLUSTER;
use crate::machine::Journal;

fn member() -> MemberBuilder<Journal> {
    let transport = MemoryNetwork::new(1)
        .attach(ServerId(1))
        .expect("the id is free");
    Member::builder(CLUSTER, Journal::default(), transport)
}

async fn fault_of(configuration: Configuration) -> Option<BootstrapFault> {
    match member().bootstrap(configuration).start().await {
        Err(StartError::Bootstrap(fault)) => Some(fault),
        Err(_) | Ok(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_does_not_begin_without_voters() {
    let fault = fault_of(Configuration::default()).await;

    assert_eq!(fault, Some(BootstrapFault::NoVoters));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_does_not_begin_with_a_joint_configuration() {
    let old = Configuration::of_voters([ServerId(1)]);
    let joint = old.joined_with(&Configuration::of_voters([ServerId(1), ServerId(2)]));

    let fault = fault_of(joint).await;

    assert_eq!(fault, Some(BootstrapFault::Joint));
}

#[tokio::test(start_paused = true)]
async fn a_server_does_not_begin_a_cluster_of_others() {
    let fault = fault_of(Configuration::of_voters([ServerId(2)])).await;

    assert_eq!(fault, Some(BootstrapFault::NotAMember(ServerId(1))));
}

// A program that is started again would found a second cluster beside the first.
#[tokio::test(start_paused = true)]
async fn a_first_server_that_is_to_join_does_not_start() {
    let started = member().first_server().join(ServerId(2)).start().await;

    assert!(matches!(started, Err(StartError::FoundsAndJoins)));
}
