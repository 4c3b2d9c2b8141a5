//! Changing the configuration (§4): catching up, the barrier, the joint phase, leaving.

use alloc::sync::Arc;
use core::time::Duration;

use super::common::Common;
use super::input::{Addition, MembershipChange, MembershipStep};
use super::leader::Leader;
use super::membership::{first_step, target_of};
use super::names::ChangeId;
use super::output::{ChangeError, InvalidChange};
use super::planted::{Bug, is_planted};
use super::progress::{Progress, Standing};
use crate::configuration::{Configuration, Foreign};
use crate::entry::Payload;
use crate::ids::{Index, ServerId};
use crate::sorted::SortedMap;
use crate::time::Instant;

/// For so many election timeouts a server that was removed is told so.
const FAREWELL_ELECTION_TIMEOUTS: u32 = 2;

/// The one change that is under way.
#[derive(Debug)]
pub(super) struct PendingChange {
    id: ChangeId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Waits until this term has committed an entry: before, two leaders' changes could miss each other (§4.1).
    Waiting(MembershipChange),
    /// Its new voters catch up with the log, before they count (§4.2.1).
    CatchingUp {
        wanted: MembershipChange,
        joiners: SortedMap<ServerId, CatchUp>,
    },
    /// Its first configuration is in the log.
    Appended,
}

/// A server that catches up, in rounds: each replicates what was in the log when it began, and the server is ready when
/// one took less than an election timeout.
#[derive(Debug)]
struct CatchUp {
    goal: Index,
    since: Instant,
    began: Instant,
    rounds_left: u32,
    ready: bool,
}

impl Leader {
    pub(super) fn on_change(
        &mut self,
        common: &mut Common,
        id: ChangeId,
        change: MembershipChange,
    ) {
        let replaces = is_planted(Bug::TwoChanges)
            && matches!(&self.change, Some(change) if matches!(change.stage, Stage::Appended));
        if self.change.is_some() && !replaces
            || (self.term_has_committed(common) && !is_settled(common))
        {
            common.out.changes.push((id, Err(ChangeError::Pending)));
            return;
        }
        self.change = Some(PendingChange {
            id,
            stage: Stage::Waiting(change),
        });
    }

    /// Whether a change would be begun at once.
    pub(super) fn may_change(&self, common: &Common) -> bool {
        self.change.is_none() && self.term_has_committed(common) && is_settled(common)
    }

    /// Takes the change that is under way as far as it can go. A leader that is removed itself begins none.
    pub(super) fn advance_change(&mut self, common: &mut Common) {
        let may_begin = self.change.is_some()
            && !self.removed
            && (self.term_has_committed(common) || is_planted(Bug::ChangeBeforeCommit))
            && is_settled(common);
        if let Some(PendingChange {
            stage: Stage::Waiting(wanted),
            ..
        }) = &self.change
        {
            if !may_begin {
                return;
            }
            let wanted = wanted.clone();
            match self.target(common, &wanted) {
                Ok(target) => self.begin_catch_up(common, wanted, &target),
                Err(error) => return self.end_change(common, Err(error)),
            }
        }
        let Some(PendingChange {
            stage: Stage::CatchingUp { wanted, joiners },
            ..
        }) = &mut self.change
        else {
            return;
        };
        for (server, catch_up) in joiners.iter_mut() {
            let peer = self.peers.get(*server);
            if peer.is_some_and(Progress::has_forgotten) {
                let error = ChangeError::Invalid(InvalidChange::Forgot(*server));
                return self.end_change(common, Err(error));
            }
            let reached = peer.map_or(Index::ZERO, |peer| peer.match_index);
            if !catch_up.advance(common, reached) {
                let error = ChangeError::TooSlow(*server);
                return self.end_change(common, Err(error));
            }
        }
        if joiners.values().all(|catch_up| catch_up.ready) {
            // Which servers have lost what they acknowledged may have been found since.
            let wanted = wanted.clone();
            let target = match self.target(common, &wanted) {
                Ok(target) => target,
                Err(error) => return self.end_change(common, Err(error)),
            };
            let step = first_step(common.configuration(), &target);
            if let Some(change) = &mut self.change {
                change.stage = Stage::Appended;
            }
            self.append_configuration(common, step);
        }
    }

    /// The configuration that the change leads to, by what this leader knows now.
    fn target(
        &self,
        common: &Common,
        wanted: &MembershipChange,
    ) -> Result<Configuration, ChangeError> {
        let wanted = self.as_it_may_be_made(wanted)?;
        target_of(common.configuration(), &wanted, self.cluster_time(common))
    }

    /// Returns the change with what this leader knows of its servers: one that has lost what it acknowledged leaves for
    /// good, and becomes nothing else.
    fn as_it_may_be_made(
        &self,
        wanted: &MembershipChange,
    ) -> Result<MembershipChange, ChangeError> {
        let steps = wanted.steps.iter().map(|step| {
            let has_forgotten = |id| self.peers.get(id).is_some_and(Progress::has_forgotten);
            match step {
                MembershipStep::AddVoter(Addition { id, .. })
                | MembershipStep::AddLearner(Addition { id, .. })
                    if has_forgotten(*id) =>
                {
                    Err(ChangeError::Invalid(InvalidChange::Forgot(*id)))
                }
                MembershipStep::Remove(id) | MembershipStep::Evict(id) if has_forgotten(*id) => {
                    Ok(MembershipStep::Retire(*id))
                }
                other => Ok(other.clone()),
            }
        });
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(MembershipChange { steps })
    }

    fn begin_catch_up(
        &mut self,
        common: &Common,
        wanted: MembershipChange,
        target: &Configuration,
    ) {
        let goal = common.log.last_index();
        let rounds_left = common.config.limits().catch_up_rounds;
        let before = common.configuration();
        let coming = target
            .voters()
            .iter()
            .filter(|id| !before.voters().contains(id));
        let joiners: SortedMap<ServerId, CatchUp> = coming
            .filter(|id| **id != common.id)
            .map(|id| {
                let (since, began) = (common.now, common.now);
                (
                    *id,
                    CatchUp {
                        goal,
                        since,
                        began,
                        rounds_left,
                        ready: false,
                    },
                )
            })
            .collect();
        let latest = self.rounds.latest();
        for server in joiners.keys() {
            match self.peers.get_mut(*server) {
                Some(peer) if peer.standing == Standing::Member => {}
                Some(peer) => peer.standing = Standing::Joining,
                None => self.peers.meet(*server, goal, Standing::Joining, latest),
            }
        }
        if let Some(change) = &mut self.change {
            change.stage = Stage::CatchingUp { wanted, joiners };
        }
    }

    /// Ends the change if a joining server has fallen silent, or answers and makes no headway in its round: it must not
    /// be waited for for ever.
    pub(super) fn check_catch_up(&mut self, common: &mut Common) {
        let Some(PendingChange {
            stage: Stage::CatchingUp { joiners, .. },
            ..
        }) = &self.change
        else {
            return;
        };
        let silent = joiners.iter().find(|(server, catch_up)| {
            let heard_at = self.peers.get(**server).and_then(|peer| peer.heard_at);
            let last = heard_at.map_or(catch_up.began, |at| at.max(catch_up.began));
            !catch_up.ready && common.now.since(last) > common.config.election_timeout()
        });
        let stuck = joiners.iter().find(|(server, catch_up)| {
            let peer = self.peers.get(**server);
            peer.is_some_and(|peer| {
                let made_at = peer.headway.made_at();
                let last = made_at.map_or(catch_up.since, |at| at.max(catch_up.since));
                !catch_up.ready && common.now.since(last) > peer.headway_within(common)
            })
        });
        let error = match (silent, stuck) {
            (Some((server, _)), _) => ChangeError::Unreachable(*server),
            (None, Some((server, _))) => ChangeError::TooSlow(*server),
            (None, None) => return,
        };
        self.end_change(common, Err(error));
    }

    /// A server that is to catch up says that it cannot: it is waited for no longer.
    pub(super) fn on_foreign(&mut self, common: &mut Common, server: ServerId, why: Foreign) {
        let is_awaited = matches!(
            &self.change,
            Some(PendingChange { stage: Stage::CatchingUp { joiners, .. }, .. })
                if joiners.contains_key(&server)
        );
        if is_awaited {
            self.end_change(common, Err(ChangeError::Foreign(server, why)));
        }
    }

    fn end_change(&mut self, common: &mut Common, result: Result<Index, ChangeError>) {
        if let Some(change) = self.change.take() {
            common.out.changes.push((change.id, result));
        }
        self.peers
            .retain(|_, peer| peer.standing != Standing::Joining);
    }

    fn append_configuration(&mut self, common: &mut Common, configuration: Configuration) {
        self.append(common, Payload::Configuration(Arc::new(configuration)));
        self.meet_members(common);
        self.commit_gate.open();
        self.confirm_gate.open();
    }

    /// The configuration in force is committed: a joint one is left (§4.3); a simple one ends the change.
    pub(super) fn on_configuration_committed(&mut self, common: &mut Common) {
        if common.configuration().is_joint() {
            let target = common.configuration().left_joint();
            self.append_configuration(common, target);
            return;
        }
        let removal = common.configurations.current_index();
        let farewell = common.config.election_timeout() * FAREWELL_ELECTION_TIMEOUTS;
        let until = common.now + farewell;
        for (id, peer) in self.peers.iter_mut() {
            if peer.standing == Standing::Member && !common.configuration().contains(id) {
                peer.standing = Standing::Departing { removal, until };
            }
        }
        if matches!(
            self.change,
            Some(PendingChange {
                stage: Stage::Appended,
                ..
            })
        ) {
            self.end_change(common, Ok(removal));
        }
        self.removed = !common.is_voter();
    }

    /// No longer speaks to servers that know of their removal, or had their time to learn of it.
    pub(super) fn part_with_departed(&mut self, common: &Common) {
        self.peers.retain(|_, peer| match peer.standing {
            Standing::Departing { removal, until } => peer.commit < removal && common.now < until,
            Standing::Member | Standing::Joining => true,
        });
    }
}

/// Whether the configuration in force is committed and simple, so that another may follow it.
fn is_settled(common: &Common) -> bool {
    (common.configurations.current_index() <= common.commit_index || is_planted(Bug::TwoChanges))
        && !common.configuration().is_joint()
}

impl PendingChange {
    /// Leadership is lost: what is in the log may yet be committed.
    pub(super) fn abandon(self, common: &mut Common, leader: Option<ServerId>) {
        let error = match self.stage {
            Stage::Waiting(_) | Stage::CatchingUp { .. } => ChangeError::NotLeader { leader },
            Stage::Appended => ChangeError::Unknown { leader },
        };
        common.out.changes.push((self.id, Err(error)));
    }
}

impl CatchUp {
    /// Begins the next round when this one is done. Tells whether there is one left, if it is needed.
    fn advance(&mut self, common: &Common, reached: Index) -> bool {
        if self.ready || reached < self.goal {
            return true;
        }
        let took: Duration = common.now.since(self.since);
        if took < common.config.election_timeout() {
            self.ready = true;
            return true;
        }
        self.rounds_left = self.rounds_left.saturating_sub(1);
        self.goal = common.log.last_index();
        self.since = common.now;
        // A round without entries is over as it begins.
        self.ready = self.rounds_left > 0 && reached >= self.goal;
        self.rounds_left > 0
    }
}
