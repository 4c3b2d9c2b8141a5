//! Keeps an id registered at a PeerJS server: when to connect, what to say, and when to try again.
//!
//! It is a value: what its socket tells and the time go in, and what the socket is to do comes out. The server knows a
//! peer by its id and its token, so that whoever comes back with both has the id again, and is told nothing of it: no
//! second `OPEN` comes. So a connection counts as registered when anything has come on it, or nothing for a moment.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::SignalingEvent;
use super::message::{HEARTBEAT, Message, echo, read_present};
use crate::ServerId;
use crate::carrier::OpenFailure;

/// How often the server is told that we are here. PeerJS's clients do it as often.
const HEARTBEAT_AFTER: Duration = Duration::from_secs(5);

/// How long nothing may come, our own echo included, until the connection counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long opening a connection may take. It is shorter than the time in which a connection with a peer is opened
/// ([`opening_time_max`](crate::webrtc::WebRtcLimits::opening_time_max)), so that whoever dials by a server that is
/// frozen hears which one.
const OPENING_TIME_MAX: Duration = Duration::from_secs(4);

/// For how long nothing comes on a new connection when the id is ours.
const QUIET_FOR: Duration = Duration::from_secs(1);

/// How long to wait before a connection is tried again. It doubles each time, and up to half of it is added by chance.
/// The longest is so short that whoever waits for a server gets in within five seconds of its return.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// The most reasons of one outage that the log tells: a server chooses some of them.
const REASONS_TOLD_MAX: usize = 8;

/// How long to wait when the id was another's.
const TAKEN_BACK_OFF: Duration = Duration::from_secs(15);

/// A peer of a server.
#[derive(Debug)]
pub(super) struct Client {
    own: ServerId,
    /// The server and the room there, for the log.
    server: String,
    stage: Stage,
    back_off: Duration,
    /// When something came last.
    heard_at: Duration,
    /// Why the server is not reached, each reason that the log has told. It is kept until the id was kept there for a
    /// while.
    told: Vec<String>,
    commands: VecDeque<Command>,
    events: VecDeque<SignalingEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting { until: Duration },
    Opening { until: Duration },
    Registering { until: Duration },
    Registered { beat_at: Duration },
}

/// What the socket is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Connect, in place of what there may be.
    Connect,
    Send(String),
    Disconnect,
    /// Ask the server who is there, beside the socket.
    List,
}

impl Client {
    /// Makes a peer that connects at once.
    pub(super) fn new(own: ServerId, server: String, now: Duration) -> Self {
        Self {
            own,
            server,
            stage: Stage::Waiting { until: now },
            back_off: BACK_OFF_MIN,
            heard_at: now,
            told: Vec::new(),
            commands: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Returns true if what is sent reaches the server.
    pub(super) fn is_registered(&self) -> bool {
        matches!(self.stage, Stage::Registered { .. })
    }

    pub(super) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    pub(super) fn next_event(&mut self) -> Option<SignalingEvent> {
        self.events.pop_front()
    }

    pub(super) fn deadline(&self) -> Duration {
        match self.stage {
            Stage::Waiting { until } | Stage::Opening { until } | Stage::Registering { until } => {
                until
            }
            Stage::Registered { beat_at } => beat_at,
        }
    }

    /// Asks who else is there, if the server is reached.
    pub(super) fn look_around(&mut self) {
        if self.is_registered() {
            self.commands.push_back(Command::List);
        }
    }

    /// The server has said who is there.
    pub(super) fn on_list(&mut self, text: &str) {
        let present = read_present(text, self.own);
        if !present.is_empty() {
            self.events.push_back(SignalingEvent::Present(present));
        }
    }

    /// The socket is open.
    pub(super) fn on_open(&mut self, now: Duration) {
        if matches!(self.stage, Stage::Opening { .. }) {
            let until = now.saturating_add(QUIET_FOR);
            self.stage = Stage::Registering { until };
        }
    }

    /// A text came.
    pub(super) fn on_text(&mut self, text: &str, now: Duration, random: u64) {
        self.heard_at = now;
        let message = Message::read(text);
        match &message {
            Message::IdTaken => {
                self.back_off = TAKEN_BACK_OFF;
                let why = "it says that the id of this server is another's: somebody else uses it, or the token is \
                           another than before";
                return self.retry(why.to_owned(), now, random);
            }
            Message::Error(why) => {
                return self.retry(format!("it refuses: {why:?}"), now, random);
            }
            _ if matches!(self.stage, Stage::Registering { .. }) => self.register(now),
            _ => {}
        }
        match message {
            Message::Signal(from, signal) => {
                self.events
                    .push_back(SignalingEvent::Signal { from, signal });
            }
            Message::Visit(visit) => self.events.push_back(SignalingEvent::Visit(visit)),
            Message::Expired(to) => self.events.push_back(SignalingEvent::Unreached { to }),
            _ => {}
        }
    }

    /// The socket is closed, or was not opened.
    pub(super) fn on_closed(&mut self, why: String, now: Duration, random: u64) {
        if !matches!(self.stage, Stage::Waiting { .. }) {
            self.retry(why, now, random);
        }
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Duration, random: u64) {
        if now < self.deadline() {
            return;
        }
        match self.stage {
            Stage::Waiting { .. } => {
                let until = now.saturating_add(OPENING_TIME_MAX);
                self.stage = Stage::Opening { until };
                self.heard_at = now;
                self.commands.push_back(Command::Connect);
            }
            Stage::Opening { .. } => self.retry(OpenFailure::TimedOut.to_string(), now, random),
            Stage::Registering { .. } => self.register(now),
            Stage::Registered { .. } if now >= self.heard_at.saturating_add(SILENCE_MAX) => {
                self.retry(
                    "it has not said anything for too long".to_owned(),
                    now,
                    random,
                );
            }
            Stage::Registered { .. } => {
                // The id has been kept for a while: a loss is no refusal.
                self.back_off = BACK_OFF_MIN;
                if !std::mem::take(&mut self.told).is_empty() {
                    // It is no warning, and whoever was warned of the outage is to know that it is over.
                    tracing::warn!(
                        server = self.server,
                        "the signaling server is reached again"
                    );
                }
                self.beat(now);
            }
        }
    }

    fn register(&mut self, now: Duration) {
        self.heard_at = now;
        self.events.push_back(SignalingEvent::Ready);
        self.beat(now);
    }

    fn beat(&mut self, now: Duration) {
        let beat_at = now.saturating_add(HEARTBEAT_AFTER);
        self.stage = Stage::Registered { beat_at };
        self.commands.push_back(Command::Send(HEARTBEAT.to_owned()));
        self.commands.push_back(Command::Send(echo(self.own)));
    }

    fn retry(&mut self, why: String, now: Duration, random: u64) {
        if self.told.len() < REASONS_TOLD_MAX && !self.told.contains(&why) {
            let (id, server) = (self.own, &self.server);
            tracing::warn!(%id, server, why, "the signaling server is not reached: it is tried again and again");
            self.told.push(why.clone());
        }
        self.events.push_back(SignalingEvent::Interrupted { why });
        let after = self.back_off;
        let spread = u64::try_from(after.as_millis() / 2).unwrap_or(u64::MAX) + 1;
        let until = now.saturating_add(after + Duration::from_millis(random % spread));
        self.back_off = (2 * after).min(BACK_OFF_MAX);
        self.stage = Stage::Waiting { until };
        self.commands.push_back(Command::Disconnect);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::PRESENT_MAX;
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);
    const OPEN: &str = r#"{"type":"OPEN"}"#;
    const WHY: &str = "the connection is refused";

    fn client() -> Client {
        Client::new(ServerId::from(0x1f), "ws://a/room".to_owned(), NOW)
    }

    fn commands(client: &mut Client) -> Vec<Command> {
        std::iter::from_fn(|| client.next_command()).collect()
    }

    fn events(client: &mut Client) -> Vec<SignalingEvent> {
        std::iter::from_fn(|| client.next_event()).collect()
    }

    fn opened() -> Client {
        let mut client = client();
        client.on_time(NOW, 0);
        client.on_open(NOW);
        assert_eq!(commands(&mut client), [Command::Connect]);
        client
    }

    fn registered() -> Client {
        let mut client = opened();
        client.on_text(OPEN, NOW, 0);
        assert_eq!(events(&mut client), [SignalingEvent::Ready]);
        assert_eq!(commands(&mut client).len(), 2);
        client
    }

    #[test]
    fn an_id_that_is_open_is_told_once_and_kept_by_heartbeats() {
        let mut client = registered();

        client.on_text(OPEN, NOW, 0);
        client.on_time(NOW + 5 * SECOND, 0);

        assert_eq!(events(&mut client), []);
        let heartbeat = Command::Send(HEARTBEAT.to_owned());
        assert_eq!(commands(&mut client)[0], heartbeat);
    }

    #[test]
    fn an_id_that_is_taken_back_is_ours_without_an_open() {
        let mut client = opened();

        assert!(!client.is_registered());
        client.on_time(NOW + QUIET_FOR, 0);

        assert!(client.is_registered());
        assert_eq!(events(&mut client), [SignalingEvent::Ready]);
    }

    #[test]
    fn a_server_that_is_gone_is_tried_again_less_and_less_often() {
        let mut client = client();
        let mut waits = Vec::new();

        let mut now = NOW;
        for _ in 0..8 {
            client.on_time(now, u64::MAX);
            client.on_closed(WHY.to_owned(), now, u64::MAX);
            let at = client.deadline();
            waits.push(at - now);
            now = at;
        }

        assert!(waits[0] >= BACK_OFF_MIN && waits[0] <= 2 * BACK_OFF_MIN);
        assert!(waits.is_sorted_by(|a, b| *b >= *a / 2));
        assert!(waits[7] >= BACK_OFF_MAX && waits[7] <= BACK_OFF_MAX * 3 / 2);
    }

    /// It would be connected to four times a second, and each time the log would say so.
    #[test]
    fn a_server_that_refuses_whoever_has_registered_is_left_alone() {
        let mut client = client();

        for _ in 0..8 {
            let now = client.deadline();
            client.on_time(now, 0);
            client.on_open(now);
            client.on_text(OPEN, now, 0);
            client.on_text(r#"{"type":"ERROR","payload":{"msg":"go"}}"#, now, 0);
        }

        let now = client.deadline();
        client.on_time(now, 0);
        client.on_closed(WHY.to_owned(), now, 0);
        assert_eq!(client.deadline(), now + BACK_OFF_MAX);
    }

    #[test]
    fn a_server_that_says_nothing_at_all_is_connected_to_anew() {
        let mut client = registered();

        let mut now = NOW;
        while now < NOW + SILENCE_MAX {
            now = client.deadline();
            client.on_time(now, 0);
        }

        assert!(!client.is_registered());
        assert_eq!(commands(&mut client).last(), Some(&Command::Disconnect));
    }

    #[test]
    fn an_id_of_another_is_tried_again_slowly() {
        let mut client = opened();

        client.on_text(r#"{"type":"ID-TAKEN"}"#, NOW, 0);
        client.on_closed(WHY.to_owned(), NOW, 0);

        assert_eq!(commands(&mut client), [Command::Disconnect]);
        assert_eq!(client.deadline(), NOW + TAKEN_BACK_OFF);
        let events = events(&mut client);
        assert!(
            matches!(&events[..], [SignalingEvent::Interrupted { why }] if why.contains("another's")),
            "{events:?}"
        );
    }

    #[test]
    fn an_outage_lasts_until_the_id_is_kept_for_a_while() {
        let mut client = registered();

        client.on_closed(WHY.to_owned(), NOW, 0);
        let lost = (client.told.len(), events(&mut client));
        let now = client.deadline();
        client.on_time(now, 0);
        client.on_open(now);
        client.on_text(OPEN, now, 0);
        let registered = client.told.len();
        client.on_time(now + HEARTBEAT_AFTER, 0);

        let why = WHY.to_owned();
        assert_eq!(lost, (1, vec![SignalingEvent::Interrupted { why }]));
        assert_eq!((registered, client.told.len()), (1, 0));
    }

    #[test]
    fn each_reason_of_an_outage_is_told_once_and_few_are() {
        let mut client = client();
        let fail = |client: &mut Client, why: &str| {
            let now = client.deadline();
            client.on_time(now, 0);
            client.on_closed(why.to_owned(), now, 0);
        };

        for why in [WHY, "another", WHY, "another"] {
            fail(&mut client, why);
        }
        let two = client.told.clone();
        for number in 0..100 {
            fail(&mut client, &number.to_string());
        }

        assert_eq!(two, [WHY, "another"]);
        assert_eq!(client.told.len(), REASONS_TOLD_MAX);
    }

    #[test]
    fn who_is_there_is_asked_where_a_server_is_and_told_without_garbage() {
        let mut client = client();
        client.look_around();
        assert_eq!(commands(&mut client), []);
        let mut client = registered();
        client.look_around();
        assert_eq!(commands(&mut client), [Command::List]);
        let id = |number: u128| format!("{number:032x}");

        let listed = [id(0x1f), id(7), id(7), "a visitor".to_owned(), id(5)];
        client.on_list(&serde_json::to_string(&listed).expect("they are texts"));
        for garbage in ["", "[", "{}", "[7]", "[[]]", "\"a\""] {
            client.on_list(garbage);
        }

        let present = vec![ServerId::from(5), ServerId::from(7)];
        assert_eq!(events(&mut client), [SignalingEvent::Present(present)]);
    }

    #[test]
    fn of_a_list_without_end_only_so_many_are_taken() {
        let mut client = registered();
        let many = 1_000..1_000 + u128::try_from(2 * PRESENT_MAX).expect("it is short");
        let many: Vec<_> = many.map(|number| format!("{number:032x}")).collect();

        client.on_list(&serde_json::to_string(&many).expect("they are texts"));

        let present = match &events(&mut client)[..] {
            [SignalingEvent::Present(present)] => present.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(present, PRESENT_MAX);
    }

    #[test]
    fn what_nobody_has_taken_is_told() {
        let mut client = registered();
        let expired = r#"{"type":"EXPIRE","src":"0000000000000000000000000000001f"}"#;

        client.on_text(expired, NOW, 0);

        let to = ServerId::from(0x1f);
        assert_eq!(events(&mut client), [SignalingEvent::Unreached { to }]);
    }

    #[test]
    fn a_socket_that_does_not_open_in_time_is_given_up() {
        let mut client = client();
        client.on_time(NOW, 0);

        client.on_time(NOW + OPENING_TIME_MAX, 0);

        assert_eq!(
            commands(&mut client),
            [Command::Connect, Command::Disconnect]
        );
    }
}
