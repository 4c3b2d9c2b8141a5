//! Liveness (plan 2.1 no. 19): once faults have stopped, one server leads, all converge, and fresh writes, reads and a
//! change of membership succeed.

use liferaft_raft::ids::Index;

use crate::member::Member;

/// What is wrong with a cluster that should be well; `None` if nothing is.
#[must_use]
pub fn ailment(members: &[Member], committed: Index) -> Option<String> {
    let Some(leader) = members
        .iter()
        .filter(|member| member.leads())
        .max_by_key(|member| member.view.term)
    else {
        return Some("nobody leads".to_owned());
    };
    let (index, configuration) = leader.log.configuration();
    let Some(configuration) = configuration else {
        return Some("the leader has no configuration".to_owned());
    };
    if index > leader.view.positions.commit {
        return Some(format!("the configuration of {index} is not committed"));
    }
    if configuration.is_joint() {
        return Some(format!("the configuration of {index} stays joint"));
    }
    for member in members {
        if !configuration.contains(member.id) {
            continue;
        }
        if member.leads() && member.id != leader.id {
            return Some(format!("{} and {} both lead", leader.id, member.id));
        }
        let follows = member.raft.as_ref().and_then(|raft| raft.leader());
        if follows != Some(leader.id) {
            return Some(format!("{} does not follow {}", member.id, leader.id));
        }
        if member.machine.applied < committed {
            return Some(format!(
                "{} has applied {}, {committed} is committed: {:?}",
                member.id, member.machine.applied, member.view
            ));
        }
    }
    None
}
