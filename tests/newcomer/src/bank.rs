//! A state machine of the application's own: accounts, and transfers that never overdraw one.

use std::collections::BTreeMap;
use std::time::Duration;

use liferaft::codec::{decode, encode};
use liferaft::config::Config;
use liferaft::ids::Index;
use liferaft::transport::memory::{Delay, Faults, Probability};
use liferaft::{
    ApplyContext, Capture, Handle, Happening, LeaveError, ProposeError, ReadError, RestoreError,
    ShutdownError, StateMachine, StopReason, StreamExt,
};
use serde::{Deserialize, Serialize};

use crate::{Outcome, Site};

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Bank {
    cents: BTreeMap<String, u64>,
    /// How often each transfer was made.
    made: BTreeMap<u64, u64>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Command {
    Open {
        account: String,
        cents: u64,
    },
    Transfer {
        number: u64,
        from: String,
        to: String,
        cents: u64,
    },
    Note(Note),
}

/// Has no encoding: nothing in its bytes tells which of the two it is.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Note {
    Number(u64),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Exists,
    NoAccount(String),
    Overdraft { cents: u64 },
}

pub(crate) enum Query {
    Balance(&'static str),
    Total,
    TimesMade { number: u64 },
}

impl StateMachine for Bank {
    type Command = Command;
    type Reply = Result<(), Refusal>;
    type Query = Query;
    type Answer = u64;

    fn apply(&mut self, _: ApplyContext, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Open { account, .. } if self.cents.contains_key(&account) => {
                return Err(Refusal::Exists);
            }
            Command::Open { account, cents } => {
                self.cents.insert(account, cents);
            }
            Command::Transfer {
                number,
                from,
                to,
                cents,
            } => {
                let balance = |name: &String| self.cents.get(name).copied();
                let (Some(rich), Some(_)) = (balance(&from), balance(&to)) else {
                    let unknown = if self.cents.contains_key(&from) {
                        to
                    } else {
                        from
                    };
                    return Err(Refusal::NoAccount(unknown));
                };
                let left = rich.checked_sub(cents);
                self.cents
                    .insert(from, left.ok_or(Refusal::Overdraft { cents: rich })?);
                *self.cents.entry(to).or_default() += cents;
                *self.made.entry(number).or_default() += 1;
            }
            Command::Note(_) => {}
        }
        Ok(())
    }

    fn query(&self, query: Query) -> u64 {
        match query {
            Query::Balance(account) => self.cents[account],
            Query::Total => self.cents.values().sum(),
            Query::TimesMade { number } => self.made.get(&number).copied().unwrap_or_default(),
        }
    }

    fn snapshot(&self) -> impl Capture {
        let state = self.clone();
        move || encode(&state).expect("maps of numbers have an encoding")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        *self = decode(state).map_err(RestoreError::new)?;
        Ok(())
    }
}

fn open(account: &str, cents: u64) -> Command {
    let account = account.to_owned();
    Command::Open { account, cents }
}

fn transfer(number: u64, from: &str, to: &str, cents: u64) -> Command {
    let (from, to) = (from.to_owned(), to.to_owned());
    Command::Transfer {
        number,
        from,
        to,
        cents,
    }
}

/// What became of each transfer that a teller made, until the first that has no reply.
type Book = Vec<(u64, Result<Result<(), Refusal>, ProposeError>)>;

async fn teller(member: Handle<Bank>, numbers: std::ops::Range<u64>) -> Book {
    let mut book = Book::new();
    for number in numbers {
        let (from, to) = if number % 2 == 0 {
            ("mill", "weir")
        } else {
            ("weir", "mill")
        };
        let outcome = member.propose(transfer(number, from, to, 30)).await;
        let is_last = outcome.is_err();
        book.push((number, outcome));
        if is_last {
            break;
        }
    }
    book
}

#[tokio::test(start_paused = true)]
async fn transfers_are_made_once_while_the_leader_dies_and_another_joins() -> Outcome {
    let site = Site::new();
    let [ada, bob, eve] = site.three::<Bank>().await?;
    assert_eq!(ada.propose(open("mill", 100)).await?, Ok(()));
    assert_eq!(bob.propose(open("weir", 100)).await?, Ok(()));
    let radio = Faults::none()
        .with_loss(Probability::percent(5))
        .with_delay(Delay::uniform(
            Duration::from_millis(5)..=Duration::from_millis(40),
        ));
    site.network.set_faults(radio);

    let tellers: Vec<_> = [&ada, &ada, &bob, &bob, &eve, &eve]
        .into_iter()
        .zip((0..).step_by(40))
        .map(|(member, first)| tokio::spawn(teller(member.clone(), first..first + 40)))
        .collect();
    ada.wait_for(|status| status.applied() > Index(50)).await?;
    site.network.kill(ada.id());
    let dan = site
        .member::<Bank>()
        .join(bob.cluster(), [bob.id(), eve.id()])
        .start()
        .await?;
    dan.within(Duration::from_secs(60)).joined().await?;

    let mut books = Vec::new();
    for teller in tellers {
        books.push(teller.await?);
    }
    site.network.set_faults(Faults::none());
    for (number, outcome) in books.iter().flatten() {
        let times = dan.read(Query::TimesMade { number: *number }).await?;
        match outcome {
            Ok(Ok(())) => assert_eq!(times, 1, "transfer {number} was acknowledged"),
            Ok(Err(refusal)) => assert_eq!(times, 0, "transfer {number}: {refusal:?}"),
            Err(error) if error.is_definite() => assert_eq!(times, 0, "transfer {number}: {error}"),
            Err(error) => assert!(times <= 1, "transfer {number}: {error}"),
        }
    }
    assert!(
        books[..2]
            .iter()
            .all(|book| book.last().is_some_and(|(_, last)| last.is_err()))
    );
    assert!(books[2..].iter().all(|book| book.len() == 40));
    assert!(
        books
            .iter()
            .flatten()
            .any(|(_, outcome)| matches!(outcome, Ok(Err(_))))
    );
    for member in [&bob, &eve, &dan] {
        assert_eq!(member.read(Query::Total).await?, 200);
    }
    let evicted = bob.within(Duration::from_secs(60));
    evicted
        .wait_for(|status| !status.raft.configuration.contains(ada.id()))
        .await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_overdraft_is_refused_and_changes_nothing() -> Outcome {
    let [ada, bob, eve] = Site::new().three::<Bank>().await?;
    assert_eq!(ada.propose(open("mill", 100)).await?, Ok(()));
    assert_eq!(ada.propose(open("weir", 0)).await?, Ok(()));

    let taken = bob.propose(transfer(1, "mill", "weir", 101)).await?;
    let twice = bob.propose(open("mill", 100)).await?;
    let nobody = eve.propose(transfer(2, "mill", "bridge", 1)).await?;

    assert_eq!(taken, Err(Refusal::Overdraft { cents: 100 }));
    assert_eq!(twice, Err(Refusal::Exists));
    assert_eq!(nobody, Err(Refusal::NoAccount("bridge".to_owned())));
    assert_eq!(eve.read(Query::Balance("mill")).await?, 100);
    assert_eq!(eve.read(Query::Balance("weir")).await?, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn members_leave_until_the_only_voter_says_what_it_would_take_along() -> Outcome {
    let [ada, bob, eve] = Site::new().three::<Bank>().await?;
    assert_eq!(ada.propose(open("mill", 100)).await?, Ok(()));

    ada.leave().await?;
    assert_eq!(ada.status().borrow().stopped, Some(StopReason::Shutdown));
    bob.wait_for(|status| !status.raft.configuration.contains(ada.id()))
        .await?;
    bob.leave().await?;

    assert_eq!(eve.read(Query::Balance("mill")).await?, 100);
    let Err(ShutdownError::OnlyVoter(shutdown)) = eve.shutdown().await else {
        panic!("the state would be lost");
    };
    let Err(LeaveError::OnlyVoter(leave)) = eve.leave().await else {
        panic!("the state would be lost");
    };
    assert_eq!((shutdown.others, leave.others), (0, 0));
    assert_eq!(eve.propose(open("weir", 100)).await?, Ok(()));
    eve.stop().await;
    assert_eq!(eve.read(Query::Total).await, Err(ReadError::Stopped));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_shut_down_hands_over_and_stays_a_member() -> Outcome {
    let [ada, bob, eve] = Site::new().three::<Bank>().await?;
    assert_eq!(ada.propose(open("mill", 100)).await?, Ok(()));

    ada.shutdown().await?;

    assert_eq!(bob.propose(open("weir", 100)).await?, Ok(()));
    let status = eve
        .wait_for(|status| status.leader().is_some_and(|leader| leader != ada.id()))
        .await?;
    assert!(status.raft.configuration.is_voter(ada.id()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_command_without_an_encoding_is_refused_and_harms_nobody() -> Outcome {
    let [ada, bob, eve] = Site::new().three::<Bank>().await?;

    for note in [Note::Number(7), Note::Text("rain".to_owned())] {
        let refused = bob
            .propose(Command::Note(note))
            .await
            .expect_err("it cannot be read back");
        assert!(
            matches!(refused, ProposeError::Unserialisable(_)),
            "{refused}"
        );
        assert!(refused.is_definite());
    }

    for (member, account) in [(&ada, "mill"), (&bob, "weir"), (&eve, "bridge")] {
        assert_eq!(member.propose(open(account, 1)).await?, Ok(()));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_query_that_panics_fails_alone() -> Outcome {
    let [ada, ..] = &Site::new().three::<Bank>().await?;
    assert_eq!(ada.propose(open("mill", 100)).await?, Ok(()));

    let (broken, whole) = tokio::join!(
        ada.read(Query::Balance("nobody")),
        ada.read(Query::Balance("mill"))
    );

    assert_eq!((broken, whole), (Err(ReadError::Panicked), Ok(100)));
    assert_eq!(ada.read(Query::Total).await?, 100);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_brings_the_accounts_to_who_joins_late() -> Outcome {
    let site = Site::new();
    let config = Config::builder()
        .limits(|limits| (limits.trailing_entries, limits.catch_up_bytes_max) = (0, 0))
        .build()?;
    let ada = site
        .founder::<Bank>()
        .await?
        .config(config)
        .snapshot_after_log_bytes(1)
        .start()
        .await?;
    let mut events = ada.events();
    for account in ["mill", "weir", "bridge"] {
        assert_eq!(ada.propose(open(account, 100)).await?, Ok(()));
    }
    while !matches!(
        events.next().await.expect("ada runs")?.what,
        Happening::SnapshotTaken { .. }
    ) {}

    let bob = site
        .member::<Bank>()
        .join(ada.cluster(), ada.id())
        .start()
        .await?;
    let mut events = bob.events();
    bob.joined().await?;

    while !matches!(
        events.next().await.expect("bob runs")?.what,
        Happening::SnapshotInstalled { .. }
    ) {}
    assert_eq!(bob.read_local(Query::Total).await?.answer, 300);
    Ok(())
}
