//! Runs etcd, and speaks to it as its own clients do: gRPC over one HTTP/2 connection.
//!
//! The messages have the fields of etcd's `rpc.proto` that are used here, and no others.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use prost::Message;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::server::{MEMBERS, PATIENCE, Server, free_ports};

/// How soon a server is asked again that does not answer yet.
const ASK_AGAIN: Duration = Duration::from_millis(50);

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// Three servers of etcd.
pub(crate) struct Etcd {
    servers: Vec<Server>,
    addresses: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Client(Grpc<Channel>);

/// Returns the version of the `etcd` that is installed, if one is.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("etcd").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let first = text.lines().next()?;
    Some(first.trim_start_matches("etcd Version: ").to_owned())
}

impl Etcd {
    /// Starts them with etcd's own settings, without TLS.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let ports = free_ports(2 * MEMBERS)?;
        let urls: Vec<_> = ports
            .iter()
            .map(|port| format!("http://127.0.0.1:{port}"))
            .collect();
        let (addresses, peers) = urls.split_at(MEMBERS);
        let cluster = peers.iter().enumerate();
        let cluster: Vec<_> = cluster.map(|(n, peer)| format!("n{n}={peer}")).collect();
        let mut servers = Vec::new();
        for (n, (address, peer)) in addresses.iter().zip(peers).enumerate() {
            let mut command = Command::new("etcd");
            command
                .args(["--name", &format!("n{n}")])
                .arg("--data-dir")
                .arg(folder.join(format!("n{n}")))
                .args(["--listen-client-urls", address])
                .args(["--advertise-client-urls", address])
                .args(["--listen-peer-urls", peer])
                .args(["--initial-advertise-peer-urls", peer])
                .args(["--initial-cluster", &cluster.join(",")])
                .args(["--logger", "zap", "--log-level", "error"]);
            servers.push(Server::start(command, &folder.join(format!("n{n}.log")))?);
        }
        let started = Self {
            servers,
            addresses: addresses.to_vec(),
        };
        started.leader().await?;
        Ok(started)
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns a client of the leader.
    pub(crate) async fn client(&self) -> Result<Client> {
        Client::connect(self.leader().await?).await
    }

    /// Waits until there is a leader, and returns its address.
    async fn leader(&self) -> Result<&str> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for address in &self.addresses {
                if let Ok(client) = Client::connect(address).await
                    && client.leads().await.unwrap_or(false)
                {
                    return Ok(address);
                }
            }
            ensure!(Instant::now() < deadline, "etcd elects no leader");
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

impl Client {
    async fn connect(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())?;
        Ok(Self(Grpc::new(endpoint.connect().await?)))
    }

    pub(crate) async fn put(&self, key: Bytes, value: Bytes) -> Result<()> {
        let _answer: PutResponse = self.ask(PUT, PutRequest { key, value }).await?;
        Ok(())
    }

    pub(crate) async fn get(&self, key: Bytes) -> Result<bool> {
        let answer: RangeResponse = self.ask(RANGE, RangeRequest { key }).await?;
        match &answer.kvs[..] {
            [] => Ok(false),
            [found] => Ok(!found.value.is_empty()),
            more => bail!("etcd has {} values of one key", more.len()),
        }
    }

    /// Returns true if the server at the other end leads.
    async fn leads(&self) -> Result<bool> {
        let status: StatusResponse = self.ask(STATUS, StatusRequest {}).await?;
        let header = status.header.context("etcd says who it is")?;
        Ok(status.leader == header.member_id)
    }

    async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.0.clone();
        grpc.ready().await?;
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(Request::new(question), path, ProstCodec::default());
        Ok(answer.await?.into_inner())
    }
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}
