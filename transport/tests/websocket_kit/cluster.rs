//! The ends of one cluster.

use std::sync::Arc;

use liferaft_platform::{Address, Boot, ClusterId, PublicKey, ServerId, Versions};
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::carrier::Carrier;
use liferaft_transport::endpoint::{Endpoint, KeySigner, Signer};
use liferaft_transport::links::{Credentials, LinkLimits, Wanted};

pub(crate) fn signer(number: u8) -> KeySigner {
    KeySigner::from_secret(&[number; 32])
}

pub(crate) fn id(number: u8) -> ServerId {
    signer(number).public_key().server_id()
}

fn key(number: u8) -> PublicKey {
    signer(number).public_key()
}

/// Makes an end of a cluster of ends 1 to 8.
pub(crate) fn endpoint(number: u8, carrier: impl Carrier) -> Endpoint {
    endpoint_within(LinkLimits::default(), number, carrier)
}

pub(crate) fn endpoint_within(limits: LinkLimits, number: u8, carrier: impl Carrier) -> Endpoint {
    let access = AccessTable {
        members: (1..=8).map(id).collect(),
        ..AccessTable::default()
    };
    let mut end = Endpoint::new(signer(number), carrier).with_limits(limits);
    end.introduce(credentials(key(number)), Arc::new(access));
    end
}

/// What a member of the cluster shows.
pub(crate) fn credentials(key: PublicKey) -> Credentials {
    Credentials {
        cluster: ClusterId(7),
        key,
        versions: Versions::only(1),
        starts: Boot {
            number: 1,
            nonce: 1,
        }
        .into(),
        vouchers: Arc::new([]),
        role: Role::Member,
        token: None,
    }
}

pub(crate) fn wanted(number: u8, address: &Address) -> Wanted {
    Wanted {
        peer: id(number),
        keys: vec![key(number)],
        addresses: vec![address.clone()],
    }
}
