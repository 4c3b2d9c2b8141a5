//! Notes what the members' protocols do, and when: elections and configurations, as they happen.

use std::collections::BTreeMap;

use liferaft::consensus::{Event, RoleKind};
use liferaft::ids::{Index, Term};
use liferaft::time::Instant;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What all members of a cluster have done. Clones are the same chronicle.
#[derive(Clone, Debug)]
pub(super) struct Chronicle {
    events: watch::Sender<Vec<Noted>>,
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    at: Instant,
    member: usize,
    deed: Deed,
}

/// What a member's protocol did that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deed {
    /// It became a candidate.
    Campaigned { term: u64 },
    /// It became the leader.
    Led { term: u64 },
    /// It learnt that the configuration at this index is committed.
    Committed { index: u64 },
}

impl Deed {
    /// What an event of the protocol is here; `None` if it does not matter.
    pub(super) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::RoleChanged { role, term } => match role {
                RoleKind::Leader => Some(Self::Led { term: term.0 }),
                RoleKind::Candidate => Some(Self::Campaigned { term: term.0 }),
                RoleKind::Follower | RoleKind::PreCandidate => None,
            },
            Event::ConfigurationCommitted { index } => Some(Self::Committed { index: index.0 }),
            _ => None,
        }
    }
}

/// A member that has come to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Election {
    /// When it began to lead.
    pub(super) at: Instant,
    /// The member, counted from 0.
    pub(super) leader: usize,
    /// Its term.
    pub(super) term: Term,
}

impl Chronicle {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            events: watch::Sender::new(Vec::new()),
        }
    }

    /// Notes what a member did at a moment.
    pub(super) fn note(&self, member: usize, at: Instant, deed: Deed) {
        self.events
            .send_modify(|events| events.push(Noted { at, member, deed }));
    }

    /// The last election so far.
    pub(super) fn last_election(&self) -> Option<Election> {
        let events = self.events.borrow();
        elections(&events).max_by_key(|election| election.term)
    }

    /// Waits for the first election of a later term than `term`.
    pub(super) async fn election_after(&self, term: Term) -> Election {
        let mut events = self.events.subscribe();
        loop {
            let elected = elections(&events.borrow_and_update())
                .filter(|election| election.term > term)
                .min_by_key(|election| election.at);
            match elected {
                Some(election) => return election,
                None => changed(&mut events).await,
            }
        }
    }

    /// How many candidacies there were in terms later than `after`, up to `through`.
    pub(super) fn candidacies(&self, after: Term, through: Term) -> usize {
        let events = self.events.borrow();
        let is_one = |noted: &&Noted| match noted.deed {
            Deed::Campaigned { term } => term > after.0 && term <= through.0,
            Deed::Led { .. } | Deed::Committed { .. } => false,
        };
        events.iter().filter(is_one).count()
    }

    /// Waits until each of these members knows that the configuration at `index` is committed. Returns when the last
    /// one learnt it.
    pub(super) async fn committed_by(&self, members: &[usize], index: Index) -> Instant {
        let mut events = self.events.subscribe();
        loop {
            let mut learnt: BTreeMap<usize, Instant> = BTreeMap::new();
            for noted in events.borrow_and_update().iter() {
                if matches!(noted.deed, Deed::Committed { index: known } if known >= index.0) {
                    learnt.entry(noted.member).or_insert(noted.at);
                }
            }
            let last: Option<Vec<_>> = members
                .iter()
                .map(|member| learnt.get(member).copied())
                .collect();
            match last {
                Some(learnt) => return learnt.into_iter().max().unwrap_or_default(),
                None => changed(&mut events).await,
            }
        }
    }
}

fn elections(events: &[Noted]) -> impl Iterator<Item = Election> {
    events.iter().filter_map(|noted| match noted.deed {
        Deed::Led { term } => Some(Election {
            at: noted.at,
            leader: noted.member,
            term: Term(term),
        }),
        Deed::Campaigned { .. } | Deed::Committed { .. } => None,
    })
}

async fn changed(events: &mut watch::Receiver<Vec<Noted>>) {
    events
        .changed()
        .await
        .expect("the chronicle that is waited on is there");
}
