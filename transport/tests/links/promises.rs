//! What every transport promises, kept by endpoints, whatever carries their links.

use std::time::Duration;

use liferaft_transport::conformance::{Fixture, check_all};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::{LinkLimits, Wanted};
use liferaft_transport::memory::{
    Delay, Faults, LINK_BYTES_MAX, MemoryNetwork, Probability, QUEUE_BYTES_MAX,
};

use crate::memory::{attach, endpoint, id, key};
use crate::udp::Udp;
use crate::world::ms;

fn number(end: usize) -> u8 {
    u8::try_from(end + 1).expect("there are few ends")
}

/// Lets each end want links to all others.
fn connect(
    mut ends: Vec<Endpoint>,
    addresses: &[Vec<liferaft_platform::Address>],
) -> Vec<Endpoint> {
    let wanted = |other: usize| Wanted {
        peer: id(number(other)),
        keys: vec![key(number(other))],
        addresses: addresses[other].clone(),
    };
    let all: Vec<Wanted> = (0..ends.len()).map(wanted).collect();
    ends.iter_mut().for_each(|end| end.want(&all));
    ends
}

/// Endpoints over a memory network.
struct Memory {
    is_sealed: bool,
    faults: Faults,
}

impl Fixture for Memory {
    type End = Endpoint;

    async fn connect(&mut self, ends: usize) -> Vec<Endpoint> {
        let network = MemoryNetwork::new(7);
        network.set_faults(self.faults);
        let addresses = vec![Vec::new(); ends];
        let ends = (0..ends).map(|end| attach(&network, number(end), self.is_sealed));
        connect(ends.collect(), &addresses)
    }

    /// What is under way, what waits in front of an end, and what its links keep.
    fn unread_bytes_max(&self) -> usize {
        LINK_BYTES_MAX + QUEUE_BYTES_MAX + LinkLimits::default().unread_bytes_max
    }
}

/// Endpoints over sockets of the loopback interface.
struct Sockets;

impl Fixture for Sockets {
    type End = Endpoint;

    async fn connect(&mut self, ends: usize) -> Vec<Endpoint> {
        let (mut endpoints, mut addresses) = (Vec::new(), Vec::new());
        for end in 0..ends {
            let carrier = Udp::bind().await.expect("the loopback has free ports");
            addresses.push(vec![carrier.address().expect("a socket has an address")]);
            endpoints.push(endpoint(number(end), carrier));
        }
        connect(endpoints, &addresses)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn silence(&self) -> Duration {
        ms(100)
    }

    fn unread_bytes_max(&self) -> usize {
        2 * LinkLimits::default().unread_bytes_max
    }
}

#[tokio::test(start_paused = true)]
async fn links_inside_a_process_keep_every_promise() {
    let faults = Faults::none();
    let mut memory = Memory {
        is_sealed: false,
        faults,
    };

    assert_eq!(check_all(&mut memory).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn sealed_links_keep_every_promise_over_a_bad_network() {
    let faults = Faults::none()
        .with_loss(Probability::percent(5))
        .with_duplication(Probability::percent(5))
        .with_reordering(Probability::percent(10))
        .with_delay(Delay::uniform(ms(1)..=ms(5)));
    let mut memory = Memory {
        is_sealed: true,
        faults,
    };

    assert_eq!(check_all(&mut memory).await, Ok(()));
}

#[tokio::test]
async fn links_over_udp_keep_every_promise() {
    assert_eq!(check_all(&mut Sockets).await, Ok(()));
}
