//! What links cost beside the transport that they are to replace: datagram frames from end to end, 64 at a time.

use std::future::poll_fn;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use liferaft_platform::{Boot, ClusterId, Versions};
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::endpoint::{Endpoint, KeySigner, Signer};
use liferaft_transport::links::{Credentials, LinkEvent, LinkLimits, Wanted};
use liferaft_transport::memory::{MemoryCarrier, MemoryNetwork, MemoryTransport};
use liferaft_transport::{DeliveryClass, Event, ServerId, Transport};
use tokio::runtime::{Builder, Runtime};

const FRAMES: usize = 64;

fn signer(number: u8) -> KeySigner {
    KeySigner::from_secret(&[number; 32])
}

fn endpoint(network: &MemoryNetwork, number: u8, is_sealed: bool) -> Endpoint {
    let key = signer(number).public_key();
    let credentials = Credentials {
        cluster: ClusterId(7),
        key,
        versions: Versions::only(1),
        boot: Boot {
            number: 1,
            nonce: 1,
        },
        vouchers: Arc::default(),
        role: Role::Member,
        token: None,
    };
    let access = AccessTable {
        members: [1, 2].map(|number| signer(number).public_key()).into(),
        ..AccessTable::default()
    };
    let carrier = network
        .attach_carrier(key.server_id())
        .expect("it is not attached yet");
    let carrier = if is_sealed { carrier.sealed() } else { carrier };
    let limits = LinkLimits::default();
    let (signer, access) = (Arc::new(signer(number)), Arc::new(access));
    Endpoint::new(credentials, limits, vec![Box::new(carrier)], signer, access)
}

/// Two ends whose link is up.
async fn linked(is_sealed: bool) -> (Endpoint, Endpoint) {
    let network = MemoryNetwork::new(1);
    let mut ends = [1, 2].map(|number| endpoint(&network, number, is_sealed));
    let [a, b] = &mut ends;
    a.want(&[Wanted {
        peer: b.local(),
        keys: vec![signer(2).public_key()],
        addresses: vec![MemoryCarrier::address_of(b.local())],
    }]);
    while a.link(b.local()).is_none() || b.link(a.local()).is_none() {
        tokio::select! {
            _ = poll_fn(|context| a.poll_event(context)) => {}
            _ = poll_fn(|context| b.poll_event(context)) => {}
        }
    }
    let [a, b] = ends;
    (a, b)
}

async fn by_links(a: &mut Endpoint, b: &mut Endpoint, frame: &Bytes) {
    let peer = b.local();
    for _ in 0..FRAMES {
        a.send(peer, DeliveryClass::Datagram, frame.clone())
            .expect("there is room");
    }
    let mut left = FRAMES;
    while left > 0 {
        let event = poll_fn(|context| b.poll_event(context)).await;
        left -= usize::from(matches!(black_box(event), Some(LinkEvent::Frame { .. })));
    }
    // Lets it hear that the other end is there.
    tokio::select! { biased; _ = poll_fn(|context| a.poll_event(context)) => {}, () = async {} => {} }
}

async fn by_transport(a: &mut MemoryTransport, b: &mut MemoryTransport, frame: &Bytes) {
    for _ in 0..FRAMES {
        a.send(b.local(), DeliveryClass::Datagram, frame.clone())
            .expect("there is room");
    }
    let mut left = FRAMES;
    while left > 0 {
        let event = poll_fn(|context| b.poll_event(context)).await;
        left -= usize::from(matches!(black_box(event), Some(Event::Frame { .. })));
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime of one thread")
}

fn datagrams(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("datagram frames");
    group.throughput(Throughput::Elements(FRAMES as u64));
    let runtime = runtime();
    for (name, bytes) in [("256 B", 256), ("16 KiB", 16 * 1024)] {
        let frame = Bytes::from(vec![7; bytes]);
        let network = MemoryNetwork::new(1);
        let attach = |peer| network.attach(ServerId(peer)).expect("it is not attached");
        let (mut a, mut b) = (attach(1), attach(2));
        group.bench_function(format!("{name}, memory transport"), |bencher| {
            bencher.iter(|| runtime.block_on(by_transport(&mut a, &mut b, &frame)));
        });
        for (how, is_sealed) in [("links inside", false), ("sealed links", true)] {
            let (mut a, mut b) = runtime.block_on(linked(is_sealed));
            group.bench_function(format!("{name}, {how}"), |bencher| {
                bencher.iter(|| runtime.block_on(by_links(&mut a, &mut b, &frame)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, datagrams);
criterion_main!(benches);
