//! What must come about once nothing goes wrong any more: liveness.

use std::collections::BTreeMap;
use std::time::Duration;

use liferaft_raft::configuration::Configuration;
use liferaft_sim::operation::{Change, Question, is_sequence};
use tokio::time::Instant;

use crate::client::Clients;
use crate::cluster::{Cluster, Running, server};
use crate::history::Heard;
use crate::outboxes::Application;

/// How long each step of the recovery may take, where nothing is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait between two looks, where nothing is slow.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

fn patience(cluster: &Cluster) -> Duration {
    PATIENCE * cluster.plan.slowness
}

async fn wait_to_look_again(cluster: &Cluster) {
    tokio::time::sleep(LOOK_AGAIN_AFTER * cluster.plan.slowness).await;
}

/// Waits until one leader is followed by all members of a configuration that is not joint. The configuration.
///
/// # Errors
/// It takes too long.
pub(crate) async fn one_leader(cluster: &Cluster) -> Result<Configuration, String> {
    let end = Instant::now() + patience(cluster);
    while Instant::now() < end {
        if let Some(configuration) = led(cluster) {
            return Ok(configuration);
        }
        wait_to_look_again(cluster).await;
    }
    Err(format!(
        "there is no leader whom all follow:{}",
        standings(cluster)
    ))
}

/// Returns what each server that runs tells of itself, a line each.
fn standings(cluster: &Cluster) -> String {
    let of = |(id, running): (u64, Running)| {
        let (status, server) = (running.status(), server(id));
        let (raft, excluded) = (status.raft, status.exclusion);
        let last_error = status.last_error.map(|last| last.error.to_string());
        format!(
            "\n  {id} is {server}, {:?} in {}, led by {:?}, {excluded:?}, {last_error:?}, configuration at {}: {:?}",
            raft.role, raft.term, raft.leader, raft.configuration_index, raft.configuration
        )
    };
    cluster.all_running().into_iter().map(of).collect()
}

fn led(cluster: &Cluster) -> Option<Configuration> {
    let leader = cluster.leader()?;
    let configuration = cluster.running(leader)?.status().raft.configuration;
    let follow = members(cluster, &configuration).iter().all(|(_, member)| {
        let status = member.status();
        status.leader() == Some(server(leader)) && status.raft.configuration == configuration
    });
    (follow && !configuration.is_joint()).then_some(configuration)
}

/// The members of a configuration, all of which run by now.
fn members(cluster: &Cluster, configuration: &Configuration) -> Vec<(u64, Running)> {
    let mut running = cluster.all_running();
    running.retain(|(id, _)| configuration.contains(server(*id)));
    running
}

/// Fresh writes and reads succeed on every member of the configuration.
///
/// # Errors
/// One does not.
pub(crate) async fn fresh_calls(
    cluster: &Cluster,
    clients: &Clients,
    configuration: &Configuration,
) -> Result<(), String> {
    for (id, member) in members(cluster, configuration) {
        // No client has this number.
        let fresh = (1 << 48) + id;
        for (key, question) in [
            (2, Question::Change(Change::Set(fresh))),
            (2, Question::Get),
            (1, Question::Change(Change::Append(fresh))),
            (1, Question::List),
        ] {
            match clients.ask(&member, key, question, patience(cluster)).await {
                Heard::Done(_) => {}
                heard => return Err(format!("on server {id}, {question:?} came to {heard:?}")),
            }
        }
    }
    Ok(())
}

/// Waits until the outboxes of all members of the configuration are empty.
///
/// # Errors
/// One is not.
pub(crate) async fn flush(
    cluster: &Cluster,
    applications: &mut [Application],
    configuration: &Configuration,
) -> Result<(), String> {
    for application in applications {
        if configuration.contains(server(application.server)) {
            application.flush(patience(cluster)).await?;
        }
    }
    Ok(())
}

/// Waits until all members of the configuration have applied the same, and know that it is recent. The values of all
/// sequences.
///
/// # Errors
/// It takes too long, or they differ at the same index.
pub(crate) async fn convergence(
    cluster: &Cluster,
    clients: &Clients,
    configuration: &Configuration,
) -> Result<BTreeMap<u8, Vec<u64>>, String> {
    let end = Instant::now() + patience(cluster);
    loop {
        let mut states = Vec::new();
        let mut ages = Vec::new();
        for (id, member) in members(cluster, configuration) {
            let mut state = Vec::new();
            for key in 1..=cluster.plan.keys {
                let question = if is_sequence(key) {
                    Question::List
                } else {
                    Question::Get
                };
                match clients.look(&member, key, question, false).await {
                    Heard::Local(answer, age, applied) => {
                        state.push((answer, applied));
                        ages.push(age);
                    }
                    heard => return Err(format!("server {id} itself knows {heard:?}")),
                }
            }
            states.push((id, state));
        }
        let (_, first) = members(cluster, configuration)
            .into_iter()
            .next()
            .ok_or("nobody is a member")?;
        let sequences = clients.sequences(&first).await?;
        let equal = states.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let oldest = cluster.plan.config.election_timeout();
        let recent = ages.iter().all(|age| age.is_some_and(|age| age <= oldest));
        if equal && recent {
            return Ok(sequences);
        }
        if Instant::now() >= end {
            return Err(format!("members differ, or are old: {states:?}, {ages:?}"));
        }
        wait_to_look_again(cluster).await;
    }
}

/// A fresh change of membership is made, asked of any member. The configuration that it leads to.
///
/// # Errors
/// It is not made.
pub(crate) async fn fresh_change(
    cluster: &Cluster,
    configuration: &Configuration,
) -> Result<Configuration, String> {
    let members = members(cluster, configuration);
    let (id, asked) = members.first().ok_or("nobody is a member")?;
    let raft = asked.kv.raft().within(patience(cluster));
    let voteless = (1..=cluster.plan.servers).find(|id| !configuration.is_voter(server(*id)));
    if let Some(voteless) = voteless {
        raft.add_server(server(voteless))
            .await
            .map_err(|error| format!("server {voteless} is given no vote by {id}: {error}"))?;
    } else {
        let last = *configuration.voters().last().ok_or("nobody votes")?;
        raft.remove_server(last)
            .await
            .map_err(|error| format!("server {last} is not removed by {id}: {error}"))?;
    }
    one_leader(cluster).await
}

/// Leadership is handed over afresh, asked of any member.
///
/// # Errors
/// It is not.
pub(crate) async fn fresh_transfer(
    cluster: &Cluster,
    configuration: &Configuration,
) -> Result<(), String> {
    let (id, asked) = members(cluster, configuration)
        .pop()
        .ok_or("nobody is a member")?;
    let raft = asked.kv.raft().within(patience(cluster));
    raft.transfer_leadership(None)
        .await
        .map_err(|error| format!("leadership is not handed over, asked of {id}: {error}"))?;
    one_leader(cluster).await?;
    Ok(())
}
