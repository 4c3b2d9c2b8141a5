//! A member in this process: its disk, its end of the medium, and the handle that it is used by.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use liferaft::consensus::Event;
use liferaft::driver::{Handle, Member, MemberBuilder, MemberStatus};
use liferaft::ids::{ClusterId, ServerId};
use liferaft::kv::{Command, Done, KvError};
use liferaft::storage::{DiskStorage, MemoryStorage, Storage, StorageError};
use liferaft::time::Instant;
use liferaft::{Identity, Invitation};
use tokio::sync::watch;
use tokio::time::sleep;

use super::medium::{Carried, End, EndTransport, Medium, Meter};
use super::recorder::{CHAT, Record, Recorder, lines_of, whole_chat};
use super::settings::Part;
use super::severable::Knife;
use super::verify::Outcome;
use super::words::{Contact, Standing};

/// How often it is looked whether a killed member has let go of its folder.
const POLL: Duration = Duration::from_millis(1);

/// What a member keeps its state in.
#[derive(Clone)]
pub(super) enum Disk {
    Folder(PathBuf),
    Memory(MemoryStorage),
}

/// A disk that is open.
#[expect(clippy::large_enum_variant, reason = "there is one for each member")]
enum OpenDisk {
    Folder(DiskStorage),
    Memory(MemoryStorage),
}

/// A member that can be reached and does not run yet.
pub(super) struct Opened {
    disk: OpenDisk,
    end: End,
    contact: Contact,
}

/// Whom a newcomer asks.
pub(super) enum Acquaintance {
    /// A server that is found by its id.
    Server(ClusterId, ServerId),
    /// Whoever is there where this says.
    Invited(Invitation),
}

/// A member that runs.
pub(super) struct Here {
    handle: Handle<Recorder>,
    pub(super) status: watch::Receiver<MemberStatus>,
    pub(super) record: Record,
    pub(super) knife: Knife,
    pub(super) meter: Option<Meter>,
}

impl Disk {
    /// One of these folder's, or in memory.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        folder.map_or_else(|| Self::Memory(MemoryStorage::default()), Self::Folder)
    }

    /// Opens it, once whoever had it open before has let go of it.
    async fn open(&self) -> anyhow::Result<OpenDisk> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Memory(storage) => return Ok(OpenDisk::Memory(storage.clone())),
        };
        loop {
            match DiskStorage::open(folder).await {
                Err(StorageError::InUse { .. }) => sleep(POLL).await,
                opened => return Ok(OpenDisk::Folder(opened?)),
            }
        }
    }
}

impl OpenDisk {
    fn identity(&self) -> &Identity {
        match self {
            Self::Folder(storage) => storage.identity(),
            Self::Memory(storage) => storage.identity(),
        }
    }
}

impl Opened {
    pub(super) async fn new(disk: &Disk, medium: &Medium) -> anyhow::Result<Self> {
        let disk = disk.open().await?;
        let identity = disk.identity().clone();
        let key = identity.public_key();
        let end = medium.end(identity).await?;
        let address = end.address.clone();
        let contact = Contact { key, address };
        Ok(Self { disk, end, contact })
    }

    pub(super) const fn contact(&self) -> &Contact {
        &self.contact
    }

    /// Founds a cluster.
    pub(super) async fn found(&mut self) -> anyhow::Result<ClusterId> {
        Ok(match &mut self.disk {
            OpenDisk::Folder(storage) => Member::found(storage).await?,
            OpenDisk::Memory(storage) => Member::found(storage).await?,
        })
    }

    /// Runs it: one that has founded its cluster, or joins.
    pub(super) async fn start(
        self,
        part: &Part,
        joins: Option<Acquaintance>,
        observer: impl FnMut(Instant, &Event) + Send + 'static,
    ) -> anyhow::Result<Here> {
        let Part {
            settings, member, ..
        } = part;
        let (mut recorder, record) = Recorder::new();
        if part.forges {
            recorder = recorder.forging();
        }
        let End {
            transport,
            address,
            knife,
            meter,
        } = self.end;
        let mut builder = match self.disk {
            OpenDisk::Folder(storage) => built(recorder, transport, storage),
            OpenDisk::Memory(storage) => built(recorder, transport, storage),
        };
        builder = builder
            .label(format!("member {}", member + 1))
            .config(settings.config()?)
            .membership(settings.policy())
            .request_timeout(settings.patience)
            .seed(part.seed)
            .observe(observer);
        if let Some(address) = address {
            // Only this machine reaches the address.
            builder = builder.open().addresses([address]);
        }
        builder = match joins {
            Some(Acquaintance::Server(cluster, server)) => builder.join(cluster, server),
            Some(Acquaintance::Invited(invitation)) => builder.invited(invitation),
            None => builder,
        };
        let handle = builder
            .start()
            .await
            .with_context(|| format!("member {} does not start", member + 1))?;
        Ok(Here {
            status: handle.status(),
            handle,
            record,
            knife,
            meter,
        })
    }
}

fn built(
    recorder: Recorder,
    transport: EndTransport,
    storage: impl Storage,
) -> MemberBuilder<Recorder> {
    match transport {
        EndTransport::Unproven(transport) => Member::builder(recorder, transport, storage),
        EndTransport::Proven(endpoint) => Member::builder(recorder, endpoint, storage),
    }
}

impl Here {
    pub(super) fn handle(&self) -> Handle<Recorder> {
        self.handle.clone()
    }

    /// Returns what UDP has carried for it; `None` where that is not counted.
    pub(super) fn carried(&self) -> Option<Carried> {
        self.meter.as_ref().map(Meter::read)
    }

    pub(super) fn cluster(&self) -> ClusterId {
        self.handle.cluster()
    }
}

/// Waits until a member stands so that there is what is wanted, and returns it; `None` if the member has stopped.
pub(super) async fn until<T>(
    status: &mut watch::Receiver<MemberStatus>,
    wanted: impl Fn(&Standing) -> Option<T>,
) -> Option<T> {
    let found = |status: &MemberStatus| wanted(&Standing::of(status));
    let status = status.wait_for(|now| found(now).is_some()).await.ok()?;
    found(&status)
}

/// Appends a line, once: what is lost on the way is sent again by the member, under one name.
pub(super) async fn append(handle: &Handle<Recorder>, line: Bytes) -> Outcome {
    let command = Command::Append {
        key: CHAT,
        value: line,
    };
    let reply = handle.propose(command).await;
    match reply.map(|reply| reply.outcome) {
        Ok(Ok(Done::Append(place))) => Outcome::Done(place),
        Ok(Ok(_)) => Outcome::Unknown,
        Ok(Err(refused)) => Outcome::NotDone(KvError::from(refused).to_string()),
        Err(error) if error.is_definite() => Outcome::NotDone(error.to_string()),
        Err(_) => Outcome::Unknown,
    }
}

/// Reads the whole chat, linearizably.
pub(super) async fn read(handle: &Handle<Recorder>) -> anyhow::Result<Vec<Bytes>> {
    let answer = handle.read(whole_chat()).await?;
    lines_of(answer).context("the chat is not a sequence")
}
