//! Bounds (plan 2.1 no. 18): what a server holds and sends stays within its limits.

use liferaft_raft::consensus::Apply;
use liferaft_raft::entry::Entry;
use liferaft_raft::message::Body;

use super::{Turn, Verdict, demand};

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
    demand!(
        turn.output.writes.len() <= 1,
        "{} writes come out of one turn",
        turn.output.writes.len()
    );
    Ok(())
}
