//! A signaling server in memory, which may do with signals whatever it likes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use liferaft_platform::{Address, ServerId};
use liferaft_transport::signaling::{Signal, Signaling, SignalingEvent};
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcConfig};

/// A signal on its way: from whom, to whom, and what.
pub(crate) type Carried = (ServerId, ServerId, Bytes);

type Rule = Box<dyn FnMut(Carried) -> Vec<Carried> + Send>;

/// Where ends register.
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Mutex<State>>);

struct State {
    rule: Rule,
    boxes: BTreeMap<ServerId, Inbox>,
    /// Who it says is there.
    listed: Vec<ServerId>,
}

#[derive(Default)]
struct Inbox {
    events: VecDeque<SignalingEvent>,
    waker: Option<Waker>,
}

impl Exchange {
    /// Carries everything as it is.
    pub(crate) fn honest() -> Self {
        Self::by(|carried| vec![carried])
    }

    /// Carries, of each signal, what a rule makes of it.
    pub(crate) fn by(rule: impl FnMut(Carried) -> Vec<Carried> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State {
            rule: Box::new(rule),
            boxes: BTreeMap::new(),
            listed: Vec::new(),
        })))
    }

    /// Says to whoever asks that these are there.
    pub(crate) fn listing(self, listed: &[ServerId]) -> Self {
        let mut state = self.0.lock().expect("nobody panics with it");
        state.listed.extend(listed);
        drop(state);
        self
    }

    /// Makes a carrier that others reach by this exchange alone.
    pub(crate) fn carrier(&self) -> WebRtcCarrier {
        let config = WebRtcConfig::default().on_this_machine();
        let mut carrier = WebRtcCarrier::dial_only(config);
        assert!(carrier.add_signaling(self.end()));
        carrier
    }

    pub(crate) fn end(&self) -> impl Signaling {
        End(self.clone(), None)
    }
}

struct End(Exchange, Option<ServerId>);

impl Signaling for End {
    fn introduce(&mut self, local: ServerId) {
        self.1 = Some(local);
        let mut state = self.0.0.lock().expect("nobody panics with it");
        let inbox = state.boxes.entry(local).or_default();
        inbox.events.push_back(SignalingEvent::Ready);
    }

    fn send(&mut self, to: ServerId, signal: &Signal) {
        let from = self.1.expect("it was introduced");
        let state = &mut *self.0.0.lock().expect("nobody panics with it");
        for (from, to, bytes) in (state.rule)((from, to, signal.to_bytes())) {
            let (Some(inbox), Some(signal)) =
                (state.boxes.get_mut(&to), Signal::from_bytes(&bytes))
            else {
                continue;
            };
            inbox
                .events
                .push_back(SignalingEvent::Signal { from, signal });
            if let Some(waker) = inbox.waker.take() {
                waker.wake();
            }
        }
    }

    fn look_around(&mut self) {
        let mut state = self.0.0.lock().expect("nobody panics with it");
        let present = SignalingEvent::Present(state.listed.clone());
        if let Some(inbox) = self.1.and_then(|own| state.boxes.get_mut(&own)) {
            inbox.events.push_back(present);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<SignalingEvent>> {
        let mut state = self.0.0.lock().expect("nobody panics with it");
        let inbox = self.1.and_then(|own| state.boxes.get_mut(&own));
        let Some(inbox) = inbox else {
            return Poll::Pending;
        };
        if let Some(event) = inbox.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The address of an end of which nothing is known but its id.
pub(crate) fn address_of(server: ServerId) -> Address {
    let address = format!("rtc:{:032x}", u128::from(server));
    address.parse().expect("an address")
}
