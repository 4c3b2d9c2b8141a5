//! A member's state machine: the real session table around the real key-value state, with digests of all that happened
//! to them.
//!
//! One digest runs over the entries, and must be the cluster's history. The other runs over what each entry did:
//! members that apply the same entries and come to different states or answers differ there.

use core::time::Duration;

use bytes::Bytes;
use liferaft_kv::{Command, Found, Keys, Kv, Query, Reply};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::sessions::{
    CommandHeader, Envelope, Outcome, REPLY_OVERHEAD_BYTES, ReplyBounds, Sessions, join_snapshot,
    split_snapshot,
};
use liferaft_raft::state_machine::{ApplyContext, StateMachine};
use liferaft_raft::time::ClusterTime;

use crate::digest::Digest;
use crate::flaw::Flaw;
use crate::invariants::transactions;
use crate::leasing::{self, LEASE_TTL_MS};
use crate::noted::Noted;
use crate::operation::{self, Answer, Question, is_mirrored, key_bytes};

/// How state machines of a run behave.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Sessions grow old this many times faster than the clocks: no run lasts as long as a session.
    pub session_hurry: u64,
    /// What the replies of sessions may weigh.
    pub replies: ReplyBounds,
    /// What is wrong with them, to see that it is found.
    pub flaw: Option<Flaw>,
    /// Whether they note what an entry changes: one does for all.
    pub notes: bool,
}

/// The state of one member's machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The last entry applied.
    pub applied: Index,
    /// Its stamp.
    pub stamp: ClusterTime,
    /// The digest of all that was applied.
    pub digest: Digest,
    /// The digest of what each entry did.
    pub effects: Digest,
    /// What the last entry changed, if that was to be noted.
    pub noted: Noted,
    sessions: Sessions<Reply>,
    kv: Kv,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            applied: Index::default(),
            stamp: ClusterTime::ZERO,
            digest: Digest::default(),
            effects: Digest::default(),
            noted: Noted::default(),
            sessions: Sessions::default(),
            kv: kv(),
        }
    }
}

/// A state whose history is so short that slow watches fall behind it.
fn kv() -> Kv {
    Kv::with_history(128, 1 << 20)
}

/// What an entry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing to the state machine.
    Nothing,
    /// It opened a session, or found it open.
    Registered {
        /// Of the registration.
        nonce: u128,
        /// The session.
        session: Index,
    },
    /// It carried a client's command.
    Command {
        /// Whose, and which.
        header: CommandHeader,
        /// The name of this copy of it.
        copy: u64,
        /// Whether this copy changed the state.
        executed: bool,
        /// What became of it.
        fate: Fate,
    },
}

/// What became of a copy of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done, by this copy or an earlier one.
    Done(Answer),
    /// Its session is gone.
    Expired,
    /// It had no effect for another reason.
    Ignored,
}

/// What a snapshot begins with, in bytes: five numbers.
const HEAD_BYTES: usize = 40;

/// The name of a copy, at the end of a command.
pub(crate) const COPY_BYTES: usize = 8;

/// What a snapshot says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last entry applied.
    pub applied: Index,
    /// The digest of all that was applied.
    pub digest: Digest,
    /// The digest of what each entry did.
    pub effects: Digest,
    /// The digest of the session table and the state, encoded.
    pub state: Digest,
    joined_bytes: usize,
}

impl Head {
    /// What a snapshot says of itself; `None` if it is none or is damaged.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let word = bytes.get(at * 8..at * 8 + 8)?;
            Some(u64::from_le_bytes(word.try_into().ok()?))
        };
        let head = Self {
            applied: Index(number(0)?),
            digest: Digest(number(1)?),
            effects: Digest(number(2)?),
            state: Digest(number(3)?),
            joined_bytes: usize::try_from(number(4)?).ok()?,
        };
        (Digest::default().with_bytes(head.joined(bytes)?) == head.state
            && head
                .padding(bytes)?
                .eq(filler(head.digest).take(bytes.len() - HEAD_BYTES - head.joined_bytes)))
        .then_some(head)
    }

    fn joined<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(HEAD_BYTES..)?.get(..self.joined_bytes)
    }

    fn padding<'a>(&self, bytes: &'a [u8]) -> Option<impl Iterator<Item = u8> + use<'a>> {
        let padding = bytes.get(HEAD_BYTES..)?.get(self.joined_bytes..)?;
        Some(padding.iter().copied())
    }
}

/// Differs along the way, so that chunks in the wrong order are noticed.
fn filler(digest: Digest) -> impl Iterator<Item = u8> {
    (0_u64..).map(move |at| (at ^ digest.0).to_le_bytes()[0])
}

/// The name of the copy of a client's command that these bytes are; `None` if they are none.
#[must_use]
pub fn copy_of(command: &[u8]) -> Option<u64> {
    match Envelope::decode(command).ok()? {
        Envelope::Command { body, .. } => body
            .last_chunk::<COPY_BYTES>()
            .map(|copy| u64::from_le_bytes(*copy)),
        Envelope::Register { .. } | Envelope::RegisterOrdered { .. } => None,
    }
}

impl Machine {
    /// Applies a committed entry.
    ///
    /// # Errors
    /// When its command cannot be read.
    pub fn apply(
        &mut self,
        entry: &Entry,
        entry_digest: u64,
        on: ServerId,
        manner: Manner,
    ) -> Result<Effect, String> {
        (self.applied, self.stamp) = (entry.index, entry.stamp);
        self.digest = self.digest.with(entry_digest);
        let at = ApplyContext {
            index: entry.index,
            term: entry.term,
            time: ClusterTime(entry.stamp.0 * manner.session_hurry),
        };
        self.sessions.bound_replies(manner.replies);
        self.noted = Noted::default();
        let before = manner.notes.then(|| {
            self.noted = Noted::begin(entry, at.time);
            self.noted.look(&self.kv)
        });
        let mut at = at;
        if manner.flaw == Some(Flaw::StalledLeaderExpires) && entry.payload == Payload::Noop {
            // A leader that takes over goes by a clock of its own, which did not stand still.
            at.time = at.time + Duration::from_millis(LEASE_TTL_MS * manner.session_hurry);
        }
        let effect = match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => Effect::Nothing,
            Payload::Command(command) => {
                match Envelope::decode(command).map_err(|error| error.to_string())? {
                    Envelope::Register { nonce, .. } => Effect::Registered {
                        nonce,
                        session: self.sessions.register(at, nonce),
                    },
                    Envelope::RegisterOrdered { nonce } => Effect::Registered {
                        nonce,
                        session: self.sessions.register_ordered(at, nonce),
                    },
                    Envelope::Command { header, body, .. } => {
                        let effect = self.command(at, header, body, on, manner.flaw)?;
                        if matches!(effect, Effect::Command { executed: true, .. }) {
                            let ttl_ms = LEASE_TTL_MS * manner.session_hurry;
                            self.noted.lease =
                                leasing::act(&mut self.kv, at, header.sequence, ttl_ms)?;
                        }
                        effect
                    }
                }
            }
        };
        self.sessions.advance(at.time);
        self.kv.advance(at);
        if let Some(before) = before {
            self.noted.note(&before, &self.kv);
        }
        self.effects = effect.digest(self.effects);
        Ok(effect)
    }

    /// What the replies of all sessions weigh, as counted by the table, and of one, counted anew.
    #[must_use]
    pub fn reply_bytes(&self, session: Index) -> (u64, u64) {
        let replies = self.sessions.replies(session);
        let bytes = replies.map(|(_, reply)| {
            let reply = reply.expect("one version wrote them all");
            let encoded = postcard::to_allocvec(reply).expect("replies have an encoding");
            encoded.len() as u64 + REPLY_OVERHEAD_BYTES
        });
        (self.sessions.reply_bytes(), bytes.sum())
    }

    /// Asks the key-value state whatever a watch has to ask.
    pub fn ask(&self, query: Query) -> liferaft_kv::Answer {
        self.kv.query(query)
    }

    fn command(
        &mut self,
        at: ApplyContext,
        header: CommandHeader,
        body: &[u8],
        on: ServerId,
        flaw: Option<Flaw>,
    ) -> Result<Effect, String> {
        let Some((body, copy)) = body.split_last_chunk::<COPY_BYTES>() else {
            return Err("a command does not name its copy".to_owned());
        };
        let kv = &mut self.kv;
        let mut executed = false;
        let mut execute = || {
            executed = true;
            let mut command: Command =
                postcard::from_bytes(body).map_err(|error| error.to_string())?;
            if flaw == Some(Flaw::ApplyDependsOnMember)
                && on.0 == 2
                && at.index.0.is_multiple_of(64)
                && let Command::Set { value, .. } | Command::Append { value, .. } = &mut command
            {
                *value = Bytes::from_static(&[1; 8]);
            }
            let halves = flaw == Some(Flaw::TransactionNotAtomic)
                && at.index.0.is_multiple_of(4)
                && matches!(command, Command::Txn(_));
            let mut keys = operation::keys_of(&command).into_iter();
            let mirror = keys.find(|key| halves && key.len() == 2);
            let reply = kv.apply(at, command);
            if let Some(key) = mirror {
                drop(kv.apply(at, Command::Delete { key }));
            }
            Ok::<_, String>(reply)
        };
        let fate = if flaw == Some(Flaw::SessionsSkipped) {
            Fate::Done(Answer::of_reply(&execute()?)?)
        } else {
            match self.sessions.execute(at, &header, execute)? {
                Outcome::Done(reply) => Fate::Done(Answer::of_reply(&reply)?),
                Outcome::Expired => Fate::Expired,
                Outcome::Unreadable => return Err("a reply cannot be read back".to_owned()),
                Outcome::Acknowledged | Outcome::TooFarAhead | Outcome::Early => Fate::Ignored,
            }
        };
        Ok(Effect::Command {
            header,
            copy: u64::from_le_bytes(*copy),
            executed,
            fate,
        })
    }

    /// Answers a read.
    ///
    /// # Errors
    /// When the key-value state refuses it.
    pub fn read(&self, number: u8, question: Question) -> Result<Answer, String> {
        let key = key_bytes(number);
        let query = match question {
            Question::Get if is_mirrored(number) => Query::Scan(Keys::prefix(key).into()),
            Question::Get => Query::Get { key },
            Question::List => Query::ReadSequence {
                key,
                from: 0,
                limit: usize::MAX,
            },
            Question::Change(_) => return Err("a change is asked as a read".to_owned()),
        };
        let found = self
            .kv
            .query(query)
            .outcome
            .map_err(|refused| refused.to_string())?;
        if let Found::Page(page) = &found {
            transactions::mirrored(number, page)?;
        }
        Answer::of_found(&found)
    }

    /// The digest of the whole state.
    ///
    /// # Errors
    /// When the sessions cannot be encoded.
    pub fn state(&self) -> Result<Digest, String> {
        let joined = join_snapshot(&self.sessions, self.kv.snapshot());
        let joined = joined.map_err(|error| error.to_string())?;
        Ok(Digest::default().with_bytes(&joined))
    }

    /// The state as bytes, padded so that it takes several chunks to send.
    ///
    /// # Errors
    /// When the sessions cannot be encoded.
    pub fn capture(&self, padding_bytes: usize, flaw: Option<Flaw>) -> Result<Bytes, String> {
        let joined = if flaw == Some(Flaw::SessionsNotInSnapshot) {
            join_snapshot(&Sessions::<Reply>::default(), self.kv.snapshot())
        } else {
            join_snapshot(&self.sessions, self.kv.snapshot())
        }
        .map_err(|error| error.to_string())?;
        let head = [
            self.applied.0,
            self.digest.0,
            self.effects.0,
            Digest::default().with_bytes(&joined).0,
            joined.len() as u64,
        ];
        let mut bytes = Vec::with_capacity(HEAD_BYTES + joined.len() + padding_bytes);
        bytes.extend(head.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend_from_slice(&joined);
        bytes.extend(filler(self.digest).take(padding_bytes));
        Ok(bytes.into())
    }

    /// The state that these bytes hold, as of an entry with this stamp.
    ///
    /// # Errors
    /// When they hold none.
    pub fn restore(bytes: &[u8], stamp: ClusterTime) -> Result<Self, String> {
        let head = Head::of(bytes).ok_or("the snapshot is damaged")?;
        let joined = head.joined(bytes).ok_or("the snapshot is cut off")?;
        let (sessions, state) = split_snapshot(joined).map_err(|error| error.to_string())?;
        let sessions =
            Sessions::decode(sessions, head.applied).map_err(|error| error.to_string())?;
        let mut kv = kv();
        kv.restore(state).map_err(|error| error.to_string())?;
        Ok(Self {
            applied: head.applied,
            stamp,
            digest: head.digest,
            effects: head.effects,
            noted: Noted::default(),
            sessions,
            kv,
        })
    }
}

impl Effect {
    fn digest(&self, before: Digest) -> Digest {
        match self {
            Self::Nothing => before.with(1),
            Self::Registered { session, .. } => before.with(2).with(session.0),
            Self::Command { executed, fate, .. } => {
                let before = before.with(3 + u64::from(*executed));
                match fate {
                    Fate::Done(answer) => answer.digest(before.with(1)),
                    Fate::Expired => before.with(2),
                    Fate::Ignored => before.with(3),
                }
            }
        }
    }
}
