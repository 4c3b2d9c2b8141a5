//! Links over a connection whose network delays and loses datagrams, in virtual time: heartbeats beside bulk.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::{Boot, ClusterId, PublicKey, Versions};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::certificate::WebRtcIdentity;
use super::super::connection::{Connection, Delivery, Maker, Turn};
use super::super::gathering::Place;
use super::asker_of;
use crate::access::{AccessTable, Role};
use crate::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path,
};
use crate::endpoint::{Endpoint, KeySigner, Signer as _};
use crate::links::{Credentials, LinkEvent, Wanted};
use crate::webrtc::flow::UNACKNOWLEDGED_BYTES_MAX;
use crate::webrtc::ice_servers::IceTransportPolicy;
use crate::webrtc::limits::{PACKET_BYTES_MAX, WebRtcLimits};
use crate::webrtc::meter::WebRtcMeter;
use crate::{DeliveryClass, ServerId};

const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(50);

/// How long a frame of bulk is, in bytes.
const FRAME_BYTES: usize = 64 * 1024;

/// What arrives at one end.
#[derive(Default)]
struct Inbox {
    flying: VecDeque<(Instant, Vec<u8>)>,
    waker: Option<Waker>,
}

/// The network between two ends.
pub(super) struct Network {
    inboxes: [Inbox; 2],
    /// How long the way from one end to the other is.
    way: Duration,
    lost_percent: u32,
    random: ChaCha8Rng,
}

impl Network {
    fn send(&mut self, to: usize, datagram: Vec<u8>, may_be_lost: bool) {
        if may_be_lost && self.random.next_u32() % 100 < self.lost_percent {
            return;
        }
        let inbox = &mut self.inboxes[to];
        inbox
            .flying
            .push_back((Instant::now() + self.way, datagram));
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }
}

pub(super) type Shared = Arc<Mutex<Network>>;

/// One end of the only connection that there is.
struct Wire {
    end: usize,
    connection: Connection,
    peer: SocketAddr,
    network: Shared,
    events: VecDeque<CarrierEvent>,
    alarm: Pin<Box<Sleep>>,
}

impl Wire {
    fn take(&mut self, turn: Turn) {
        let mut network = self.network.lock().expect("nobody panics with it");
        // How long opening takes without what is lost is no claim of these tests.
        let may_be_lost = self.connection.is_open();
        for (_, _, datagram) in turn.datagrams {
            network.send(1 - self.end, datagram, may_be_lost);
        }
        self.events.extend(turn.events);
        assert!(turn.ending.is_none(), "{:?}", turn.ending);
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Connection, &mut Turn) -> T) -> T {
        let mut turn = Turn::default();
        let done = act(&mut self.connection, &mut turn);
        self.take(turn);
        done
    }

    fn arrived(&mut self, context: &Context<'_>) -> Result<Vec<u8>, Option<Instant>> {
        let mut network = self.network.lock().expect("nobody panics with it");
        let inbox = &mut network.inboxes[self.end];
        inbox.waker = Some(context.waker().clone());
        match inbox.flying.front() {
            Some((at, _)) if *at <= Instant::now() => {
                Ok(inbox.flying.pop_front().expect("it is there").1)
            }
            Some((at, _)) => Err(Some(*at)),
            None => Err(None),
        }
    }
}

impl Carrier for Wire {
    fn scheme(&self) -> &str {
        "rtc"
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn stream_bytes_max(&self) -> usize {
        UNACKNOWLEDGED_BYTES_MAX
    }

    fn on_linked(&mut self, _: &Path) {
        self.connection.on_linked();
    }

    fn dial(&mut self, _: &Address) -> Result<Path, DialError> {
        Ok(self.connection.path)
    }

    fn send(&mut self, _: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        let now = Instant::now().into_std();
        self.with(|connection, turn| connection.send(channel, packet, now, turn))
            .map(drop)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            let now = Instant::now();
            let arrives_at = match self.arrived(context) {
                Ok(datagram) => {
                    let from = (Place::Shared(0), self.peer);
                    self.with(|connection, turn| {
                        connection.on_datagram(from, &datagram, now.into_std(), turn);
                    });
                    continue;
                }
                Err(arrives_at) => arrives_at,
            };
            let due = Instant::from_std(self.connection.deadline());
            if due <= now {
                self.with(|connection, turn| connection.on_time(now.into_std(), turn));
                continue;
            }
            let wakes_at = arrives_at.map_or(due, |at| at.min(due));
            self.alarm.as_mut().reset(wakes_at);
            if self.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn signer(end: usize) -> KeySigner {
    let number = u8::try_from(end + 1).expect("there are two");
    KeySigner::from_secret(&[number; 32])
}

fn key(end: usize) -> PublicKey {
    signer(end).public_key()
}

pub(super) fn id(end: usize) -> ServerId {
    key(end).server_id()
}

/// Links both ends by a network that loses some of what is sent by an open connection.
async fn linked_in_spite(way: Duration, lost_percent: u32, seed: u64) -> ([Endpoint; 2], Shared) {
    linked_by(Delivery::default(), way, lost_percent, seed).await
}

/// Does so by channels that deliver in this way.
pub(super) async fn linked_by(
    delivery: Delivery,
    way: Duration,
    lost_percent: u32,
    seed: u64,
) -> ([Endpoint; 2], Shared) {
    let network = Arc::new(Mutex::new(Network {
        inboxes: Default::default(),
        way,
        lost_percent,
        random: ChaCha8Rng::seed_from_u64(seed),
    }));
    let identities = [(); 2].map(|()| WebRtcIdentity::generate());
    let maker = |end: usize| Maker {
        identity: identities[end].clone(),
        limits: WebRtcLimits::default(),
        delivery,
        meter: WebRtcMeter::default(),
        policy: IceTransportPolicy::All,
    };
    let addresses = ["192.0.2.1:1000", "192.0.2.2:2000"];
    let addresses = addresses.map(|text| text.parse::<SocketAddr>().expect("an address"));
    let now = Instant::now().into_std();
    let path = |number: u8| Path::new(&[number], &[]);
    let mut dialing = maker(0)
        .dial(path(1), &identities[1].fingerprint(), &addresses[1..], now)
        .expect("it can be dialed");
    let mut turn = Turn::default();
    dialing.on_time(now, &mut turn);
    let (_, _, first) = turn.datagrams.first().expect("it asks at once");
    let listening = maker(1)
        .accept(path(2), &asker_of(first), now)
        .expect("it can be accepted");
    let wire = |end: usize, connection| Wire {
        end,
        connection,
        peer: addresses[1 - end],
        network: network.clone(),
        events: VecDeque::new(),
        alarm: Box::pin(sleep_until(Instant::now())),
    };
    let mut dialing = wire(0, dialing);
    dialing.take(turn);
    let endpoint = |end: usize, wire: Wire| {
        let mut endpoint = Endpoint::new(signer(end), wire);
        let access = AccessTable {
            members: [0, 1].map(id).into(),
            ..AccessTable::default()
        };
        let credentials = Credentials {
            cluster: ClusterId(7),
            key: key(end),
            versions: Versions::only(1),
            starts: Boot {
                number: 1,
                nonce: 1,
            }
            .into(),
            vouchers: Arc::new([]),
            role: Role::Member,
            token: None,
        };
        endpoint.introduce(credentials, Arc::new(access));
        endpoint
    };
    let mut ends = [endpoint(0, dialing), endpoint(1, wire(1, listening))];
    ends[0].want(&[Wanted {
        peer: id(1),
        keys: vec![key(1)],
        addresses: vec!["rtc:1".parse().expect("an address")],
    }]);
    while ends[0].link(id(1)).is_none() || ends[1].link(id(0)).is_none() {
        next(&mut ends).await;
    }
    (ends, network)
}

/// Returns what happens next, and at which end.
pub(super) async fn next(ends: &mut [Endpoint; 2]) -> (usize, LinkEvent) {
    poll_fn(|context| {
        let mut events = ends.iter_mut().enumerate();
        let event = events.find_map(|(end, endpoint)| match endpoint.poll_link_event(context) {
            Poll::Ready(event) => Some((end, event.expect("the end is not closed"))),
            Poll::Pending => None,
        });
        event.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// What came of heartbeats and bulk.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How long each heartbeat that arrived was under way.
    delays: Vec<Duration>,
    /// The longest time between two that arrived.
    pub(super) gap: Duration,
    /// How long the bulk took, if it has arrived.
    pub(super) bulk: Option<Duration>,
    arrived: usize,
    pub(super) downs: usize,
}

impl Outcome {
    pub(super) fn p99(&self) -> Duration {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays[(delays.len() - 1) * 99 / 100]
    }
}

/// Sends frames by the stream, and heartbeats both ways beside them, until all frames have arrived or for a time.
async fn exchange(way: Duration, lost_percent: u32, frames: usize, time_max: Duration) -> Outcome {
    exchange_by(Delivery::default(), way, lost_percent, frames, time_max, 1).await
}

/// Does so by channels that deliver in this way.
pub(super) async fn exchange_by(
    delivery: Delivery,
    way: Duration,
    lost_percent: u32,
    frames: usize,
    time_max: Duration,
    seed: u64,
) -> Outcome {
    let (mut ends, network) = linked_by(delivery, way, 0, seed).await;
    network.lock().expect("nobody panics with it").lost_percent = lost_percent;
    let began = Instant::now();
    let mut ticks = tokio::time::interval(HEARTBEAT_INTERVAL);
    let mut outcome = Outcome::default();
    let (mut sent, mut last) = (0, began);
    while began.elapsed() < time_max && outcome.bulk.is_none() {
        while sent < frames && ends[0].room(id(1), DeliveryClass::Stream) >= FRAME_BYTES {
            let frame = Bytes::from(vec![7; FRAME_BYTES]).into();
            if ends[0].send(id(1), DeliveryClass::Stream, frame).is_err() {
                break;
            }
            sent += 1;
        }
        let event = tokio::select! {
            event = next(&mut ends) => event,
            _ = ticks.tick() => {
                let micros = u64::try_from(began.elapsed().as_micros()).expect("it is short");
                let mut beat = vec![0; 100];
                beat[..8].copy_from_slice(&micros.to_le_bytes());
                for end in [0, 1] {
                    let beat = Bytes::from(beat.clone()).into();
                    let _is_down = ends[end].send(id(1 - end), DeliveryClass::Datagram, beat);
                }
                continue;
            }
        };
        match event {
            (
                1,
                LinkEvent::Frame {
                    class: DeliveryClass::Datagram,
                    frame,
                    ..
                },
            ) => {
                let text = frame.into_bytes();
                let micros = u64::from_le_bytes(text[..8].try_into().expect("eight bytes"));
                outcome.delays.push(
                    began
                        .elapsed()
                        .saturating_sub(Duration::from_micros(micros)),
                );
                outcome.gap = outcome.gap.max(last.elapsed());
                last = Instant::now();
            }
            (1, LinkEvent::Frame { .. }) => {
                outcome.arrived += 1;
                if outcome.arrived == frames {
                    outcome.bulk = Some(began.elapsed());
                }
            }
            (_, LinkEvent::Down { .. }) => outcome.downs += 1,
            _ => {}
        }
    }
    outcome
}

/// Nothing else fills the congestion window of SCTP while a lost packet of bulk waits for its timeout of a second and
/// more. `--nocapture` shows the figures.
#[tokio::test(start_paused = true)]
async fn heartbeats_wait_for_no_bulk_over_a_network_that_loses() {
    for (way_ms, lost_percent) in [(50, 0), (50, 5), (50, 10), (1, 10)] {
        let way = Duration::from_millis(way_ms);

        let outcome = exchange(way, lost_percent, 3, Duration::from_secs(60)).await;

        println!(
            "{way_ms} ms away, {lost_percent} % lost: bulk in {:?}, heartbeats p99 {:?}, longest gap {:?}",
            outcome.bulk,
            outcome.p99(),
            outcome.gap
        );
        assert!(outcome.bulk.is_some(), "{outcome:?}");
        assert_eq!(outcome.downs, 0);
        assert!(outcome.p99() <= Duration::from_millis(600), "{outcome:?}");
        assert!(outcome.gap <= Duration::from_millis(800), "{outcome:?}");
    }
}

/// What is under way for longer than its lifetime is given up though nothing is lost, and sent again in vain.
#[tokio::test(start_paused = true)]
async fn bulk_arrives_in_time_at_the_other_end_of_the_world() {
    let way = Duration::from_millis(150);

    let outcome = exchange(way, 0, 8, Duration::from_secs(20)).await;

    assert!(outcome.bulk.is_some(), "{outcome:?}");
}

/// Returns how long after a pause of the other end a datagram arrives there that was sent since, over 10 % of loss.
async fn first_after_a_pause(seed: u64) -> Duration {
    let (mut ends, _network) = linked_in_spite(Duration::from_millis(15), 10, seed).await;
    let began = Instant::now();
    let pauses_at = began + Duration::from_millis(1_500);
    let resumes_at = pauses_at + Duration::from_secs(2);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while resumes_at.elapsed() < Duration::from_secs(5) {
        let is_paused = (pauses_at..resumes_at).contains(&Instant::now());
        let [sender, receiver] = &mut ends;
        let event = tokio::select! {
            _ = poll_fn(|context| sender.poll_link_event(context)) => continue,
            event = poll_fn(|context| receiver.poll_link_event(context)), if !is_paused => event,
            _ = ticks.tick() => {
                let millis = u64::try_from(began.elapsed().as_millis()).expect("it is short");
                let mut beat = vec![0; 150];
                beat[..8].copy_from_slice(&millis.to_le_bytes());
                let _is_down = sender.send(id(1), DeliveryClass::Datagram, Bytes::from(beat).into());
                continue;
            }
        };
        let Some(LinkEvent::Frame { frame, .. }) = event else {
            continue;
        };
        let beat = frame.into_bytes();
        let millis = u64::from_le_bytes(beat[..8].try_into().expect("eight bytes"));
        if began + Duration::from_millis(millis) >= resumes_at {
            break;
        }
    }
    resumes_at.elapsed()
}

/// What was sent meanwhile fills the congestion window of SCTP, until its timeout if it is never given up.
#[tokio::test(start_paused = true)]
async fn a_server_that_paused_is_reached_at_once() {
    for seed in 0..10 {
        let took = first_after_a_pause(seed).await;

        println!("{seed}: {took:?}");
        assert!(took <= Duration::from_millis(400), "{seed}: {took:?}");
    }
}

/// A wire asserts that its connection goes on.
#[tokio::test(start_paused = true)]
async fn a_lossy_network_lets_a_link_come_up_within_the_bound() {
    for seed in 0..40 {
        let (ends, _) = linked_in_spite(Duration::from_millis(50), 10, seed).await;

        assert!(ends[0].link(id(1)).is_some(), "{seed}");
    }
}
