//! Offers both kinds of clusters as one: three servers, and clients that put and get.

use std::path::Path;

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::etcd::{self, Etcd};
use crate::liferaft::{self, Liferaft};
use crate::server::{Folder, Server};

/// Three servers that run.
pub(crate) struct Cluster {
    name: String,
    kind: Kind,
}

enum Kind {
    Etcd(Etcd),
    Liferaft(Liferaft),
}

/// A client with a TCP connection of its own. Its clones share that.
#[derive(Clone)]
pub(crate) enum Client {
    Etcd(etcd::Client),
    Liferaft(liferaft::Client),
}

impl Cluster {
    /// Starts three servers of etcd.
    pub(crate) async fn etcd(folder: &Folder) -> Result<Self> {
        let started = Etcd::start(&folder.of("etcd")?).await;
        Ok(Self {
            name: "etcd".to_owned(),
            kind: Kind::Etcd(started.context("starting etcd")?),
        })
    }

    /// Starts three members by this program, of which there may be several: `number` tells them apart.
    pub(crate) fn liferaft(program: &Path, folder: &Folder, number: usize) -> Result<Self> {
        let name = match number {
            0 => "liferaft".to_owned(),
            number => format!("liferaft {}", number + 1),
        };
        let started = Liferaft::start(program, &folder.of(&format!("liferaft-{number}"))?);
        Ok(Self {
            name,
            kind: Kind::Liferaft(started.with_context(|| program.display().to_string())?),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn servers(&self) -> &[Server] {
        match &self.kind {
            Kind::Etcd(etcd) => etcd.servers(),
            Kind::Liferaft(liferaft) => liferaft.servers(),
        }
    }

    /// Returns so many clients of the leader.
    pub(crate) async fn clients(&self, count: usize) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(match &self.kind {
                Kind::Etcd(etcd) => Client::Etcd(etcd.client().await?),
                Kind::Liferaft(liferaft) => Client::Liferaft(liferaft.client()?),
            });
        }
        Ok(clients)
    }
}

impl Client {
    pub(crate) async fn put(&self, key: Bytes, value: Bytes) -> Result<()> {
        match self {
            Self::Etcd(client) => client.put(key, value).await,
            Self::Liferaft(client) => Ok(client.set(key, value).await.map(drop)?),
        }
    }

    /// Returns true if the key has a value. Linearizable.
    pub(crate) async fn get(&self, key: Bytes) -> Result<bool> {
        match self {
            Self::Etcd(client) => client.get(key).await,
            Self::Liferaft(client) => Ok(client.get(key).await?.value.is_some()),
        }
    }
}
