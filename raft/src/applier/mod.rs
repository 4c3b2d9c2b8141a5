//! The applier: the state machine with the sessions around it, which make each command take effect once.
//!
//! It is a value: entries go in, and what they mean for the member's own sessions and for the clients that it serves
//! comes out. Whoever owns it decides when, and catches panics of the state machine over entries.

mod fault;
mod own;
mod restore;
#[cfg(test)]
mod tests;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use bytes::Bytes;
use liferaft_platform::caught;
use serde::Serialize;

pub use fault::MachineFault;
pub use own::{Known, Own};
pub use restore::{Restore, Unrestored};

use crate::codec;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, Term};
use crate::sessions::{CommandHeader, Envelope, Joining, Outcome, Sessions};
use crate::sorted::SortedMap;
use crate::state_machine::{ApplyContext, Capture as _, StateMachine};
use crate::time::ClusterTime;
use crate::wire::CommandOutcome;

/// The state machine, with the sessions around it.
#[derive(Debug)]
pub struct Applier<S: StateMachine> {
    machine: S,
    sessions: Sessions<S::Reply>,
    applied: Index,
    /// The term of that entry.
    term: Term,
    /// Its stamp.
    stamp: ClusterTime,
    /// The nonces that this run of the member registers under.
    nonces: RangeInclusive<u128>,
    /// The session of this member, with the nonce that it registered under last, as far as the log has come. Only a
    /// later registration of this run takes its place: what opens under an earlier nonce is a copy that comes late.
    own: Option<(u128, Index)>,
    /// The ordered sessions of this member, by their nonces, with their names once they are known.
    ordered: SortedMap<u128, Option<Index>>,
}

impl<S: StateMachine> Applier<S> {
    /// The state machine as it is before the first entry. `boot` names this run of the member.
    #[must_use]
    pub fn new(machine: S, boot: u64) -> Self {
        let first = u128::from(boot) << 64;
        let nonces = first..=first | u128::from(u64::MAX);
        Self {
            machine,
            sessions: Sessions::default(),
            applied: Index::ZERO,
            term: Term::default(),
            stamp: ClusterTime::ZERO,
            nonces,
            own: None,
            ordered: SortedMap::new(),
        }
    }

    /// Up to here the log is applied.
    #[must_use]
    pub const fn applied(&self) -> Index {
        self.applied
    }

    /// The term of that entry.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.term
    }

    /// The stamp of that entry.
    #[must_use]
    pub const fn stamp(&self) -> ClusterTime {
        self.stamp
    }

    /// What the replies kept for all sessions weigh, in bytes.
    #[must_use]
    pub const fn reply_bytes(&self) -> u64 {
        self.sessions.reply_bytes()
    }

    /// The state machine, to be asked.
    pub const fn machine(&self) -> &S {
        &self.machine
    }

    /// Tells from here on what becomes of the ordered session of this nonce and of its commands.
    pub fn watch(&mut self, nonce: u128) {
        let session = self.sessions.find(nonce..=nonce).map(|(_, name)| name);
        self.ordered.insert(nonce, session);
    }

    /// Does not tell it any more.
    pub fn unwatch(&mut self, nonce: u128) {
        self.ordered.remove(&nonce);
    }

    /// When something happens by cluster time alone: in the state machine, or to a session.
    ///
    /// # Errors
    /// [`MachineFault::Panicked`].
    pub fn wakes_at(&mut self) -> Result<Option<ClusterTime>, MachineFault> {
        let of_machine = caught(|| self.machine.wakes_at());
        let of_machine = of_machine.map_err(|message| MachineFault::Panicked {
            index: self.applied,
            message,
        })?;
        let wishes = of_machine.into_iter().chain(self.sessions.expires_at());
        Ok(wishes.min())
    }

    /// Applies an entry, unless it is applied, and adds to `own` what it means for this member. What becomes of its
    /// command is told if `is_told`. After an error, or a panic of the state machine, nothing may be applied any more.
    ///
    /// # Errors
    /// [`MachineFault::Undecodable`] and [`MachineFault::Failed`].
    pub fn apply(
        &mut self,
        entry: &Entry,
        is_told: bool,
        own: &mut Vec<Own<S::Reply>>,
    ) -> Result<(), MachineFault> {
        // What a snapshot covers may be handed out once more after a restart.
        if entry.index <= self.applied {
            return Ok(());
        }
        let at = ApplyContext {
            index: entry.index,
            term: entry.term,
            time: entry.stamp,
        };
        match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => {}
            Payload::Command(command) => self.apply_command(at, command, is_told, own)?,
        }
        self.sessions.advance(at.time);
        self.machine.advance(at);
        self.applied = entry.index;
        self.term = entry.term;
        self.stamp = entry.stamp;
        Ok(())
    }

    fn apply_command(
        &mut self,
        at: ApplyContext,
        command: &[u8],
        is_told: bool,
        own: &mut Vec<Own<S::Reply>>,
    ) -> Result<(), MachineFault> {
        let envelope = Envelope::decode(command)
            .map_err(|error| undecodable::<Envelope<'_>>(at.index, error.to_string()))?;
        match envelope {
            Envelope::Register {
                owner: Some(owner),
                nonce,
            } => {
                let session = self.sessions.register_owned(at, owner, nonce);
                if is_told {
                    let outcome = Some(CommandOutcome::Registered { nonce, session });
                    let index = at.index;
                    own.push(Own::Told { index, outcome });
                }
            }
            Envelope::Register { owner: None, nonce } => {
                let session = self.sessions.register(at, nonce);
                let is_latest = self.own.is_none_or(|(latest, _)| latest <= nonce);
                if self.nonces.contains(&nonce) && is_latest {
                    self.own = Some((nonce, session));
                    own.push(Own::Registered {
                        nonce,
                        session,
                        at: at.index,
                    });
                }
            }
            Envelope::RegisterOrdered { nonce } => {
                let session = self.sessions.register_ordered(at, nonce);
                if let Some(name) = self.ordered.get_mut(&nonce) {
                    *name = Some(session);
                    own.push(Own::Registered {
                        nonce,
                        session,
                        at: at.index,
                    });
                }
            }
            Envelope::Command {
                owner,
                header,
                body,
            } => {
                let ordered = self
                    .ordered
                    .values()
                    .any(|session| *session == Some(header.session));
                let machine = &mut self.machine;
                let outcome = self.sessions.execute_for(owner, at, &header, || {
                    let command = codec::decode(body)
                        .map_err(|error| undecodable::<S::Command>(at.index, error.to_string()))?;
                    let reply = machine.apply(at, command);
                    match machine.failure() {
                        None => Ok(reply),
                        Some(message) => Err(MachineFault::Failed {
                            index: at.index,
                            message,
                        }),
                    }
                })?;
                if is_told {
                    let (index, outcome) = (at.index, outcome_to_tell(&header, &outcome));
                    own.push(Own::Told { index, outcome });
                }
                let plain = self.own.is_some_and(|(_, own)| own == header.session);
                if ordered || plain {
                    let (session, sequence) = (header.session, header.sequence);
                    match outcome {
                        Outcome::Done(reply) => {
                            own.push(Own::Reply {
                                session,
                                sequence,
                                reply: Some(reply.into_owned()),
                            });
                        }
                        Outcome::Unreadable => own.push(Own::Reply {
                            session,
                            sequence,
                            reply: None,
                        }),
                        Outcome::Expired => own.push(Own::Expired { session }),
                        Outcome::Early | Outcome::TooFarAhead if ordered => {
                            own.push(Own::Early { session, sequence });
                        }
                        Outcome::Acknowledged if ordered => {
                            own.push(Own::Acknowledged { session, sequence });
                        }
                        // Of these nobody waits: the first was given up, and no member sends the others.
                        Outcome::Acknowledged | Outcome::TooFarAhead | Outcome::Early => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// What the session table knows of this member's own sessions.
    pub fn known(&self) -> Known<S::Reply> {
        let session = self.own;
        let ordered = self.ordered.iter();
        let ordered = ordered.map(|(nonce, session)| (*nonce, *session));
        let own = session.map(|(_, session)| session).into_iter();
        let own = own.chain(self.ordered.values().copied().flatten());
        let replies = own.flat_map(|session| {
            let replies = self.sessions.replies(session);
            replies.map(move |(sequence, reply)| Own::Reply {
                session,
                sequence,
                reply: reply.cloned(),
            })
        });
        Known {
            session,
            ordered: ordered.collect(),
            replies: replies.collect(),
        }
    }

    /// Captures the state and the sessions as they are now, to be encoded elsewhere and later.
    ///
    /// # Errors
    /// [`MachineFault::Snapshot`].
    pub fn capture(
        &self,
    ) -> Result<
        Joining<S::Reply, impl Iterator<Item = Vec<u8>> + Send + 'static + use<'_, S>>,
        MachineFault,
    > {
        let through = self.applied;
        let fault = |reason| MachineFault::Snapshot { through, reason };
        let panicked = |message: String| fault(alloc::format!("it panicked: {message}"));
        let pieces = caught(|| self.machine.snapshot().into_pieces()).map_err(panicked)?;
        match self.machine.failure() {
            None => Ok(Joining::new(&self.sessions, pieces)),
            Some(reason) => Err(fault(reason)),
        }
    }
}

/// What a client is told of its command.
fn outcome_to_tell<R: Serialize + Clone>(
    header: &CommandHeader,
    outcome: &Outcome<'_, R>,
) -> Option<CommandOutcome> {
    let (session, sequence) = (header.session, header.sequence);
    let done = |reply| {
        Some(CommandOutcome::Done {
            session,
            sequence,
            reply,
        })
    };
    match outcome {
        Outcome::Done(reply) => done(codec::encode(&**reply).ok().map(Bytes::from)),
        Outcome::Unreadable => done(None),
        Outcome::Expired => Some(CommandOutcome::Expired { session, sequence }),
        Outcome::Acknowledged | Outcome::TooFarAhead | Outcome::Early => None,
    }
}

fn undecodable<T>(index: Index, reason: String) -> MachineFault {
    MachineFault::Undecodable {
        index,
        type_name: core::any::type_name::<T>(),
        reason,
    }
}
