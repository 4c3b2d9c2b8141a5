//! A member inside the process whose peer, once it has proven who it is, sends anything on their link.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use liferaft_platform::{Boot, ClusterId, PublicKey, ServerId, Versions};
use liferaft_transport::DeliveryClass;
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path,
};
use liferaft_transport::links::{
    CREDIT_BYTES_MAX, CarrierTraits, Credentials, LinkEvent, LinkLimits, LinkOutput, Links, Wanted,
};

/// The keys of both members: drawing them takes longer than most cases.
static KEYS: LazyLock<[SigningKey; 2]> =
    LazyLock::new(|| [1, 2].map(|number| SigningKey::from_bytes(&[number; 32])));

/// Does what the data says, step by step. The two lowest bits of a step's first byte say what it is: the peer sends a
/// packet (0 and 1), time passes or the member sends (2), or the member reads (3).
pub(crate) fn run(mut data: &[u8]) {
    let mut member = Member::linked();
    while let Some(step) = take(&mut data) {
        match step & 3 {
            0 | 1 => {
                let content = content(step >> 3 & 3, &mut data);
                let channel = 1 + (step >> 2 & 1);
                let generation = member.generation.to_be_bytes();
                let packet = [&[channel][..], &generation, &content].concat();
                member.receive(packet.into());
            }
            2 => {
                let number = take(&mut data).unwrap_or(0);
                if step & 4 == 0 {
                    member.now += Duration::from_millis(20) * u32::from(number);
                    member.links.on_time(member.now);
                } else {
                    let frame = Bytes::from(vec![number; 100 * usize::from(number)]);
                    let peer = member.peer;
                    let _refused = member.links.send(peer, DeliveryClass::Stream, frame);
                }
            }
            _ => member.read(),
        }
        while member.links.next_output().is_some() {}
    }
    member.read();
}

/// Returns the content of a packet: one that is laid out well with numbers from the data, or bytes of the data alone.
fn content(kind: u8, data: &mut &[u8]) -> Vec<u8> {
    let mut number = || u16::from_be_bytes([take(data).unwrap_or(0), take(data).unwrap_or(0)]);
    let mut head = Vec::new();
    match kind {
        0 => head.push(1),
        1 => {
            head.push(2);
            head.extend_from_slice(&u64::from(number()).to_be_bytes());
        }
        2 => {
            head.push(3);
            head.extend_from_slice(&u64::from(number()).to_be_bytes());
            head.extend_from_slice(&u32::from(number()).to_be_bytes());
            head.extend_from_slice(&u32::from(number()).to_be_bytes());
            head.extend_from_slice(&number().to_be_bytes());
            head.push(u8::from(number() % 2 == 1));
            return head;
        }
        _ => {}
    }
    let length = usize::from(take(data).unwrap_or(0)).min(data.len());
    let (bytes, rest) = data.split_at(length);
    *data = rest;
    head.extend_from_slice(bytes);
    head
}

fn take(data: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = data.split_first()?;
    *data = rest;
    Some(*byte)
}

/// A medium inside the process, of which links only want to know how it is.
struct Inside;

impl Carrier for Inside {
    fn scheme(&self) -> &'static str {
        "inside"
    }

    fn packet_bytes_max(&self) -> usize {
        1_200
    }

    fn is_inside_process(&self) -> bool {
        true
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        Err(DialError::BadAddress(address.clone()))
    }

    fn send(&mut self, _: &Path, _: Channel, _: Packet) -> Result<(), CarryError> {
        Err(CarryError::Closed)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        Poll::Pending
    }
}

struct Member {
    links: Links,
    peer: ServerId,
    generation: u64,
    now: Duration,
    table: AccessTable,
}

fn key(number: usize) -> PublicKey {
    PublicKey(KEYS[number].verifying_key().to_bytes())
}

fn path() -> Path {
    Path::new(&[], &[])
}

fn links(number: usize, now: Duration) -> Links {
    let boot = Boot {
        number: 1,
        nonce: 1,
    };
    let credentials = Credentials {
        cluster: ClusterId(7),
        key: key(number),
        versions: Versions::only(1),
        boot,
        vouchers: Arc::new([]),
        role: Role::Member,
        token: None,
    };
    let mut limits = LinkLimits::default();
    limits.unread_bytes_max = UNREAD_BYTES_MAX;
    let seed = [u8::try_from(number).expect("there are two"); 32];
    let carriers = vec![CarrierTraits::from(&Inside)];
    Links::new(credentials, limits, carriers, seed, now)
}

/// The bound of unread datagram frames, in bytes.
const UNREAD_BYTES_MAX: usize = 2_000;

impl Member {
    fn linked() -> Self {
        let now = Duration::from_secs(1);
        let table = AccessTable {
            members: [key(0), key(1)].into(),
            ..AccessTable::default()
        };
        let mut ends = [links(0, now), links(1, now)];
        let address = "inside:0".parse().expect("it is an address");
        ends[1].want(&[Wanted {
            peer: key(0).server_id(),
            keys: vec![key(0)],
            addresses: vec![address],
        }]);
        let mut packets = VecDeque::new();
        loop {
            for (number, end) in ends.iter_mut().enumerate() {
                while let Some(output) = end.next_output() {
                    match output {
                        LinkOutput::Dial { attempt, .. } => end.on_dialed(attempt, Ok(path())),
                        LinkOutput::Sign { attempt, bytes } => {
                            let signature = KEYS[number].sign(&bytes).to_bytes();
                            end.on_signed(attempt, Some(&signature));
                        }
                        LinkOutput::Send { packet, .. } => packets.push_back((1 - number, packet)),
                        _ => {}
                    }
                }
            }
            let Some((to, packet)) = packets.pop_front() else {
                break;
            };
            ends[to].on_carrier_event(0, arrival(packet), &table);
        }
        let [mut links, _] = ends;
        let Some(LinkEvent::Up(link)) = links.next_event() else {
            panic!("both want the link and nothing is lost");
        };
        Self {
            links,
            peer: link.peer,
            generation: link.generation,
            now,
            table,
        }
    }

    fn receive(&mut self, bytes: Bytes) {
        self.links
            .on_carrier_event(0, arrival(bytes.into()), &self.table);
    }

    /// Reads all that is there, which is bounded, whatever was sent.
    fn read(&mut self) {
        let mut bytes = 0;
        while let Some(event) = self.links.next_event() {
            if let LinkEvent::Frame { frame, .. } = event {
                bytes += frame.len();
            }
        }
        assert!(
            bytes <= UNREAD_BYTES_MAX + CREDIT_BYTES_MAX,
            "{bytes} bytes waited unread"
        );
    }
}

fn arrival(packet: Packet) -> CarrierEvent {
    CarrierEvent::Packet {
        path: path(),
        channel: Channel::Datagram,
        packet,
    }
}
