//! Watches tell exactly the committed changes, in their order, none twice and none left out, each entry in one piece,
//! and never more progress than was made (plan 2.1 no. 15).

use std::collections::BTreeMap;

use bytes::Bytes;
use liferaft_kv::{
    Change, ChangeKind, Changes, Keys, KvError, Polled, Refused, Revision, WatchEvent, Watcher,
};

use super::{Verdict, demand};
use crate::flaw::Flaw;
use crate::machine::Machine;
use crate::noted::What;

/// The watches of a run, and what they should tell.
#[derive(Debug)]
pub struct Watches {
    /// The changes of each entry, as the first machine that applied it had them.
    committed: BTreeMap<u64, BTreeMap<Bytes, What>>,
    /// Up to here they are known.
    through: u64,
    watches: Vec<Watched>,
    flaw: Option<Flaw>,
}

/// A watch begins in the future by this many entries, and after twice as many another takes its place.
const AHEAD: u64 = 40;

/// Watchers ask for progress when their member has applied an entry whose index is a multiple of this.
const PROGRESS_EACH: u64 = 15;

/// A watch by somebody who looks now and then, and goes to another member when the one falls silent.
#[derive(Debug)]
struct Watched {
    watcher: Watcher,
    keys: Keys,
    at: usize,
    /// Whether it goes to the next member whenever it has to ask again.
    wanders: bool,
    /// It looks when its member has applied an entry whose index is a multiple of this.
    looks_each: u64,
    /// Everything up to here was told, or lies before its beginning.
    seen: u64,
    /// How far in the future it begins; 0 for one that goes on from the first entry.
    ahead: u64,
}

impl Watches {
    /// Watches on all members of a cluster, of all keys, one or some, by watchers who are quick, slow, and too slow.
    #[must_use]
    pub fn new(members: usize, flaw: Option<Flaw>) -> Self {
        let kinds = [
            (Keys::all(), 1, false, 0),
            (Keys::range(vec![0], vec![4]), 5, true, 0),
            (Keys::prefix("there"), 3, true, 0),
            (Keys::all(), 400, false, 0),
        ];
        let future = (Keys::range(vec![0], vec![9]), 1, false, AHEAD);
        let watches = (0..members)
            .zip(kinds.iter().cycle())
            .chain((0..members).zip(kinds.iter().cycle().skip(2)))
            .chain((0..members).zip([&future].into_iter().cycle()))
            .map(|(at, (keys, looks_each, wanders, ahead))| Watched {
                watcher: Watcher::new(keys.clone(), Some(Revision(1 + ahead))),
                keys: keys.clone(),
                at,
                wanders: *wanders,
                looks_each: *looks_each,
                seen: *ahead,
                ahead: *ahead,
            });
        Self {
            committed: BTreeMap::new(),
            through: 0,
            watches: watches.collect(),
            flaw,
        }
    }

    /// Whether nobody has applied this entry yet.
    #[must_use]
    pub const fn is_first(&self, index: u64) -> bool {
        index > self.through
    }

    /// The first machine has applied an entry.
    pub fn committed(&mut self, machine: &Machine) {
        self.through = machine.applied.0;
        if !machine.noted.changes.is_empty() {
            self.committed
                .insert(self.through, machine.noted.changes.clone());
        }
    }

    /// A member has applied something: its watchers look, if it is time.
    ///
    /// # Errors
    /// When one is told anything but what was committed.
    pub fn look(&mut self, at: usize, machine: &Machine, members: usize) -> Verdict {
        let (committed, flaw) = (&self.committed, self.flaw);
        let mut here = self.watches.iter_mut().filter(|watched| {
            watched.at == at && machine.applied.0.is_multiple_of(watched.looks_each)
        });
        here.try_for_each(|watched| watched.look(machine, members, committed, flaw))
    }
}

impl Watched {
    fn look(
        &mut self,
        machine: &Machine,
        members: usize,
        committed: &BTreeMap<u64, BTreeMap<Bytes, What>>,
        flaw: Option<Flaw>,
    ) -> Verdict {
        let applied = machine.applied.0;
        let wants_progress = applied.is_multiple_of(PROGRESS_EACH);
        if wants_progress {
            drop(machine.ask(self.watcher.progress_query()));
        }
        let mut asked = false;
        loop {
            match self.watcher.poll(None) {
                Polled::Nothing => {
                    demand!(
                        !wants_progress || self.seen >= applied,
                        "progress up to {} is all that is told after {applied} entries, of which it was asked",
                        self.seen
                    );
                    self.begin_again(applied);
                    return Ok(());
                }
                Polled::Event(WatchEvent::Changes(changes)) => {
                    self.told(&changes, committed, flaw)?;
                }
                Polled::Event(WatchEvent::Progress(revision)) => {
                    demand!(
                        revision.0 <= machine.applied.0,
                        "progress up to {revision} is told after {} entries",
                        machine.applied
                    );
                    demand!(
                        revision.0 >= self.seen,
                        "progress up to {revision} is told behind that up to {}",
                        self.seen
                    );
                    self.must_have_told(revision.0, committed)?;
                    self.seen = revision.0;
                }
                Polled::Ask => {
                    if self.wanders && !asked && self.seen > 0 {
                        self.at = (self.at + 1) % members;
                        self.resume(flaw);
                        return Ok(());
                    }
                    asked = true;
                    self.resume(flaw);
                    self.ask(machine, flaw)?;
                }
            }
        }
    }

    /// One that began in the future and has told of that begins in the future once more.
    fn begin_again(&mut self, applied: u64) {
        if self.ahead > 0 && applied >= self.seen && applied.is_multiple_of(2 * self.ahead) {
            self.seen = applied + self.ahead;
            let begins = Revision(self.seen).next();
            self.watcher = Watcher::new(self.keys.clone(), Some(begins));
        }
    }

    /// Another watch begins where the last one ended.
    fn resume(&mut self, flaw: Option<Flaw>) {
        let mut next = self.watcher.next().unwrap_or(Revision(1));
        if flaw == Some(Flaw::WatchResumesTooEarly) && self.seen > 0 {
            next = next.previous();
        }
        self.watcher = Watcher::new(self.keys.clone(), Some(next));
    }

    fn ask(&mut self, machine: &Machine, flaw: Option<Flaw>) -> Verdict {
        let query = self.watcher.query();
        match self.watcher.answered(machine.ask(query)) {
            Ok(()) => Ok(()),
            Err(KvError::Refused(Refused::Compacted { through })) => {
                demand!(
                    through.0 > self.seen,
                    "a watch that has told {} is refused for what is compacted up to {through}",
                    self.seen
                );
                // What is missing is read anew by whoever watches, unless nobody tells them.
                if flaw != Some(Flaw::WatchLosesCompacted) {
                    self.seen = through.0;
                }
                self.watcher = Watcher::new(self.keys.clone(), Some(through.next()));
                Ok(())
            }
            Err(error) => Err(format!("a watch cannot go on: {error}")),
        }
    }

    fn told(
        &mut self,
        changes: &Changes,
        committed: &BTreeMap<u64, BTreeMap<Bytes, What>>,
        flaw: Option<Flaw>,
    ) -> Verdict {
        let revision = changes.revision().0;
        demand!(
            revision > self.seen,
            "what changed at {revision} is told again, after {}",
            self.seen
        );
        self.must_have_told(revision - 1, committed)?;
        let mut told: Vec<_> = changes.iter().collect();
        if flaw == Some(Flaw::WatchHalvesTransactions) && told.len() > 1 {
            told.pop();
        }
        // The name of the lease is set in the entry of another command: only the last word on a key counts.
        let told: BTreeMap<_, _> = told
            .iter()
            .map(|change| (change.key(), what(change)))
            .collect();
        let wanted = committed.get(&revision).into_iter().flatten();
        let wanted: BTreeMap<_, _> = wanted
            .filter(|(key, _)| self.keys.contains(key))
            .map(|(key, what)| (key, what.clone()))
            .collect();
        demand!(
            told == wanted,
            "at {revision} {told:?} is told, and {wanted:?} was committed"
        );
        self.seen = revision;
        Ok(())
    }

    /// Nothing of what concerns the watch lies between what was told and this revision.
    fn must_have_told(
        &self,
        revision: u64,
        committed: &BTreeMap<u64, BTreeMap<Bytes, What>>,
    ) -> Verdict {
        if revision <= self.seen {
            return Ok(());
        }
        let mut between = committed.range(self.seen + 1..=revision);
        let missing =
            between.find(|(_, changes)| changes.keys().any(|key| self.keys.contains(key)));
        if let Some((missing, changes)) = missing {
            return Err(format!(
                "{changes:?}, committed at {missing}, is not told, but what comes after it, up to {revision}"
            ));
        }
        Ok(())
    }
}

fn what(change: &Change) -> What {
    match change.kind() {
        ChangeKind::Set { value, .. } => What::Set(value.clone()),
        ChangeKind::Appended { value, count } => What::Appended(value.clone(), count.len()),
        ChangeKind::Trimmed { first, count } => What::Trimmed(*first, count.len()),
        _ => What::Deleted,
    }
}
