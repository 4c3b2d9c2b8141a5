//! Receiving a leader's snapshot, chunk by chunk (§5.2).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::common::Common;
use super::output::{Refusal, Snapshot};
use crate::message::{InstallSnapshot, SnapshotMetadata};

/// A snapshot of which some has arrived. Chunks of another transfer are never mixed in, even if it has the same end and
/// length.
#[derive(Debug)]
pub(super) struct Receiving {
    transfer: u64,
    metadata: SnapshotMetadata,
    /// What is here without a gap.
    data: Vec<u8>,
    /// Chunks that have overtaken others, by their offset. Links keep them in order, mostly: nothing relies on it.
    early: BTreeMap<u64, Bytes>,
    early_bytes: u64,
    /// The checksum of what is here. All of it at the end would hold up everything else for as long.
    digest: crc32fast::Hasher,
}

/// The most chunks that are kept because they came too early.
const EARLY_CHUNKS_MAX: usize = 1024;

/// What became of a chunk.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It belongs to an earlier transfer.
    Stale,
    /// It cannot be part of a snapshot.
    Refused(Refusal),
    /// So many bytes are here without a gap.
    Partial { next_offset: u64 },
    /// All of it is here, and is what it says.
    Complete(Snapshot),
}

impl Receiving {
    pub(super) fn transfer(&self) -> u64 {
        self.transfer
    }

    /// What is being received, if it comes under this name.
    pub(super) fn metadata_of(&self, transfer: u64) -> Option<&SnapshotMetadata> {
        (self.transfer == transfer).then_some(&self.metadata)
    }

    /// Takes a chunk of the snapshot that `metadata` describes.
    pub(super) fn take(
        slot: &mut Option<Self>,
        common: &Common,
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
        if slot
            .as_ref()
            .is_none_or(|receiving| receiving.transfer < transfer)
        {
            *slot = Some(Self {
                transfer,
                metadata: metadata.clone(),
                data: Vec::new(),
                early: BTreeMap::new(),
                early_bytes: 0,
                digest: crc32fast::Hasher::new(),
            });
        }
        let receiving = slot.as_mut().expect("made just above");
        if receiving.metadata != *metadata {
            return Arrival::Refused(Refusal::BadSnapshot);
        }
        receiving.extend(offset, &data);
        receiving.keep_early(offset, &data, common.config.limits().inflight_bytes_max);
        if (receiving.data.len() as u64) < metadata.length {
            return Arrival::Partial {
                next_offset: receiving.data.len() as u64,
            };
        }
        let Self {
            metadata,
            data,
            digest,
            ..
        } = slot.take().expect("made just above");
        if digest.finalize() != metadata.digest {
            return Arrival::Refused(Refusal::BadSnapshot);
        }
        Arrival::Complete(Snapshot {
            metadata,
            data: Bytes::from(data),
        })
    }

    /// Keeps a chunk that came too early, as far as a window of them goes, or takes up those that no longer are.
    fn keep_early(&mut self, offset: u64, chunk: &[u8], bytes_max: u64) {
        let weight = chunk.len() as u64;
        let is_early = offset > self.data.len() as u64;
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
            && *first.key() <= self.data.len() as u64
        {
            let (offset, chunk) = first.remove_entry();
            self.early_bytes -= chunk.len() as u64;
            self.extend(offset, &chunk);
        }
    }

    /// Takes what follows without a gap. What was sent once more may be cut otherwise than the first time.
    fn extend(&mut self, offset: u64, chunk: &[u8]) {
        let here = self.data.len() as u64;
        let known = here.checked_sub(offset).map(usize::try_from);
        let Some(Ok(known)) = known else { return };
        let Some(more) = chunk.get(known..) else {
            return;
        };
        // Memory grows with what arrives, not with what is claimed, and never past it.
        if self.data.capacity() - self.data.len() < more.len() {
            let left = self.metadata.length - here;
            let room = left.min(here.max(more.len() as u64));
            self.data
                .reserve_exact(usize::try_from(room).unwrap_or(more.len()));
        }
        self.data.extend_from_slice(more);
        self.digest.update(more);
    }
}
