//! Bounds (plan 2.1 no. 18): what a server holds and sends stays within its limits.

use liferaft_raft::consensus::Apply;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::Index;
use liferaft_raft::message::Body;
use liferaft_raft::sessions::ReplyBounds;

use super::{Turn, Verdict, demand};
use crate::machine::Machine;
use crate::member::View;

pub(super) fn check(turn: &Turn<'_>) -> Verdict {
    let limits = turn.plan.config.limits();
    for (_, message) in &turn.output.messages {
        match &message.body {
            Body::AppendEntries(append) => {
                let bytes: u64 = append.entries.iter().map(Entry::weight).sum();
                demand!(
                    bytes <= limits.append_bytes_max || append.entries.len() == 1,
                    "sends {} entries of {bytes} bytes at once",
                    append.entries.len()
                );
            }
            Body::InstallSnapshot(chunk) => {
                demand!(
                    chunk.data.len() as u64 <= limits.snapshot_chunk_bytes,
                    "sends a chunk of {} bytes",
                    chunk.data.len()
                );
            }
            _ => {}
        }
    }
    for apply in &turn.output.apply {
        if let Apply::Entries(entries) = apply {
            let all_but_last = &entries[..entries.len().saturating_sub(1)];
            let bytes: u64 = all_but_last.iter().map(Entry::weight).sum();
            demand!(
                bytes <= limits.applying_bytes_max,
                "hands out {bytes} bytes at once"
            );
        }
    }
    check_memory(turn)?;
    demand!(
        turn.output.writes.len() <= 1,
        "{} writes come out of one turn",
        turn.output.writes.len()
    );
    let mut answers = turn.output.proposals.iter();
    if answers.any(|(_, answer)| answer.is_ok()) && turn.after().leads() {
        check_tail(turn)?;
    }
    check_restores(turn)
}

/// The replies that a session table keeps after a command are within their bounds.
///
/// # Errors
/// When they are not.
pub fn replies(machine: &Machine, session: Index, bounds: ReplyBounds) -> Verdict {
    if bounds == ReplyBounds::default() {
        // No run is long enough.
        return Ok(());
    }
    let (of_all, of_session) = machine.reply_bytes(session);
    demand!(
        of_all <= bounds.bytes_max && of_session <= bounds.session_bytes_max,
        "the replies of session {session} weigh {of_session}, of all {of_all}, beyond {bounds:?}"
    );
    Ok(())
}

/// Of the commands that a leader has accepted no more are uncommitted, or not on its own disk, than it may keep.
fn check_tail(turn: &Turn<'_>) -> Verdict {
    let View {
        term, positions, ..
    } = turn.after();
    let Some(raft) = &turn.members[turn.member].raft else {
        return Ok(());
    };
    let settled = positions.commit.min(positions.persisted);
    let pending = raft.log_from(settled.next()).filter(|entry| {
        // What it inherited was accepted by others.
        entry.index > settled && entry.term == term && matches!(entry.payload, Payload::Command(_))
    });
    let (count, bytes) = pending.fold((0_u64, 0), |(count, bytes), entry| {
        (count + 1, bytes + entry.weight())
    });
    demand!(
        bytes <= turn.plan.config.limits().uncommitted_bytes_max || count <= 1,
        "accepts commands while {bytes} bytes of {count} are pending"
    );
    Ok(())
}

/// Of what is committed and durable no more is in memory than may be, and what is not is read from storage that has it:
/// by one read at a time for each reader.
fn check_memory(turn: &Turn<'_>) -> Verdict {
    let member = &turn.members[turn.member];
    let positions = member.view.positions;
    let settled = positions.commit.min(positions.persisted);
    for read in &turn.output.entries {
        let is_there = |index| index <= settled && turn.durable().entry(index).is_some();
        demand!(
            read.from <= read.through && is_there(read.from) && is_there(read.through),
            "reads {read:?}, which is not stored"
        );
        demand!(
            !member.reading.contains(&read.whose),
            "reads twice for {:?}",
            read.whose
        );
    }
    let bytes_max = turn.plan.config.limits().log_memory_bytes_max;
    let Some(raft) = member.raft.as_ref().filter(|_| bytes_max < WHOLE_LOG) else {
        return Ok(());
    };
    let in_memory = raft.log_from(Index::ZERO);
    let held = in_memory.take_while(|entry| entry.index <= settled);
    let bytes: u64 = held.map(Entry::memory).sum();
    demand!(
        bytes <= bytes_max,
        "holds {bytes} bytes of its log in memory, {bytes_max} are allowed"
    );
    Ok(())
}

/// No run has a log of so many bytes.
const WHOLE_LOG: u64 = 8 << 20;

/// One snapshot at most waits for the state machine: the next is handed out when it has been restored.
fn check_restores(turn: &Turn<'_>) -> Verdict {
    let waiting = turn.members[turn.member].applying.iter();
    let restores = waiting
        .chain(&turn.output.apply)
        .filter(|apply| matches!(apply, Apply::Restore(_)))
        .count();
    demand!(restores <= 1, "{restores} snapshots wait to be restored");
    Ok(())
}
