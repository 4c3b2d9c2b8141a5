//! Drives the state by whatever comes: bounds hold, and nobody speaks in another's name.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Attach(u8, u8, u8, u8),
    Frame(u8, String),
    Sent(u8),
    End(u8, bool),
    Make(u8),
    Claim(u8, u8),
    Pass(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let frame = prop_oneof![
        (0..4_u8, 0..4_u8).prop_map(|(kind, to)| {
            let kind = ["OFFER", "ANSWER", "LEAVE", "EXPIRE"][usize::from(kind)];
            format!(r#"{{"type":"{kind}","src":"eve","dst":"p{to}","payload":1}}"#)
        }),
        Just(r#"{"type":"LEAVE"}"#.to_owned()),
        Just(HEARTBEAT.to_owned()),
        ".{0,20}",
    ];
    let step = prop_oneof![
        4 => (0..8_u8, 0..3_u8, 0..4_u8, 0..2_u8).prop_map(|(c, k, i, t)| Step::Attach(c, k, i, t)),
        8 => (0..8_u8, frame).prop_map(|(c, text)| Step::Frame(c, text)),
        2 => (0..8_u8).prop_map(Step::Sent),
        2 => (0..8_u8, any::<bool>()).prop_map(|(c, goodbye)| Step::End(c, goodbye)),
        1 => (0..2_u8).prop_map(Step::Make),
        1 => (0..2_u8, 0..3_u8).prop_map(|(k, n)| Step::Claim(k, n)),
        2 => (0..1000_u16).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

fn number_of_room(room: u8) -> Channel {
    Channel::from_random([room; 20])
}

/// Runs steps with small bounds. Each slot for a connection is used again with a new number.
fn run(steps: &[Step]) -> Bench {
    let limits = Limits {
        connections_per_host_max: 6,
        channels_max: 2,
        peers_per_channel_max: 3,
        outgoing_bytes_per_connection_max: 300,
        outgoing_bytes_max: 800,
        waiting_bytes_per_host_max: 1500,
        waiting_bytes_max: 2000,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits.clone());
    let mut slots = [None; 8];
    let mut next = 0;
    for step in steps {
        match step {
            Step::Attach(slot, key, id, token) => {
                let slot = &mut slots[usize::from(*slot)];
                let key = match key {
                    0 => "peerjs".to_owned(),
                    room => number_of_room(*room).as_str().to_owned(),
                };
                next += 1;
                let host = host(*token);
                let is_free = slot.is_none();
                if is_free
                    && bench
                        .rooms
                        .connect(bench.now, host, ConnectionId(next))
                        .is_ok()
                {
                    *slot = Some(next);
                    let (id, token) = (format!("p{id}"), format!("t{token}"));
                    let attach = Attach {
                        key: Some(&key),
                        id: Some(&id),
                        token: Some(&token),
                    };
                    bench.rooms.attach(bench.now, ConnectionId(next), attach);
                    bench.settle();
                }
            }
            Step::Frame(slot, text) => {
                if let Some(number) = slots[usize::from(*slot)] {
                    bench.frame(number, text);
                }
            }
            Step::Sent(slot) => {
                if let Some(number) = slots[usize::from(*slot)] {
                    for text in bench.said(number) {
                        bench.rooms.sent(ConnectionId(number), text.len());
                    }
                }
            }
            Step::End(slot, is_goodbye) => {
                if let Some(number) = slots[usize::from(*slot)].take() {
                    let ending = if *is_goodbye {
                        Ending::Goodbye
                    } else {
                        Ending::Lost
                    };
                    bench.end(number, ending);
                }
            }
            Step::Make(room) => {
                let channel = number_of_room(*room + 1);
                let _bounded = bench.rooms.make_channel(bench.now, host(0), channel);
            }
            Step::Claim(room, visit) => {
                bench
                    .rooms
                    .claim(number_of_room(*room + 1), &nonce(&format!("n{visit}")));
            }
            Step::Pass(seconds) => bench.pass(u32::from(*seconds) * SECOND),
        }
        let figures = bench.rooms.figures();
        assert!(figures.outgoing_bytes <= limits.outgoing_bytes_max);
        assert!(figures.waiting_bytes <= limits.waiting_bytes_max);
        assert!(figures.channels <= limits.channels_max);
        assert!(figures.connections <= 12);
    }
    for number in slots.into_iter().flatten() {
        bench.end(number, Ending::Lost);
    }
    bench
}

proptest! {
    #[test]
    fn whatever_comes_bounds_hold_and_nothing_is_left(steps in steps()) {
        let mut bench = run(&steps);
        bench.pass(1000 * SECOND);

        let figures = bench.rooms.figures();

        prop_assert_eq!(figures.connections, 0);
        prop_assert_eq!(figures.peers, 0);
        prop_assert_eq!(figures.channels, 0);
        prop_assert_eq!(figures.waiting_bytes, 0);
        prop_assert_eq!(figures.outgoing_bytes, 0);
        prop_assert_eq!(bench.rooms.deadline(), None);
    }

    #[test]
    fn nobody_speaks_in_anothers_name(steps in steps()) {
        let bench = run(&steps);

        let said = bench.said.values().flatten();
        prop_assert!(said.clone().all(|text| !text.contains("eve")));
    }
}
