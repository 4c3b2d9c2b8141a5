//! Says where a member stands, in values that JavaScript reads.

use liferaft::{Handle, Kv, ServerId};
use wasm_bindgen::prelude::wasm_bindgen;

/// Where a member stands.
#[wasm_bindgen(getter_with_clone)]
#[derive(Clone, Debug)]
pub struct Status {
    /// Its id.
    pub id: String,
    /// Follower, candidate, leader or another role.
    pub role: String,
    /// The term that it is in.
    pub term: u64,
    /// Who leads, if it knows.
    pub leader: Option<String>,
    /// The members with a vote.
    pub voters: Vec<String>,
    /// Those without one.
    pub learners: Vec<String>,
    /// Where its links run: the peer, the carrier and the addresses, or who passes packets on.
    pub links: Vec<String>,
    /// Why it takes no part, if it takes none.
    pub exclusion: Option<String>,
}

impl Status {
    pub(crate) fn of(member: &Handle<Kv>) -> Self {
        let status = member.status().borrow().clone();
        let configuration = &status.raft.configuration;
        let id = |id: ServerId| format!("{id:?}");
        let members = configuration.members();
        let learners = members.filter(|(_, member)| !member.votes());
        let links = status.links.iter();
        Self {
            id: id(member.id()),
            role: format!("{:?}", status.raft.role).to_lowercase(),
            term: status.term().0,
            leader: status.leader().map(id),
            voters: configuration.voters().iter().copied().map(id).collect(),
            learners: learners.map(|(learner, _)| id(learner)).collect(),
            links: links
                .map(|link| match &link.path {
                    Some(path) => format!("{:?} by {path}", link.peer),
                    None => id(link.peer),
                })
                .collect(),
            exclusion: status.exclusion.map(|why| why.to_string()),
        }
    }
}
