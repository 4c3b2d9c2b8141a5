//! A snapshot under way, and heartbeats beside it.

use bytes::Bytes;
use liferaft_transport::DeliveryClass;
use liferaft_transport::links::LinkEvent;
use liferaft_transport::webrtc::{UNACKNOWLEDGED_BYTES_MAX, WebRtcConfig};

use crate::ends::{id, listen, next, pair};

const FRAMES: usize = 16;
const FRAME_BYTES: usize = 1024 * 1024;

/// That heartbeats come in time is for `cargo bench -p liferaft-transport --features webrtc --bench webrtc` to show,
/// which measures it. Here is why: what is under way stays bounded, and nothing is dropped.
#[tokio::test]
async fn bulk_leaves_room_for_heartbeats() {
    let (carrier, _) = listen(WebRtcConfig::default()).await;
    let meter = carrier.meter();
    let (mut a, mut b) = pair(carrier).await;
    let generation = b.link(id(1)).map(|link| link.generation);
    let (mut sent, mut arrived, mut heartbeats) = (0, 0, 0_usize);

    while arrived < FRAMES {
        while sent < FRAMES && a.room(id(2), DeliveryClass::Stream) >= FRAME_BYTES {
            let number = u8::try_from(sent).expect("there are few");
            let frame = Bytes::from(vec![number; FRAME_BYTES]).into();
            a.send(id(2), DeliveryClass::Stream, frame)
                .expect("there is room");
            sent += 1;
        }
        let event = tokio::select! {
            _ = next(&mut a) => continue,
            event = next(&mut b) => event,
        };
        let LinkEvent::Frame { class, frame, .. } = event else {
            continue;
        };
        if class == DeliveryClass::Datagram {
            heartbeats += 1;
            continue;
        }
        let frame = frame.into_bytes();
        assert_eq!(frame.len(), FRAME_BYTES);
        assert_eq!(usize::from(frame[0]), arrived, "in order");
        arrived += 1;
        // One each way: the leader's heartbeat, and what is answered.
        for (end, to) in [(&mut a, id(2)), (&mut b, id(1))] {
            end.send(to, DeliveryClass::Datagram, "heartbeat".into())
                .expect("heartbeats wait for no bulk");
        }
    }

    let counters = meter.read();
    assert!(heartbeats > 0, "{heartbeats}");
    assert_eq!(b.link(id(1)).map(|link| link.generation), generation);
    assert_eq!(counters.ordered_refused, 0, "{counters:?}");
    assert_eq!(counters.datagrams_dropped, 0, "{counters:?}");
    assert_eq!(
        (counters.broken, counters.udp_unsent),
        (0, 0),
        "{counters:?}"
    );
    let peak = counters.ordered_unacknowledged_peak;
    assert!(
        peak > 0 && peak <= UNACKNOWLEDGED_BYTES_MAX as u64,
        "{counters:?}"
    );
    let datagrams = FRAMES * FRAME_BYTES / 1_200;
    assert!(counters.udp_sent > datagrams as u64, "{counters:?}");
}
