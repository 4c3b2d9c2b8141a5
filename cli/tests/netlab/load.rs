//! Asks members at a steady pace, however long they take to answer: in each mode it is the same load, and one that
//! stands still is not asked less.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use liferaft::driver::Handle;
use liferaft::kv::{Kv, KvHandle};
use liferaft_sim::dice::{Dice, PerMillion};
use liferaft_sim::operation::{Change, Question};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::clients::{Book, Caller};
use crate::group::{Ask, SEQUENCE, VALUES};
use crate::members::{MEMBERS, Members};

/// Something is asked so often.
const PACE: Duration = Duration::from_millis(25);

/// So often it is a command to the leader, which is timed. All else is for others, and checks what these see.
const AT_LEADER: PerMillion = PerMillion::percent(50);

/// Longer than any election takes here.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What was last heard of the values of a group.
type Known = Arc<Mutex<(u64, [u64; VALUES])>>;

/// Asks for so long, and returns how long the leader's commands took, the shortest first; `Duration::MAX` is for what
/// was not done.
pub(crate) async fn run(
    members: &Members,
    book: &Arc<Book>,
    dice: &mut Dice,
    lasts: Duration,
) -> Vec<Duration> {
    let caller = |(number, store): (usize, KvHandle)| {
        Arc::new(Caller::by(store.within(TIMEOUT), number, book))
    };
    let callers: Vec<_> = members.stores().enumerate().map(caller).collect();
    let known = Known::default();
    let mut calls = JoinSet::new();
    let mut leader = 0;
    let mut pace = interval(PACE);
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        pace.tick().await;
        leader = members.leader().unwrap_or(leader);
        let is_timed = dice.falls(AT_LEADER);
        let at = if is_timed {
            leader
        } else {
            dice.below(MEMBERS)
        };
        let group = book.next_group();
        let before = known_of(&known, group);
        let ask = draw(dice, is_timed, &before, || book.fresh());
        let (caller, known) = (Arc::clone(&callers[at]), Arc::clone(&known));
        calls.spawn(async move {
            let took = call(&caller, group, &ask, before, &known).await;
            is_timed.then_some(took)
        });
    }
    let told = calls.join_all().await;
    let mut times: Vec<_> = told.into_iter().flatten().collect();
    times.sort_unstable();
    times
}

async fn call(
    caller: &Caller<Handle<Kv>>,
    group: u64,
    ask: &Ask,
    mut before: [u64; VALUES],
    known: &Known,
) -> Duration {
    let began = Instant::now();
    let result = caller.call(group, ask, &mut before).await;
    let took = began.elapsed();
    let mut known = known.lock().expect("nobody panics");
    if known.0 == group {
        known.1 = before;
    }
    result.map_or(Duration::MAX, |()| took)
}

/// What is known of a group, which may be a new one.
fn known_of(known: &Known, group: u64) -> [u64; VALUES] {
    let mut known = known.lock().expect("nobody panics");
    if known.0 != group {
        *known = (group, [0; VALUES]);
    }
    known.1
}

/// Draws what is asked. Each answer tells something of its place in the order, so that the search for one is short.
fn draw(
    dice: &mut Dice,
    is_command: bool,
    known: &[u64; VALUES],
    mut fresh: impl FnMut() -> u64,
) -> Ask {
    let at = dice.below(VALUES);
    let key = u8::try_from(at).expect("there are few");
    let other = u8::try_from((at + 1) % VALUES).expect("there are few");
    match (is_command, dice.below(3)) {
        (true, 0) => Ask::Key(
            key,
            Question::Change(Change::CompareAndSet(known[at], fresh())),
        ),
        (true, _) => Ask::Key(SEQUENCE, Question::Change(Change::Append(fresh()))),
        (false, 0) => Ask::All,
        (false, 1) => Ask::Key(SEQUENCE, Question::List),
        (false, _) => Ask::Move {
            keys: [key, other],
            from: [known[at], known[usize::from(other)]],
            to: [fresh(), fresh()],
            append: fresh(),
        },
    }
}
