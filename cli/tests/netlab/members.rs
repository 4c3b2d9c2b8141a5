//! Runs the members: a namespace, a thread and a runtime for each.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use liferaft::configuration::{self, Address, Configuration, Description};
use liferaft::driver::{Handle, MemberStatus};
use liferaft::kv::{Kv, KvHandle};
use liferaft::transport::webrtc::{
    DatagramMode, WebRtcCarrier, WebRtcConfig, WebRtcCounters, WebRtcIdentity, WebRtcMeter,
};
use liferaft::{
    Endpoint, Founding, Member, MembershipPolicy, MemoryStorage, ServerId, Storage as _,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::lab::{Lab, address};
use crate::node::PATIENCE;

pub(crate) const MEMBERS: usize = 5;

const PORT: u16 = 4000;

/// Members that have a cluster.
pub(crate) struct Members(Vec<Seat>);

struct Seat {
    handle: Handle<Kv>,
    meter: WebRtcMeter,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What all members are told.
type Settings = (DatagramMode, MembershipPolicy);

/// What a member is before it starts.
struct Founder {
    storage: MemoryStorage,
    certificate: WebRtcIdentity,
    socket: SocketAddr,
    address: Address,
}

impl Members {
    /// Founds a cluster of all members, starts them, and waits until all know who leads.
    pub(crate) async fn start(lab: &Lab, mode: DatagramMode, policy: MembershipPolicy) -> Self {
        let founders: Vec<_> = (0..MEMBERS).map(Founder::new).collect();
        let voters = founders.iter().map(Founder::voter);
        let founding = Founding::new(Configuration::from_members(voters)).closed();
        let mut seats = Vec::new();
        for (member, mut founder) in founders.into_iter().enumerate() {
            let founded = founding.found(&mut founder.storage).await;
            founded.expect("its storage is new");
            seats.push(Seat::start(lab, member, founder, (mode, policy)));
        }
        for seat in &seats {
            let led = seat.handle.wait_for(|status| status.leader().is_some());
            let led = timeout(PATIENCE, led).await;
            led.expect("one leads in time").expect("it runs");
        }
        Self(seats)
    }

    /// Waits until each knows that all vote.
    pub(crate) async fn until_all_vote(&self) {
        for seat in &self.0 {
            let all_vote = seat.handle.wait_for(|status| {
                let configuration = &status.raft.configuration;
                configuration.voters().len() == MEMBERS && !configuration.is_joint()
            });
            let all_vote = timeout(PATIENCE, all_vote).await;
            all_vote.expect("all vote in time").expect("it runs");
        }
    }

    /// Waits until one knows that another is a member no more.
    pub(crate) async fn until_evicted(&self, knows: usize, evicted: usize) {
        let id = self.0[evicted].handle.id();
        let is_out = |status: &MemberStatus| !status.raft.configuration.contains(id);
        self.0[knows]
            .handle
            .wait_for(is_out)
            .await
            .expect("it runs");
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = KvHandle> {
        self.0.iter().map(|seat| KvHandle::new(seat.handle.clone()))
    }

    /// Which of them leads, as far as they know.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |(member, seat): (usize, &Seat)| {
            let status = seat.handle.status();
            let status = status.borrow();
            status.is_leader().then_some((status.raft.term, member))
        };
        let leading = self.0.iter().enumerate().filter_map(leads).max();
        leading.map(|(_, member)| member)
    }

    /// How many elections they have stood for.
    pub(crate) fn elections(&self) -> u64 {
        let counted = |seat: &Seat| seat.handle.status().borrow().counters.elections;
        self.0.iter().map(counted).sum()
    }

    pub(crate) fn meters(&self) -> impl Iterator<Item = WebRtcCounters> {
        self.0.iter().map(|seat| seat.meter.read())
    }

    /// Ends all of them.
    pub(crate) fn stop(self) {
        for seat in self.0 {
            seat.end.send(()).expect("it waits for it");
            seat.thread.join().expect("no member panics");
        }
    }
}

impl Founder {
    fn new(member: usize) -> Self {
        let certificate = WebRtcIdentity::generate();
        let ip = address(member).parse().expect("it is an address");
        let socket = SocketAddr::new(ip, PORT);
        let address = format!("rtc://{socket}#sha256={}", certificate.fingerprint());
        Self {
            storage: MemoryStorage::default(),
            certificate,
            socket,
            address: address.parse().expect("it is well made"),
        }
    }

    /// What the others know of it.
    fn voter(&self) -> (ServerId, configuration::Member) {
        let identity = self.storage.identity();
        let description = Description::of(identity.public_key());
        let description = description.with_addresses([self.address.clone()]);
        (identity.id(), configuration::Member::voter(description))
    }

    async fn start(self, (mode, policy): Settings) -> (Handle<Kv>, WebRtcMeter) {
        let config = WebRtcConfig::default()
            .with_identity(self.certificate)
            .with_datagram_mode(mode);
        let carrier = WebRtcCarrier::listen(config, self.socket).await;
        let carrier = carrier.expect("nobody else is here");
        let meter = carrier.meter();
        let transport = Endpoint::new(self.storage.identity().clone(), carrier);
        let member = Member::builder(Kv::new(), transport, self.storage);
        let started = member
            .membership(policy)
            .addresses([self.address])
            .start()
            .await;
        (started.expect("it is well made"), meter)
    }
}

impl Seat {
    fn start(lab: &Lab, member: usize, founder: Founder, settings: Settings) -> Self {
        let (started, starts) = mpsc::channel();
        let (end, ends) = oneshot::channel();
        let thread = lab.run_at(member, move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("there are files");
            runtime.block_on(async {
                let (handle, meter) = founder.start(settings).await;
                let told = started.send((handle.clone(), meter));
                told.expect("somebody waits for it");
                let _ended = ends.await;
                handle.stop().await;
            });
        });
        let (handle, meter) = starts.recv().expect("it starts");
        Self {
            handle,
            meter,
            end,
            thread,
        }
    }
}
