//! Snapshots: a file each, with what the snapshot is and its state, both checked.

use bytes::Bytes;

use super::record::{self, Flaw, Kind, broken};
use crate::consensus::Snapshot;
use crate::message::SnapshotMetadata;
use crate::wire::{self, DecodeError};

/// How the name of a snapshot's file begins; its number follows.
pub(super) const PREFIX: &str = "snapshot-";

/// Encodes what comes before the state in the file of this number.
pub(super) fn encode_head(file: u64, metadata: &SnapshotMetadata) -> Vec<u8> {
    let mut head = Vec::new();
    record::put_first(&mut head, Kind::SnapshotFile, file, |body| {
        body.extend_from_slice(&wire::encode_snapshot_metadata(metadata));
    });
    head
}

/// Decodes the file of this number.
pub(super) fn decode(file: u64, bytes: Vec<u8>) -> Result<Snapshot, Flaw> {
    let bytes = Bytes::from(bytes);
    let mut rest = &bytes[..];
    let record = record::take_first(&mut rest, Kind::SnapshotFile)?;
    if record.index != file {
        return Err(broken(format!(
            "the snapshot of file {} is there",
            record.index
        )));
    }
    let metadata = wire::decode_snapshot_metadata(Bytes::copy_from_slice(record.body));
    let metadata = metadata.map_err(|error| match error {
        DecodeError::Unsupported { number, .. } => Flaw::Unsupported(number.into()),
        error => broken(error.to_string()),
    })?;
    if rest.len() as u64 != metadata.length {
        let (found, wanted) = (rest.len(), metadata.length);
        return Err(broken(format!("its state has {found} bytes of {wanted}")));
    }
    if crc32fast::hash(rest) != metadata.digest {
        return Err(broken("the digest of its state does not match"));
    }
    Ok(Snapshot {
        metadata,
        data: bytes.slice_ref(rest),
    })
}
