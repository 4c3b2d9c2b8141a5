use super::*;

const SESSION: Index = Index(7);
const INTERVAL: Duration = Duration::from_millis(100);

struct Fixture {
    lane: Lane<u64>,
    outbox: mpsc::Receiver<LaneEvent<u64>>,
}

impl Fixture {
    /// A lane whose session is open.
    fn open() -> Self {
        let (events, outbox) = mpsc::channel(64);
        let mut lane = Lane::new(5, INTERVAL, events);
        lane.register(Index(6));
        lane.on_registered(SESSION, SESSION);
        let mut fixture = Self { lane, outbox };
        assert_eq!(
            fixture.events(),
            [LaneEvent::Registered { session: SESSION }]
        );
        fixture
    }

    /// One that has these commands.
    fn with(count: u64) -> Self {
        let mut fixture = Self::open();
        let commands = (1..=count).map(|n| Bytes::from(vec![u8::try_from(n).unwrap()]));
        fixture.lane.send(SESSION, 1, commands.collect());
        fixture
    }

    fn events(&mut self) -> Vec<LaneEvent<u64>> {
        std::iter::from_fn(|| self.outbox.try_recv().ok()).collect()
    }

    /// What is in the next batch, which the transport takes.
    fn forward(&mut self, ms: u64) -> Option<(u64, Vec<u8>)> {
        let (request, commands) = self.lane.next_batch(at(ms), 1000)?;
        self.lane.forwarded(request, true, at(ms));
        Some((request, commands.iter().map(|command| command[0]).collect()))
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_origin(Duration::from_millis(ms))
}

fn done(sequence: u64, reply: u64) -> LaneEvent<u64> {
    LaneEvent::Done {
        sequence,
        reply: Some(reply),
    }
}

fn expired(sent_through: u64, proven: bool) -> LaneEvent<u64> {
    LaneEvent::Expired {
        sent_through,
        proven,
    }
}

#[test]
fn commands_are_sent_in_order_many_at_once_and_completed_as_they_are_applied() {
    let mut it = Fixture::with(3);

    let sent = it.forward(0);
    it.lane.on_reply(1, Some(10));
    it.lane.on_reply(2, Some(20));

    assert_eq!(sent, Some((1, vec![1, 2, 3])));
    assert_eq!(it.events(), [done(1, 10), done(2, 20)]);
}

#[test]
fn a_command_that_came_before_its_turn_is_sent_again_behind_the_one_that_is_missing() {
    let mut it = Fixture::with(3);
    it.forward(0);
    it.lane.on_reply(1, Some(10));

    it.lane.on_early(3, at(5));
    let at_once = it.forward(5);
    it.lane.expire(at(200));
    let later = it.forward(200);

    assert_eq!(at_once, None);
    assert_eq!(later, Some((2, vec![2, 3])));
}

#[test]
fn a_late_word_of_a_copy_that_came_early_changes_nothing_for_what_waits_to_be_sent() {
    let mut it = Fixture::with(2);
    it.forward(0);
    it.lane.on_early(2, at(5));
    let due = it.lane.due();

    it.lane.on_early(2, at(6));

    assert_eq!(it.lane.due(), due);
}

#[test]
fn a_batch_that_the_leader_has_is_not_sent_again_unless_there_is_another_leader() {
    let mut it = Fixture::with(2);
    it.forward(0);
    it.lane.on_forward_answer(1, true, at(1));

    it.lane.expire(at(10_000));
    let to_the_same = it.forward(10_000);
    it.lane.reroute();
    let to_another = it.forward(10_001);

    assert_eq!(to_the_same, None);
    assert_eq!(to_another, Some((2, vec![1, 2])));
}

#[test]
fn a_batch_that_was_refused_or_did_not_leave_holds_up_what_is_behind_it() {
    let mut it = Fixture::with(2);
    let (request, _) = it.lane.next_batch(at(0), 1000).unwrap();
    it.lane.forwarded(request, false, at(0));
    it.lane.send(SESSION, 3, vec![Bytes::from_static(&[3])]);

    let at_once = it.forward(1);
    it.lane.expire(at(100));
    let later = it.forward(100);

    assert_eq!(at_once, None);
    assert_eq!(later, Some((2, vec![1, 2, 3])));
}

#[test]
fn replies_of_an_earlier_run_that_come_in_another_order_complete_in_order() {
    let mut it = Fixture::with(3);
    it.forward(0);

    it.lane.on_reply(3, Some(30));
    it.lane.on_reply(2, Some(20));
    assert_eq!(it.events(), []);
    it.lane.on_reply(1, Some(10));

    assert_eq!(it.events(), [done(1, 10), done(2, 20), done(3, 30)]);
}

#[test]
fn an_expired_session_tells_what_may_have_left_and_what_did_not() {
    let mut it = Fixture::with(2);
    it.forward(0);
    it.lane.send(SESSION, 3, vec![Bytes::from_static(&[3])]);

    it.lane.on_expired();

    assert_eq!(it.events(), [expired(2, true)]);
    assert_eq!(it.lane.session(), None);
    assert_eq!(it.forward(1), None);
}

#[test]
fn a_session_that_a_snapshot_does_not_know_proves_nothing() {
    let mut it = Fixture::with(1);
    it.forward(0);

    it.lane.on_restored(None);

    assert_eq!(it.events(), [expired(1, false)]);
}

#[test]
fn after_a_snapshot_that_knows_the_session_all_that_is_not_done_is_sent_again() {
    let mut it = Fixture::with(2);
    it.forward(0);
    it.lane.on_forward_answer(1, true, at(1));

    it.lane.on_restored(Some(SESSION));
    it.lane.on_reply(1, Some(10));

    assert_eq!(it.events(), [done(1, 10)]);
    assert_eq!(it.forward(2), Some((2, vec![2])));
}

#[test]
fn a_command_that_is_counted_as_answered_though_it_waits_ends_the_session() {
    let mut it = Fixture::with(2);
    it.forward(0);

    it.lane.on_acknowledged(2);

    assert_eq!(it.events(), [expired(2, false)]);
}

#[test]
fn a_registration_from_before_it_was_asked_for_says_nothing_and_another_is_sent() {
    let (events, mut outbox) = mpsc::channel(64);
    let mut lane = Lane::<u64>::new(5, INTERVAL, events);
    lane.register(Index(20));
    let first = lane.next_batch(at(0), 1000);

    lane.on_registered(SESSION, SESSION);
    let second = lane.next_batch(at(1), 1000);
    lane.on_registered(SESSION, Index(21));

    assert!(first.is_some() && second.is_some());
    assert_eq!(
        outbox.try_recv(),
        Ok(LaneEvent::Registered { session: SESSION })
    );
    assert!(outbox.try_recv().is_err());
}

#[test]
fn commands_for_a_session_that_has_just_gone_are_not_taken() {
    let mut it = Fixture::with(1);
    it.lane.on_expired();

    it.lane.send(SESSION, 2, vec![Bytes::from_static(&[2])]);

    assert_eq!(it.events(), [expired(0, true)]);
    assert_eq!(it.forward(0), None);
}

#[test]
fn the_own_core_is_given_all_in_order() {
    let mut it = Fixture::with(3);

    let given: Vec<_> = std::iter::from_fn(|| it.lane.next_for_core()).collect();
    it.lane.on_core_answer(2, false, at(0));
    it.lane.expire(at(100));
    let again = it.lane.next_for_core();

    let sequences: Vec<_> = given.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(again.map(|(sequence, _)| sequence), Some(2));
}
