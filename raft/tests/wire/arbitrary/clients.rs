//! Draws at random what clients ask and are answered.

use std::time::Duration;

use liferaft_raft::consensus::RoleKind;
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{
    ClientAnswer, ClientAsk, ClientQuery, CommandOutcome, Decline, LinkReport, PeerReport,
    QueryOutcome, Report, View,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{access_token, blob, description, index, number, server, term};

pub(super) fn client_ask() -> impl Strategy<Value = ClientAsk> {
    prop_oneof![
        Just(ClientAsk::View),
        Just(ClientAsk::Report),
        vec(blob(), 1..5).prop_map(ClientAsk::Commands),
        vec(client_query(), 1..5).prop_map(ClientAsk::Queries),
    ]
}

fn client_query() -> impl Strategy<Value = ClientQuery> {
    (any::<u64>(), index(), blob()).prop_map(|(number, not_before, query)| ClientQuery {
        number,
        not_before,
        query,
    })
}

pub(super) fn client_answer() -> BoxedStrategy<ClientAnswer> {
    let members = vec((server(), description()), 0..4);
    let view = (term(), option::of(server()), any::<u64>(), members);
    let view = view.prop_map(|(term, leader, command_bytes_max, members)| View {
        term,
        leader,
        command_bytes_max,
        members,
    });
    prop_oneof![
        view.prop_map(ClientAnswer::View),
        report().prop_map(|report| ClientAnswer::Report(Box::new(report))),
        decline().prop_map(ClientAnswer::Declined),
        vec(command_outcome(), 1..4).prop_map(ClientAnswer::Outcomes),
        vec((any::<u64>(), query_outcome()), 1..4).prop_map(ClientAnswer::Answers),
    ]
    .boxed()
}

fn report() -> impl Strategy<Value = Report> {
    let role = prop_oneof![
        Just(RoleKind::Follower),
        Just(RoleKind::PreCandidate),
        Just(RoleKind::Candidate),
        Just(RoleKind::Leader),
    ];
    let time = || option::of(any::<u64>().prop_map(Duration::from_micros));
    let peer = (server(), any::<u64>(), time(), time());
    let peer = peer.prop_map(|(id, lag_entries, round_trip, silent_for)| PeerReport {
        id,
        lag_entries,
        round_trip,
        silent_for,
    });
    let path = (
        server(),
        "[a-z]{1,9}",
        option::of(server()),
        option::of(".{1,9}"),
    );
    let path = path.prop_map(|(peer, carrier, relay, description)| LinkReport {
        peer,
        carrier,
        relay,
        description,
    });
    let members = vec((server(), any::<bool>(), description()), 0..4);
    let places = (index(), index(), index(), index());
    let told = (term(), option::of(server()), any::<u64>(), any::<u32>());
    let tokens = (
        vec(access_token(), 0..4),
        any::<u64>().prop_map(ClusterTime),
        vec(path, 0..4),
    );
    (role, told, places, members, vec(peer, 0..4), tokens).prop_map(
        |(
            role,
            (term, leader, log_bytes, links),
            places,
            members,
            peers,
            (tokens, time, paths),
        )| {
            let (last, commit, applied, snapshot) = places;
            Report {
                role,
                term,
                leader,
                last,
                commit,
                applied,
                snapshot,
                log_bytes,
                links,
                members,
                peers,
                tokens,
                time,
                paths,
            }
        },
    )
}

fn decline() -> impl Strategy<Value = Decline> {
    prop_oneof![
        Just(Decline::Busy),
        Just(Decline::TooLarge),
        Just(Decline::ReadOnly),
        Just(Decline::NotServed),
        Just(Decline::NotUnderstood),
        Just(Decline::TokenOver),
    ]
}

fn command_outcome() -> impl Strategy<Value = CommandOutcome> {
    prop_oneof![
        (any::<u128>(), index())
            .prop_map(|(nonce, session)| CommandOutcome::Registered { nonce, session }),
        (index(), number(), option::of(blob())).prop_map(|(session, sequence, reply)| {
            CommandOutcome::Done {
                session,
                sequence,
                reply,
            }
        }),
        (index(), number())
            .prop_map(|(session, sequence)| CommandOutcome::Expired { session, sequence }),
        (index(), number())
            .prop_map(|(session, sequence)| CommandOutcome::OutOfScope { session, sequence }),
    ]
}

fn query_outcome() -> impl Strategy<Value = QueryOutcome> {
    prop_oneof![
        blob().prop_map(QueryOutcome::Answer),
        Just(QueryOutcome::Busy),
        Just(QueryOutcome::Panicked),
        Just(QueryOutcome::NotUnderstood),
        Just(QueryOutcome::OutOfScope),
        (any::<u64>(), any::<u64>())
            .prop_map(|(bytes, bytes_max)| QueryOutcome::TooLarge { bytes, bytes_max }),
    ]
}
