//! A handshake between two members whose messages an adversary passes on, changes and makes up.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use liferaft_platform::{Boot, ClusterId, PublicKey, Versions};
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::handshake::{
    Established, Initiator, Intent, Local, Output, Protection, Responder,
};

/// The keys of all members: drawing them takes longer than most cases.
pub(crate) static KEYS: LazyLock<[SigningKey; 3]> =
    LazyLock::new(|| [1, 2, 3].map(|number| SigningKey::from_bytes(&[number; 32])));

/// Does what the data says, step by step. A step is a byte whose lowest bit says who is given a message, and the next
/// two what message: one that was sent, the same with a bit flipped or cut short, or bytes from the data.
pub(crate) fn run(mut data: &[u8]) {
    let mut ends = Ends::new();
    while let Some(step) = take(&mut data) {
        let mut message = match step >> 1 & 3 {
            3 => {
                let length = usize::from(take(&mut data).unwrap_or(0)).min(data.len());
                let (message, rest) = data.split_at(length);
                data = rest;
                message.to_vec()
            }
            _ => {
                let index = usize::from(take(&mut data).unwrap_or(0)) % ends.sent.len();
                ends.sent[index].to_vec()
            }
        };
        let at = usize::from(u16::from_be_bytes([
            take(&mut data).unwrap_or(0),
            take(&mut data).unwrap_or(0),
        ]));
        match step >> 1 & 3 {
            1 if !message.is_empty() => {
                let bit = at % (8 * message.len());
                message[bit / 8] ^= 1 << (bit % 8);
            }
            2 => message.truncate(at),
            _ => {}
        }
        if step & 1 == 0 {
            ends.give_responder(&message);
        } else {
            ends.give_initiator(&message);
        }
    }
    ends.check();
}

/// Takes a byte from the front.
pub(crate) fn take(data: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = data.split_first()?;
    *data = rest;
    Some(*byte)
}

struct Ends {
    table: AccessTable,
    initiator: Initiator,
    responder: Responder,
    /// All that both ends have sent.
    sent: Vec<Bytes>,
    /// What the initiator established, and what the responder did.
    established: [Option<Established>; 2],
}

impl Ends {
    fn new() -> Self {
        let [one, two] = [0, 1].map(local);
        let intent = Intent {
            role: Role::Member,
            token: None,
            expected: Vec::new(),
        };
        let table = AccessTable {
            members: [one.key, two.key].map(|key| key.server_id()).into(),
            ..AccessTable::default()
        };
        let initiator = Initiator::new(one, intent, [1; 32]);
        Self {
            table,
            sent: initiator.unanswered().into_iter().collect(),
            initiator,
            responder: Responder::new(two, [2; 32]),
            established: [None, None],
        }
    }

    fn give_initiator(&mut self, message: &[u8]) {
        let output = match self.initiator.on_message(message, &self.table) {
            Output::Sign(bytes) => self.initiator.on_signed(&KEYS[0].sign(&bytes).to_bytes()),
            output => output,
        };
        self.settle(0, output);
    }

    fn give_responder(&mut self, message: &[u8]) {
        let output = match self.responder.on_message(message, &self.table) {
            Output::Sign(bytes) => self.responder.on_signed(&KEYS[1].sign(&bytes).to_bytes()),
            output => output,
        };
        self.settle(1, output);
    }

    fn settle(&mut self, end: usize, output: Output) {
        match output {
            Output::Wait | Output::Sign(_) => {}
            Output::Send(message) => self.sent.push(message),
            Output::Done { last, established } => {
                self.sent.extend(last);
                self.established[end] = Some(*established);
            }
            Output::Failed { last, .. } => self.sent.extend(last),
        }
    }

    /// Whoever has a link has it with the other end, which has the same one.
    fn check(&self) {
        let [one, two] = &self.established;
        if let Some(one) = one {
            assert_eq!(one.peer, local(1).key, "the initiator met somebody else");
            let two = two.as_ref().expect("the responder has no link");
            assert_eq!(one.generation, two.generation, "two links were made");
        }
        if let Some(two) = two {
            assert_eq!(two.peer, local(0).key, "the responder met somebody else");
        }
    }
}

fn local(number: usize) -> Local {
    Local {
        cluster: ClusterId(7),
        key: PublicKey(KEYS[number].verifying_key().to_bytes()),
        versions: Versions::only(1),
        starts: Boot {
            number: 1,
            nonce: 1,
        }
        .into(),
        vouchers: Arc::default(),
        protection: Protection::Sealed,
    }
}
