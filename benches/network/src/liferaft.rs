//! Runs members of liferaft, and makes clients of them. All links are authenticated and encrypted.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use liferaft::driver;
use liferaft::kv::{Kv, KvHandle};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};
use liferaft::{Endpoint, Identity, Invitation};
use serde_json::Value;

use crate::server::{MEMBERS, PATIENCE, Server};

/// Each member listens where the system wants.
const ANYWHERE: &str = "127.0.0.1:0";

pub(crate) type Client = KvHandle<driver::Client<Kv>>;

/// Three members.
pub(crate) struct Liferaft {
    servers: Vec<Server>,
    /// To clients that write.
    invitation: Invitation,
}

impl Liferaft {
    /// Starts them with the program's own settings.
    pub(crate) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let mut servers = Vec::new();
        let mut start = |n: usize, words: &[&str]| {
            let mut command = Command::new(program);
            command
                .args(words)
                .arg("--data")
                .arg(folder.join(format!("n{n}")))
                .args(["--listen", ANYWHERE, "--json"]);
            let mut server = Server::start(command, &folder.join(format!("n{n}.log")))?;
            let news = News::of(server.output());
            servers.push(server);
            anyhow::Ok(news)
        };
        let first = start(0, &["init"])?;
        let member = first.invitation("member")?;
        let invitation = first.invitation("operator")?.parse()?;
        for n in 1..MEMBERS {
            start(n, &["node", "--join", &member])?;
        }
        first.until("members", |told| {
            told["voters"].as_array().map(Vec::len) == Some(MEMBERS)
        })?;
        Ok(Self {
            servers,
            invitation,
        })
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns a client, which finds the leader with its first operation.
    pub(crate) fn client(&self) -> Result<Client> {
        let identity = Identity::draw();
        let carrier = WebSocketCarrier::dial_only(WebSocketConfig::default());
        let end = Endpoint::new(identity.clone(), carrier);
        let client = driver::Client::<Kv>::builder(identity, end, self.invitation.clone());
        Ok(KvHandle::new(client.request_timeout(PATIENCE).start()?))
    }
}

/// What a member tells.
struct News(Receiver<Value>);

impl News {
    /// Reads all that a member writes, also when nobody wants it any more: it would wait.
    fn of(output: ChildStdout) -> Self {
        let (sender, news) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(item) = serde_json::from_str(&line) {
                    let _unwanted = sender.send(item);
                }
            }
        });
        Self(news)
    }

    fn invitation(&self, purpose: &str) -> Result<String> {
        let told = self.until("invited", |told| told["purpose"] == purpose)?;
        let invitation = told["invitation"].as_str();
        Ok(invitation.context("an invitation is text")?.to_owned())
    }

    /// Waits for news of this kind about which this is true.
    fn until(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let item = self.0.recv_timeout(left);
            let item = item.with_context(|| format!("the member tells nothing of `{kind}`"))?;
            if item["news"] == kind && is_it(&item) {
                return Ok(item);
            }
        }
    }
}
