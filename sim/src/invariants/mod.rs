//! Checks what must hold after every turn of every member, one file for each property.
//!
//! A check looks at what the turn has changed and at nothing else, so that its cost does not grow with the run. The
//! checks believe the members' outputs (what they write, send, apply and answer) and what is on their disks; what a
//! member says of itself is compared with those.

mod ages;
pub mod bounds;
pub mod clear_answers;
mod commit_on_quorum;
mod election_safety;
pub mod exactly_once;
mod honest_peers;
pub mod impostors;
mod leader_append_only;
mod leader_completeness;
pub mod leases;
pub mod liveness;
mod log_matching;
mod membership;
mod monotonic;
mod order;
pub mod past;
mod persist_before_send;
pub mod policy;
pub mod prefix_reads;
mod promises;
pub mod reads;
mod snapshots;
mod stability;
mod state_machine_safety;
mod strangers;
pub mod transactions;
pub mod vacuous;
pub mod watches;

use core::fmt;
use std::collections::BTreeMap;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{Output, Raft, quorum};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::time::Instant;

use crate::clock::{MILLI, Nanos};
use crate::disk::Durable;
use crate::heard::Heard;
use crate::history::History;
use crate::member::{Member, View};
use crate::plan::Plan;
use crate::shadow::{LogChange, ShadowLog};

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The property.
    pub invariant: &'static str,
    /// When.
    pub at: Nanos,
    /// The member whose turn it was, if one was to blame.
    pub member: Option<ServerId>,
    /// What was wrong.
    pub text: String,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, at, .. } = self;
        write!(
            f,
            "{invariant} at {}.{:03} ms",
            at / MILLI,
            at / 1000 % 1000
        )?;
        if let Some(member) = self.member {
            write!(f, ", member {member}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// What a check says: nothing, or what is wrong.
pub type Verdict = Result<(), String>;

/// Ends a check with what is wrong, unless the condition holds.
macro_rules! demand {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use demand;

/// One member's turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// When.
    pub now: Nanos,
    /// All members, with what the turn has changed.
    pub members: &'a [Member],
    /// What servers that are gone had on their disks: what they promised then has been promised.
    pub lost: &'a BTreeMap<ServerId, Durable>,
    /// Whose turn it was.
    pub member: usize,
    /// What it said of itself before.
    pub before: View,
    /// What the turn did to its log.
    pub change: LogChange,
    /// The configuration that was in force before, with the index of its entry.
    pub configuration_before: (Index, Option<&'a Configuration>),
    /// What came out.
    pub output: &'a Output,
    /// How the run is set up.
    pub plan: &'a Plan,
    /// What it was told.
    pub heard: &'a Heard,
    /// What its clock showed.
    pub local: Instant,
}

impl<'a> Turn<'a> {
    fn id(&self) -> ServerId {
        self.members[self.member].id
    }

    fn after(&self) -> View {
        self.members[self.member].view
    }

    fn log(&self) -> &'a ShadowLog {
        &self.members[self.member].log
    }

    fn durable(&self) -> &'a Durable {
        self.members[self.member].disk.durable()
    }

    fn begins_to_lead(&self) -> bool {
        self.after().leads() && !(self.before.leads() && self.before.term == self.after().term)
    }

    /// Whether a quorum of the configuration is made of servers on whose disks this holds, or did when they were lost.
    /// One that went on with a blank disk counts with what it has there now as long as its leader cannot know of that:
    /// all that it said may have been lost until it had everything again.
    fn is_durable_on_quorum(
        &self,
        configuration: Option<&Configuration>,
        holds: impl Fn(&Durable) -> bool,
    ) -> bool {
        let oversight = self.members[self.member].raft.as_ref();
        let oversight = oversight.and_then(Raft::oversight);
        let unnoticed = |voter| {
            let is_known = oversight.as_ref().is_some_and(|it| it.has_forgotten(voter));
            let member = member_of(self.members, voter).filter(|member| member.is_blank);
            member
                .filter(|_| !is_known)
                .map(|member| member.disk.durable())
        };
        let has = |durable: Option<&Durable>| durable.is_some_and(&holds);
        let of = |voter| {
            let is_held = has(held(self.members, self.lost, voter)) || has(unnoticed(voter));
            u8::from(is_held)
        };
        configuration.is_some_and(|configuration| quorum_by_hand(configuration, of))
    }
}

/// What a server has on its disk, or had when it was lost.
fn held<'a>(
    members: &'a [Member],
    lost: &'a BTreeMap<ServerId, Durable>,
    id: ServerId,
) -> Option<&'a Durable> {
    let member = member_of(members, id).filter(|member| !member.is_blank);
    let durable = member.map(|member| member.disk.durable());
    durable.or_else(|| lost.get(&id))
}

/// The member with this id.
fn member_of(members: &[Member], id: ServerId) -> Option<&Member> {
    members.iter().find(|member| member.id == id)
}

/// A quorum counted in the plainest way, so that the core's arithmetic is not its own judge.
fn quorum_by_hand(configuration: &Configuration, of: impl Fn(ServerId) -> u8) -> bool {
    let majority = |voters: &[ServerId]| {
        let holding: usize = voters.iter().map(|voter| usize::from(of(*voter))).sum();
        voters.is_empty() || holding * 2 > voters.len()
    };
    let counted = majority(configuration.voters()) && majority(configuration.outgoing());
    debug_assert_eq!(
        Some(counted),
        quorum::reached(configuration, &of).map(|one| one == 1)
    );
    counted
}

/// All checks, with what each remembers.
#[derive(Debug, Default)]
pub struct Invariants {
    election_safety: election_safety::ElectionSafety,
    log_matching: log_matching::LogMatching,
    monotonic: monotonic::Monotonic,
    membership: membership::Membership,
    stability: stability::Stability,
    promises: promises::Promises,
    ages: ages::Ages,
}

impl Invariants {
    /// Checks what a turn has changed, where what it committed is written down already.
    ///
    /// # Errors
    /// The first property that does not hold, with what is wrong.
    pub fn check(
        &mut self,
        turn: &Turn<'_>,
        history: &History,
    ) -> Result<(), (&'static str, String)> {
        let named = |name: &'static str| move |text: String| (name, text);
        leader_append_only::check(turn).map_err(named("leader append-only"))?;
        let matching = self.log_matching.check(turn);
        matching.map_err(named("log matching"))?;
        let election = self.election_safety.check(turn);
        election.map_err(named("election safety"))?;
        leader_completeness::check(turn, history).map_err(named("leader completeness"))?;
        self.membership.check(turn).map_err(named("membership"))?;
        self.monotonic.check(turn).map_err(named("monotonic"))?;
        order::check(turn).map_err(named("order of positions"))?;
        persist_before_send::check(turn, history).map_err(named("persist before send"))?;
        state_machine_safety::check(turn, history).map_err(named("state machine safety"))?;
        snapshots::check(turn, history).map_err(named("snapshot equals replay"))?;
        let ages = self.ages.check(turn, history);
        ages.map_err(named("ages of local reads"))?;
        honest_peers::check(turn).map_err(named("honest peers"))?;
        bounds::check(turn).map_err(named("bounds"))?;
        strangers::check(turn).map_err(named("strangers"))?;
        self.promises.check(turn).map_err(named("promises"))?;
        self.stability.check(turn)
    }

    /// Whether what a member has promised its leader binds it.
    #[must_use]
    pub fn is_promised(&self, member: &Member, now: Nanos) -> bool {
        self.promises.bind(member, now)
    }

    /// A member was started, for the first time or again: what it recovered must not be older than what it had
    /// promised.
    ///
    /// # Errors
    /// The property that does not hold.
    pub fn started(
        &mut self,
        member: &Member,
        at: usize,
        now: Nanos,
    ) -> Result<(), (&'static str, String)> {
        self.ages.started(member, at, now);
        self.stability.started(member, at, now);
        self.monotonic
            .restarted(member)
            .map_err(|text| ("monotonic", text))
    }
}

/// Writes down what this turn has committed, after checking that a quorum holds it.
///
/// # Errors
/// The property that does not hold.
pub fn commit(turn: &Turn<'_>, history: &mut History) -> Result<(), (&'static str, String)> {
    commit_on_quorum::check(turn, history).map_err(|text| ("commit on a quorum", text))
}
