//! Where the actions of a run come from: drawn as it goes on, or from a schedule.

use std::collections::VecDeque;

use crate::action::Action;
use crate::clock::Nanos;
use crate::schedule::Timed;

/// The actions of a run.
///
/// Two events can fall on the same nanosecond. An action's place among them is kept, so that a replay has the same
/// order.
#[derive(Debug, Default)]
pub struct Course {
    source: Source,
    /// The time of the last event, and how many events that are no actions have happened at it.
    moment: (Nanos, u32),
}

#[derive(Debug, Default)]
enum Source {
    /// They are drawn.
    #[default]
    Drawn,
    /// They are drawn, and kept.
    Kept(Vec<Timed>),
    /// They are given.
    Scripted(VecDeque<Timed>),
}

impl Course {
    /// Actions are drawn and kept.
    #[must_use]
    pub fn kept() -> Self {
        Self {
            source: Source::Kept(Vec::new()),
            ..Self::default()
        }
    }

    /// Actions are given.
    #[must_use]
    pub fn scripted(actions: Vec<Timed>) -> Self {
        Self {
            source: Source::Scripted(actions.into()),
            ..Self::default()
        }
    }

    /// Whether actions have to be drawn.
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        match self.source {
            Source::Drawn | Source::Kept(_) => true,
            Source::Scripted(_) => false,
        }
    }

    /// The given action whose turn it is, if the next other event lies there, if there is one, and the phase ends at
    /// `end`.
    pub fn next(&mut self, event: Option<Nanos>, end: Nanos) -> Option<(Nanos, Action)> {
        let Source::Scripted(actions) = &mut self.source else {
            return None;
        };
        let next = actions.front()?;
        let passed = if self.moment.0 == next.at {
            self.moment.1
        } else {
            0
        };
        let is_due = match event {
            Some(event) if event == next.at => passed >= next.after,
            Some(event) => next.at < event,
            None => true,
        };
        if !is_due || next.at >= end {
            return None;
        }
        let timed = actions.pop_front()?;
        Some((timed.at, timed.action))
    }

    /// An event happens that is no action.
    pub fn pass(&mut self, now: Nanos) {
        if self.moment.0 == now {
            self.moment.1 += 1;
        } else {
            self.moment = (now, 1);
        }
    }

    /// An action happens.
    pub fn act(&mut self, now: Nanos, action: &Action) {
        let after = if self.moment.0 == now {
            self.moment.1
        } else {
            0
        };
        if let Source::Kept(actions) = &mut self.source {
            actions.push(Timed {
                at: now,
                after,
                action: action.clone(),
            });
        }
    }

    /// Nothing strikes any more.
    pub fn calm(&mut self) {
        if let Source::Scripted(actions) = &mut self.source {
            actions.clear();
        }
    }

    /// The actions that were kept.
    #[must_use]
    pub fn into_kept(self) -> Vec<Timed> {
        match self.source {
            Source::Kept(actions) => actions,
            Source::Drawn | Source::Scripted(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(at: Nanos, after: u32) -> Timed {
        let action = Action::DropInFlight;
        Timed { at, after, action }
    }

    #[test]
    fn an_action_keeps_its_place_among_the_events_of_its_moment() {
        let mut course = Course::scripted(vec![timed(5, 1)]);

        assert_eq!(course.next(Some(4), 10), None);
        assert_eq!(course.next(Some(5), 10), None);
        course.pass(5);
        assert_eq!(course.next(Some(5), 10), Some((5, Action::DropInFlight)));
    }

    #[test]
    fn an_action_does_not_wait_for_events_that_do_not_come() {
        let mut early = Course::scripted(vec![timed(5, 3)]);
        let mut alone = Course::scripted(vec![timed(5, 3)]);

        assert_eq!(early.next(Some(6), 10), Some((5, Action::DropInFlight)));
        assert_eq!(alone.next(None, 10), Some((5, Action::DropInFlight)));
    }

    #[test]
    fn an_action_after_the_end_does_not_happen() {
        let mut course = Course::scripted(vec![timed(10, 0)]);

        assert_eq!(course.next(None, 10), None);
    }
}
