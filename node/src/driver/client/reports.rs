//! A client's questions of where single members stand. Each member answers for itself, whether it leads or not.

use liferaft_platform::SortedSet;
use tokio::sync::oneshot;

use super::task::RESEND_AFTER;
use crate::driver::attempt::NEVER;
use crate::driver::error::{Busy, ReadError};
use crate::ids::ServerId;
use crate::time::Instant;
use crate::wire::Report;

/// The most questions that wait.
const PENDING_MAX: usize = 1024;

/// A caller that waits for a member's report.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) server: ServerId,
    pub(super) deadline: Instant,
    pub(super) caller: oneshot::Sender<Result<Report, ReadError>>,
}

#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: Vec<Waiting>,
    /// When all who wait ask again.
    ask_at: Option<Instant>,
}

impl Reports {
    /// When to look again, if nothing happens.
    pub(super) fn due(&self) -> Instant {
        let deadlines = self.waiting.iter().map(|waiting| waiting.deadline);
        let first = deadlines.min().unwrap_or(NEVER);
        self.ask_at.map_or(first, |ask_at| first.min(ask_at))
    }

    /// Takes a caller in, or refuses it if too many wait.
    pub(super) fn admit(&mut self, waiting: Waiting) {
        if self.waiting.len() >= PENDING_MAX {
            let busy = Busy::of(PENDING_MAX, "reports");
            return drop(waiting.caller.send(Err(ReadError::Busy(busy))));
        }
        self.waiting.push(waiting);
        self.ask_at = Some(Instant::ORIGIN);
    }

    /// The members that are asked.
    pub(super) fn asked(&self) -> SortedSet<ServerId> {
        self.waiting.iter().map(|waiting| waiting.server).collect()
    }

    /// There is a link to a member: what waits for it is asked at once.
    pub(super) fn on_up(&mut self, peer: ServerId) {
        if self.waiting.iter().any(|waiting| waiting.server == peer) {
            self.ask_at = Some(Instant::ORIGIN);
        }
    }

    /// Gives up those whose time is over, and returns whom to ask, or to ask again.
    pub(super) fn due_at(&mut self, now: Instant) -> Vec<ServerId> {
        let is_over = |waiting: &mut Waiting| waiting.deadline <= now || waiting.caller.is_closed();
        for over in self.waiting.extract_if(.., is_over) {
            drop(over.caller.send(Err(ReadError::TimedOut)));
        }
        if self.waiting.is_empty() {
            self.ask_at = None;
        }
        if self.ask_at.is_none_or(|ask_at| ask_at > now) {
            return Vec::new();
        }
        self.ask_at = Some(now + RESEND_AFTER);
        self.asked().into_iter().collect()
    }

    /// A member has answered, over the link that proves who it is.
    pub(super) fn on_report(&mut self, from: ServerId, report: &Report) {
        let is_answered = |waiting: &mut Waiting| waiting.server == from;
        for answered in self.waiting.extract_if(.., is_answered) {
            drop(answered.caller.send(Ok(report.clone())));
        }
    }

    /// Answers all callers, because the client stops, or will reach no member.
    pub(super) fn end(&mut self, error: &ReadError) {
        for waiting in self.waiting.drain(..) {
            drop(waiting.caller.send(Err(error.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::RoleKind;
    use crate::ids::{Index, Term};

    const ADA: ServerId = ServerId(1);

    fn report() -> Report {
        Report {
            role: RoleKind::Leader,
            term: Term(3),
            leader: Some(ADA),
            last: Index(9),
            commit: Index(9),
            applied: Index(9),
            snapshot: Index(0),
            log_bytes: 100,
            links: 2,
            members: Vec::new(),
            peers: Vec::new(),
            tokens: Vec::new(),
            time: crate::time::ClusterTime::ZERO,
            paths: Vec::new(),
        }
    }

    fn ask(
        reports: &mut Reports,
        server: ServerId,
    ) -> oneshot::Receiver<Result<Report, ReadError>> {
        let (caller, answer) = oneshot::channel();
        reports.admit(Waiting {
            server,
            deadline: Instant::ORIGIN + 100 * RESEND_AFTER,
            caller,
        });
        answer
    }

    #[test]
    fn a_member_is_asked_again_until_it_answers() {
        let mut reports = Reports::default();
        let (mut first, mut second) = (ask(&mut reports, ADA), ask(&mut reports, ADA));

        let asked = reports.due_at(Instant::ORIGIN);
        let at_once = reports.due_at(Instant::ORIGIN);
        let again = reports.due_at(reports.due());
        reports.on_report(ServerId(2), &report());
        assert!(first.try_recv().is_err(), "another answers for itself");
        reports.on_report(ADA, &report());

        assert_eq!([asked, at_once, again], [vec![ADA], vec![], vec![ADA]]);
        assert_eq!(first.try_recv(), Ok(Ok(report())));
        assert_eq!(second.try_recv(), Ok(Ok(report())));
        assert_eq!(reports.due(), Instant::ORIGIN + 2 * RESEND_AFTER);
        assert_eq!(reports.due_at(reports.due()), []);
        assert_eq!(reports.due(), NEVER);
    }

    #[test]
    fn who_does_not_answer_is_waited_for_until_the_deadline() {
        let mut reports = Reports::default();
        let mut answer = ask(&mut reports, ADA);

        reports.due_at(Instant::ORIGIN + 100 * RESEND_AFTER);

        assert_eq!(answer.try_recv(), Ok(Err(ReadError::TimedOut)));
    }
}
