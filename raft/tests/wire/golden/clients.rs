//! The exact bytes of what clients ask and are answered.

use std::time::Duration;

use bytes::Bytes;
use liferaft_raft::consensus::RoleKind;
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{
    ClientAnswer, ClientAsk, ClientQuery, CommandOutcome, Content, Decline, LinkReport, PeerReport,
    QueryOutcome, Report, View,
};

use super::{ada, assert_golden};

fn asks(ask: ClientAsk) -> Content {
    Content::ClientRequest { request: 9, ask }
}

fn answers(answer: ClientAnswer) -> Content {
    Content::ClientReply { request: 9, answer }
}

#[test]
fn the_bytes_of_what_clients_ask() {
    let commands = ClientAsk::Commands(vec![Bytes::from_static(b"a"), Bytes::from_static(b"bc")]);
    let query = |not_before| {
        ClientAsk::Queries(vec![ClientQuery {
            number: 3,
            not_before,
            query: Bytes::from_static(b"q"),
        }])
    };

    assert_golden(&asks(ClientAsk::View), "1830 2a02 0809");
    assert_golden(&asks(ClientAsk::Report), "1830 2a04 0809 7801");
    assert_golden(&asks(commands), "1830 2a09 0809 120161 12026263");
    assert_golden(&asks(query(Index(0))), "1830 2a09 0809 1a05 0803 120171");
    assert_golden(
        &asks(query(Index(9))),
        "1830 2a0b 0809 1a07 0803 120171 1809",
    );
}

#[test]
fn the_bytes_of_a_view() {
    let view = View {
        term: Term(5),
        leader: Some(ServerId(3)),
        command_bytes_max: 100,
        members: vec![(ServerId(3), ada())],
    };

    assert_golden(
        &answers(ClientAnswer::View(view)),
        "1831 2a65 0809 1261 0805 1210 00000000000000000000000000000003 \
         1a49 0a10 00000000000000000000000000000003 \
         1235 0a20 0707070707070707070707070707070707070707070707070707070707070707 \
         1203 616461 1a08 6d656d6f72793a37 2001 2802 2064",
    );
}

#[test]
fn the_bytes_of_a_report() {
    let peer = PeerReport {
        id: ServerId(4),
        lag_entries: 6,
        round_trip: Some(Duration::from_micros(7)),
        silent_for: None,
    };
    let report = Report {
        role: RoleKind::Leader,
        term: Term(5),
        leader: Some(ServerId(3)),
        last: Index(9),
        commit: Index(8),
        applied: Index(7),
        snapshot: Index(2),
        log_bytes: 100,
        links: 1,
        members: vec![(ServerId(3), true, ada())],
        peers: vec![peer],
        tokens: Vec::new(),
        time: ClusterTime::ZERO,
        paths: vec![LinkReport {
            peer: ServerId(4),
            carrier: "relay".into(),
            relay: Some(ServerId(3)),
            description: Some("far".into()),
        }],
    };

    assert_golden(
        &answers(ClientAnswer::Report(Box::new(report))),
        "1831 2abe01 0809 7ab901 0804 1005 1a10 00000000000000000000000000000003 \
         2009 2808 3007 3802 4064 4801 \
         524b 0a10 00000000000000000000000000000003 1001 \
         1a35 0a20 0707070707070707070707070707070707070707070707070707070707070707 \
         1203 616461 1a08 6d656d6f72793a37 2001 2802 \
         5a16 0a10 00000000000000000000000000000004 1006 1807 \
         7230 0a10 00000000000000000000000000000004 1205 72656c6179 \
         1a10 00000000000000000000000000000003 2203 666172",
    );
}

#[test]
fn the_bytes_of_declines() {
    let declined = |decline| answers(ClientAnswer::Declined(decline));

    assert_golden(&declined(Decline::Busy), "1831 2a04 0809 1801");
    assert_golden(&declined(Decline::TooLarge), "1831 2a04 0809 1802");
    assert_golden(&declined(Decline::ReadOnly), "1831 2a04 0809 1803");
    assert_golden(&declined(Decline::NotServed), "1831 2a04 0809 1804");
    assert_golden(&declined(Decline::NotUnderstood), "1831 2a04 0809 1805");
    assert_golden(&declined(Decline::TokenOver), "1831 2a04 0809 1806");
}

#[test]
fn the_bytes_of_outcomes_of_commands() {
    let session = Index(7);
    let outcomes = vec![
        CommandOutcome::Registered { nonce: 2, session },
        CommandOutcome::Done {
            session,
            sequence: 1,
            reply: Some(Bytes::from_static(b"r")),
        },
        CommandOutcome::Done {
            session,
            sequence: 2,
            reply: None,
        },
        CommandOutcome::Expired {
            session,
            sequence: 3,
        },
        CommandOutcome::OutOfScope {
            session,
            sequence: 4,
        },
    ];

    assert_golden(
        &answers(ClientAnswer::Outcomes(outcomes)),
        "1831 2a3d 0809 2216 0801 1007 2a10 00000000000000000000000000000002 \
         2209 0802 1007 1801 220172 2206 0802 1007 1802 2206 0803 1007 1803 \
         2206 0804 1007 1804",
    );
}

#[test]
fn the_bytes_of_answers_to_queries() {
    let outcomes = vec![
        (1, QueryOutcome::Answer(Bytes::from_static(b"a"))),
        (2, QueryOutcome::Busy),
        (3, QueryOutcome::Panicked),
        (4, QueryOutcome::NotUnderstood),
        (
            5,
            QueryOutcome::TooLarge {
                bytes: 9,
                bytes_max: 8,
            },
        ),
        (6, QueryOutcome::OutOfScope),
    ];

    assert_golden(
        &answers(ClientAnswer::Answers(outcomes)),
        "1831 2a2b 0809 2a05 0801 120161 2a04 0802 1801 2a04 0803 1802 2a04 0804 1803 2a08 0805 1804 2009 2808 \
         2a04 0806 1805",
    );
}
