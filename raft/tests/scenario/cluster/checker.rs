//! What must hold in every story, checked after each step (§3.2).

use std::collections::{BTreeMap, BTreeSet};

use liferaft_raft::consensus::{Event, ReadId, ReadRefused, Recovered, RoleKind, Status, Write};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, ServerId, Term};
use liferaft_raft::message::{Body, Message};

#[derive(Default)]
pub(super) struct Checker {
    /// Election safety: at most one leader in a term.
    leaders: BTreeMap<Term, ServerId>,
    /// Log matching: entries of one index and term are the same, in whatever log.
    entries: BTreeMap<LogPosition, Entry>,
    /// State machine safety: what any state machine has applied at an index.
    applied: BTreeMap<Index, Entry>,
    /// The last position that any server knew to be committed: leader completeness.
    committed: LogPosition,
    commit_index: Index,
    /// What servers said of themselves last, in their present life.
    said: BTreeMap<ServerId, Said>,
    /// Votes are given once in a term.
    votes: BTreeMap<(ServerId, Term), ServerId>,
    /// What a read that is under way must at least see.
    reads: BTreeMap<ReadId, Index>,
    /// Servers that came back with an empty disk. Of no other is it said that it forgot.
    wiped: BTreeSet<ServerId>,
}

struct Said {
    boot: u64,
    term: Term,
    commit: Index,
    applied: Index,
    is_leader: bool,
}

impl Checker {
    /// The history that servers begin with is not to be judged.
    pub(super) fn take_for_granted(&mut self, recovered: &Recovered) {
        for entry in &recovered.entries {
            self.check_entry(entry);
        }
    }

    /// This server loses its disk.
    pub(super) fn note_wiped(&mut self, id: ServerId) {
        self.wiped.insert(id);
    }

    pub(super) fn check_event(&self, event: &Event) {
        if let Event::PeerForgot { peer, .. } = event {
            assert!(
                self.wiped.contains(peer),
                "server {peer} has kept its disk, and is said to have forgotten"
            );
        }
    }

    pub(super) fn check_write(&mut self, write: &Write) {
        for entry in &write.entries {
            self.check_entry(entry);
        }
    }

    fn check_entry(&mut self, entry: &Entry) {
        let known = self
            .entries
            .entry(entry.position())
            .or_insert_with(|| entry.clone());
        assert_eq!(known, entry, "two entries have the same index and term");
    }

    pub(super) fn check_status(&mut self, boot: u64, status: &Status, stored: &Recovered) {
        let id = status.id;
        assert!(
            status.applied <= status.commit,
            "server {id} has applied what is not committed"
        );
        assert!(
            status.commit <= status.last.index,
            "server {id} has committed what it has not"
        );
        assert!(
            status.persisted <= status.last.index,
            "server {id} has stored what it has not"
        );

        let is_leader = status.role == RoleKind::Leader;
        let before = self.said.get(&id).filter(|said| said.boot == boot);
        if let Some(said) = before {
            assert!(
                status.term >= said.term,
                "the term of server {id} went back"
            );
            assert!(
                status.commit >= said.commit,
                "the commit index of server {id} went back"
            );
            assert!(
                status.applied >= said.applied,
                "the applied index of server {id} went back"
            );
        }
        if is_leader {
            let leader = *self.leaders.entry(status.term).or_insert(id);
            assert_eq!(leader, id, "term {} has two leaders", status.term);
            let vote = (stored.hard_state.term, stored.hard_state.voted_for);
            assert_eq!(
                vote,
                (status.term, Some(id)),
                "server {id} leads before its own vote is on its disk"
            );
            let elected = before.is_none_or(|said| !said.is_leader || said.term < status.term);
            // A later leader may be elected while an earlier one still commits nothing more than it had.
            if elected && status.term >= self.committed.term {
                assert!(
                    status.last.index >= self.committed.index,
                    "server {id} leads term {} without the committed entry {}",
                    status.term,
                    self.committed,
                );
            }
        }
        if status.commit > self.commit_index {
            self.commit_index = status.commit;
            self.committed = LogPosition::new(status.term, status.commit);
        }
        let Status {
            term,
            commit,
            applied,
            ..
        } = *status;
        self.said.insert(
            id,
            Said {
                boot,
                term,
                commit,
                applied,
                is_leader,
            },
        );
    }

    /// Nothing leaves a server that promises what is not on its disk (§3.8).
    pub(super) fn check_promise(
        &mut self,
        from: ServerId,
        to: ServerId,
        message: &Message,
        stored: &Recovered,
    ) {
        let stored_last = stored.entries.last().map(|entry| entry.index);
        let covered = stored
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.metadata.last.index);
        let durable = stored_last.max(covered).unwrap_or_default();
        match &message.body {
            Body::RequestVoteReply(reply) if reply.granted && !reply.pre_vote => {
                let voted_for = stored.hard_state.voted_for;
                assert_eq!(
                    stored.hard_state.term, reply.campaign,
                    "a vote precedes its term"
                );
                assert_eq!(
                    voted_for,
                    Some(to),
                    "server {from} promises a vote that is not stored"
                );
                let vote = *self.votes.entry((from, reply.campaign)).or_insert(to);
                assert_eq!(
                    vote, to,
                    "server {from} votes twice in term {}",
                    reply.campaign
                );
            }
            Body::AppendEntriesReply(reply) => {
                assert!(
                    message.term <= stored.hard_state.term,
                    "an answer precedes its term"
                );
                assert!(
                    reply.match_index <= durable,
                    "server {from} acknowledges what is not stored"
                );
            }
            Body::InstallSnapshotReply(reply) => {
                assert!(
                    message.term <= stored.hard_state.term,
                    "an answer precedes its term"
                );
                assert!(
                    reply.match_index <= durable,
                    "server {from} acknowledges what is not stored"
                );
            }
            Body::RequestVoteReply(_)
            | Body::RequestVote(_)
            | Body::AppendEntries(_)
            | Body::InstallSnapshot(_)
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => {}
        }
    }

    pub(super) fn check_applied(&mut self, entry: &Entry) {
        let known = self
            .applied
            .entry(entry.index)
            .or_insert_with(|| entry.clone());
        assert_eq!(
            known, entry,
            "two state machines have applied different entries"
        );
    }

    /// A restored state is that of the commands that were applied up to there.
    pub(super) fn check_restored(&self, last: Index, commands: &[String]) {
        let applied = self.applied.range(..=last);
        let expected: Vec<String> = applied.filter_map(|(_, entry)| command(entry)).collect();
        assert_eq!(
            commands, expected,
            "a snapshot holds another state than that of {last}"
        );
    }

    pub(super) fn begin_read(&mut self, id: ReadId) {
        self.reads.insert(id, self.commit_index);
    }

    /// A read sees at least what was committed when it began (§6.4).
    pub(super) fn check_read(&self, id: ReadId, answer: &Result<Index, ReadRefused>) {
        if let Ok(index) = answer {
            let needed = self.reads[&id];
            assert!(
                *index >= needed,
                "a read at {index} misses what was committed at {needed}"
            );
        }
    }

    pub(super) fn was_applied(&self, wanted: &str) -> bool {
        self.applied
            .values()
            .any(|entry| command(entry).is_some_and(|text| text == wanted))
    }
}

fn command(entry: &Entry) -> Option<String> {
    match &entry.payload {
        Payload::Noop | Payload::Configuration(_) => None,
        Payload::Command(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
