//! Runs a member on two carriers, in a namespace and on a thread of its own.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use liferaft::configuration::{self, Address, Configuration, Description};
use liferaft::driver::{Handle, MemberStatus};
use liferaft::kv::{Kv, KvHandle};
use liferaft::transport::links::{LinkLimits, LinkPath};
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};
use liferaft::{
    Endpoint, Founding, Member, MembershipPolicy, MemoryStorage, ServerId, Storage as _,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::lab::{Lab, address};

/// Nothing here takes so long on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

const PORT: u16 = 4000;

/// A member that runs.
pub(crate) struct Seat {
    handle: Handle<Kv>,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Founds a cluster of so many members, of which the configuration knows no address but those of WebSocket, and starts
/// them.
pub(crate) async fn start(lab: &Lab, members: usize) -> Vec<Seat> {
    let mut storages: Vec<_> = (0..members).map(|_| MemoryStorage::default()).collect();
    let voters = storages.iter().enumerate().map(|(member, storage)| {
        let description = Description::of(storage.identity().public_key());
        let description = description.with_addresses([address_of(member)]);
        let voter = configuration::Member::voter(description);
        (storage.identity().id(), voter)
    });
    let founding = Founding::new(Configuration::from_members(voters)).closed();
    for storage in &mut storages {
        founding.found(storage).await.expect("its storage is new");
    }
    let storages = storages.into_iter().enumerate();
    storages
        .map(|(member, storage)| Seat::start(lab, member, storage))
        .collect()
}

fn socket_of(member: usize) -> SocketAddr {
    let ip = address(member).parse().expect("it is an address");
    SocketAddr::new(ip, PORT)
}

fn address_of(member: usize) -> Address {
    let address = format!("ws://{}", socket_of(member));
    address.parse().expect("it is well made")
}

/// The member listens on no port of UDP: who dials it by WebRTC has exchanged signals with it before.
async fn begin(member: usize, storage: MemoryStorage) -> Handle<Kv> {
    let mut limits = LinkLimits::default();
    limits.keep_alive_after = Duration::from_millis(300);
    limits.dead_after = Duration::from_millis(1_500);
    let listening = WebSocketCarrier::listen(WebSocketConfig::default(), socket_of(member));
    let fallback = listening.await.expect("nobody else is here");
    let preferred = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let transport = Endpoint::new(storage.identity().clone(), preferred)
        .with_carrier(fallback)
        .with_limits(limits);
    let policy = MembershipPolicy::default().with_evict_after(PATIENCE);
    let builder = Member::builder(Kv::new(), transport, storage).membership(policy);
    let started = builder.addresses([address_of(member)]).start().await;
    started.expect("it is well made")
}

impl Seat {
    fn start(lab: &Lab, member: usize, storage: MemoryStorage) -> Self {
        let (started, starts) = mpsc::channel();
        let (end, ends) = oneshot::channel();
        let thread = lab.run_at(member, move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("there are files");
            runtime.block_on(async {
                let handle = begin(member, storage).await;
                started.send(handle.clone()).expect("somebody waits for it");
                let _ended = ends.await;
                handle.stop().await;
            });
        });
        let handle = starts.recv().expect("it starts");
        Self {
            handle,
            end,
            thread,
        }
    }

    pub(crate) fn id(&self) -> ServerId {
        self.handle.id()
    }

    pub(crate) fn store(&self) -> KvHandle {
        KvHandle::new(self.handle.clone())
    }

    /// Waits until the status shows that the link to a server runs as wanted. Returns how it does.
    pub(crate) async fn linked(
        &self,
        peer: ServerId,
        wanted: impl Fn(&LinkPath) -> bool,
    ) -> LinkPath {
        let path = |status: &MemberStatus| {
            let link = status.links.iter().find(|link| link.peer == peer)?;
            link.path.clone().filter(&wanted)
        };
        let linked = self.handle.wait_for(|status| path(status).is_some());
        let linked = timeout(PATIENCE, linked).await;
        let status = linked.expect("it is linked in time").expect("it runs");
        path(&status).expect("it was waited for")
    }

    pub(crate) fn stop(self) {
        self.end.send(()).expect("it waits for it");
        self.thread.join().expect("no member panics");
    }
}
