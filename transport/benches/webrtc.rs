//! Measures data channels on loopback: heartbeats beside a snapshot, and 41 ends in full mesh. Each line has the target
//! that it is measured against.
//!
//! `cargo bench -p liferaft-transport --features webrtc --bench webrtc`

#[path = "../tests/websocket_kit/cluster.rs"]
mod cluster;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::select_all;
use liferaft_platform::Address;
use liferaft_transport::access::AccessTable;
use liferaft_transport::endpoint::{Endpoint, Signer};
use liferaft_transport::links::{LinkEvent, Wanted};
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcMeter};
use liferaft_transport::{DeliveryClass, ServerId};

use cluster::{endpoint, id, wanted};

const FRAMES: usize = 16;
const FRAME_BYTES: usize = 1024 * 1024;
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(10);
const ENDS: u8 = 41;

fn main() {
    for _ in 0..3 {
        on_this_thread(snapshot());
    }
    on_this_thread(mesh());
}

fn on_this_thread<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("there is a thread");
    runtime.block_on(future)
}

async fn listen() -> (WebRtcCarrier, Address) {
    let loopback = "127.0.0.1:0".parse().expect("a socket address");
    let carrier = WebRtcCarrier::listen(WebRtcConfig::default(), loopback).await;
    let carrier = carrier.expect("loopback has free ports");
    let address = carrier.local_address().expect("it listens");
    (carrier, address)
}

async fn next(end: &mut Endpoint) -> LinkEvent {
    let event = poll_fn(|context| end.poll_link_event(context)).await;
    event.expect("the end is not closed")
}

/// Moves 16 MiB from one end to another, each on a thread of its own, while both send heartbeats.
async fn snapshot() {
    let began = Instant::now();
    let (tell, told) = std::sync::mpsc::channel();
    let sender = std::thread::spawn(move || {
        on_this_thread(async move {
            let (carrier, address) = listen().await;
            let is_told = tell.send((address, carrier.meter()));
            is_told.expect("the other thread waits");
            exchange(endpoint(1, carrier), id(2), began, FRAMES).await;
        });
    });
    let (address, meter) = told.recv().expect("the other thread listens");
    let mut receiving = endpoint(2, WebRtcCarrier::dial_only(WebRtcConfig::default()));
    receiving.want(&[wanted(1, &address)]);
    let receiver = exchange(receiving, id(1), began, 0).await;
    sender.join().expect("it is told goodbye");

    let mut delays = receiver.delays;
    let gaps = delays.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let gap = gaps.max().unwrap_or_default();
    delays.sort_by_key(|(_, delay)| *delay);
    let at = |share: usize| delays[(delays.len() - 1) * share / 100].1;
    let time = receiver.ended - receiver.began;
    println!(
        "snapshot: 16 MiB in {time:.0?} (target 3 s); heartbeats p50 {:.1?}, p99 {:.1?} (target 150 ms), worst gap \
         {gap:.0?} (target 300 ms), {} of them",
        at(50),
        at(99),
        delays.len(),
    );
    println!("          {:?}", meter.read());
}

/// What an end has seen.
struct Seen {
    /// When heartbeats arrived, and how long they were under way.
    delays: Vec<(Instant, Duration)>,
    began: Instant,
    ended: Instant,
}

/// Sends some frames and a heartbeat every now and then, until the other end's frames have arrived.
async fn exchange(mut end: Endpoint, to: ServerId, epoch: Instant, frames: usize) -> Seen {
    let (mut sent, mut arrived, mut delays) = (0, 0, Vec::new());
    let mut heartbeat = tokio::time::interval(HEARTBEAT_INTERVAL);
    let mut began = None;
    while arrived < FRAMES {
        let event = tokio::select! {
            event = next(&mut end) => Some(event),
            _ = heartbeat.tick() => None,
        };
        if event.is_none() {
            let micros = u64::try_from(epoch.elapsed().as_micros()).expect("it is short");
            let text = Bytes::copy_from_slice(&micros.to_le_bytes());
            let _not_up = end.send(to, DeliveryClass::Datagram, text.into());
        }
        match event {
            Some(LinkEvent::Up(_)) => began = Some(Instant::now()),
            Some(LinkEvent::Frame {
                class: DeliveryClass::Datagram,
                frame,
                ..
            }) => {
                let text = frame.into_bytes();
                let micros = u64::from_le_bytes(text[..].try_into().expect("eight bytes"));
                let now = Instant::now();
                delays.push((now, now - epoch - Duration::from_micros(micros)));
            }
            Some(LinkEvent::Frame { .. }) => arrived += 1,
            Some(LinkEvent::Down { .. }) => break,
            _ => {}
        }
        while sent < frames && end.room(to, DeliveryClass::Stream) >= FRAME_BYTES {
            let frame = Bytes::from(vec![7; FRAME_BYTES]).into();
            end.send(to, DeliveryClass::Stream, frame)
                .expect("there is room");
            sent += 1;
        }
    }
    Seen {
        delays,
        began: began.expect("the link came up"),
        ended: Instant::now(),
    }
}

/// Links 41 ends with each other, of which each listens and dials all others.
async fn mesh() {
    let mut carriers = Vec::new();
    let mut wants: Vec<Wanted> = Vec::new();
    for number in 1..=ENDS {
        let (carrier, address) = listen().await;
        wants.push(wanted(number, &address));
        carriers.push(carrier);
    }
    let meters: Vec<WebRtcMeter> = carriers.iter().map(WebRtcCarrier::meter).collect();
    let (began, cpu) = (Instant::now(), cpu_time());
    let mut ends: Vec<Endpoint> = (1..)
        .zip(carriers)
        .map(|(number, carrier)| of_mesh(number, carrier))
        .collect();
    for end in &mut ends {
        end.want(&wants);
    }

    let mut links = 0;
    while links < usize::from(ENDS) * usize::from(ENDS - 1) {
        let polls = ends.iter_mut().map(|end| Box::pin(next(end)));
        let (event, _, _) = select_all(polls).await;
        match event {
            LinkEvent::Up(_) => links += 1,
            LinkEvent::Down { .. } => links -= 1,
            _ => {}
        }
    }

    let (time, cpu) = (began.elapsed(), cpu_time().saturating_sub(cpu));
    println!("mesh: {ENDS} ends, {links} links up in {time:.2?}, {cpu:.2?} of CPU (target 8 s)");
    let total = |of: fn(&WebRtcMeter) -> u64| meters.iter().map(of).sum::<u64>();
    println!(
        "      {} connections opened, {} not opened, {} refused, {} datagrams of UDP",
        total(|meter| meter.read().opened),
        total(|meter| meter.read().unopened),
        total(|meter| meter.read().refused),
        total(|meter| meter.read().udp_sent),
    );
}

/// Makes an end of a cluster of all ends.
fn of_mesh(number: u8, carrier: WebRtcCarrier) -> Endpoint {
    let signer = cluster::signer(number);
    let key = signer.public_key();
    let mut end = Endpoint::new(signer, carrier);
    let access = AccessTable {
        members: (1..=ENDS).map(id).collect(),
        ..AccessTable::default()
    };
    end.introduce(cluster::credentials(key), Arc::new(access));
    end
}

/// Returns the CPU time of this thread, where the system tells it.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
