//! What waits on a connection whose other end does not read: how much, and which goes first.

use std::future::poll_fn;

use bytes::Bytes;
use liferaft_transport::carrier::{Carrier, CarrierEvent, CarryError, Channel, Packet, Path};
use liferaft_transport::websocket::{WebSocketCarrier, WebSocketConfig, WebSocketLimits};
use tokio::time::timeout;

use crate::ends::{PATIENCE, listen};
use crate::raw::Raw;

const ORDERED: u8 = 1;
const DATAGRAM: u8 = 2;
const PACKET_BYTES: usize = 8 * 1024;

fn packet(kind: u8) -> Packet {
    Bytes::from(vec![kind; PACKET_BYTES]).into()
}

async fn next(carrier: &mut WebSocketCarrier) -> CarrierEvent {
    let event = timeout(PATIENCE, poll_fn(|context| carrier.poll(context)));
    event
        .await
        .expect("an event comes in time")
        .expect("the carrier goes on")
}

/// A carrier, and a peer that has connected to it.
async fn connected() -> (WebSocketCarrier, Path, Raw) {
    let (mut carrier, _) = listen(WebSocketConfig::default()).await;
    let address = carrier.socket_address().expect("it listens");
    let upgraded = async {
        let mut raw = Raw::connect(address).await;
        raw.upgrade().await;
        raw
    };
    let (raw, opened) = tokio::join!(upgraded, next(&mut carrier));
    let CarrierEvent::Opened { path, .. } = opened else {
        panic!("it is opened: {opened:?}");
    };
    (carrier, path, raw)
}

/// Sends ordered packets until nothing more is taken, however long the connection's task is given.
async fn fill(carrier: &mut WebSocketCarrier, path: &Path) -> usize {
    let mut sent = 0;
    let mut refused = 0;
    while refused < 100 {
        match carrier.send(path, Channel::Ordered, packet(ORDERED)) {
            Ok(()) => (sent, refused) = (sent + 1, 0),
            Err(CarryError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    sent
}

#[tokio::test]
async fn a_datagram_overtakes_almost_all_that_is_ordered() {
    let (mut carrier, path, mut raw) = connected().await;

    let ordered = fill(&mut carrier, &path).await;
    let sent = carrier.send(&path, Channel::Datagram, packet(DATAGRAM));
    let reading = async {
        let mut before = 0;
        while raw.read_frame().await.expect("it goes on")[0] == ORDERED {
            before += 1;
        }
        before
    };
    let before = timeout(PATIENCE, reading).await.expect("it arrives");

    assert_eq!(sent, Ok(()));
    // In the kernels of both ends, and in the writer's hands: 128 KiB at the very most.
    assert!(before <= 16, "{before} of {ordered} packets go before it");
    assert!(ordered >= 100, "{ordered}");
}

#[tokio::test]
async fn a_slow_reader_costs_bounded_memory_and_gets_all_that_is_ordered() {
    let (mut carrier, path, mut raw) = connected().await;
    let limits = WebSocketLimits::default();

    let ordered = fill(&mut carrier, &path).await;
    let bytes = ordered * PACKET_BYTES;
    assert!(
        bytes < limits.ordered_queue_bytes_max + 256 * 1024,
        "{bytes}"
    );
    for _ in 0..1_000 {
        let sent = carrier.send(&path, Channel::Datagram, packet(DATAGRAM));
        assert_eq!(sent, Ok(()), "what has no room is dropped");
    }
    let dropped = carrier.meter().read().datagrams_dropped;
    let arriving = 1_000 - usize::try_from(dropped).expect("there are 1,000") + ordered;
    let reading = async {
        let mut arrived = 0;
        for _ in 0..arriving {
            let frame = raw.read_frame().await.expect("it goes on");
            arrived += usize::from(frame[0] == ORDERED);
        }
        arrived
    };
    let (arrived, event) = tokio::join!(timeout(PATIENCE, reading), next(&mut carrier));

    assert!(dropped > 800, "{dropped}");
    assert_eq!(arrived, Ok(ordered));
    assert_eq!(event, CarrierEvent::Writable { path });
}
