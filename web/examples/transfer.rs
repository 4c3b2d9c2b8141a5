//! Moves bulk between two tabs while both send heartbeats, for `web/tests/browser/transfer.mjs`, which loads it in
//! each: ends that are connected by hand, with links and nothing above them.

#![cfg(target_arch = "wasm32")]

#[path = "../../transport/tests/websocket_kit/cluster.rs"]
mod cluster;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, select_biased};
use js_sys::Date;
use liferaft_platform::{now, sleep_until};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::LinkEvent;
use liferaft_transport::webrtc::{
    ByHand, UNACKNOWLEDGED_BYTES_MAX, WebRtcCarrier, WebRtcConfig, WebRtcMeter,
};
use liferaft_transport::{DeliveryClass, ServerId};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

use crate::cluster::{endpoint, id, wanted};

const FRAME_BYTES: usize = 1024 * 1024;
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(10);

/// One of two ends: the first sends, the second looks for the first and receives.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Tab {
    by_hand: ByHand,
    meter: WebRtcMeter,
    seen: Rc<RefCell<Seen>>,
}

/// What an end has seen, in milliseconds of the system's clock, which is the same in all tabs.
#[derive(Debug, Default)]
struct Seen {
    began: Option<f64>,
    ended: Option<f64>,
    /// When heartbeats arrived while bulk was under way, and how long they were under way.
    heartbeats: Vec<(f64, f64)>,
    links_down: u32,
}

/// What an end measured.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// When the first frame was sent or had arrived, in milliseconds.
    pub began: f64,
    /// When the last had.
    pub ended: f64,
    /// The heartbeats that arrived between.
    pub heartbeats: usize,
    /// How long a heartbeat was under way, in milliseconds.
    pub p50: f64,
    /// How long 99 of 100 were under way at most.
    pub p99: f64,
    /// The longest time without any.
    pub gap: f64,
    /// How often a link went down.
    pub links_down: u32,
    /// Connections that were closed because the other end sent more than it had credit for, or what is no packet.
    pub broken: u64,
    /// The most bytes that were under way unacknowledged.
    pub unacknowledged_peak: u64,
    /// How many may be.
    pub unacknowledged_max: usize,
}

#[wasm_bindgen]
impl Tab {
    /// Makes the first or the second end. It moves so many MiB once both are linked.
    #[wasm_bindgen(constructor)]
    pub fn new(number: u8, mebibytes: usize) -> Tab {
        let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default());
        let (by_hand, meter) = (carrier.by_hand(), carrier.meter());
        let mut end = endpoint(number, carrier);
        let other = 3 - number;
        if number == 2 {
            let address = format!("rtc:{:032x}", id(other).0);
            end.want(&[wanted(other, &address.parse().expect("an address"))]);
        }
        let seen = Rc::new(RefCell::new(Seen::default()));
        let role = match number {
            1 => Role::Sender(mebibytes),
            _ => Role::Receiver(mebibytes),
        };
        spawn_local(run(end, id(other), role, Rc::clone(&seen)));
        Self {
            by_hand,
            meter,
            seen,
        }
    }

    /// Makes an offer.
    pub async fn offer(&self) -> Result<String, JsError> {
        Ok(self.by_hand.offer().await?)
    }

    /// Takes an offer, and returns the answer; or takes an answer.
    pub async fn take(&self, text: String) -> Result<Option<String>, JsError> {
        Ok(self.by_hand.take(&text).await?)
    }

    /// Returns what it has measured, once all has arrived.
    pub fn report(&self) -> Option<Report> {
        let seen = self.seen.borrow();
        let (began, ended) = (seen.began?, seen.ended?);
        let gaps = seen.heartbeats.windows(2);
        let gap = gaps.map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max);
        let mut delays: Vec<f64> = seen.heartbeats.iter().map(|(_, delay)| *delay).collect();
        delays.sort_by(f64::total_cmp);
        let at = |share: usize| {
            let place = delays.len().saturating_sub(1) * share / 100;
            delays.get(place).copied().unwrap_or(f64::INFINITY)
        };
        let counters = self.meter.read();
        Some(Report {
            began,
            ended,
            heartbeats: delays.len(),
            p50: at(50),
            p99: at(99),
            gap,
            links_down: seen.links_down,
            broken: counters.broken,
            unacknowledged_peak: counters.ordered_unacknowledged_peak,
            unacknowledged_max: UNACKNOWLEDGED_BYTES_MAX,
        })
    }
}

#[derive(Clone, Copy)]
enum Role {
    /// It sends so many frames, until the other end says that all have arrived.
    Sender(usize),
    Receiver(usize),
}

/// Sends heartbeats and perhaps bulk, for as long as there is the page.
async fn run(mut end: Endpoint, to: ServerId, role: Role, seen: Rc<RefCell<Seen>>) {
    let mut next_heartbeat = now();
    let (mut sent, mut arrived) = (0, 0);
    loop {
        let event = {
            let mut event = pin!(poll_fn(|context| end.poll_link_event(context)).fuse());
            let mut heartbeat = pin!(sleep_until(next_heartbeat).fuse());
            select_biased! {
                event = event => Some(event),
                () = heartbeat => None,
            }
        };
        match event {
            None => {
                next_heartbeat = now() + HEARTBEAT_INTERVAL;
                let sent_at = Bytes::copy_from_slice(&Date::now().to_le_bytes());
                let _not_up = end.send(to, DeliveryClass::Datagram, sent_at.into());
            }
            Some(None) => return pending().await,
            Some(Some(LinkEvent::Down { .. })) => seen.borrow_mut().links_down += 1,
            Some(Some(LinkEvent::Frame { class, frame, .. })) => {
                on_frame(class, &frame.into_bytes(), &mut seen.borrow_mut());
                if class == DeliveryClass::Stream {
                    arrived += 1;
                }
            }
            Some(Some(_)) => {}
        }
        match role {
            Role::Sender(frames) => {
                while sent < frames && end.room(to, DeliveryClass::Stream) >= FRAME_BYTES {
                    let frame = Bytes::from(vec![7; FRAME_BYTES]).into();
                    seen.borrow_mut().began.get_or_insert(Date::now());
                    end.send(to, DeliveryClass::Stream, frame)
                        .expect("there is room");
                    sent += 1;
                }
                if arrived > 0 {
                    seen.borrow_mut().ended.get_or_insert(Date::now());
                }
            }
            Role::Receiver(frames) if arrived == frames && seen.borrow().ended.is_none() => {
                seen.borrow_mut().ended = Some(Date::now());
                end.send(to, DeliveryClass::Stream, Bytes::from_static(b"all").into())
                    .expect("nothing waits");
            }
            Role::Receiver(_) => {}
        }
    }
}

fn on_frame(class: DeliveryClass, frame: &[u8], seen: &mut Seen) {
    let now = Date::now();
    if class == DeliveryClass::Stream {
        seen.began.get_or_insert(now);
        return;
    }
    let is_measured = seen.began.is_some() && seen.ended.is_none();
    if let Some(sent_at) = frame.first_chunk().copied().filter(|_| is_measured) {
        let delay = now - f64::from_le_bytes(sent_at);
        seen.heartbeats.push((now, delay));
    }
}
