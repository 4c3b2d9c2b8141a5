//! What can be asked of a store, as it is and as it was.

use core::iter::Peekable;
use core::ops::Bound;

use bytes::Bytes;
use liferaft_raft::consensus::planted::{Bug, is_planted};

use super::{Held, Record, Store, wrong_kind};
use crate::count::Count;
use crate::entry::{Content, Entry, LeaseId, Meta};
use crate::error::{Kind, Refused};
use crate::history::Past;
use crate::reply::{LeaseStatus, SequencePart};
use crate::revision::Revision;
use crate::scan::{PAGE_BYTES_MAX, Page, Scan, Wanted};
use crate::step::StepPage;
use crate::txn::{Compare, Condition};

impl Store {
    pub(crate) fn get(&self, key: Bytes) -> Result<Option<Bytes>, Refused> {
        match self.records.get(&key[..]).map(|record| &record.held) {
            Some(Held::Value(value)) => Ok(Some(value.clone())),
            Some(Held::Sequence(_)) => Err(wrong_kind(key, Kind::Sequence)),
            None => Ok(None),
        }
    }

    pub(crate) fn entry(&self, key: Bytes) -> Option<Entry> {
        let record = self.records.get(&key[..])?;
        Some(Entry {
            key,
            content: record.content(false),
            meta: record.meta,
        })
    }

    pub(crate) fn read_sequence(
        &self,
        key: Bytes,
        from: u64,
        limit: usize,
    ) -> Result<SequencePart, Refused> {
        match self.records.get(&key[..]).map(|record| &record.held) {
            Some(Held::Sequence(sequence)) => Ok(SequencePart {
                values: sequence.part(from, limit),
                from: from.max(sequence.first()),
                count: sequence.count(),
            }),
            Some(Held::Value(_)) => Err(wrong_kind(key, Kind::Value)),
            None => Ok(SequencePart {
                values: Vec::new(),
                from,
                count: Count::ZERO,
            }),
        }
    }

    pub(crate) fn lease_status(&self, lease: LeaseId) -> Option<LeaseStatus> {
        let granted = self.leases.get(lease)?;
        Some(LeaseStatus {
            ttl: granted.ttl,
            remaining: granted.ends_at.since(self.time),
            keys: granted.keys.len() as u64,
        })
    }

    /// Whether a condition holds.
    pub(crate) fn holds(&self, compare: &Compare) -> bool {
        let record = self.records.get(&compare.key[..]);
        let meta = record.map_or_else(Meta::default, |record| record.meta);
        match &compare.condition {
            Condition::Value(expected) => match record.map(|record| &record.held) {
                Some(Held::Value(value)) => value == expected,
                Some(Held::Sequence(_)) | None => false,
            },
            Condition::Exists => record.is_some(),
            Condition::Absent => record.is_none(),
            Condition::Modified(order, revision) => order.is(meta.modified.cmp(revision)),
            Condition::Created(order, revision) => order.is(meta.created.cmp(revision)),
            Condition::Version(order, version) => order.is(meta.version.cmp(version)),
            Condition::Count(expected) => match record.map(|record| &record.held) {
                Some(Held::Sequence(sequence)) => sequence.count() == *expected,
                Some(Held::Value(_)) => false,
                None => *expected == Count::ZERO,
            },
        }
    }

    /// Reads a page.
    pub(crate) fn scan(&self, scan: &Scan) -> Result<Page, Refused> {
        let Some(wanted) = scan.revision.filter(|wanted| *wanted < self.revision) else {
            // Nothing has changed since that revision, or none was asked for.
            self.check_not_ahead(scan.revision)?;
            let revision = scan.revision.unwrap_or(self.revision);
            return Ok(self.page(scan, revision, core::iter::empty()));
        };
        let is_wanted = |key: &[u8]| {
            scan.keys.contains(key) && scan.after.as_ref().is_none_or(|after| key > &after[..])
        };
        let since = if is_planted(Bug::PastIsOneLater) {
            wanted.next()
        } else {
            wanted
        };
        let past = self.history.before_changes_since(since, is_wanted)?;
        let past = past.iter().map(|(key, before)| (key, before.as_ref()));
        Ok(self.page(scan, wanted, past))
    }

    /// Reads a page in the middle of the entry that is being applied, whose own revision cannot be read before it is
    /// whole.
    pub(super) fn scan_within_entry(&self, scan: &Scan) -> Result<StepPage, Refused> {
        match scan.revision {
            Some(wanted) if wanted >= self.applied => Err(Refused::RevisionAhead {
                wanted,
                applied: self.applied.previous(),
            }),
            Some(_) | None => self.scan(scan).map(StepPage::from),
        }
    }

    fn check_not_ahead(&self, wanted: Option<Revision>) -> Result<(), Refused> {
        match wanted {
            Some(wanted) if wanted > self.applied => Err(Refused::RevisionAhead {
                wanted,
                applied: self.applied,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn page<'a>(
        &'a self,
        scan: &Scan,
        revision: Revision,
        past: impl Iterator<Item = (&'a Bytes, Option<&'a Past>)>,
    ) -> Page {
        let mut page = Page {
            entries: Vec::new(),
            count: 0,
            revision,
            next: None,
        };
        let Some((from, to)) = scan.keys.bounds() else {
            return page;
        };
        let from = match &scan.after {
            Some(after) if is_beyond(after, &from) => {
                if is_at_or_beyond(after, &to) {
                    return page;
                }
                Bound::Excluded(after.clone())
            }
            Some(_) | None => from,
        };
        let keys_only = scan.wanted == Wanted::Keys;
        let present = self.records.range((from, to));
        let mut bytes = 0;
        let mut last = None;
        for (key, seen) in merge(present.peekable(), past.peekable()) {
            let full = page.count >= u64::from(scan.entries_max());
            let entry = (scan.wanted != Wanted::Count).then(|| Entry {
                key: key.clone(),
                content: seen.content(keys_only),
                meta: seen.meta(),
            });
            bytes += entry.as_ref().map_or(0, Entry::reply_bytes);
            if full || (bytes > PAGE_BYTES_MAX && page.count > 0) {
                page.next = last.map(|last: &Bytes| scan.clone().at(revision).after(last.clone()));
                break;
            }
            page.entries.extend(entry);
            page.count += 1;
            last = Some(key);
        }
        page
    }
}

/// Whether a key lies at or behind the beginning of a range.
fn is_beyond(key: &Bytes, from: &Bound<Bytes>) -> bool {
    match from {
        Bound::Included(from) | Bound::Excluded(from) => key >= from,
        Bound::Unbounded => true,
    }
}

/// Whether nothing of a range lies behind a key.
fn is_at_or_beyond(key: &Bytes, to: &Bound<Bytes>) -> bool {
    match to {
        Bound::Included(to) | Bound::Excluded(to) => key >= to,
        Bound::Unbounded => false,
    }
}

/// A key as it is, or as it was.
enum Seen<'a> {
    Present(&'a Record),
    Past(&'a Past),
}

impl Seen<'_> {
    fn content(&self, keys_only: bool) -> Content {
        match self {
            Self::Present(record) => record.content(keys_only),
            Self::Past(past) => past.content(keys_only),
        }
    }

    const fn meta(&self) -> Meta {
        match self {
            Self::Present(record) => record.meta,
            Self::Past(past) => past.meta,
        }
    }
}

impl Record {
    fn content(&self, keys_only: bool) -> Content {
        match &self.held {
            Held::Value(value) if keys_only => Content::ValueOf {
                bytes: value.len() as u64,
            },
            Held::Value(value) => Content::Value(value.clone()),
            Held::Sequence(sequence) => Content::Sequence(sequence.count()),
        }
    }
}

/// Keys as they are, where the past does not say otherwise: both in the order of the keys.
fn merge<'a>(
    mut present: Peekable<impl Iterator<Item = (&'a Bytes, &'a Record)>>,
    mut past: Peekable<impl Iterator<Item = (&'a Bytes, Option<&'a Past>)>>,
) -> impl Iterator<Item = (&'a Bytes, Seen<'a>)> {
    core::iter::from_fn(move || {
        loop {
            let is_past = match (present.peek(), past.peek()) {
                (Some((key, _)), Some((past, _))) => past <= key,
                (None, Some(_)) => true,
                (Some(_) | None, None) => false,
            };
            if !is_past {
                return present
                    .next()
                    .map(|(key, record)| (key, Seen::Present(record)));
            }
            let (key, before) = past.next()?;
            present.next_if(|(now, _)| *now == key);
            if let Some(before) = before {
                return Some((key, Seen::Past(before)));
            }
        }
    })
}
