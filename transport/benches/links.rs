//! What a frame costs from one end to the other in one process: over links that prove nothing, over links that prove
//! who is there, and over links that seal their packets as well.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use liferaft_platform::{Boot, ClusterId, PublicKey, Versions};
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::endpoint::{Endpoint, KeySigner, Signer};
use liferaft_transport::links::{Credentials, Wanted};
use liferaft_transport::memory::MemoryNetwork;
use liferaft_transport::{DeliveryClass, Event, Frame, ServerId, Transport};

/// What leads a frame, as long as what members lead theirs with.
const HEAD: Bytes = Bytes::from_static(&[7; 54]);

fn signer(number: u8) -> KeySigner {
    KeySigner::from_secret(&[number; 32])
}

fn key(number: u8) -> PublicKey {
    signer(number).public_key()
}

/// One of two ends, which wants a link to the other.
fn linked(network: &MemoryNetwork, number: u8, is_sealed: bool) -> Endpoint {
    let peer = key(3 - number).server_id();
    let carrier = network.attach_carrier(key(number).server_id());
    let carrier = carrier.expect("it is free");
    let carrier = if is_sealed { carrier.sealed() } else { carrier };
    let mut end = Endpoint::new(signer(number), carrier);
    let credentials = Credentials {
        cluster: ClusterId(7),
        key: key(number),
        versions: Versions::only(1),
        starts: Boot {
            number: 1,
            nonce: 1,
        }
        .into(),
        vouchers: Arc::default(),
        role: Role::Member,
        token: None,
    };
    let access = AccessTable {
        members: [peer].into(),
        ..AccessTable::default()
    };
    end.introduce(credentials, Arc::new(access));
    end.want(&[Wanted {
        peer,
        keys: Vec::new(),
        addresses: Vec::new(),
    }]);
    end
}

fn poll(end: &mut impl Transport) -> Poll<Option<Event>> {
    end.poll_event(&mut Context::from_waker(Waker::noop()))
}

/// Polls both ends until each has told that the other is there.
fn connect(ends: &mut [impl Transport; 2]) {
    let mut up = [false; 2];
    while up != [true; 2] {
        for (end, up) in ends.iter_mut().zip(&mut up) {
            *up |= matches!(poll(end), Poll::Ready(Some(Event::PeerUp(_))));
        }
    }
}

/// Sends a frame there and another back. Whoever has read one asks once more in vain, as a member does.
fn there_and_back(ends: &mut [impl Transport; 2], peers: [ServerId; 2], frame: &Frame) {
    for from in 0..2 {
        let to = 1 - from;
        let sent = ends[from].send(peers[to], DeliveryClass::Datagram, frame.clone());
        sent.expect("there is room");
        while !matches!(poll(&mut ends[to]), Poll::Ready(Some(Event::Frame { .. }))) {}
        assert!(poll(&mut ends[to]).is_pending());
    }
}

fn measure(criterion: &mut Criterion, name: &str, mut ends: [impl Transport; 2]) {
    connect(&mut ends);
    let peers = ends.each_ref().map(Transport::local);
    let mut group = criterion.benchmark_group(format!("links/{name}"));
    for bytes in [256, 16 << 10] {
        let frame = Frame::new(HEAD, Bytes::from(vec![7; bytes]));
        group.throughput(Throughput::Bytes(2 * frame.len() as u64));
        group.bench_function(BenchmarkId::new("there and back", bytes), |bencher| {
            bencher.iter(|| there_and_back(&mut ends, peers, black_box(&frame)));
        });
    }
}

fn links(criterion: &mut Criterion) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("a runtime starts");
    let _timers = runtime.enter();
    let network = || MemoryNetwork::new(1);
    let (plain, inside, sealed) = (network(), network(), network());
    let attach = |number| plain.attach(key(number).server_id()).expect("it is free");
    measure(criterion, "unproven", [1, 2].map(attach));
    measure(
        criterion,
        "proven",
        [1, 2].map(|number| linked(&inside, number, false)),
    );
    measure(
        criterion,
        "sealed",
        [1, 2].map(|number| linked(&sealed, number, true)),
    );
}

criterion_group!(benches, links);
criterion_main!(benches);
