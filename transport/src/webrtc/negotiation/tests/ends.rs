//! Makes carriers whose media do as they are told, and a network for signals that does not.

use std::collections::BTreeMap;

use super::*;

/// A carrier: its negotiations, and what its medium was told.
pub(super) struct End {
    pub(super) id: ServerId,
    pub(super) negotiations: Negotiations,
    pub(super) next: u64,
    pub(super) done: Vec<(u64, Action)>,
    pub(super) sent: Vec<(ServerId, Ways, Signal)>,
}

impl End {
    pub(super) fn new(number: u128) -> Self {
        let mut negotiations = Negotiations::new(WebRtcLimits::default());
        negotiations.introduce(id(number));
        Self {
            id: id(number),
            negotiations,
            next: 0,
            done: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub(super) fn dial(&mut self, peer: u128, now: Duration) -> u64 {
        let number = self.number();
        // Another session for each end and dial.
        let session = u64::try_from(peer).unwrap() * 1_000 + number;
        assert!(self.negotiations.dial(number, id(peer), session, now));
        self.run();
        number
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn take(&mut self, from: ServerId, way: Way, signal: &Signal, now: Duration) {
        let next = self.next + 1;
        let mut admitted = false;
        self.negotiations
            .on_signal(from, way, signal.clone(), now, || {
                admitted = true;
                Some(next)
            });
        self.next += u64::from(admitted);
        self.run();
    }

    pub(super) fn tell(&mut self, number: u64, event: MediumEvent, now: Duration) {
        self.negotiations.on_medium(number, event, now);
        self.run();
    }

    pub(super) fn wait(&mut self, now: Duration) {
        self.negotiations.on_time(now);
        self.run();
    }

    pub(super) fn run(&mut self) {
        while let Some(output) = self.negotiations.next_output() {
            match output {
                Output::Do { number, action } => self.done.push((number, action)),
                Output::Send { to, ways, signal } => self.sent.push((to, ways, signal)),
            }
        }
    }

    pub(super) fn actions(&mut self) -> Vec<Action> {
        let done = std::mem::take(&mut self.done).into_iter();
        done.map(|(_, action)| action).collect()
    }

    pub(super) fn bodies(&mut self) -> Vec<Body> {
        let sent = std::mem::take(&mut self.sent).into_iter();
        sent.map(|(_, _, signal)| signal.body).collect()
    }
}

/// Two ends whose media connect as soon as both have both descriptions.
pub(super) struct Pair {
    pub(super) ends: BTreeMap<ServerId, End>,
    pub(super) now: Duration,
    /// How many signals are lost before the others get through.
    pub(super) lost: usize,
    pub(super) made: usize,
    pub(super) open: BTreeMap<ServerId, Vec<u64>>,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            ends: [1, 2].map(|number| (id(number), End::new(number))).into(),
            now: Duration::from_secs(100),
            lost: 0,
            made: 0,
            open: BTreeMap::new(),
        }
    }

    pub(super) fn end(&mut self, number: u128) -> &mut End {
        self.ends.get_mut(&id(number)).expect("there are two")
    }

    pub(super) fn dial(&mut self, from: u128, to: u128) -> u64 {
        let now = self.now;
        self.end(from).dial(to, now)
    }

    /// Runs until nothing happens before a time from now.
    pub(super) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.settle();
            let deadlines = self
                .ends
                .values()
                .filter_map(|end| end.negotiations.deadline());
            match deadlines.min().filter(|at| *at <= until) {
                Some(at) => self.now = at,
                None => break,
            }
            let now = self.now;
            self.ends.values_mut().for_each(|end| end.wait(now));
        }
        self.now = until;
    }

    /// Carries signals and does actions until there are none.
    pub(super) fn settle(&mut self) {
        let now = self.now;
        loop {
            let mut signals = Vec::new();
            for end in self.ends.values_mut() {
                signals.extend(
                    end.sent
                        .drain(..)
                        .map(|(to, _, signal)| (end.id, to, signal)),
                );
            }
            let mut actions = Vec::new();
            for end in self.ends.values_mut() {
                actions.extend(
                    end.done
                        .drain(..)
                        .map(|(number, action)| (end.id, number, action)),
                );
            }
            if signals.is_empty() && actions.is_empty() {
                return;
            }
            for (from, to, signal) in signals {
                if self.lost > 0 {
                    self.lost -= 1;
                    continue;
                }
                let end = self.ends.get_mut(&to).expect("it is one of the two");
                end.take(from, Way::Mesh, &signal, now);
            }
            for (at, number, action) in actions {
                self.act(at, number, &action);
            }
        }
    }

    pub(super) fn act(&mut self, at: ServerId, number: u64, action: &Action) {
        let now = self.now;
        let own = description(if at == id(1) { 1 } else { 2 });
        let end = self.ends.get_mut(&at).expect("it is one of the two");
        match action {
            Action::MakeOffer | Action::TakeOffer(_) => {
                self.made += 1;
                end.tell(number, MediumEvent::Described(own), now);
            }
            Action::MakeRestart | Action::TakeRestart(_) => {
                end.tell(number, MediumEvent::Described(own), now);
            }
            Action::TakeAnswer(_) => {
                // Then both have both.
                for end in self.ends.values_mut() {
                    let number = if end.id == at { number } else { end.next };
                    end.tell(number, MediumEvent::Open, now);
                    self.open.entry(end.id).or_default().push(number);
                }
            }
            Action::AddCandidate(_) => {}
            Action::Close(_) => end.negotiations.remove(number, now),
        }
    }
}
