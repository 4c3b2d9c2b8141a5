//! Scans of the past tell what was there at their revision, page by page, whatever has changed since (plan 2.1 no. 13).
//!
//! What was there is worked out from the changes that the first machine made, each found by looking at the state: the
//! history of the key-value state is not asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use liferaft_kv::{Entry, Found, Keys, Page, Query, Refused, Revision, Scan};

use super::{Verdict, demand};
use crate::counts::Counts;
use crate::digest::Digest;
use crate::machine::Machine;
use crate::noted::What;
use crate::sometimes::Sometimes;

/// What keys have held, and who reads it on each member.
#[derive(Debug)]
pub struct Past {
    /// By key, the revisions of its changes and what it held from there on; `None` for nothing.
    keys: BTreeMap<Bytes, Vec<(u64, Option<Held>)>>,
    readers: Vec<Reader>,
}

/// What a key held: a value, or a sequence of this length.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Value(Bytes),
    Sequence(u64),
}

/// Somebody who reads one page after the other, while the state goes on changing.
#[derive(Clone, Debug, Default)]
struct Reader {
    /// What is read next.
    next: Option<Wanted>,
    /// How many scans were begun.
    begun: u64,
}

/// A page of a scan, spelled out.
#[derive(Clone, Debug)]
struct Wanted {
    scan: Scan,
    keys: Keys,
    after: Option<Bytes>,
    limit: Option<u32>,
    revision: u64,
    shape: Shape,
}

/// What a scan asks of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Entries,
    Keys,
    Count,
}

/// A reader reads a page when its member has applied an entry whose index is a multiple of this.
const READS_EACH: u64 = 7;

/// How far back scans go: a little further than the history of the simulated state.
const BACK_MAX: u64 = 160;

impl Past {
    /// Readers on all members of a cluster.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self {
            keys: BTreeMap::new(),
            readers: vec![Reader::default(); members],
        }
    }

    /// The first machine has applied an entry.
    pub fn committed(&mut self, machine: &Machine) {
        for (key, what) in &machine.noted.changes {
            let held = match what {
                What::Set(value) => Some(Held::Value(value.clone())),
                What::Appended(_, len) | What::Trimmed(_, len) => Some(Held::Sequence(*len)),
                What::Deleted => None,
            };
            let changes = self.keys.entry(key.clone()).or_default();
            changes.push((machine.applied.0, held));
        }
    }

    /// A member has applied something: its reader reads on, if it is time.
    ///
    /// # Errors
    /// When it is told anything but what was there.
    pub fn look(&mut self, at: usize, machine: &Machine, counts: &mut Counts) -> Verdict {
        if !machine.applied.0.is_multiple_of(READS_EACH) {
            return Ok(());
        }
        let reader = &mut self.readers[at];
        // A member that started again may not have come so far yet.
        let next = reader.next.take();
        let next = next.filter(|wanted| wanted.revision <= machine.applied.0);
        let wanted = next.unwrap_or_else(|| {
            reader.begun += 1;
            Wanted::draw(Digest(reader.begun).with(at as u64).0, machine.applied.0)
        });
        let page = match machine.ask(Query::Scan(wanted.scan.clone())).outcome {
            Ok(Found::Page(page)) => page,
            Err(Refused::Compacted { through }) => {
                demand!(
                    through.0 > wanted.revision,
                    "{wanted:?} is refused for what is compacted up to {through}"
                );
                return Ok(());
            }
            other => return Err(format!("{wanted:?} is answered {other:?}")),
        };
        if wanted.revision < machine.applied.0 {
            counts.saw(Sometimes::PastRead);
        }
        let next = wanted.check(&self.keys, &page)?;
        self.readers[at].next = next;
        Ok(())
    }
}

impl Wanted {
    /// The first page of a scan that these dice name, of a state that is not older than the history.
    fn draw(dice: u64, applied: u64) -> Self {
        let back = (dice >> 8) % BACK_MAX;
        let revision = applied.saturating_sub(back);
        let keys = match dice % 4 {
            0 => Keys::all(),
            1 => Keys::range(vec![0], vec![4]),
            2 => Keys::prefix(vec![u8::try_from((dice >> 16) % 4).unwrap_or(0)]),
            _ => Keys::since(vec![2]),
        };
        let shape = match (dice >> 20) % 4 {
            0 => Shape::Keys,
            1 => Shape::Count,
            _ => Shape::Entries,
        };
        let limit = match (dice >> 24) % 3 {
            0 => None,
            small => Some(u32::try_from(small * 2).unwrap_or(1)),
        };
        let mut scan = Scan::of(keys.clone()).at(Revision(revision));
        if let Some(limit) = limit {
            scan = scan.limit(limit);
        }
        scan = match shape {
            Shape::Entries => scan,
            Shape::Keys => scan.keys_only(),
            Shape::Count => scan.count_only(),
        };
        Self {
            scan,
            keys,
            after: None,
            limit,
            revision,
            shape,
        }
    }

    /// Compares a page with what was there. Returns the next, if there is one.
    fn check(
        self,
        keys: &BTreeMap<Bytes, Vec<(u64, Option<Held>)>>,
        page: &Page,
    ) -> Result<Option<Self>, String> {
        let there = keys.iter().filter(|(key, _)| {
            let is_after = self.after.as_ref().is_none_or(|after| *key > after);
            is_after && self.keys.contains(key)
        });
        let mut there = there.filter_map(|(key, changes)| {
            let later = changes.partition_point(|(revision, _)| *revision <= self.revision);
            let (modified, held) = changes.get(later.checked_sub(1)?)?;
            Some((key, *modified, held.as_ref()?))
        });
        let most = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let wanted: Vec<_> = there.by_ref().take(most).collect();
        let more = there.next().is_some();
        let revision = self.revision;
        demand!(
            page.revision.0 == revision && page.count == wanted.len() as u64,
            "a page at {revision} counts {} keys at {}, not {wanted:?}",
            page.count,
            page.revision
        );
        let is_told = |(entry, wanted): (&Entry, &(&Bytes, u64, &Held))| {
            let (key, modified, held) = *wanted;
            let content = match held {
                Held::Value(value) if self.shape == Shape::Entries => entry.value() == Some(value),
                // Only how long it is is told.
                Held::Value(_) => entry.value().is_none() && entry.count().is_none(),
                Held::Sequence(len) => entry.count().is_some_and(|count| count.len() == *len),
            };
            entry.key == key && entry.meta.modified.0 == modified && content
        };
        let are_told = match self.shape {
            Shape::Count => page.entries.is_empty(),
            Shape::Entries | Shape::Keys => {
                page.entries.len() == wanted.len() && page.entries.iter().zip(&wanted).all(is_told)
            }
        };
        demand!(
            are_told,
            "{:?} are told of {revision}, {wanted:?} were there",
            page.entries
        );
        demand!(
            page.next.is_some() == more,
            "a page at {revision} that ends with {:?} has {:?} behind it",
            wanted.last(),
            page.next
        );
        let last = wanted.last().map(|(key, ..)| (*key).clone());
        Ok(page.next.clone().map(|scan| Self {
            scan,
            after: last,
            ..self
        }))
    }
}
