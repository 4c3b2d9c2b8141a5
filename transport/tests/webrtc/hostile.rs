//! Signaling servers that lie.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use liferaft_platform::ServerId;
use liferaft_transport::carrier::Carrier;
use liferaft_transport::links::LinkEvent;
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcLimits};
use tokio::time::timeout;

use crate::between::Between;
use crate::ends::{PATIENCE, assert_linked, connect, during, endpoint, id, wanted};
use crate::exchange::{Carried, Exchange, address_of};

/// The server shows each end descriptions of its own, with the fingerprints of its own certificates, and passes on all
/// packets between the two connections as they are.
#[tokio::test]
async fn a_server_that_swaps_descriptions_gets_no_link() {
    let (of_first, of_second) = (Exchange::honest(), Exchange::honest());
    let mut a = endpoint(1, of_first.carrier());
    let mut b = endpoint(2, of_second.carrier());
    let (mut front, mut back) = (of_first.carrier(), of_second.carrier());
    front.introduce(id(2));
    back.introduce(id(1));
    let mut between = Between::new(front, back, address_of(id(2)));
    a.want(&[wanted(2, &address_of(id(2)))]);

    let mut tried = 0;
    let trying = async {
        while tried < 2 {
            let event = tokio::select! {
                event = poll_fn(|context| a.poll_link_event(context)) => event,
                event = poll_fn(|context| b.poll_link_event(context)) => event,
                () = poll_fn(|context| between.poll(context)) => continue,
            };
            match event {
                Some(LinkEvent::Failed { .. }) => tried += 1,
                Some(LinkEvent::Up(link)) => panic!("{link:?}"),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, trying).await.expect("it is tried twice");

    assert!(a.link(id(2)).is_none() && b.link(id(1)).is_none());
    assert!(between.passed >= 2, "{}", between.passed);
}

/// Both ends have a second way, which is honest.
#[tokio::test]
async fn a_server_that_swaps_descriptions_keeps_nobody_from_another_way() {
    let (hostile, of_second) = (Exchange::honest(), Exchange::honest());
    let mut impostor = hostile.carrier();
    impostor.introduce(id(2));
    let honest = Exchange::honest();
    let mut carrier = hostile.carrier();
    assert!(carrier.add_signaling(honest.end()));
    let mut a = endpoint(1, carrier);
    let mut carrier = of_second.carrier();
    assert!(carrier.add_signaling(honest.end()));
    let mut b = endpoint(2, carrier);

    a.want(&[wanted(2, &address_of(id(2)))]);
    let attack = async {
        loop {
            poll_fn(|context| impostor.poll(context)).await;
        }
    };

    tokio::select! {
        () = connect(&mut a, &mut b) => {}
        never = attack => never,
    }
}

#[tokio::test]
async fn a_server_that_swallows_everything_keeps_nobody_from_another_way() {
    let (silent, honest) = (Exchange::by(|_| Vec::new()), Exchange::honest());
    let both = || {
        let mut carrier = silent.carrier();
        assert!(carrier.add_signaling(honest.end()));
        carrier
    };
    let (mut a, mut b) = (endpoint(1, both()), endpoint(2, both()));

    a.want(&[wanted(2, &address_of(id(2)))]);

    connect(&mut a, &mut b).await;
}

/// Whatever a server makes up, it makes up so many signals.
const MADE_UP_MAX: usize = 20_000;

/// Carries each signal, and once it is told to be hostile all earlier ones again: to both ends, in the name of others,
/// and each changed in one byte.
struct Flood {
    is_hostile: Arc<AtomicBool>,
    earlier: Vec<Carried>,
    made_up: usize,
}

impl Flood {
    fn carry(&mut self, carried: Carried) -> Vec<Carried> {
        let mut flood = vec![carried.clone()];
        if self.is_hostile.load(Ordering::Relaxed) && self.made_up < MADE_UP_MAX {
            for (at, (from, to, bytes)) in self.earlier.iter().enumerate() {
                let invented = ServerId::from(u128::try_from(at).expect("they are few"));
                flood.push((*from, *to, bytes.clone()));
                flood.push((*to, *from, bytes.clone()));
                flood.push((invented, *to, bytes.clone()));
                for changed in 0..bytes.len() {
                    let mut other = bytes.to_vec();
                    other[changed] ^= 1;
                    flood.push((*from, *to, other.into()));
                }
            }
            self.made_up += flood.len();
        }
        if self.earlier.len() < 50 {
            self.earlier.push(carried);
        }
        flood
    }
}

/// The third end has a second way, which is honest: of a server that it does not need, a hostile one can keep it away.
#[tokio::test]
async fn replays_forged_senders_and_garbage_end_no_link_and_are_bounded() {
    let is_hostile = Arc::new(AtomicBool::new(false));
    let mut flood = Flood {
        is_hostile: Arc::clone(&is_hostile),
        earlier: Vec::new(),
        made_up: 0,
    };
    let exchange = Exchange::by(move |carried| flood.carry(carried));
    let honest = Exchange::honest();
    let mut limits = WebRtcLimits::default();
    limits.opening_max = 8;
    let config = WebRtcConfig::default()
        .on_this_machine()
        .with_limits(limits);
    let mut carrier = WebRtcCarrier::dial_only(config);
    assert!(carrier.add_signaling(exchange.end()));
    assert!(carrier.add_signaling(honest.end()));
    let meter = carrier.meter();
    let mut a = endpoint(1, carrier);
    let mut b = endpoint(2, exchange.carrier());
    b.want(&[wanted(1, &address_of(id(1)))]);
    connect(&mut a, &mut b).await;
    let generation = a.link(id(2)).map(|link| link.generation);

    is_hostile.store(true, Ordering::Relaxed);
    let mut carrier = exchange.carrier();
    assert!(carrier.add_signaling(honest.end()));
    let mut c = endpoint(3, carrier);
    c.want(&[wanted(1, &address_of(id(1)))]);
    let linked = async {
        while c.link(id(1)).is_none() {
            poll_fn(|context| c.poll_link_event(context)).await;
        }
    };
    during(&mut a, &mut b, linked).await;

    assert_linked(&mut a, &mut b).await;
    assert_eq!(a.link(id(2)).map(|link| link.generation), generation);
    // Each that came to nothing has had its 5 s.
    let counters = meter.read();
    assert!(counters.accepted <= 64, "{counters:?}");
}
