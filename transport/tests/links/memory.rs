//! Endpoints over the memory network, which loses, doubles and reorders.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use liferaft_platform::{Boot, ClusterId, PublicKey, ServerId, Versions};
use liferaft_transport::Frame;
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::carrier::Carrier;
use liferaft_transport::endpoint::{Endpoint, KeySigner, Signer};
use liferaft_transport::links::{Credentials, DownReason, LinkError, LinkEvent, Wanted};
use liferaft_transport::memory::{Delay, Faults, MemoryNetwork, Probability};
use tokio::time::timeout;

use crate::world::{DATAGRAM, STREAM, frame, ms};

pub(crate) fn signer(number: u8) -> KeySigner {
    KeySigner::from_secret(&[number; 32])
}

pub(crate) fn key(number: u8) -> PublicKey {
    signer(number).public_key()
}

pub(crate) fn id(number: u8) -> ServerId {
    key(number).server_id()
}

/// Makes an end of a cluster of ends 1 to 8.
pub(crate) fn endpoint(number: u8, carrier: impl Carrier) -> Endpoint {
    endpoint_signing_by(signer(number), number, carrier)
}

fn endpoint_signing_by(signer: impl Signer, number: u8, carrier: impl Carrier) -> Endpoint {
    let credentials = Credentials {
        cluster: ClusterId(7),
        key: key(number),
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
    let access = AccessTable {
        members: (1..=8).map(id).collect(),
        ..AccessTable::default()
    };
    let mut end = Endpoint::new(signer, carrier);
    end.introduce(credentials, Arc::new(access));
    end
}

pub(crate) fn attach(network: &MemoryNetwork, number: u8, is_sealed: bool) -> Endpoint {
    let carrier = network
        .attach_carrier(id(number))
        .expect("it is not attached yet");
    endpoint(number, if is_sealed { carrier.sealed() } else { carrier })
}

fn want(end: &mut Endpoint, other: u8) {
    end.want(&[Wanted {
        peer: id(other),
        keys: vec![key(other)],
        addresses: Vec::new(),
    }]);
}

pub(crate) async fn next(end: &mut Endpoint) -> LinkEvent {
    let event = timeout(
        Duration::from_secs(600),
        poll_fn(|context| end.poll_link_event(context)),
    );
    event
        .await
        .expect("an event comes in time")
        .expect("the end is not closed")
}

/// Polls both ends until both links are up.
pub(crate) async fn connect(a: &mut Endpoint, b: &mut Endpoint) {
    let both_up = async {
        loop {
            tokio::select! { event = next(a) => drop(event), event = next(b) => drop(event) }
            if a.link(b.local()).is_some() && b.link(a.local()).is_some() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(60), both_up)
        .await
        .expect("the links come up");
}

/// Polls both ends until the second has read `count` frames.
pub(crate) async fn frames(a: &mut Endpoint, b: &mut Endpoint, count: usize) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let event = tokio::select! { _ = next(a) => continue, event = next(b) => event };
        if let LinkEvent::Frame { frame, .. } = event {
            frames.push(frame.into_bytes());
        }
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn frames_inside_a_process_are_handed_over_without_a_copy() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = (attach(&network, 1, false), attach(&network, 2, false));
    want(&mut a, 2);
    connect(&mut a, &mut b).await;

    let sent = Bytes::from(vec![7; 1024 * 1024]);
    a.send(id(2), DATAGRAM, Frame::new("head".into(), sent.clone()))
        .unwrap();
    let arrived = loop {
        let event = tokio::select! { _ = next(&mut a) => continue, event = next(&mut b) => event };
        if let LinkEvent::Frame { frame, .. } = event {
            break frame;
        }
    };

    assert_eq!(arrived.head, "head");
    assert_eq!(arrived.body.as_ptr(), sent.as_ptr());
}

#[tokio::test(start_paused = true)]
async fn streams_survive_what_the_network_does() {
    for is_sealed in [false, true] {
        let network = MemoryNetwork::new(7);
        let (mut a, mut b) = (
            attach(&network, 1, is_sealed),
            attach(&network, 2, is_sealed),
        );
        network.set_faults(
            Faults::none()
                .with_loss(Probability::percent(10))
                .with_duplication(Probability::percent(10))
                .with_reordering(Probability::percent(20))
                .with_delay(Delay::uniform(ms(1)..=ms(20))),
        );
        want(&mut a, 2);
        want(&mut b, 1);
        connect(&mut a, &mut b).await;

        let sent: Vec<Bytes> = (0..20)
            .map(|number| frame(&format!("{number}").repeat(9_000)))
            .collect();
        for frame in &sent {
            a.send(id(2), STREAM, frame.clone().into()).unwrap();
        }

        assert_eq!(frames(&mut a, &mut b, sent.len()).await, sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_is_seen_to_leave() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = (attach(&network, 1, true), attach(&network, 2, true));
    want(&mut a, 2);
    connect(&mut a, &mut b).await;

    drop(b);

    let LinkEvent::Down { peer, why, .. } = next(&mut a).await else {
        panic!("the link is down");
    };
    assert_eq!(peer, id(2));
    assert!(matches!(why, DownReason::ClosedByPeer(_)), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_killed_peer_is_down_after_a_while_and_comes_back() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = (attach(&network, 1, false), attach(&network, 2, false));
    want(&mut a, 2);
    connect(&mut a, &mut b).await;

    network.kill(id(2));
    let LinkEvent::Down {
        why: DownReason::Silent,
        ..
    } = next(&mut a).await
    else {
        panic!("the link is down for its silence");
    };

    network.revive(id(2));
    connect(&mut a, &mut b).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_network_refuses_frames_until_there_is_room() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = (attach(&network, 1, false), attach(&network, 2, false));
    want(&mut a, 2);
    connect(&mut a, &mut b).await;
    network.set_faults(Faults::none().with_delay(Delay::fixed(ms(100))));

    while a.send(id(2), DATAGRAM, frame("hello").into()).is_ok() {}
    assert_eq!(a.room(id(2), DATAGRAM), 0);
    assert_eq!(next(&mut a).await, LinkEvent::Writable { peer: id(2) });

    assert!(a.send(id(2), DATAGRAM, frame("hello").into()).is_ok());
}

/// A key that signs late, or not at all, as one in a browser may.
struct Late(KeySigner, Option<Duration>);

impl Signer for Late {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, bytes: Bytes) -> BoxFuture<'static, Option<[u8; 64]>> {
        let signature = self.0.sign(bytes);
        let Some(delay) = self.1 else {
            return Box::pin(async { None });
        };
        Box::pin(async move {
            liferaft_platform::sleep_until(liferaft_platform::now() + delay).await;
            signature.await
        })
    }
}

fn attach_late(network: &MemoryNetwork, number: u8, delay: Option<Duration>) -> Endpoint {
    let carrier = network.attach_carrier(id(number)).unwrap();
    endpoint_signing_by(Late(signer(number), delay), number, carrier.sealed())
}

#[tokio::test(start_paused = true)]
async fn keys_that_sign_late_make_links_all_the_same() {
    let network = MemoryNetwork::new(1);
    let delay = Some(ms(700));
    let (mut a, mut b) = (
        attach_late(&network, 1, delay),
        attach_late(&network, 2, delay),
    );

    want(&mut a, 2);
    want(&mut b, 1);
    connect(&mut a, &mut b).await;

    assert_eq!(
        a.link(id(2)).map(|link| link.generation),
        b.link(id(1)).map(|link| link.generation)
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_sign_is_told() {
    let network = MemoryNetwork::new(1);
    let (mut a, mut b) = (attach_late(&network, 1, None), attach(&network, 2, true));

    want(&mut a, 2);
    let failed = tokio::select! { event = next(&mut a) => event, event = next(&mut b) => event };

    assert!(
        matches!(
            failed,
            LinkEvent::Failed {
                error: LinkError::NotSigned,
                ..
            }
        ),
        "{failed:?}"
    );
}

/// A member that stood still, for less than a link lives, reads what has come meanwhile before it judges.
#[tokio::test(start_paused = true)]
async fn a_pause_that_is_shorter_than_a_link_lives_ends_no_link() {
    for pause in [30, 46] {
        let network = MemoryNetwork::new(1);
        let (mut awake, mut paused) = (attach(&network, 1, true), attach(&network, 2, true));
        awake.want(&[Wanted {
            peer: id(2),
            keys: vec![key(2)],
            addresses: vec![],
        }]);
        connect(&mut awake, &mut paused).await;
        for _ in 0..25 {
            awake.send(id(2), DATAGRAM, "to".into()).expect("it is up");
            paused
                .send(id(1), DATAGRAM, "fro".into())
                .expect("it is up");
            read(&mut awake).await;
            read(&mut paused).await;
            tokio::time::sleep(ms(100)).await;
        }

        for _ in 0..pause {
            awake.send(id(2), DATAGRAM, "to".into()).expect("it is up");
            read(&mut awake).await;
            tokio::time::sleep(ms(100)).await;
        }

        let events = read(&mut paused).await;
        let is_frame = |event: &LinkEvent| matches!(event, LinkEvent::Frame { .. });
        assert!(events.iter().all(is_frame), "{pause}: {events:?}");
        assert_eq!(events.len(), pause);
    }
}

/// Whatever there is.
async fn read(end: &mut Endpoint) -> Vec<LinkEvent> {
    let mut events = vec![];
    poll_fn(|context| {
        while let Poll::Ready(Some(event)) = end.poll_link_event(context) {
            events.push(event);
        }
        Poll::Ready(())
    })
    .await;
    events
}
