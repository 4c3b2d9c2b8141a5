//! Snapshots: a file each, with the state alone. What it is, its length and its digest stand in the log, where the
//! write that puts it in force names it.

use super::files::Files;
use super::names::snapshot_name;
use crate::storage::Snapshot;
use crate::storage::records::record::{self, Flaw, HEAD_BYTES, Kind, MAGIC, broken};

/// Where the state begins in its file.
pub(super) const STATE_AT: u64 = (MAGIC.len() + HEAD_BYTES) as u64;

/// Of a state so many bytes are held in memory at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Encodes what comes before the state in the file of this number.
pub(super) fn encode_head(file: u64) -> Vec<u8> {
    let mut head = Vec::new();
    record::put_first(&mut head, Kind::SnapshotFile, file, |_| {});
    head
}

/// Reads the whole file of a snapshot and judges whether it is what it should be. The outer error is the system's.
pub(super) fn judge<F: Files>(
    files: &mut F,
    snapshot: &Snapshot,
) -> std::io::Result<Result<(), Flaw>> {
    let (file, wanted) = (snapshot.name.0, snapshot.metadata.length);
    let name = snapshot_name(file);
    let head = files.read_at(&name, 0, encode_head(file).len())?;
    let mut rest = &head[..];
    match record::take_first(&mut rest, Kind::SnapshotFile) {
        Ok(record) if record.index == file && record.body.is_empty() => {}
        Ok(record) => {
            let other = format!("the snapshot of file {} is there", record.index);
            return Ok(Err(broken(other)));
        }
        Err(flaw) => return Ok(Err(flaw)),
    }
    let found = files.length(&name)?.saturating_sub(STATE_AT);
    if found != wanted {
        return Ok(Err(broken(format!(
            "its state has {found} bytes of {wanted}"
        ))));
    }
    let mut digest = crc32fast::Hasher::new();
    let mut at = STATE_AT;
    loop {
        let piece = files.read_at(&name, at, PIECE_BYTES)?;
        if piece.is_empty() {
            break;
        }
        digest.update(&piece);
        at += piece.len() as u64;
    }
    let is_same = digest.finalize() == snapshot.metadata.digest;
    Ok(if is_same {
        Ok(())
    } else {
        Err(broken("the digest of its state does not match"))
    })
}
