//! Log matching (§3.5, plan 2.1 no. 3): entries with the same index and term are the same, and so are all before them.

use liferaft_raft::ids::{Index, Term};

use super::{Turn, Verdict, demand};
use crate::digest;

/// What has ever been in a log, by index. By induction, comparing an entry and the term before it is enough.
#[derive(Debug, Default)]
pub(super) struct LogMatching {
    seen: Vec<Vec<Seen>>,
}

#[derive(Debug)]
struct Seen {
    term: Term,
    term_before: Option<Term>,
    digest: u64,
}

impl LogMatching {
    pub(super) fn check(&mut self, turn: &Turn<'_>) -> Verdict {
        let log = turn.log();
        for entry in turn.output.writes.iter().flat_map(|write| &write.entries) {
            // What a later write of the same turn has cut again is not in the log any more.
            let Some((term, digest)) = log.entry(entry.index) else {
                continue;
            };
            demand!(
                (term, digest) == (entry.term, digest::of_entry(entry)),
                "the write of {} leaves {}@{term}",
                entry.position(),
                entry.index
            );
            let term_before = log.term_at(entry.index.previous());
            self.note(entry.index, term, term_before, digest)?;
        }
        Ok(())
    }

    fn note(
        &mut self,
        index: Index,
        term: Term,
        term_before: Option<Term>,
        digest: u64,
    ) -> Verdict {
        let at = usize::try_from(index.0).expect("a run's log is short");
        if self.seen.len() <= at {
            self.seen.resize_with(at + 1, Vec::new);
        }
        let Some(seen) = self.seen[at].iter_mut().find(|seen| seen.term == term) else {
            self.seen[at].push(Seen {
                term,
                term_before,
                digest,
            });
            return Ok(());
        };
        demand!(
            seen.digest == digest,
            "{index}@{term} differs from {index}@{term} elsewhere"
        );
        demand!(
            term_before.is_none() || seen.term_before.is_none() || seen.term_before == term_before,
            "before {index}@{term} comes term {term_before:?}, elsewhere {:?}",
            seen.term_before
        );
        seen.term_before = seen.term_before.or(term_before);
        Ok(())
    }
}
