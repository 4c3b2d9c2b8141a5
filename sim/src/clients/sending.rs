//! What clients send: commands with their numbers, registrations, and copies of what was not answered in time.

use liferaft_kv::{Command, Count};
use liferaft_raft::consensus::ProposalId;
use liferaft_raft::sessions::{CommandHeader, HEADER_BYTES, registration};

use super::{Clients, Counters, Letter, Pending, Registration, Request, Sent};
use crate::clock::Nanos;
use crate::counts::Counts;
use crate::flaw::Flaw;
use crate::operation::{Change, Question, counter, width};

/// One of so many counters that clients use is of an earlier sequence of the key, if there was one.
const STALE_ONCE_IN: u64 = 4;

impl Counters {
    /// The counter of the first `len` values at most; now and then, as `drawn` says, of the sequence before, as if that
    /// had as many as the one that there is.
    fn to_expect(self, len: u64, drawn: u64) -> Count {
        let Self { latest, earlier } = self;
        let of = if drawn.is_multiple_of(STALE_ONCE_IN) && !earlier.is_empty() {
            earlier
        } else {
            latest
        };
        counter(of.incarnation(), latest.len().min(len))
    }

    /// A client has heard of a counter.
    pub(super) fn hear(&mut self, count: Count) {
        if count.is_empty() {
            return;
        }
        if count.incarnation() > self.latest.incarnation() {
            self.earlier = self.latest;
            self.latest = count;
        } else if count.incarnation() == self.latest.incarnation() {
            self.latest = counter(count.incarnation(), count.len().max(self.latest.len()));
        }
    }
}

impl Clients {
    /// A client is told what to do, and to begin with this member.
    pub fn request(&mut self, now: Nanos, at: usize, request: Request) -> Option<Letter> {
        let change = self.filled_in(request.key, request.change);
        let (client, question) = (request.client, Question::Change(change));
        let operation = self.call(now, Some(client), request.key, question);
        let command: Command = change.command(request.key);
        let pending = Pending {
            operation,
            body: postcard::to_allocvec(&command).expect("commands have an encoding"),
            bytes: request.bytes,
            at,
            tries: 0,
            open: 0,
        };
        let client = &mut self.clients[request.client];
        if client.session.is_some() {
            client.next_sequence += 1;
            let sequence = client.next_sequence;
            client.pending.insert(sequence, pending);
            return Some(self.send(request.client, sequence));
        }
        client.waiting.push(pending);
        client
            .registration
            .is_none()
            .then(|| self.register(request.client, at))
    }

    /// The change, with what its client expects.
    fn filled_in(&self, key: u8, change: Change) -> Change {
        let heard = || self.last_heard.get(&key).copied().unwrap_or(0);
        let counters = self.counters.get(&key).copied().unwrap_or_default();
        match change {
            Change::CompareAndSet(_, to) => Change::CompareAndSet(heard(), to),
            Change::CompareAndDelete(_) => Change::CompareAndDelete(heard()),
            Change::SeqAppend(_, value) => {
                Change::SeqAppend(counters.to_expect(u64::MAX, value), value)
            }
            Change::TrimBefore(drawn) => {
                Change::TrimBefore(counters.to_expect(drawn.len(), drawn.incarnation()))
            }
            Change::DeleteKeys(_) => Change::DeleteKeys(width(key) as u64),
            Change::Set(_) | Change::Delete | Change::Append(_) | Change::Undone(_) => change,
        }
    }

    fn register(&mut self, number: usize, at: usize) -> Letter {
        let client = &mut self.clients[number];
        client.registrations += 1;
        client.registration = Some(Registration {
            nonce: (number as u128) << 64 | u128::from(client.registrations),
            at,
            tries: 0,
        });
        self.send_registration(number)
    }

    fn send_registration(&mut self, number: usize) -> Letter {
        let client = &mut self.clients[number];
        let registering = client.registration.as_mut();
        let registering = registering.expect("only a client that registers sends it");
        registering.tries += 1;
        Letter {
            at: registering.at,
            sent: Sent {
                client: number,
                session: None,
                sequence: client.registrations,
                tries: registering.tries,
            },
            command: registration(registering.nonce),
        }
    }

    /// The next copy of a command.
    pub(super) fn send(&mut self, number: usize, sequence: u64) -> Letter {
        let client = &mut self.clients[number];
        let session = client.session.expect("only a client with a session sends");
        let first = client.pending.first_key_value();
        let acknowledged_through = first.map_or(sequence - 1, |(first, _)| first - 1);
        let pending = client.pending.get_mut(&sequence);
        let pending = pending.expect("only what is not answered is sent");
        pending.tries += 1;
        pending.open += 1;
        self.copies.push(pending.operation);
        let copy = self.copies.len() as u64;
        let mut command = vec![0; HEADER_BYTES];
        CommandHeader {
            session,
            sequence,
            acknowledged_through,
        }
        .write_to(&mut command);
        command.extend_from_slice(&pending.body);
        command.resize(command.len().max(pending.bytes), 0);
        // Each copy has a name, so that one which was refused is known when it is applied nevertheless.
        command.extend_from_slice(&copy.to_le_bytes());
        Letter {
            at: pending.at,
            sent: Sent {
                client: number,
                session: Some(session),
                sequence,
                tries: pending.tries,
            },
            command,
        }
    }

    /// A copy is proposed under this name.
    pub fn proposed(&mut self, id: ProposalId, sent: Sent) {
        self.proposed.insert(id, sent);
    }

    pub(super) fn pending(&mut self, sent: Sent) -> Option<&mut Pending> {
        let client = &mut self.clients[sent.client];
        if sent.session.is_none() || client.session != sent.session {
            return None;
        }
        client.pending.get_mut(&sent.sequence)
    }

    /// Whether this is the latest try of something that still waits.
    pub(super) fn is_wanted(&mut self, sent: Sent) -> bool {
        if sent.session.is_some() {
            return self
                .pending(sent)
                .is_some_and(|pending| pending.tries == sent.tries);
        }
        let client = &self.clients[sent.client];
        client.registrations == sent.sequence
            && client
                .registration
                .as_ref()
                .is_some_and(|registering| registering.tries == sent.tries)
    }

    /// Time is up for a try: the next one, on this member, or the end of patience.
    pub fn try_again(&mut self, sent: Sent, at: usize, counts: &mut Counts) -> Option<Letter> {
        if !self.is_wanted(sent) {
            return None;
        }
        let gives_up = sent.tries >= self.tries_max;
        let client = &mut self.clients[sent.client];
        if sent.session.is_none() {
            if gives_up {
                client.registration = None;
                let given_up = core::mem::take(&mut client.waiting);
                counts.failed += given_up.len() as u64;
                for pending in given_up {
                    self.fail(pending.operation);
                }
                return None;
            }
            client.registration.as_mut()?.at = at;
            return Some(self.send_registration(sent.client));
        }
        if gives_up {
            let pending = client.pending.remove(&sent.sequence)?;
            self.give_up(&pending, counts);
            return None;
        }
        counts.retries += 1;
        let mut sequence = sent.sequence;
        if self.flaw == Some(Flaw::RetryIsRenumbered) {
            let pending = client.pending.remove(&sequence)?;
            client.next_sequence += 1;
            sequence = client.next_sequence;
            client.pending.insert(sequence, pending);
        }
        client.pending.get_mut(&sequence)?.at = at;
        Some(self.send(sent.client, sequence))
    }
}
