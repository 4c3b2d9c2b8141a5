//! Runs links: gives them carriers, a clock, entropy and a key that signs.
//!
//! An [`Endpoint`] decides nothing. It tells [`Links`] what has happened and does what they want, on the task that
//! polls it: it starts no task of its own.

mod hints;
mod redial;
mod signing;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::future::BoxFuture;
use liferaft_platform::{PublicKey, entropy_u64, entropy_u128, now, sleep_until};

use self::hints::Hints;
pub use self::redial::Redial;
use self::signing::Signing;
use crate::access::Authorizer;
use crate::carrier::{Address, Carrier, CarrierEvent, CarryError, DialError, Reach};
use crate::frame::Frame;
use crate::links::{
    CarrierTraits, CloseReason, Credentials, Link, LinkEvent, LinkLimits, LinkOutput, LinkPath,
    Links, TransitCounters, Wanted,
};
use crate::signing::SIGNATURE_BYTES;
use crate::{DeliveryClass, Event, SendError, ServerId, Transport};

/// The most events that are taken from a carrier before those of the others, and what they have led to, is done.
const BATCH: usize = 256;

/// What is due waits while packets that have arrived are read, which may make it superfluous; for this many at most.
/// Who polls has other things to do after as many from which nothing has come.
const READ_MAX: usize = 8 * BATCH;

/// The identity key of an end, wherever it is kept.
pub trait Signer: Send + Sync + 'static {
    /// Returns the key's public half.
    fn public_key(&self) -> PublicKey;

    /// Signs bytes with Ed25519 (RFC 8032). `None` means that it cannot.
    fn sign(&self, bytes: Bytes) -> BoxFuture<'static, Option<[u8; SIGNATURE_BYTES]>>;
}

/// A key that is in memory.
pub struct KeySigner(SigningKey);

impl KeySigner {
    /// Takes the 32 secret bytes of an Ed25519 key.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }
}

impl Signer for KeySigner {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, bytes: Bytes) -> BoxFuture<'static, Option<[u8; SIGNATURE_BYTES]>> {
        Box::pin(std::future::ready(Some(self.0.sign(&bytes).to_bytes())))
    }
}

/// Shows no secret.
impl fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySigner")
            .field(&self.public_key())
            .finish()
    }
}

/// One end of all of a member's links, over its carriers: the transport that a member is built with.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// use liferaft::transport::endpoint::{Endpoint, KeySigner, Signer};
/// use liferaft::transport::memory::MemoryNetwork;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // An application has the `Identity` of its storage in the place of this key.
/// let key = KeySigner::from_secret(&[7; 32]);
/// let carrier = MemoryNetwork::new(1).attach_carrier(key.public_key().server_id())?;
/// let end = Endpoint::new(key, carrier);
/// # drop(end);
/// # Ok(())
/// # }
/// ```
///
/// It has no links until it is [introduced](Self::introduce), which its member does. It is to be
/// [polled](Self::poll_link_event) after each other call, as what that leads to may have to wait.
pub struct Endpoint {
    linked: Option<Linked>,
    limits: LinkLimits,
    /// A carrier that has ended is gone.
    carriers: Vec<Option<Box<dyn Carrier>>>,
    signer: Box<dyn Signer>,
    signing: Signing,
    hints: Hints,
    /// What others wish, if anybody can.
    redial: Option<Redial>,
    /// How many events of carriers were read since what is due was done.
    read: usize,
    alarm: Option<Alarm>,
}

/// The links of an end that has been introduced.
struct Linked {
    links: Links,
    authorizer: Arc<dyn Authorizer + Send + Sync>,
}

/// What came of asking all carriers.
struct Polled {
    read: usize,
    /// Nothing more has arrived.
    is_all: bool,
    /// Who is said to be there, answer by answer.
    answers: Vec<Vec<(ServerId, Address)>>,
}

/// The time at which links want to be woken.
struct Alarm {
    at: Duration,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Endpoint {
    /// Makes an end over this carrier, which shows the signer's key. Links have the [default
    /// limits](LinkLimits::default).
    #[must_use]
    pub fn new(signer: impl Signer, mut carrier: impl Carrier) -> Self {
        carrier.introduce(signer.public_key().server_id());
        Self {
            linked: None,
            limits: LinkLimits::default(),
            carriers: vec![Some(Box::new(carrier))],
            signer: Box::new(signer),
            signing: Signing::default(),
            hints: Hints::new(),
            redial: None,
            read: 0,
            alarm: None,
        }
    }

    /// Adds a carrier. Carriers are preferred in the order in which an end is given them: a peer is dialed by the
    /// others where nothing comes of the first, and again by those that are better than the carrier of its link.
    ///
    /// # Panics
    /// When this end was introduced.
    #[must_use]
    pub fn with_carrier(mut self, mut carrier: impl Carrier) -> Self {
        assert!(self.linked.is_none(), "links know their carriers");
        carrier.introduce(self.local());
        self.carriers.push(Some(Box::new(carrier)));
        self
    }

    /// Bounds links otherwise than by default.
    ///
    /// # Panics
    /// When this end was introduced.
    #[must_use]
    pub fn with_limits(mut self, limits: LinkLimits) -> Self {
        assert!(self.linked.is_none(), "links know their limits");
        self.limits = limits;
        self
    }

    /// Returns what has this end dial at once, also when its member owns it.
    #[must_use]
    pub fn redial(&mut self) -> Redial {
        self.redial.get_or_insert_default().clone()
    }

    /// Begins to link, or changes what is shown in handshakes from now on. Who judges stays who it was.
    ///
    /// # Panics
    /// When the key of `credentials` is not the signer's, or when the system has no entropy.
    pub fn introduce(
        &mut self,
        credentials: Credentials,
        authorizer: Arc<dyn Authorizer + Send + Sync>,
    ) {
        assert_eq!(
            credentials.key,
            self.signer.public_key(),
            "an end shows the key that it signs with"
        );
        if let Some(linked) = &mut self.linked {
            return linked.links.set_credentials(credentials);
        }
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&entropy_u128().to_le_bytes());
        seed[16..].copy_from_slice(&entropy_u128().to_le_bytes());
        let traits = self.carriers.iter().flatten();
        let traits = traits.map(|carrier| CarrierTraits::from(&**carrier));
        self.linked = Some(Linked {
            links: Links::new(credentials, self.limits, traits.collect(), seed, now()),
            authorizer,
        });
    }

    /// Returns the id of this end.
    #[must_use]
    pub fn local(&self) -> ServerId {
        self.signer.public_key().server_id()
    }

    /// Replaces the peers that links are wanted to, as [`Links::want`] does. Carriers that find servers by their ids
    /// look for them where their addresses lead nowhere: a listener behind a NAT is reached by signals. While nobody is
    /// reached, carriers look for others who may be there, and a few of those are dialed as well.
    pub fn want(&mut self, wanted: &[Wanted]) {
        let found = |wanted: &Wanted| {
            let carriers = self.carriers.iter().flatten();
            let found = carriers.filter_map(|carrier| carrier.address_of(wanted.peer));
            let unknown = found.filter(|address| !wanted.addresses.contains(address));
            unknown.collect::<Vec<_>>()
        };
        let with_addresses = wanted.iter().map(|wanted| Wanted {
            addresses: [&wanted.addresses[..], &found(wanted)].concat(),
            ..wanted.clone()
        });
        let wanted: Vec<_> = with_addresses.collect();
        self.hints.want(wanted);
        self.want_all();
        self.act();
    }

    fn want_all(&mut self) {
        if let Some(Linked { links, .. }) = &mut self.linked {
            links.set_time(now());
            links.want(&self.hints.all());
        }
    }

    /// Dials a few of those who are said to be there, if nobody else is reached.
    fn on_present(&mut self, found: Vec<(ServerId, Address)>) {
        let is_alone = |Linked { links, .. }: &Linked| !links.has_links();
        if self.linked.as_ref().is_some_and(is_alone) {
            self.hints.find(found, entropy_u64());
            self.want_all();
        }
    }

    /// Returns the next event of links, and whether that means to look for others, or to do so no longer.
    fn next_event(&mut self) -> Option<LinkEvent> {
        let Linked { links, .. } = self.linked.as_mut()?;
        let event = links.next_event()?;
        match &event {
            LinkEvent::Failed { .. } if !links.has_links() && self.hints.look(links.time()) => {
                for carrier in self.carriers.iter_mut().flatten() {
                    carrier.look_around();
                }
            }
            LinkEvent::Up(_) if self.hints.is_some() => {
                self.hints.keep(|server| links.link(server).is_some());
                self.want_all();
            }
            _ => {}
        }
        Some(event)
    }

    /// Sends a frame to a peer, without waiting, as [`Links::send`] does.
    ///
    /// # Errors
    /// When it certainly was not sent.
    pub fn send(
        &mut self,
        peer: ServerId,
        class: DeliveryClass,
        frame: Frame,
    ) -> Result<(), SendError> {
        let Some(Linked { links, .. }) = &mut self.linked else {
            return Err(SendError::NoLink(peer));
        };
        if class == DeliveryClass::Stream {
            // Round trips are measured from here. For a datagram frame the time of the last poll is good enough.
            links.set_time(now());
        }
        let sent = links.send(peer, class, frame);
        self.act();
        sent
    }

    /// Returns the length of the longest frame that a link would take: 0 if there is none.
    #[must_use]
    pub fn room(&self, peer: ServerId, class: DeliveryClass) -> usize {
        let linked = self.linked.as_ref();
        linked.map_or(0, |linked| linked.links.room(peer, class))
    }

    /// Returns the link to a peer, if it is up.
    #[must_use]
    pub fn link(&self, peer: ServerId) -> Option<&Link> {
        self.linked.as_ref()?.links.link(peer)
    }

    /// Returns where the link to a peer runs, if it is up, and what its carrier says of that now.
    #[must_use]
    pub fn link_path(&self, peer: ServerId) -> Option<LinkPath> {
        let links = &self.linked.as_ref()?.links;
        let route = links.route(peer)?;
        if let Some(relay) = links.relay_of(&route) {
            return Some(LinkPath::through(relay));
        }
        let carrier = self.carriers.get(route.carrier)?.as_ref()?;
        let description = carrier.describe(&route.path);
        Some(LinkPath::by(carrier.scheme(), description))
    }

    /// Returns what has passed that is not for the ends of a link alone.
    #[must_use]
    pub fn transit(&self) -> TransitCounters {
        let linked = self.linked.as_ref();
        linked.map_or_else(TransitCounters::default, |linked| linked.links.transit())
    }

    /// Closes the link to a peer, as [`Links::close`] does.
    pub fn close(&mut self, peer: ServerId, reason: CloseReason) {
        if let Some(Linked { links, .. }) = &mut self.linked {
            links.close(peer, reason);
        }
        self.act();
    }

    /// Returns the next event; `None` once all carriers have ended.
    ///
    /// # Panics
    /// Natively when polled outside a tokio runtime whose timers are enabled.
    pub fn poll_link_event(&mut self, context: &mut Context<'_>) -> Poll<Option<LinkEvent>> {
        let mut in_vain = 0;
        let redial = self.redial.as_ref();
        if redial.is_some_and(|redial| redial.take(context)) {
            self.dial_now();
        }
        loop {
            if let Some(event) = self.next_event() {
                return Poll::Ready(Some(event));
            }
            let Some(Linked { links, authorizer }) = &mut self.linked else {
                return Poll::Pending;
            };
            let Polled {
                read,
                is_all,
                answers,
            } = poll_carriers(&mut self.carriers, links, &**authorizer, context);
            let mut has_news = read > 0;
            while let Poll::Ready((attempt, signature)) = self.signing.poll(context) {
                has_news = true;
                links.set_time(now());
                links.on_signed(attempt, signature.as_ref());
            }
            self.read += read;
            // Whoever has nothing to read asks for the time when the alarm rings.
            if has_news && (is_all || self.read >= READ_MAX) {
                self.read = 0;
                links.on_time(links.time());
            }
            for found in answers {
                self.on_present(found);
            }
            // A carrier or a signer that was given something wants to be polled for it.
            has_news |= self.act();
            if let Some(event) = self.next_event() {
                return Poll::Ready(Some(event));
            }
            in_vain += read;
            if in_vain >= READ_MAX {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if has_news {
                continue;
            }
            if self.carriers.iter().all(Option::is_none) {
                return Poll::Ready(None);
            }
            if self.poll_alarm(context).is_pending() {
                return Poll::Pending;
            }
            if let Some(Linked { links, .. }) = &mut self.linked {
                links.on_time(now());
            }
        }
    }

    /// Dials as if each carrier could reach others by a way that it did not have.
    fn dial_now(&mut self) {
        if let Some(Linked { links, authorizer }) = &mut self.linked {
            links.set_time(now());
            for carrier in 0..self.carriers.len() {
                links.on_carrier_event(carrier, CarrierEvent::Ready, &**authorizer);
            }
        }
    }

    /// Waits for the next deadline. An alarm that rings early does no harm, so one that is set is left alone.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linked = self.linked.as_ref();
        let Some(deadline) = linked.and_then(|linked| linked.links.deadline()) else {
            return Poll::Pending;
        };
        let alarm = match &mut self.alarm {
            Some(alarm) if alarm.at <= deadline => alarm,
            alarm => alarm.insert(Alarm {
                at: deadline,
                sleep: Box::pin(sleep_until(deadline)),
            }),
        };
        let rings = alarm.sleep.as_mut().poll(context);
        if rings.is_ready() {
            self.alarm = None;
        }
        rings
    }

    /// Does what links want. Returns true if there was anything.
    fn act(&mut self) -> bool {
        let Some(Linked { links, .. }) = &mut self.linked else {
            return false;
        };
        let mut has_acted = false;
        while let Some(output) = links.next_output() {
            has_acted = true;
            match output {
                LinkOutput::Dial {
                    attempt,
                    carrier,
                    address,
                } => {
                    let carrier = self.carriers[carrier].as_mut();
                    let none = || Err(DialError::BadAddress(address.clone()));
                    let answer = carrier.map_or_else(none, |carrier| carrier.dial(&address));
                    links.on_dialed(attempt, answer);
                }
                LinkOutput::Send {
                    route,
                    channel,
                    packet,
                    cargo,
                } => {
                    let carrier = self.carriers[route.carrier].as_mut();
                    let sent = carrier.map_or(Err(CarryError::Closed), |carrier| {
                        carrier.send(&route.path, channel, packet)
                    });
                    if let Err(error) = sent {
                        links.on_refused(route, cargo, error);
                    }
                }
                LinkOutput::Close(route) => {
                    if let Some(carrier) = &mut self.carriers[route.carrier] {
                        carrier.close(&route.path);
                    }
                }
                LinkOutput::Linked(route) => {
                    if let Some(carrier) = &mut self.carriers[route.carrier] {
                        carrier.on_linked(&route.path);
                    }
                }
                LinkOutput::Signal {
                    carrier,
                    from,
                    by,
                    signal,
                } => {
                    if let Some(carrier) = &mut self.carriers[carrier] {
                        carrier.on_signal(from, by, signal);
                    }
                }
                LinkOutput::Sign { attempt, bytes } => {
                    let signature = self.signer.sign(bytes);
                    self.signing.begin(attempt, signature);
                }
            }
        }
        has_acted
    }
}

/// Takes what carriers tell.
fn poll_carriers(
    carriers: &mut [Option<Box<dyn Carrier>>],
    links: &mut Links,
    authorizer: &dyn Authorizer,
    context: &mut Context<'_>,
) -> Polled {
    let (mut read, mut is_all, mut has_time) = (0, true, false);
    let mut answers = Vec::new();
    for (number, slot) in carriers.iter_mut().enumerate() {
        let mut left = BATCH;
        while let Some(carrier) = slot {
            // What has come of it is for the member, who asks again.
            if left == 0 || links.has_event() {
                is_all = false;
                break;
            }
            left -= 1;
            match carrier.poll(context) {
                Poll::Ready(Some(CarrierEvent::Present { servers })) => {
                    read += 1;
                    answers.push(servers);
                }
                Poll::Ready(Some(event)) => {
                    if !has_time && links.needs_time(&event) {
                        links.set_time(now());
                        has_time = true;
                    }
                    read += 1;
                    links.on_carrier_event(number, event, authorizer);
                }
                Poll::Ready(None) => {
                    tracing::warn!(scheme = carrier.scheme(), "a carrier has ended");
                    *slot = None;
                }
                Poll::Pending => break,
            }
        }
    }
    Polled {
        read,
        is_all,
        answers,
    }
}

impl Transport for Endpoint {
    fn local(&self) -> ServerId {
        self.local()
    }

    /// The longest frame of either class.
    fn frame_bytes_max(&self) -> usize {
        let of = |class| self.limits.frame_bytes_max(class);
        of(DeliveryClass::Datagram).min(of(DeliveryClass::Stream))
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        self.send(to, class, frame)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_link_event(context)
            .map(|event| event.map(Event::from))
    }

    fn introduce(
        &mut self,
        credentials: Credentials,
        authorizer: Arc<dyn Authorizer + Send + Sync>,
    ) {
        self.introduce(credentials, authorizer);
    }

    fn authenticates(&self) -> bool {
        true
    }

    fn reach(&self) -> Reach {
        let carriers = self.carriers.iter().flatten();
        let farthest = carriers.map(|carrier| carrier.reach()).max();
        farthest.unwrap_or(Reach::Process)
    }

    fn want(&mut self, peers: &[Wanted]) {
        self.want(peers);
    }

    fn link(&self, peer: ServerId) -> Option<&Link> {
        self.link(peer)
    }

    fn link_path(&self, peer: ServerId) -> Option<LinkPath> {
        self.link_path(peer)
    }

    fn close(&mut self, peer: ServerId, reason: CloseReason) {
        self.close(peer, reason);
    }
}

/// What a member is told of links. The generations are not its business: nothing of an earlier link follows a later
/// one.
impl From<LinkEvent> for Event {
    fn from(event: LinkEvent) -> Self {
        match event {
            LinkEvent::Up(link) => Self::PeerUp(link.peer),
            LinkEvent::Down { peer, .. } => Self::PeerDown(peer),
            LinkEvent::Writable { peer } => Self::Writable(peer),
            LinkEvent::Frame {
                from, class, frame, ..
            } => Self::Frame { from, class, frame },
            LinkEvent::Failed {
                peer,
                address,
                error,
            } => Self::NotLinked {
                peer,
                address,
                error,
            },
        }
    }
}

/// A clean leave: peers whose links are up are told.
impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(Linked { links, .. }) = &mut self.linked {
            links.close_all(CloseReason::Leaving);
        }
        self.act();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("links", &self.linked.as_ref().map(|linked| &linked.links))
            .finish_non_exhaustive()
    }
}
