//! Drives the state by hand: what each input brings about, what must never come of any.

mod properties;

use super::*;
use crate::rate::Rate;

const SECOND: Duration = Duration::from_secs(1);
const OFFER: &str = r#"{"type":"OFFER","dst":"bob","payload":{"sdp":"v=0"}}"#;
const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;
const CHANNEL: &str = "0123456789abcdefghjk";

/// A server with a clock, and what it said to each connection.
struct Bench {
    rooms: Rooms,
    now: Duration,
    said: BTreeMap<u64, Vec<String>>,
    closed: BTreeMap<u64, Closing>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            rooms: Rooms::new(&Config::default().with_limits(limits)),
            now: Duration::from_secs(1000),
            said: BTreeMap::new(),
            closed: BTreeMap::new(),
        }
    }

    fn settle(&mut self) {
        for action in self.rooms.actions() {
            match action {
                Action::Send {
                    connection: ConnectionId(number),
                    text,
                } => self.said.entry(number).or_default().push(text),
                Action::Close {
                    connection: ConnectionId(number),
                    closing,
                } => {
                    self.closed.insert(number, closing);
                }
            }
        }
    }

    fn connect(&mut self, number: u64) {
        let connected = self.rooms.connect(self.now, host(1), ConnectionId(number));
        connected.expect("there is room");
    }

    /// Connects and attaches, with the token `secret-ID`.
    fn attach_at(&mut self, number: u64, key: &str, id: &str) {
        self.attach_by(number, key, id, &format!("secret-{id}"));
    }

    fn attach_by(&mut self, number: u64, key: &str, id: &str, token: &str) {
        self.connect(number);
        let attach = Attach {
            key: Some(key),
            id: Some(id),
            token: Some(token),
        };
        self.rooms.attach(self.now, ConnectionId(number), attach);
        self.settle();
    }

    fn attach(&mut self, number: u64, id: &str) {
        self.attach_at(number, "peerjs", id);
    }

    fn frame(&mut self, number: u64, text: &str) -> Duration {
        let pause = self.rooms.frame(self.now, ConnectionId(number), text);
        self.settle();
        pause
    }

    fn end(&mut self, number: u64, ending: Ending) {
        self.rooms.end(self.now, ConnectionId(number), ending);
        self.settle();
    }

    /// Lets time pass, with a timer that is never late.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.rooms.deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.rooms.on_time(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// What it said to a connection since the last call.
    fn said(&mut self, number: u64) -> Vec<String> {
        self.said.remove(&number).unwrap_or_default()
    }

    fn peers(&self, key: &str) -> Vec<String> {
        let key = self.rooms.key_of(key).expect("a key");
        let peers = self.rooms.peers(key).into_iter();
        peers.map(|id| id.as_str().to_owned()).collect()
    }
}

#[test]
fn what_comes_beside_texts_is_charged_to_the_host() {
    let mut bench = Bench::new();
    bench.attach(1, "a");
    let burst = usize::try_from(Limits::default().bytes_per_host.burst).expect("it is in memory");

    let mut overhead = |bytes| bench.rooms.overhead(bench.now, ConnectionId(1), bytes);
    let first = overhead(burst);
    let next = overhead(512 * 1024);

    assert_eq!((first, next), (Duration::ZERO, Duration::from_secs(1)));
}

fn host(last: u8) -> Host {
    Host::of([192, 0, 2, last].into())
}

fn channel() -> Channel {
    CHANNEL.parse().expect("a channel")
}

fn nonce(text: &str) -> Token {
    text.parse().expect("a token")
}

fn offer(src: &str) -> String {
    format!(r#"{{"type":"OFFER","src":"{src}","dst":"bob","payload":{{"sdp":"v=0"}}}}"#)
}

const OPEN: &str = r#"{"type":"OPEN"}"#;
const EXPIRE: &str = r#"{"type":"EXPIRE","src":"bob","dst":"ada"}"#;
const ID_TAKEN: &str = r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#;

#[test]
fn an_offer_reaches_a_peer_with_its_true_source() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");
    bench.attach(2, "bob");

    bench.frame(
        1,
        r#"{"type":"OFFER","src":"eve","dst":"bob","payload":{"sdp":"v=0"}}"#,
    );

    assert_eq!(bench.said(1), [OPEN]);
    assert_eq!(bench.said(2), [OPEN.to_owned(), offer("ada")]);
}

#[test]
fn what_is_missing_or_wrong_is_told_and_closed() {
    let mut bench = Bench::new();
    let error = |why: &str| [format!(r#"{{"type":"ERROR","payload":{{"msg":"{why}"}}}}"#)];

    bench.connect(1);
    bench
        .rooms
        .attach(bench.now, ConnectionId(1), Attach::default());
    bench.settle();
    bench.attach_at(2, "other", "ada");
    bench.attach_at(3, "peerjs", "<b>");

    assert_eq!(
        bench.said(1),
        error("No id, token, or key supplied to websocket server")
    );
    assert_eq!(bench.said(2), error("Invalid key provided"));
    assert_eq!(bench.said(3), error("Invalid id provided"));
    assert!(bench.closed.values().all(|why| *why == Closing::Refused));
    assert_eq!(bench.closed.len(), 3);
}

#[test]
fn an_id_is_not_taken_over_by_another_token() {
    let mut bench = Bench::new();
    bench.attach(1, "bob");
    bench.attach(2, "ada");

    bench.attach_by(3, "peerjs", "bob", "another");
    bench.frame(2, OFFER);

    assert_eq!(bench.said(3), [ID_TAKEN]);
    assert_eq!(bench.closed.get(&3), Some(&Closing::Refused));
    assert_eq!(bench.said(1), [OPEN.to_owned(), offer("ada")]);
}

#[test]
fn the_same_token_takes_the_id_back_from_a_dead_socket() {
    let mut bench = Bench::new();
    bench.attach(1, "bob");
    bench.attach(2, "ada");

    bench.attach(3, "bob");
    bench.frame(2, OFFER);

    assert_eq!(bench.closed.get(&1), Some(&Closing::Replaced));
    assert_eq!(bench.said(3), [offer("ada")], "there is no second OPEN");
    bench.end(1, Ending::Goodbye);
    assert_eq!(bench.peers("peerjs"), ["ada", "bob"]);
}

#[test]
fn a_peer_that_was_cut_off_keeps_its_id_for_its_token() {
    let mut bench = Bench::new();
    bench.attach(1, "bob");
    bench.end(1, Ending::Lost);

    bench.attach_by(2, "peerjs", "bob", "another");
    bench.attach(3, "bob");

    assert_eq!(bench.said(2), [ID_TAKEN]);
    assert_eq!(bench.said(3), [OPEN]);
}

#[test]
fn a_peer_that_was_cut_off_loses_its_id_in_time() {
    let mut bench = Bench::new();
    bench.attach(1, "bob");
    bench.end(1, Ending::Lost);
    assert_eq!(bench.peers("peerjs"), [""; 0]);

    bench.pass(90 * SECOND);
    bench.attach_by(2, "peerjs", "bob", "another");

    assert_eq!(bench.said(2), [OPEN]);
}

#[test]
fn one_host_keeps_so_many_ids_of_peers_that_were_cut_off() {
    let limits = Limits {
        connections_per_host_max: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    for (number, id) in [(1, "ada"), (2, "bob"), (3, "eve")] {
        bench.attach(number, id);
        bench.end(number, Ending::Lost);
    }

    assert_eq!(bench.said(2), [OPEN]);
    assert_eq!(
        bench.said(3),
        [r#"{"type":"ERROR","payload":{"msg":"Too many ids"}}"#]
    );
    assert_eq!(bench.rooms.figures().peers, 2);
}

#[test]
fn a_goodbye_frees_the_id_at_once() {
    let mut bench = Bench::new();
    bench.attach(1, "bob");
    bench.attach(2, "ada");
    bench.frame(2, r#"{"type":"LEAVE"}"#);
    bench.end(1, Ending::Goodbye);

    bench.attach_by(3, "peerjs", "bob", "another");
    bench.attach_by(4, "peerjs", "ada", "another");

    assert_eq!(bench.closed.get(&2), Some(&Closing::Left));
    assert_eq!(bench.said(3), [OPEN]);
    assert_eq!(bench.said(4), [OPEN]);
}

#[test]
fn messages_wait_for_a_peer_that_is_not_there() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");
    bench.frame(1, OFFER);
    bench.frame(1, r#"{"type":"CANDIDATE","dst":"bob"}"#);
    bench.pass(4 * SECOND);

    bench.attach(2, "bob");
    bench.pass(10 * SECOND);

    let candidate = r#"{"type":"CANDIDATE","src":"ada","dst":"bob"}"#;
    assert_eq!(bench.said(2), [OPEN, &offer("ada"), candidate]);
    assert_eq!(bench.said(1), [OPEN], "nothing expires");
}

#[test]
fn messages_that_nobody_comes_for_expire_once() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");
    bench.said(1);
    bench.frame(1, OFFER);
    bench.pass(4 * SECOND);
    bench.frame(1, OFFER);

    bench.pass(SECOND - Duration::from_millis(1));
    assert_eq!(bench.said(1), [""; 0]);
    bench.pass(Duration::from_millis(1));

    assert_eq!(bench.said(1), [EXPIRE]);
    bench.pass(20 * SECOND);
    assert_eq!(bench.said(1), [""; 0]);
    assert_eq!(bench.rooms.figures().waiting_bytes, 0);
}

#[test]
fn a_leave_for_a_peer_is_never_kept() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");
    bench.frame(1, r#"{"type":"LEAVE","dst":"bob"}"#);
    bench.frame(1, r#"{"type":"EXPIRE","dst":"bob"}"#);

    bench.attach(2, "bob");
    bench.pass(10 * SECOND);

    assert_eq!(bench.said(2), [OPEN]);
    assert_eq!(bench.said(1), [OPEN]);
}

#[test]
fn a_silent_peer_is_cut_off_and_a_heartbeat_keeps_one() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");
    bench.attach(2, "bob");
    bench.pass(60 * SECOND);
    bench.frame(1, HEARTBEAT);
    bench.pass(60 * SECOND);

    assert_eq!(bench.closed.get(&2), Some(&Closing::Silent));
    assert_eq!(bench.closed.get(&1), None);
    bench.attach_by(3, "peerjs", "bob", "another");
    assert_eq!(bench.said(3), [OPEN]);
}

#[test]
fn a_stopped_server_takes_nobody_as_silent() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");
    bench.now += 600 * SECOND;

    bench.rooms.on_time(bench.now);
    bench.settle();

    assert_eq!(bench.closed.get(&1), None);
    bench.pass(90 * SECOND);
    assert_eq!(bench.closed.get(&1), Some(&Closing::Silent));
}

#[test]
fn rooms_do_not_see_each_other() {
    let mut bench = Bench::new();
    bench.attach_at(1, CHANNEL, "ada");
    bench.attach_at(2, "peerjs", "bob");
    bench.attach_at(3, CHANNEL, "bob");

    bench.frame(1, OFFER);

    assert_eq!(bench.said(2), [OPEN]);
    assert_eq!(bench.said(3), [OPEN.to_owned(), offer("ada")]);
    assert_eq!(bench.peers(CHANNEL), ["ada", "bob"]);
}

#[test]
fn two_first_visitors_of_a_room_get_one_founder() {
    let mut bench = Bench::new();
    let made = bench.rooms.make_channel(bench.now, host(1), channel());
    made.expect("there is room");

    let first = bench.rooms.claim(channel(), &nonce("first"));
    let second = bench.rooms.claim(channel(), &nonce("second"));
    let first_again = bench.rooms.claim(channel(), &nonce("first"));

    assert_eq!(first, Claim::Founder);
    assert_eq!(second, Claim::Refused);
    assert_eq!(first_again, Claim::Founder, "its answer was lost");
}

#[test]
fn a_restarted_server_makes_no_second_founder() {
    let mut bench = Bench::new();
    // Members of a cluster that was founded before come back, by the number that they know.
    bench.attach_at(1, CHANNEL, "ada");

    let claim = bench.rooms.claim(channel(), &nonce("a"));

    assert_eq!(claim, Claim::Refused);
    assert_eq!(bench.said(1), [OPEN]);
    assert_eq!(
        bench.rooms.claim(
            "zzzzzzzzzzzzzzzzzzzz".parse().expect("a channel"),
            &nonce("a")
        ),
        Claim::Refused,
        "nor in a room where nobody is"
    );
}

#[test]
fn a_room_that_is_there_is_not_made_again() {
    let mut bench = Bench::new();
    bench.attach_at(1, CHANNEL, "ada");

    let made = bench.rooms.make_channel(bench.now, host(1), channel());

    assert_eq!(made, Err(Refusal::Exists));
    assert_eq!(bench.rooms.claim(channel(), &nonce("a")), Claim::Refused);
    assert_eq!(bench.peers(CHANNEL), ["ada"]);
}

#[test]
fn a_room_is_forgotten_and_opens_again_without_a_founder() {
    let mut bench = Bench::new();
    let made = bench.rooms.make_channel(bench.now, host(1), channel());
    made.expect("there is room");
    bench.pass(300 * SECOND);
    bench.attach_at(1, CHANNEL, "ada");
    bench.frame(1, OFFER);
    bench.end(1, Ending::Goodbye);
    bench.pass(599 * SECOND);
    assert_eq!(bench.rooms.figures().channels, 1);

    bench.pass(SECOND);

    assert_eq!(bench.rooms.figures().channels, 0);
    assert_eq!(bench.peers(CHANNEL), [""; 0]);
    assert_eq!(bench.rooms.claim(channel(), &nonce("late")), Claim::Refused);
    bench.attach_at(2, CHANNEL, "bob");
    assert_eq!(bench.said(2), [OPEN]);
}

#[test]
fn a_room_in_which_somebody_is_is_not_forgotten() {
    let mut bench = Bench::new();
    bench.attach_at(1, CHANNEL, "ada");

    for _ in 0..60 {
        bench.pass(60 * SECOND);
        bench.frame(1, HEARTBEAT);
    }

    assert_eq!(bench.peers(CHANNEL), ["ada"]);
}

#[test]
fn one_host_makes_so_many_rooms_and_another_still_may() {
    let limits = Limits {
        channels_per_host_max: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    let mut make = |last, text: &str| {
        let channel = text.parse().expect("a channel");
        bench.rooms.make_channel(bench.now, host(last), channel)
    };

    assert_eq!(make(1, "00000000000000000000"), Ok(()));
    assert_eq!(make(1, "00000000000000000001"), Err(Refusal::Rooms));
    assert_eq!(make(2, "00000000000000000002"), Ok(()));
}

#[test]
fn rooms_connections_and_their_peers_are_bounded_in_all() {
    let limits = Limits {
        channels_max: 1,
        peers_per_channel_max: 1,
        connections_max: 2,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach_at(1, CHANNEL, "ada");
    bench.attach_at(2, CHANNEL, "bob");
    bench.end(2, Ending::Goodbye);
    bench.attach_at(3, "00000000000000000000", "bob");
    bench.end(3, Ending::Goodbye);
    bench.attach_at(4, "peerjs", "bob");
    bench.attach_at(5, "peerjs", "eve");

    let error = |why: &str| [format!(r#"{{"type":"ERROR","payload":{{"msg":"{why}"}}}}"#)];
    assert_eq!(bench.said(2), error("The channel is full"));
    assert_eq!(bench.said(3), error("Too many channels"));
    assert_eq!(bench.said(4), [OPEN]);
    assert_eq!(
        bench.said(5),
        error("Server has reached its concurrent user limit")
    );
}

#[test]
fn one_host_has_so_many_connections() {
    let limits = Limits {
        connections_per_host_max: 1,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.connect(1);

    let second = bench.rooms.connect(bench.now, host(1), ConnectionId(2));
    let others = bench.rooms.connect(bench.now, host(2), ConnectionId(3));

    assert_eq!(second, Err(Refusal::TooMany));
    assert_eq!(others, Ok(()));
    bench.end(1, Ending::Lost);
    bench.connect(4);
}

#[test]
fn a_peer_that_does_not_read_is_cut_off_and_keeps_its_id() {
    let limits = Limits {
        outgoing_bytes_per_connection_max: 100,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach(1, "ada");
    bench.attach(2, "bob");
    bench.rooms.sent(ConnectionId(2), OPEN.len());

    bench.frame(1, OFFER);
    bench.frame(1, OFFER);

    assert_eq!(bench.closed.get(&2), Some(&Closing::Slow));
    assert_eq!(bench.closed.get(&1), None);
    bench.attach(3, "bob");
    assert_eq!(bench.said(3), [OPEN.to_owned(), offer("ada")]);
}

#[test]
fn one_that_reads_what_it_is_sent_is_never_slow() {
    let limits = Limits {
        outgoing_bytes_per_connection_max: 100,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach(1, "ada");
    bench.attach(2, "bob");

    for _ in 0..100 {
        for text in bench.said(2) {
            bench.rooms.sent(ConnectionId(2), text.len());
        }
        bench.frame(1, OFFER);
    }

    assert_eq!(bench.closed.get(&2), None);
}

#[test]
fn expired_messages_do_not_pile_up_for_a_peer_that_does_not_read() {
    let limits = Limits {
        outgoing_bytes_per_connection_max: 60,
        waiting_bytes_per_host_max: 0,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach(1, "ada");

    for _ in 0..4 {
        bench.frame(1, OFFER);
    }

    assert_eq!(bench.said(1), [OPEN, EXPIRE]);
    assert_eq!(bench.closed.get(&1), Some(&Closing::Slow));
}

#[test]
fn of_all_that_do_not_read_the_one_furthest_behind_is_cut_off() {
    let limits = Limits {
        outgoing_bytes_max: 200,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach(1, "bob");
    bench.attach(2, "ada");
    bench.frame(2, OFFER);
    bench.frame(2, OFFER);

    bench.frame(1, r#"{"type":"ANSWER","dst":"ada","payload":{}}"#);

    assert_eq!(bench.closed.get(&1), Some(&Closing::Slow));
    assert!(bench.rooms.figures().outgoing_bytes <= 200);
}

#[test]
fn waiting_messages_are_bounded_and_refused_at_once() {
    let limits = Limits {
        waiting_bytes_per_host_max: 400,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach(1, "ada");

    bench.frame(1, OFFER);
    bench.frame(1, OFFER);

    assert_eq!(bench.said(1), [OPEN, EXPIRE]);
}

#[test]
fn garbage_is_ignored_until_there_is_too_much() {
    let limits = Limits {
        garbage_max: 2,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach(1, "ada");

    bench.frame(1, "garbage");
    bench.frame(1, r#"{"type":"NEWS"}"#);
    bench.frame(1, "garbage");
    assert_eq!(bench.closed.get(&1), None);
    bench.frame(1, "garbage");

    assert_eq!(bench.closed.get(&1), Some(&Closing::Garbage));
    assert_eq!(bench.frame(1, HEARTBEAT), Duration::ZERO);
}

#[test]
fn a_binary_frame_closes_its_connection() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");

    bench.rooms.binary_frame(bench.now, ConnectionId(1));
    bench.settle();

    assert_eq!(bench.closed.get(&1), Some(&Closing::Binary));
}

#[test]
fn whoever_sends_too_fast_is_read_later() {
    let limits = Limits {
        messages_per_connection: Rate {
            per_second: 1,
            burst: 2,
        },
        ..Limits::default()
    };
    let mut bench = Bench::with(limits);
    bench.attach(1, "ada");

    assert_eq!(bench.frame(1, HEARTBEAT), Duration::ZERO);
    assert_eq!(bench.frame(1, HEARTBEAT), Duration::ZERO);
    assert_eq!(bench.frame(1, HEARTBEAT), SECOND);
}

#[test]
fn a_shutdown_closes_all() {
    let mut bench = Bench::new();
    bench.attach(1, "ada");
    bench.connect(2);

    bench.rooms.shut_down(bench.now);
    bench.settle();

    assert_eq!(bench.closed.get(&1), Some(&Closing::Shutdown));
    assert_eq!(bench.closed.get(&2), Some(&Closing::Shutdown));
}
