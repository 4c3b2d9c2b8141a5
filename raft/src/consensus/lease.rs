//! Reads by lease: a leader that is certain to be the only one needs to ask nobody (§6.4.1).
//!
//! # What is promised
//!
//! A server that is built with [`ReadLease`](crate::config::ReadLease) promises its leader, each time it hears it, to
//! help nobody else to lead for an election timeout: it gives no vote and no pre-vote and does not campaign. It tells
//! so in its answer, beside the round that it answers. The promise binds the server, not its role or term: a message of
//! a later term does not end it. A shorter election timeout does not, and neither does a restart with whatever
//! settings: the longest promise is part of the hard state ([`HardState::promise`](super::HardState::promise)), and a
//! server that comes back waits for so long. It tells its leader no longer promise than what is durable, and stores a
//! shorter one only when no promise that was given outlasts it.
//!
//! # What a leader makes of it
//!
//! An answer to round `r` with promise `p` was sent after `r` was, so the promise holds at least until `p` after the
//! leader *sent* `r`: the moment of sending is what it counts from, never that of the answer. It holds by the voter's
//! clock, which may be as fast as the drift bound allows, while the leader's may be as slow:
//! [`ReadLease::reliable`](crate::config::ReadLease::reliable) is what is left of it. The lease ends with the promise
//! at which the quorum would be lost, of both halves of a joint configuration.
//!
//! # Why that is safe
//!
//! A leader of a later term is elected by a quorum of votes. As with commitment, it shares a voter with the quorum of
//! the lease: that of the same configuration, or of a neighbouring one in the log, and no others can elect once an
//! entry of this term is committed, which the lease requires. That voter gives its vote when its promise has ended, and
//! by then the lease has too. Until then whatever is committed anywhere is committed by this leader, which so knows all
//! of it.
//!
//! One election does not wait: the one that the leader asks for, by TimeoutNow. Its requests for votes are granted in
//! spite of promises (§4.2.3), and the network may deliver it, or them, at any later time. A leader that has once
//! told a server to campaign therefore has no lease any more for the rest of its term, even if that transfer comes to
//! nothing.
//!
//! All of it rests on clocks that keep to the bound and count the time that a machine was suspended. A clock that is
//! seen going backward takes the lease with it. What cannot be seen, such as a virtual machine stopped and resumed by a
//! host that does not tell it, is why this is an opt-in.

use core::time::Duration;

use super::common::Common;
use super::leader::Leader;
use super::planted::{Bug, is_planted};
use super::quorum;
use crate::ids::Round;
use crate::time::Instant;

/// What has befallen the leases of a leader.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// Whether another server was told to campaign.
    forfeited: bool,
    /// Only rounds from here on count.
    counts_from: Round,
}

impl Lease {
    /// Another server is told to campaign.
    pub(super) fn forfeit(&mut self) {
        self.forfeited = !is_planted(Bug::LeaseSurvivesTransfer);
    }
}

impl Leader {
    /// Whether no other server can lead now.
    pub(super) fn holds_lease(&self, common: &Common) -> bool {
        self.lease_until(common)
            .is_some_and(|until| common.now < until)
    }

    /// Until when no other server can lead; `None` if that is not known.
    pub(super) fn lease_until(&self, common: &Common) -> Option<Instant> {
        if self.lease.forfeited || !self.term_has_committed(common) {
            return None;
        }
        self.promised_until(common)
    }

    /// The clock went backward, or has just caught up: of the rounds that were sent until now nobody can tell when that
    /// was.
    pub(super) fn distrust_clock(&mut self) {
        if is_planted(Bug::LeaseTrustsClock) {
            return;
        }
        self.lease.counts_from = self.rounds.latest().next();
    }

    /// Until when the promises of a quorum can be relied upon; `None` if this server reads without leases.
    fn promised_until(&self, common: &Common) -> Option<Instant> {
        let lease = common.config.read_lease()?;
        quorum::reached(common.configuration(), |voter| {
            if voter == common.id {
                return Instant::MAX;
            }
            let (round, promise) = match self.counted(voter) {
                Some(peer) => peer.promise,
                None => (Round::ZERO, Duration::ZERO),
            };
            if promise.is_zero() || round < self.lease.counts_from {
                return Instant::ORIGIN;
            }
            if is_planted(Bug::LeaseWithoutBound) {
                return Instant::MAX;
            }
            self.rounds.sent_after(round) + lease.reliable(promise)
        })
    }
}
