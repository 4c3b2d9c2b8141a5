//! What it costs to know who is at the other end: handshakes, and the sealing of each packet.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::{Signer, SigningKey};
use liferaft_platform::{Boot, ClusterId, PublicKey, Versions};
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::handshake::{
    Established, Initiator, Intent, Local, Output, Protection, Responder,
};
use liferaft_transport::sealing::{Opener, Sealer, Secret};

/// A member that knows itself and another.
struct Server {
    key: SigningKey,
    local: Local,
    table: AccessTable,
}

impl Server {
    fn new(number: u8, other: u8) -> Self {
        let public = |number| PublicKey(key(number).verifying_key().to_bytes());
        Self {
            key: key(number),
            local: Local {
                cluster: ClusterId(7),
                key: public(number),
                versions: Versions::only(1),
                starts: Boot {
                    number: 1,
                    nonce: 1,
                }
                .into(),
                vouchers: Arc::default(),
                protection: Protection::Sealed,
            },
            table: AccessTable {
                members: [number, other]
                    .map(|number| public(number).server_id())
                    .into(),
                ..AccessTable::default()
            },
        }
    }

    fn initiator(&self, entropy: u8) -> Initiator {
        let intent = Intent {
            role: Role::Member,
            token: None,
            expected: Vec::new(),
        };
        Initiator::new(self.local.clone(), intent, [entropy; 32])
    }

    fn responder(&self, entropy: u8) -> Responder {
        Responder::new(self.local.clone(), [entropy; 32])
    }

    fn sign(&self, output: &Output) -> [u8; 64] {
        let Output::Sign(bytes) = output else {
            panic!("nothing to sign: {output:?}");
        };
        self.key.sign(bytes).to_bytes()
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn sent(output: Output) -> Bytes {
    match output {
        Output::Send(bytes) => bytes,
        other => panic!("nothing to send: {other:?}"),
    }
}

/// Both ends of a handshake, their signatures included.
fn handshake(one: &Server, two: &Server) -> [Box<Established>; 2] {
    let (mut initiator, mut responder) = (one.initiator(1), two.responder(2));
    let opening = initiator.unanswered().expect("an opening");
    let answer = sent(responder.on_message(&opening, &two.table));
    let signature = one.sign(&initiator.on_message(&answer, &one.table));
    let claim = sent(initiator.on_signed(&signature));
    let signature = two.sign(&responder.on_message(&claim, &two.table));
    let Output::Done {
        last: Some(verdict),
        established: of_responder,
    } = responder.on_signed(&signature)
    else {
        panic!("no link");
    };
    let Output::Done { established, .. } = initiator.on_message(&verdict, &one.table) else {
        panic!("no link");
    };
    [established, of_responder]
}

fn handshakes(criterion: &mut Criterion) {
    let (one, two) = (Server::new(1, 2), Server::new(2, 1));
    let opening = one.initiator(1).unanswered().expect("an opening");
    let foreign = Local {
        cluster: ClusterId(8),
        ..two.local.clone()
    };
    let mut group = criterion.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    group.bench_function("both ends", |bencher| {
        bencher.iter(|| black_box(handshake(&one, &two)));
    });
    // What anybody can have a server do who knows the cluster's id, and who does not.
    group.bench_function("an opening", |bencher| {
        bencher.iter(|| black_box(two.responder(2).on_message(&opening, &two.table)));
    });
    group.bench_function("an opening of another cluster", |bencher| {
        bencher.iter(|| {
            let mut responder = Responder::new(foreign.clone(), [2; 32]);
            black_box(responder.on_message(&opening, &two.table))
        });
    });
    group.finish();
}

fn sealing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sealing");
    for (name, bytes) in [("256 B", 256), ("16 KiB", 16 * 1024)] {
        let body = vec![7; bytes];
        let mut sealer = Sealer::new(Secret::from_bytes([1; 32]));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("seal {name}"), |bencher| {
            bencher.iter(|| black_box(sealer.seal(&[], &body)));
        });
        let mut sealer = Sealer::new(Secret::from_bytes([1; 32]));
        let mut opener = Opener::new(Secret::from_bytes([1; 32]));
        group.bench_function(format!("open {name}"), |bencher| {
            bencher.iter_batched(
                || sealer.seal(&[], &body).expect("numbers are left"),
                |packet| opener.open(packet).expect("a sealed packet"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, handshakes, sealing);
criterion_main!(benches);
