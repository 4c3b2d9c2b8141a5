//! Holds what this end is: what it shows of itself, the carriers that it has, and its secret randomness.

use std::sync::Arc;

use liferaft_platform::SortedMap;
use liferaft_platform::{Address, ClusterId, PublicKey, Starts, Versions};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::event::{RELAY, Route};
use super::link::Medium;
use super::packet::RELAYED_PACKET_BYTES_MAX;
use crate::ServerId;
use crate::access::Role;
use crate::carrier::{Binding, Carrier, PACKET_BYTES_MIN, Path};
use crate::handshake::{Initiator, Intent, Local, MESSAGE_BYTES_MAX, Protection, Responder};
use crate::token::TokenSecret;
use crate::voucher::{VOUCHER_BYTES, VOUCHERS_MAX, Voucher};

/// The most bindings of connections that are kept for handshakes to come, for each carrier.
const BINDINGS_MAX: usize = 1_024;

/// The most vouchers that are shown through a third server, where messages of a handshake have less room.
const RELAYED_VOUCHERS_MAX: usize = VOUCHERS_MAX - 1;

const _: () = assert!(MESSAGE_BYTES_MAX - VOUCHER_BYTES <= RELAYED_PACKET_BYTES_MAX);

/// What a third server carries: packets that anybody may lose and that it may not read.
const RELAYED: Medium = Medium {
    packet_bytes_max: RELAYED_PACKET_BYTES_MAX,
    is_inside_process: false,
    is_reliable: false,
    stream_bytes_max: usize::MAX,
};

/// What this end shows of itself, and wants to be taken for.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key that it signs with.
    pub key: PublicKey,
    /// The protocol versions that it speaks.
    pub versions: Versions,
    /// Which start of its storage this is, and which were before it.
    pub starts: Starts,
    /// Who vouches for its key, nearest first.
    pub vouchers: Arc<[Voucher]>,
    /// The role that it claims.
    pub role: Role,
    /// The token of its invitation, if it has one to use.
    pub token: Option<TokenSecret>,
}

/// What links need to know of a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierTraits {
    schemes: Vec<String>,
    packet_bytes_max: usize,
    is_inside_process: bool,
    is_reliable: bool,
    stream_bytes_max: usize,
}

impl<C: Carrier + ?Sized> From<&C> for CarrierTraits {
    fn from(carrier: &C) -> Self {
        let schemes = [carrier.scheme()].into_iter();
        let schemes = schemes.chain(carrier.other_schemes().iter().copied());
        Self {
            schemes: schemes.map(str::to_owned).collect(),
            packet_bytes_max: carrier.packet_bytes_max(),
            is_inside_process: carrier.is_inside_process(),
            is_reliable: carrier.is_reliable(),
            stream_bytes_max: carrier.stream_bytes_max(),
        }
    }
}

/// This end of all links.
#[derive(Debug)]
pub(super) struct LocalEnd {
    pub(super) id: ServerId,
    credentials: Credentials,
    carriers: Vec<KnownCarrier>,
    pub(super) random: ChaCha20Rng,
}

/// A carrier, and what it has told of its connections.
#[derive(Debug)]
struct KnownCarrier {
    traits: CarrierTraits,
    bindings: SortedMap<Path, Binding>,
}

impl LocalEnd {
    pub(super) fn new(
        credentials: Credentials,
        carriers: Vec<CarrierTraits>,
        seed: [u8; 32],
    ) -> Self {
        let is_able = |traits: &CarrierTraits| traits.packet_bytes_max >= PACKET_BYTES_MIN;
        assert!(
            carriers.iter().all(is_able),
            "carriers carry packets of {PACKET_BYTES_MIN} bytes"
        );
        let known = |traits| KnownCarrier {
            traits,
            bindings: SortedMap::new(),
        };
        Self {
            id: credentials.key.server_id(),
            credentials,
            carriers: carriers.into_iter().map(known).collect(),
            random: ChaCha20Rng::from_seed(seed),
        }
    }

    pub(super) fn set_credentials(&mut self, credentials: Credentials) {
        self.id = credentials.key.server_id();
        self.credentials = credentials;
    }

    /// Returns the carrier that dials an address.
    pub(super) fn carrier_for(&self, address: &Address) -> Option<usize> {
        self.carrier_of(address.scheme())
    }

    /// Returns the carrier whose scheme this is.
    pub(super) fn carrier_of(&self, scheme: &str) -> Option<usize> {
        let mut carriers = self.carriers.iter();
        carriers.position(|carrier| carrier.traits.schemes.iter().any(|own| own == scheme))
    }

    /// Returns the scheme by which a carrier is known to others.
    pub(super) fn scheme(&self, carrier: usize) -> &str {
        &self.carriers[carrier].traits.schemes[0]
    }

    pub(super) fn medium(&self, carrier: usize) -> Medium {
        if carrier == RELAY {
            return RELAYED;
        }
        let traits = &self.carriers[carrier].traits;
        Medium {
            packet_bytes_max: traits.packet_bytes_max,
            is_inside_process: traits.is_inside_process,
            is_reliable: traits.is_reliable,
            stream_bytes_max: traits.stream_bytes_max,
        }
    }

    /// A connection is up, which the medium may have encrypted.
    pub(super) fn on_opened(&mut self, route: Route, binding: Option<Binding>) {
        let bindings = &mut self.carriers[route.carrier].bindings;
        if let Some(binding) = binding
            && bindings.len() < BINDINGS_MAX
        {
            bindings.insert(route.path, binding);
        }
    }

    pub(super) fn on_closed(&mut self, route: Route) {
        if let Some(carrier) = self.carriers.get_mut(route.carrier) {
            carrier.bindings.remove(&route.path);
        }
    }

    /// Begins a handshake with one of these servers, or one for which one of them vouches.
    pub(super) fn initiator(&mut self, route: Route, expected: Vec<ServerId>) -> Initiator {
        let intent = Intent {
            role: self.credentials.role,
            token: self.credentials.token.clone(),
            expected,
        };
        let entropy = self.entropy();
        Initiator::new(self.local_on(route), intent, entropy)
    }

    /// Answers a handshake.
    pub(super) fn responder(&mut self, route: Route) -> Responder {
        let entropy = self.entropy();
        Responder::new(self.local_on(route), entropy)
    }

    fn local_on(&self, route: Route) -> Local {
        let Credentials {
            cluster,
            key,
            versions,
            starts,
            vouchers,
            ..
        } = &self.credentials;
        let carrier = self.carriers.get(route.carrier);
        let binding = carrier.and_then(|carrier| carrier.bindings.get(&route.path));
        let protection = match binding {
            _ if carrier.is_some_and(|carrier| carrier.traits.is_inside_process) => {
                Protection::Inside
            }
            Some(Binding { own, peer }) => Protection::Bound {
                own: *own,
                peer: *peer,
            },
            None => Protection::Sealed,
        };
        let vouchers = if route.is_relayed() && vouchers.len() > RELAYED_VOUCHERS_MAX {
            &vouchers[..RELAYED_VOUCHERS_MAX].into()
        } else {
            vouchers
        };
        Local {
            cluster: *cluster,
            key: *key,
            versions: *versions,
            starts: *starts,
            vouchers: Arc::clone(vouchers),
            protection,
        }
    }

    /// Draws 32 secret bytes. Whoever learns what is drawn later learns nothing of what was drawn before.
    fn entropy(&mut self) -> [u8; 32] {
        let (mut drawn, mut seed) = ([0; 32], [0; 32]);
        self.random.fill_bytes(&mut drawn);
        self.random.fill_bytes(&mut seed);
        self.random = ChaCha20Rng::from_seed(seed);
        drawn
    }
}
