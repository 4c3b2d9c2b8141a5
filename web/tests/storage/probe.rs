//! A storage that a script opens, writes to and closes.

use liferaft::bytes::Bytes;
use liferaft::configuration::Configuration;
use liferaft::entry::{Entry, Payload};
use liferaft::ids::{Index, LogPosition, ServerId, Term};
use liferaft::message::SnapshotMetadata;
use liferaft::storage::{BrowserOptions, BrowserStorage, Snapshot, Storage, StorageError, Write};
use liferaft::time::ClusterTime;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

/// A storage with a log of entries of term 1.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Probe {
    storage: BrowserStorage,
    next: u64,
}

/// So many bytes that no browser makes shorter.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

/// Scripts are told the name of an error, and what it says.
fn told(error: StorageError) -> JsValue {
    let debug = format!("{error:?}");
    let name = debug.split([' ', '(']).next().unwrap_or_default();
    format!("{name}: {error}").into()
}

#[wasm_bindgen]
impl Probe {
    pub async fn open(room: String) -> Result<Probe, JsValue> {
        let opened = BrowserStorage::open(&room, BrowserOptions::default()).await;
        let mut storage = opened.map_err(told)?;
        let recovered = storage.recover(u64::MAX).await.map_err(told)?;
        let last = recovered.entries.last().map_or(0, |entry| entry.index.0);
        Ok(Self {
            storage,
            next: last + 1,
        })
    }

    /// Writes an entry of so many bytes.
    pub async fn write(&mut self, bytes: usize) -> Result<(), JsValue> {
        let entry = Entry {
            index: Index(self.next),
            term: Term(1),
            stamp: ClusterTime::default(),
            payload: Payload::Command(noise(bytes).into()),
        };
        let write = Write {
            entries: vec![entry],
            ..Write::default()
        };
        self.storage.write(vec![write]).await.map_err(told)?;
        self.next += 1;
        Ok(())
    }

    /// Stores the state of a snapshot of so many bytes, and puts it in force.
    pub async fn snapshot(&mut self, bytes: usize) -> Result<(), JsValue> {
        let lane = self.storage.snapshots();
        let state = Bytes::from(noise(bytes));
        let name = lane.begin().await.map_err(told)?;
        for at in (0..bytes).step_by(1 << 20) {
            let piece = state.slice(at..bytes.min(at + (1 << 20)));
            lane.append(name, piece).await.map_err(told)?;
        }
        let metadata = SnapshotMetadata {
            last: LogPosition::new(Term(1), Index(self.next - 1)),
            stamp: ClusterTime::default(),
            configuration: Configuration::of_voters([ServerId(1)]).into(),
            configuration_index: Index(1),
            length: state.len() as u64,
            digest: crc32fast::hash(&state),
        };
        let finished = lane.finish(name, metadata.length, metadata.digest).await;
        assert!(finished.map_err(told)?, "it is what it says");
        let naming = Write {
            snapshot: Some(Snapshot { name, metadata }),
            compact: Some(Index(self.next - 1)),
            ..Write::default()
        };
        self.storage.write(vec![naming]).await.map_err(told)
    }

    pub async fn close(&mut self) -> Result<(), JsValue> {
        self.storage.close().await.map_err(told)
    }

    pub async fn is_ours(&self) -> bool {
        self.storage.handle().is_ours().await
    }

    #[wasm_bindgen(getter)]
    pub fn id(&self) -> String {
        format!("{:032x}", self.storage.identity().id().0)
    }

    #[wasm_bindgen(getter)]
    pub fn taken(&self) -> String {
        format!("{:?}", self.storage.taken())
    }

    /// Which servers were passed over, and why.
    #[wasm_bindgen(getter)]
    pub fn damaged(&self) -> String {
        format!("{:?}", self.storage.damaged())
    }

    /// The index of the last entry.
    #[wasm_bindgen(getter)]
    pub fn last(&self) -> f64 {
        (self.next - 1) as f64
    }

    #[wasm_bindgen(getter, js_name = isLow)]
    pub fn is_low(&self) -> bool {
        self.storage.is_low()
    }
}
