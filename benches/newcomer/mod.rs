//! A member with a long snapshot, and a newcomer that needs it: two sides that measure what the snapshot does to the
//! frames beside it, on threads or in the tabs of a browser.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use liferaft::config::Config;
use liferaft::driver::MemberStatus;
use liferaft::platform::Address;
use liferaft::transport::access::Authorizer;
use liferaft::transport::carrier::{Carrier, Reach};
use liferaft::transport::links::{CloseReason, Credentials, Link, LinkPath, Wanted};
use liferaft::transport::{DeliveryClass, Event, Frame, SendError};
use liferaft::{
    Endpoint, Founding, Handle, Invitation, Kv, KvHandle, Member, MemberBuilder, MemoryStorage,
    ServerId, Storage, Terms, Transport,
};

/// How long a value of the state is.
const VALUE_BYTES: usize = 500_000;
/// What is left of the log is shorter than two values, so that a newcomer needs the snapshot.
const LOG_BYTES_MAX: u64 = 1_000_000;
/// Heartbeats are five times as frequent.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// How long joining may take, also in a development build.
const JOINED_WITHIN: Duration = Duration::from_secs(60);
/// Longer datagrams are no heartbeats, nor answers to any.
const HEARTBEAT_BYTES_MAX: usize = 1_000;

/// Returns the milliseconds since a moment that both sides share.
pub(crate) type Clock = fn() -> f64;

/// One of the two members.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) handle: Handle<Kv>,
    clock: Clock,
    seen: Arc<Mutex<Seen>>,
}

/// What a side has measured, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// When the first frame of the snapshot was sent or had arrived, by the shared clock.
    pub(crate) began: f64,
    /// The bytes of frames of the snapshot that arrived.
    pub(crate) bulk_bytes: usize,
    /// The heartbeats and the like that arrived from then on.
    pub(crate) heartbeats: usize,
    /// How long half of them were under way at most.
    pub(crate) p50: f64,
    /// How long 99 of 100 were.
    pub(crate) p99: f64,
    /// The longest time without any frame.
    pub(crate) gap: f64,
    /// How often it stood for election.
    pub(crate) elections: u64,
}

impl Side {
    /// Founds a closed cluster of one member, with so many values in a snapshot and only the last of them in its log.
    pub(crate) async fn founded(
        carrier: impl Carrier,
        address: Option<Address>,
        clock: Clock,
        values: usize,
    ) -> Self {
        let mut storage = MemoryStorage::default();
        let founding = Founding::by(storage.identity()).closed();
        let founded = founding.found(&mut storage).await;
        founded.expect("nothing is in memory yet");
        let side = Self::start(carrier, address, clock, storage, |member| member).await;
        let kv = KvHandle::new(side.handle.clone());
        let mut all_by = None;
        for number in 1.. {
            let key = format!("key {}", number % values);
            let set = kv.set(key, vec![7; VALUE_BYTES]).await;
            set.expect("it leads itself");
            let applied = side
                .handle
                .wait_for(|status| status.raft.applied == status.raft.last.index);
            let raft = applied.await.expect("it applies what it answers").raft;
            if number == values {
                all_by = Some(raft.applied);
            }
            if all_by.is_some_and(|all_by| raft.snapshot >= all_by) {
                break;
            }
        }
        side
    }

    /// Invites one newcomer to its cluster.
    pub(crate) async fn invite(&self) -> Invitation {
        let invited = self.handle.invite(Terms::membership()).await;
        invited.expect("it leads itself")
    }

    /// Asks to join.
    pub(crate) async fn asking(
        carrier: impl Carrier,
        address: Option<Address>,
        clock: Clock,
        invitation: Invitation,
    ) -> Self {
        let storage = MemoryStorage::default();
        let invited = |member: MemberBuilder<Kv>| member.invited(invitation);
        Self::start(carrier, address, clock, storage, invited).await
    }

    /// Waits until it votes, by a snapshot, and returns when it does, by the shared clock.
    pub(crate) async fn joined(&self) -> f64 {
        let joined = self.handle.within(JOINED_WITHIN).joined().await;
        joined.expect("the other member takes it in");
        let joined_at = (self.clock)();
        let installed = |status: &MemberStatus| status.counters.snapshots_installed == 1;
        let installed = self.handle.wait_for(installed).await;
        installed.expect("the log is too short for it");
        joined_at
    }

    /// Returns what it has measured, once there was a snapshot.
    pub(crate) fn report(&self) -> Option<Report> {
        let elections = self.handle.status().borrow().counters.elections;
        let seen = lock(&self.seen);
        let began = seen.began?;
        let gaps = seen.arrivals.windows(2).map(|pair| pair[1] - pair[0]);
        let mut delays = seen.delays.clone();
        delays.sort_by(f64::total_cmp);
        let at = |share: usize| {
            let place = delays.len().saturating_sub(1) * share / 100;
            delays.get(place).copied().unwrap_or(f64::INFINITY)
        };
        Some(Report {
            began,
            bulk_bytes: seen.bulk_bytes,
            heartbeats: delays.len(),
            p50: at(50),
            p99: at(99),
            gap: gaps.fold(0.0, f64::max),
            elections,
        })
    }

    async fn start(
        carrier: impl Carrier,
        address: Option<Address>,
        clock: Clock,
        storage: MemoryStorage,
        prepare: impl FnOnce(MemberBuilder<Kv>) -> MemberBuilder<Kv>,
    ) -> Self {
        let config = Config::builder()
            .election_timeout(ELECTION_TIMEOUT)
            .limits(|limits| {
                limits.trailing_bytes_max = LOG_BYTES_MAX;
                limits.catch_up_bytes_max = LOG_BYTES_MAX;
            });
        let seen = Arc::new(Mutex::new(Seen::default()));
        let transport = Watched {
            endpoint: Endpoint::new(storage.identity().clone(), carrier),
            clock,
            seen: Arc::clone(&seen),
        };
        let member = Member::builder(Kv::new(), transport, storage)
            .config(config.build().expect("the limits make sense"))
            .snapshot_after_log_bytes(LOG_BYTES_MAX)
            .addresses(address);
        let handle = prepare(member).start().await.expect("it is new");
        Self {
            handle,
            clock,
            seen,
        }
    }
}

/// What a side's transport has seen since the snapshot began, in milliseconds.
#[derive(Debug, Default)]
struct Seen {
    began: Option<f64>,
    bulk_bytes: usize,
    arrivals: Vec<f64>,
    delays: Vec<f64>,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("nobody panics with it")
}

/// A transport that sees what passes. At the end of each datagram it sends when that was.
struct Watched {
    endpoint: Endpoint,
    clock: Clock,
    seen: Arc<Mutex<Seen>>,
}

impl Watched {
    fn on_frame(&self, class: DeliveryClass, frame: Frame) -> Frame {
        let now = (self.clock)();
        let mut seen = lock(&self.seen);
        // Nothing but snapshots travels so.
        if class == DeliveryClass::Stream {
            seen.began.get_or_insert(now);
            seen.bulk_bytes += frame.len();
        }
        let has_begun = seen.began.is_some();
        if has_begun {
            seen.arrivals.push(now);
        }
        if class == DeliveryClass::Stream {
            return frame;
        }
        let mut bytes = frame.into_bytes();
        let sent_at = bytes.split_off(bytes.len() - size_of::<f64>());
        if has_begun && bytes.len() <= HEARTBEAT_BYTES_MAX {
            let sent_at = sent_at[..].try_into().expect("it was split so");
            seen.delays.push(now - f64::from_le_bytes(sent_at));
        }
        bytes.into()
    }
}

impl Transport for Watched {
    fn local(&self) -> ServerId {
        self.endpoint.local()
    }

    fn frame_bytes_max(&self) -> usize {
        self.endpoint.frame_bytes_max() - size_of::<f64>()
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        let now = (self.clock)();
        if class == DeliveryClass::Stream {
            lock(&self.seen).began.get_or_insert(now);
            return self.endpoint.send(to, class, frame);
        }
        let mut body = BytesMut::from(frame.body);
        body.extend_from_slice(&now.to_le_bytes());
        let stamped = Frame::new(frame.head, body.freeze());
        self.endpoint.send(to, class, stamped)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.endpoint.poll_event(context).map(|event| match event {
            Some(Event::Frame { from, class, frame }) => Some(Event::Frame {
                from,
                class,
                frame: self.on_frame(class, frame),
            }),
            event => event,
        })
    }

    fn introduce(
        &mut self,
        credentials: Credentials,
        authorizer: Arc<dyn Authorizer + Send + Sync>,
    ) {
        self.endpoint.introduce(credentials, authorizer);
    }

    fn authenticates(&self) -> bool {
        self.endpoint.authenticates()
    }

    fn reach(&self) -> Reach {
        Transport::reach(&self.endpoint)
    }

    fn want(&mut self, peers: &[Wanted]) {
        self.endpoint.want(peers);
    }

    fn link(&self, peer: ServerId) -> Option<&Link> {
        self.endpoint.link(peer)
    }

    fn link_path(&self, peer: ServerId) -> Option<LinkPath> {
        self.endpoint.link_path(peer)
    }

    fn close(&mut self, peer: ServerId, reason: CloseReason) {
        self.endpoint.close(peer, reason);
    }
}
