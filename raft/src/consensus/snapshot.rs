//! Receiving a leader's snapshot, chunk by chunk (§5.2).

use alloc::collections::BTreeMap;

use bytes::Bytes;

use super::common::Common;
use super::names::Reception;
use super::output::{Refusal, SnapshotStep};
use crate::message::{InstallSnapshot, SnapshotMetadata};

/// A snapshot of which some has arrived. Chunks of another transfer are never mixed in, even if it has the same end and
/// length.
#[derive(Debug)]
pub(super) struct Receiving {
    transfer: u64,
    reception: Reception,
    metadata: SnapshotMetadata,
    /// So many bytes have arrived without a gap and were handed to storage.
    taken: u64,
    /// So many of them it has.
    appended: u64,
    /// Chunks that have overtaken others, by their offset. Links keep them in order, mostly: nothing relies on it.
    early: BTreeMap<u64, Bytes>,
    early_bytes: u64,
}

/// The most chunks that are kept because they came too early.
const EARLY_CHUNKS_MAX: usize = 1024;

/// How far a transfer has come, for its leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) transfer: u64,
    /// So many bytes storage has.
    pub(super) stored: u64,
    /// So many bytes have arrived without a gap.
    pub(super) received: u64,
    /// Whether it is known what is transferred.
    pub(super) known: bool,
}

impl Reached {
    /// Nothing of a transfer is here, and the leader has to say again what it is.
    pub(super) const fn nothing(transfer: u64) -> Self {
        Self {
            transfer,
            stored: 0,
            received: 0,
            known: false,
        }
    }

    /// Nothing more of a transfer of this length is needed.
    pub(super) const fn all(transfer: u64, length: u64) -> Self {
        Self {
            transfer,
            stored: length,
            received: length,
            known: true,
        }
    }
}

/// What became of a chunk.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It belongs to an earlier transfer.
    Stale,
    /// It cannot be part of a snapshot.
    Refused(Refusal),
    /// More of it was given to storage, which says when it has that.
    Taken,
    /// It brought nothing that could be taken.
    Known(Reached),
}

impl Receiving {
    pub(super) fn transfer(&self) -> u64 {
        self.transfer
    }

    /// What is being received, if it comes under this name.
    pub(super) fn metadata_of(&self, transfer: u64) -> Option<&SnapshotMetadata> {
        (self.transfer == transfer).then_some(&self.metadata)
    }

    /// Returns true if storage knows it by this number.
    pub(super) fn is_received_as(&self, reception: Reception) -> bool {
        self.reception == reception
    }

    /// Returns true if this is what storage has all of.
    pub(super) fn is_finished(&self, reception: Reception) -> bool {
        self.is_received_as(reception) && self.is_complete()
    }

    /// Returns what was received, and the name of its transfer.
    pub(super) fn into_parts(self) -> (u64, SnapshotMetadata) {
        (self.transfer, self.metadata)
    }

    /// Takes note that storage has so many bytes of it. Returns how far it is, if that is more than before.
    pub(super) fn on_appended(&mut self, reception: Reception, length: u64) -> Option<Reached> {
        let is_more = self.reception == reception && length > self.appended;
        if is_more {
            self.appended = length.min(self.taken);
        }
        is_more.then(|| self.reached())
    }

    fn reached(&self) -> Reached {
        Reached {
            transfer: self.transfer,
            stored: self.appended,
            received: self.taken,
            known: true,
        }
    }

    /// Takes a chunk of the snapshot that `metadata` describes.
    pub(super) fn take(
        slot: &mut Option<Self>,
        common: &mut Common,
        metadata: &SnapshotMetadata,
        chunk: InstallSnapshot,
    ) -> Arrival {
        let InstallSnapshot {
            transfer,
            offset,
            data,
            ..
        } = chunk;
        if metadata.length > common.config.limits().snapshot_bytes_max {
            return Arrival::Refused(Refusal::SnapshotTooLarge);
        }
        if metadata.configuration.voters().is_empty() {
            return Arrival::Refused(Refusal::NoVoters);
        }
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| end > metadata.length)
            || metadata.last.term > common.current_term
            || metadata.configuration_index > metadata.last.index
        {
            return Arrival::Refused(Refusal::BadSnapshot);
        }
        if slot
            .as_ref()
            .is_some_and(|receiving| receiving.transfer > transfer)
        {
            return Arrival::Stale;
        }
        let is_new = slot
            .as_ref()
            .is_none_or(|receiving| receiving.transfer < transfer);
        if is_new {
            *slot = Some(Self {
                transfer,
                reception: common.next_reception(),
                metadata: metadata.clone(),
                taken: 0,
                appended: 0,
                early: BTreeMap::new(),
                early_bytes: 0,
            });
        }
        let receiving = slot.as_mut().expect("made just above");
        if receiving.metadata != *metadata {
            return Arrival::Refused(Refusal::BadSnapshot);
        }
        let (was_complete, before) = (receiving.is_complete() && !is_new, receiving.taken);
        // What storage is behind with is bounded: beyond it, it is as if the chunk were lost.
        let waiting = receiving.taken - receiving.appended;
        let bytes_max = common.config.limits().inflight_bytes_max;
        if waiting == 0 || waiting + data.len() as u64 <= bytes_max {
            receiving.extend(common, offset, &data);
        }
        receiving.keep_early(common, offset, &data);
        if receiving.is_complete() && !was_complete {
            common.out.snapshots.push(SnapshotStep::Finish {
                reception: receiving.reception,
                length: metadata.length,
                digest: metadata.digest,
            });
        }
        if receiving.taken > before {
            Arrival::Taken
        } else {
            Arrival::Known(receiving.reached())
        }
    }

    fn is_complete(&self) -> bool {
        self.taken == self.metadata.length
    }

    /// Keeps a chunk that came too early, as far as a window of them goes, or takes up those that no longer are.
    fn keep_early(&mut self, common: &mut Common, offset: u64, chunk: &Bytes) {
        let bytes_max = common.config.limits().inflight_bytes_max;
        let weight = chunk.len() as u64;
        let is_early = offset > self.taken;
        let has_room =
            self.early.len() < EARLY_CHUNKS_MAX && self.early_bytes + weight <= bytes_max;
        if is_early && has_room && !chunk.is_empty() {
            self.early_bytes += weight;
            // A copy, since a slice would keep all of its frame alive.
            let chunk = Bytes::copy_from_slice(chunk);
            if let Some(same) = self.early.insert(offset, chunk) {
                self.early_bytes -= same.len() as u64;
            }
        }
        while let Some(first) = self.early.first_entry()
            && *first.key() <= self.taken
        {
            let (offset, chunk) = first.remove_entry();
            self.early_bytes -= chunk.len() as u64;
            self.extend(common, offset, &chunk);
        }
    }

    /// Takes what follows without a gap. What was sent once more may be cut otherwise than the first time.
    fn extend(&mut self, common: &mut Common, offset: u64, chunk: &Bytes) {
        let known = self.taken.checked_sub(offset).map(usize::try_from);
        let Some(Ok(known)) = known else { return };
        let more = chunk.len().saturating_sub(known) as u64;
        if more == 0 {
            return;
        }
        self.taken += more;
        common.out.snapshots.push(SnapshotStep::Append {
            reception: self.reception,
            piece: chunk.slice(known..),
        });
    }
}
