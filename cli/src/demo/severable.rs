//! Carries packets until its end is cut off: what a kill does to a member that shares its process with others.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use liferaft::ids::ServerId;
use liferaft::transport::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path, Reach,
};

/// A carrier that can be taken away from its member.
pub(super) struct Severable<C> {
    carrier: Shared<C>,
    scheme: String,
    other_schemes: Vec<&'static str>,
    packet_bytes_max: usize,
    reach: Reach,
    is_inside_process: bool,
    is_reliable: bool,
}

/// Cuts a member off.
pub(super) struct Knife(Box<dyn Fn() + Send>);

/// `None` once it is cut off.
type Shared<C> = Arc<Mutex<Option<C>>>;

impl<C: Carrier> Severable<C> {
    pub(super) fn new(carrier: C) -> (Self, Knife) {
        let severable = Self {
            scheme: carrier.scheme().to_owned(),
            other_schemes: carrier.other_schemes().to_vec(),
            packet_bytes_max: carrier.packet_bytes_max(),
            reach: carrier.reach(),
            is_inside_process: carrier.is_inside_process(),
            is_reliable: carrier.is_reliable(),
            carrier: Arc::new(Mutex::new(Some(carrier))),
        };
        let shared = Arc::clone(&severable.carrier);
        let knife = Knife(Box::new(move || drop(taken(&shared))));
        (severable, knife)
    }

    fn with<T>(&self, ask: impl FnOnce(&mut C) -> T) -> Option<T> {
        let mut carrier = self.carrier.lock().unwrap_or_else(PoisonError::into_inner);
        carrier.as_mut().map(ask)
    }
}

impl Knife {
    /// One that does this.
    pub(super) fn new(cut: impl Fn() + Send + 'static) -> Self {
        Self(Box::new(cut))
    }

    /// Nothing that the member says from here on gets out, and its connections are closed.
    pub(super) fn cut(&self) {
        (self.0)();
    }
}

fn taken<C>(carrier: &Shared<C>) -> Option<C> {
    carrier
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
}

impl<C: Carrier> Carrier for Severable<C> {
    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn other_schemes(&self) -> &[&'static str] {
        &self.other_schemes
    }

    fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn is_inside_process(&self) -> bool {
        self.is_inside_process
    }

    fn is_reliable(&self) -> bool {
        self.is_reliable
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        self.with(|carrier| carrier.address_of(server))?
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let unreachable = || Err(DialError::BadAddress(address.clone()));
        self.with(|carrier| carrier.dial(address))
            .unwrap_or_else(unreachable)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.with(|carrier| carrier.send(path, channel, packet))
            .unwrap_or(Err(CarryError::Closed))
    }

    fn close(&mut self, path: &Path) {
        self.with(|carrier| carrier.close(path));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        // Nothing ever wakes a member that is cut off but the end of its last handle.
        self.with(|carrier| carrier.poll(context))
            .unwrap_or(Poll::Pending)
    }
}
