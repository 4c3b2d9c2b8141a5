//! Receiving a leader's snapshot, chunk by chunk (§5.2).

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
    data: Vec<u8>,
}

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
    pub(super) fn take(
        slot: &mut Option<Self>,
        common: &Common,
        chunk: InstallSnapshot,
    ) -> Arrival {
        let InstallSnapshot {
            transfer,
            metadata,
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
            });
        }
        let receiving = slot.as_mut().expect("made just above");
        if receiving.metadata != metadata {
            return Arrival::Refused(Refusal::BadSnapshot);
        }
        // Memory grows with what arrives, not with what is claimed.
        if offset == receiving.data.len() as u64 {
            receiving.data.extend_from_slice(&data);
        }
        if (receiving.data.len() as u64) < metadata.length {
            return Arrival::Partial {
                next_offset: receiving.data.len() as u64,
            };
        }
        let Self { metadata, data, .. } = slot.take().expect("made just above");
        if crc32fast::hash(&data) != metadata.digest {
            return Arrival::Refused(Refusal::BadSnapshot);
        }
        Arrival::Complete(Snapshot {
            metadata,
            data: Bytes::from(data),
        })
    }
}
