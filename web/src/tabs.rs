//! Carries signals between the tabs of one browser that are members of the same cluster, so that they find each other
//! while no signaling server is there, also when all of them are loaded anew.
//!
//! A message is a `Uint8Array`: 16 bytes name whom it is for, or are zero if it is for all, 16 name who has sent it,
//! and the rest is a signal. Without a signal it says that its sender is there; who hears that for all says so too.
//! Anything of the same origin may send any message. Nothing is believed: a handshake proves who is there.

use std::task::{Context, Poll};

use futures::StreamExt;
use futures::channel::mpsc;
use js_sys::Uint8Array;
use liferaft::transport::carrier::SIGNAL_BYTES_MAX;
use liferaft::transport::signaling::{Signal, Signaling, SignalingEvent};
use liferaft::{ClusterId, ServerId};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{BroadcastChannel, MessageEvent};

/// The bytes of an id.
const ID_BYTES: usize = size_of::<u128>();

/// The bytes before the signal.
const HEAD_BYTES: usize = 2 * ID_BYTES;

/// The most messages that wait to be sent, and that wait to be read. Those beyond are dropped, and repeated by whoever
/// has sent them.
const WAITING_MAX: usize = 64;

/// For whom a message is that is for all.
const ALL: ServerId = ServerId(0);

type Message = Vec<u8>;

/// A way to the other tabs of the browser.
pub(crate) struct Tabs {
    site: String,
    own: ServerId,
    sent: Option<mpsc::Sender<Message>>,
    heard: mpsc::Receiver<Message>,
    /// Taken by the task of the channel.
    hears: Option<mpsc::Sender<Message>>,
    is_told: bool,
}

impl Tabs {
    /// A way to the tabs that are members of this cluster.
    pub(crate) fn of(cluster: ClusterId) -> Self {
        let (hears, heard) = mpsc::channel(WAITING_MAX);
        Self {
            site: format!("liferaft/signals/{cluster:?}"),
            own: ALL,
            sent: None,
            heard,
            hears: Some(hears),
            is_told: false,
        }
    }

    fn post(&mut self, to: ServerId, signal: &[u8]) {
        let mut message = Vec::with_capacity(HEAD_BYTES + signal.len());
        message.extend(to.0.to_be_bytes());
        message.extend(self.own.0.to_be_bytes());
        message.extend(signal);
        if let Some(sent) = &mut self.sent {
            // One that finds no room is lost.
            let _full = sent.try_send(message);
        }
    }

    /// Returns what a message tells, if it is for this tab.
    fn read(&mut self, message: &[u8]) -> Option<SignalingEvent> {
        let (to, rest) = message.split_first_chunk::<ID_BYTES>()?;
        let (from, signal) = rest.split_first_chunk::<ID_BYTES>()?;
        let to = ServerId(u128::from_be_bytes(*to));
        let from = ServerId(u128::from_be_bytes(*from));
        if from == self.own || from == ALL || (to != self.own && to != ALL) {
            return None;
        }
        if !signal.is_empty() {
            let signal = Signal::from_bytes(signal)?;
            return Some(SignalingEvent::Signal { from, signal });
        }
        if to == ALL {
            self.post(from, &[]);
        }
        Some(SignalingEvent::Present(vec![from]))
    }
}

impl Signaling for Tabs {
    fn introduce(&mut self, local: ServerId) {
        self.own = local;
        if let Some(hears) = self.hears.take() {
            let (sent, posts) = mpsc::channel(WAITING_MAX);
            self.sent = Some(sent);
            spawn_local(run(self.site.clone(), posts, hears));
            self.look_around();
        }
    }

    fn send(&mut self, to: ServerId, signal: &Signal) {
        self.post(to, &signal.to_bytes());
    }

    fn look_around(&mut self) {
        self.post(ALL, &[]);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<SignalingEvent>> {
        if !std::mem::replace(&mut self.is_told, true) {
            return Poll::Ready(Some(SignalingEvent::Ready));
        }
        for _ in 0..WAITING_MAX {
            match self.heard.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => {
                    if let Some(event) = self.read(&message) {
                        return Poll::Ready(Some(event));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Moves messages until the way is dropped. A browser without such channels has no way here.
async fn run(site: String, mut posts: mpsc::Receiver<Message>, hears: mpsc::Sender<Message>) {
    let Ok(channel) = BroadcastChannel::new(&site) else {
        return;
    };
    let mut hears = hears;
    let hear = Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
        let event: MessageEvent = event.unchecked_into();
        if let Ok(message) = event.data().dyn_into::<Uint8Array>()
            && usize::try_from(message.length())
                .is_ok_and(|bytes| bytes <= HEAD_BYTES + SIGNAL_BYTES_MAX)
        {
            // One that finds no room is lost.
            let _full = hears.try_send(message.to_vec());
        }
    });
    channel.set_onmessage(Some(hear.as_ref().unchecked_ref()));
    while let Some(message) = posts.next().await {
        // What is bytes can be posted.
        let _posted = channel.post_message(&Uint8Array::from(&message[..]).into());
    }
    channel.set_onmessage(None);
    channel.close();
}
