//! Handing leadership over (§3.10).

use super::common::Common;
use super::leader::Leader;
use super::output::TransferError;
use super::progress::Progress;
use crate::ids::ServerId;
use crate::message::Body;
use crate::time::Instant;

/// Leadership on its way to another voter. Meanwhile no proposals are taken, so that its log can catch up.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) to: ServerId,
    /// When to give up and lead on.
    pub(super) deadline: Instant,
    /// When the voter was last told to campaign.
    told_at: Option<Instant>,
}

impl Leader {
    pub(super) fn on_transfer(&mut self, common: &mut Common, to: Option<ServerId>) {
        let result = match (&self.transfer, to.or_else(|| self.best_successor(common))) {
            (Some(transfer), _) => Err(TransferError::Pending { to: transfer.to }),
            (None, None) => Err(TransferError::NoCandidate),
            (None, Some(to)) if to == common.id => Ok(to),
            (None, Some(to)) if !self.may_succeed(common, to) => Err(TransferError::NotVoter(to)),
            (None, Some(to)) => {
                let deadline = common.now + common.config.election_timeout();
                self.transfer = Some(Transfer {
                    to,
                    deadline,
                    told_at: None,
                });
                return;
            }
        };
        common.out.transfers.push(result);
    }

    /// The voter, other than this server, whose log has most of ours; of equals the one heard last.
    pub(super) fn best_successor(&self, common: &Common) -> Option<ServerId> {
        let voters = common.configuration().voters();
        self.peers
            .iter()
            .filter(|(id, progress)| voters.contains(id) && !progress.has_forgotten())
            .max_by_key(|(_, progress)| (progress.match_index, progress.heard_at))
            .map(|(id, _)| id)
    }

    /// Returns true if this server votes, and has not lost what it acknowledged.
    fn may_succeed(&self, common: &Common, id: ServerId) -> bool {
        let has_forgotten = self.peers.get(id).is_some_and(Progress::has_forgotten);
        common.configurations.current().is_voter(id) && !has_forgotten
    }

    /// Tells the voter to campaign once it has the whole log, and again if it may not have heard.
    pub(super) fn flush_transfer(&mut self, common: &mut Common) {
        // A server that has lost its vote meanwhile cannot take over: nothing is refused for its sake any longer.
        let lost = |transfer: &Transfer| !self.may_succeed(common, transfer.to);
        if self.transfer.as_ref().is_some_and(lost)
            && let Some(transfer) = self.transfer.take()
        {
            let error = TransferError::NotVoter(transfer.to);
            common.out.transfers.push(Err(error));
        }
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let Some(progress) = self.peers.get(transfer.to) else {
            return;
        };
        let heartbeat = common.config.heartbeat_interval();
        // A word that is lost is repeated before the transfer is given up.
        let repeat_max = common.config.election_timeout() / 2;
        let round_trip = progress.round_trip.timeout(heartbeat);
        let repeat = round_trip.clamp(heartbeat, repeat_max.max(heartbeat));
        let due = transfer
            .told_at
            .is_none_or(|at| common.now.since(at) >= repeat);
        if due && progress.match_index == common.log.last_index() {
            transfer.told_at = Some(common.now);
            self.lease.forfeit();
            common.send(transfer.to, Body::TimeoutNow);
        }
    }

    /// Leads on if the voter did not take over in time.
    pub(super) fn check_transfer(&mut self, common: &mut Common) {
        if let Some(transfer) = self
            .transfer
            .take_if(|transfer| common.now >= transfer.deadline)
        {
            common
                .out
                .transfers
                .push(Err(TransferError::NoTakeover(transfer.to)));
        }
    }
}

impl Transfer {
    /// Leadership has ended: by the transfer, if the voter had been told.
    pub(super) fn end(self, common: &mut Common, leader: Option<ServerId>) {
        let result = if self.told_at.is_some() {
            Ok(self.to)
        } else {
            Err(TransferError::NotLeader { leader })
        };
        common.out.transfers.push(result);
    }
}
