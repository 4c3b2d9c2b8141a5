//! Several carriers: which is dialed, and what becomes of a path that closes.

use std::sync::Arc;
use std::time::Duration;

use liferaft_platform::{Boot, ClusterId, Versions};
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::carrier::{Binding, CarrierEvent, DialError};
use liferaft_transport::links::{
    CarrierTraits, Credentials, LinkError, LinkEvent, LinkLimits, LinkOutput, Links, Wanted,
};

use crate::world::{Medium, SEALED, id_of, key_of, ms, path_to};

const NOW: Duration = Duration::from_secs(100);

fn links(carriers: &[Medium]) -> Links {
    let credentials = Credentials {
        cluster: ClusterId(7),
        key: key_of(0),
        versions: Versions::only(1),
        starts: Boot {
            number: 1,
            nonce: 1,
        }
        .into(),
        vouchers: Arc::new([]),
        role: Role::Member,
        token: None,
    };
    let traits = carriers.iter().map(CarrierTraits::from).collect();
    Links::new(credentials, LinkLimits::default(), traits, [7; 32], NOW)
}

fn want(links: &mut Links, addresses: &[&str]) {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    links.want(&[Wanted {
        peer: id_of(1),
        keys: vec![key_of(1)],
        addresses,
    }]);
}

fn outputs(links: &mut Links) -> Vec<LinkOutput> {
    std::iter::from_fn(|| links.next_output()).collect()
}

#[test]
fn an_address_that_no_carrier_dials_is_passed_over() {
    let mut links = links(&[SEALED]);

    want(&mut links, &["pigeon:home", "test:1"]);
    let outputs = outputs(&mut links);

    let Some(LinkEvent::Failed { address, error, .. }) = links.next_event() else {
        panic!("the attempt is told to have come to nothing");
    };
    assert_eq!(address.as_str(), "pigeon:home");
    assert_eq!(error, LinkError::NoCarrier(address));
    assert!(
        matches!(&outputs[..], [LinkOutput::Dial { carrier: 0, address, .. }] if address.as_str() == "test:1")
    );
}

#[test]
fn a_carrier_that_cannot_dial_is_asked_again_later() {
    let mut links = links(&[SEALED]);
    want(&mut links, &["test:1"]);
    let Some(LinkOutput::Dial {
        attempt, address, ..
    }) = links.next_output()
    else {
        panic!("it dials");
    };

    let connections_max = 1;
    let full = DialError::TooMany {
        address,
        connections_max,
    };
    links.on_dialed(attempt, Err(full));
    links.on_time(NOW + ms(10));
    assert_eq!(outputs(&mut links), []);
    links.on_time(NOW + ms(200));

    assert!(matches!(outputs(&mut links)[..], [LinkOutput::Dial { .. }]));
}

#[test]
fn a_path_that_closes_during_the_handshake_ends_the_attempt() {
    let mut links = links(&[SEALED]);
    want(&mut links, &["test:1"]);
    let Some(LinkOutput::Dial { attempt, .. }) = links.next_output() else {
        panic!("it dials");
    };
    links.on_dialed(attempt, Ok(path_to(1)));
    assert!(matches!(outputs(&mut links)[..], [LinkOutput::Send { .. }]));

    let closed = CarrierEvent::Closed { path: path_to(1) };
    links.on_carrier_event(0, closed, &AccessTable::default());

    assert_eq!(links.handshakes(), 0);
    assert!(matches!(
        links.next_event(),
        Some(LinkEvent::Failed {
            error: LinkError::PathClosed,
            ..
        })
    ));
}

#[test]
fn a_bound_connection_begins_the_handshake_anew() {
    let mut links = links(&[SEALED]);
    want(&mut links, &["test:1"]);
    let Some(LinkOutput::Dial { attempt, .. }) = links.next_output() else {
        panic!("it dials");
    };
    links.on_dialed(attempt, Ok(path_to(1)));
    let unbound = outputs(&mut links);

    let binding = Some(Binding {
        own: [1; 32],
        peer: [2; 32],
    });
    let opened = CarrierEvent::Opened {
        path: path_to(1),
        binding,
    };
    links.on_carrier_event(0, opened, &AccessTable::default());

    let bound = outputs(&mut links);
    assert!(matches!(bound[..], [LinkOutput::Send { .. }]));
    assert_ne!(bound, unbound);
    assert_eq!(links.handshakes(), 1);
}

#[test]
fn no_more_peers_are_dialed_at_a_time_than_allowed() {
    let mut links = links(&[SEALED]);
    let wanted: Vec<Wanted> = (1..100).map(crate::world::wanted).collect();

    links.want(&wanted);
    links.on_time(NOW + ms(1));

    assert_eq!(
        outputs(&mut links).len(),
        liferaft_transport::links::DIALS_MAX
    );
}
