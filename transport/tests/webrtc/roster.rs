//! Ends that reach nobody, and signaling servers that say who else is there.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liferaft_platform::ServerId;
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::LinkEvent;
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcLimits};
use tokio::time::timeout;

use crate::ends::{PATIENCE, endpoint, id, next, wanted};
use crate::exchange::{Exchange, address_of};

/// How long dialing one who is not there may take.
const DIALING_TIME: Duration = Duration::from_secs(1);

/// An end that does not wait for long.
fn hasty(exchange: &Exchange) -> Endpoint {
    let mut limits = WebRtcLimits::default();
    limits.opening_time_max = DIALING_TIME;
    let config = WebRtcConfig::default()
        .on_this_machine()
        .with_limits(limits);
    let mut carrier = WebRtcCarrier::dial_only(config);
    assert!(carrier.add_signaling(exchange.end()));
    endpoint(1, carrier)
}

/// As a newcomer whose invitation was given by several members, and names one that is gone.
#[tokio::test]
async fn whoever_reaches_nobody_is_linked_with_one_that_is_listed() {
    let exchange = Exchange::honest().listing(&[id(9), id(3)]);
    let mut a = hasty(&exchange);
    let mut b = endpoint(3, exchange.carrier());

    let mut inviter = wanted(2, &address_of(id(2)));
    inviter.keys.extend(wanted(3, &address_of(id(3))).keys);
    a.want(&[inviter]);
    let linked = async {
        while a.link(id(3)).is_none() || b.link(id(1)).is_none() {
            tokio::select! {
                event = next(&mut a) => drop(event),
                event = next(&mut b) => drop(event),
            }
        }
    };

    timeout(PATIENCE, linked).await.expect("they are linked");
}

/// Of the last one it is true that it is there, but it has none of the keys that are wanted.
#[tokio::test]
async fn a_list_that_lies_costs_a_few_dials_and_leads_to_no_link() {
    let listed = [11, 12, 13, 14, 15, 16, 17, 3].map(id);
    let asked = Arc::<Mutex<BTreeSet<ServerId>>>::default();
    let asks = Arc::clone(&asked);
    let exchange = Exchange::by(move |carried| {
        asks.lock()
            .expect("nobody panics with it")
            .insert(carried.1);
        vec![carried]
    });
    let exchange = exchange.listing(&listed);
    let mut a = hasty(&exchange);
    let mut b = endpoint(3, exchange.carrier());

    a.want(&[wanted(2, &address_of(id(2)))]);
    let mut failed = BTreeSet::new();
    let dialing = async {
        while failed.len() <= listed.len() {
            let event = tokio::select! {
                event = poll_fn(|context| a.poll_link_event(context)) => event,
                _ = poll_fn(|context| b.poll_link_event(context)) => continue,
            };
            match event {
                Some(LinkEvent::Failed { peer, .. }) => drop(failed.insert(peer)),
                Some(LinkEvent::Up(link)) => panic!("{link:?}"),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, dialing).await.expect("all are dialed");

    let mut asked = asked.lock().expect("nobody panics with it").clone();
    asked.remove(&id(1));
    let dialed: BTreeSet<_> = listed.into_iter().chain([id(2)]).collect();
    assert_eq!(asked, dialed);
}
