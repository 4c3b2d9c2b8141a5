//! Membership (§4.1, §4.3, plan 2.1 no. 11): one change at a time, quorums of consecutive configurations overlap, the
//! newest configuration of the log is in force, and a server without a vote does not lead once it has committed what it
//! was elected for.

use std::collections::BTreeMap;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::entry::Payload;
use liferaft_raft::ids::{Index, LogPosition, Term};

use super::{Turn, Verdict, demand};

#[derive(Debug, Default)]
pub(super) struct Membership {
    /// Where each term's leader began to append.
    term_starts: BTreeMap<Term, Index>,
}

impl Membership {
    pub(super) fn check(&mut self, turn: &Turn<'_>) -> Verdict {
        let (log, after) = (turn.log(), turn.after());
        if turn.begins_to_lead() {
            let start = turn.before.positions.last.index.next();
            self.term_starts.insert(after.term, start);
        }
        for write in &turn.output.writes {
            for entry in &write.entries {
                if let Payload::Configuration(configuration) = &entry.payload
                    && after.leads()
                    && entry.term == after.term
                {
                    self.appended(turn, entry.position(), configuration)?;
                }
            }
        }
        let member = &turn.members[turn.member];
        let (index, configuration) = log.configuration();
        if let Some(raft) = &member.raft {
            let (said, in_force) = raft.configuration();
            // Without a write the one in force is that which was looked at before.
            let may_differ = !turn.output.writes.is_empty() || index != turn.configuration_before.0;
            demand!(
                said == index
                    && (!may_differ || configuration.is_none_or(|newest| newest == in_force)),
                "the configuration of entry {said} is in force, the newest of the log is that of {index}"
            );
        }
        let start = self.term_starts.get(&after.term).copied();
        demand!(
            !after.leads()
                || index.max(start.unwrap_or_default()) > after.positions.commit
                || configuration.is_some_and(|configuration| configuration.is_voter(turn.id())),
            "leads after the configuration of entry {index}, which leaves it out, is committed"
        );
        Ok(())
    }

    /// A leader has appended a configuration.
    fn appended(&self, turn: &Turn<'_>, at: LogPosition, next: &Configuration) -> Verdict {
        let commit = turn.after().positions.commit;
        let Some((index, previous)) = turn.log().configuration_before(at.index) else {
            return Ok(());
        };
        demand!(
            *index <= commit,
            "a configuration is appended at {at} while that of {index} is uncommitted"
        );
        let start = self.term_starts.get(&at.term).copied().unwrap_or_default();
        demand!(
            commit >= start,
            "a configuration is appended at {at} before term {} has committed anything",
            at.term
        );
        demand!(
            follows(previous, next),
            "the configuration at {at} does not follow that at {index}: {previous:?} then {next:?}"
        );
        keeps_its_word(previous, next).map_err(|text| format!("the configuration at {at}: {text}"))
    }
}

/// Checks that what concerns the cluster goes one way only: a version is raised, a token is used once for each server
/// that comes, and what the founders chose stays.
fn keeps_its_word(previous: &Configuration, next: &Configuration) -> Verdict {
    demand!(
        next.version() >= previous.version(),
        "the version goes back from {} to {}",
        previous.version(),
        next.version()
    );
    let chosen = |of: &Configuration| (of.is_open(), of.history(), of.entry_bytes_max());
    demand!(
        chosen(previous) == chosen(next),
        "what the founders chose goes from {:?} to {:?}",
        chosen(previous),
        chosen(next)
    );
    let coming = next.members().filter(|(id, member)| {
        let before = previous.member(*id).and_then(|member| member.suffrage);
        member.suffrage.is_some() && before != member.suffrage
    });
    let mut comers = u32::try_from(coming.count()).unwrap_or(u32::MAX);
    for token in previous.tokens() {
        let Some(after) = next.token(token.key) else {
            continue;
        };
        let used = token.uses_left.checked_sub(after.uses_left);
        let is_paid =
            used.is_some_and(|used| used <= comers) && after.expires_at == token.expires_at;
        demand!(
            is_paid,
            "{token:?} becomes {after:?}, and {comers} servers may have used it"
        );
        comers -= used.unwrap_or_default();
    }
    Ok(())
}

/// Whether every quorum of the one overlaps with every quorum of the other.
fn follows(previous: &Configuration, next: &Configuration) -> bool {
    match (previous.is_joint(), next.is_joint()) {
        (false, false) => {
            let differing = |a: &Configuration, b: &Configuration| {
                let only = a.voters().iter().filter(|id| !b.voters().contains(id));
                only.count()
            };
            differing(previous, next) + differing(next, previous) <= 1
        }
        (false, true) => next.outgoing() == previous.voters(),
        (true, false) => next.voters() == previous.voters(),
        (true, true) => false,
    }
}
