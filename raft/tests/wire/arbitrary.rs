//! Frames of every kind, drawn at random.
//!
//! The larger strategies are boxed: a strategy by value contains all that it is made of, and would not fit on a stack.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use liferaft_raft::configuration::{Configuration, Dismissal, Foreign, History, Member, Suffrage};
use liferaft_raft::consensus::{
    ChangeError, InvalidChange, MembershipChange, MembershipStep, TransferError,
};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{ClusterId, Index, LogPosition, Round, ServerId, Term};
use liferaft_raft::message::{
    AppendEntries, AppendEntriesReply, Body, Conflict, InstallSnapshot, InstallSnapshotReply,
    Message, ReadIndex, ReadIndexReply, ReplyWanted, RequestVote, RequestVoteReply,
    SnapshotMetadata, Token,
};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{
    self, Content, Frame, Head, JoinReply, NUMBER_END, ProposeAnswer, RawFrame,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_is_said_is_understood_as_it_was_meant(frame in frame()) {
        let encoded = frame.encode();

        prop_assert_eq!(Frame::decode(encoded), Ok(frame));
    }

    #[test]
    fn a_content_addressed_later_is_the_same_frame(frame in frame()) {
        let content = wire::encode_content(&frame.content);

        let head = Head::of(frame.cluster, frame.to, &frame.content);

        prop_assert_eq!([head.encode(), content].concat(), &frame.encode()[..]);
    }

    #[test]
    fn where_a_frame_is_cut_in_two_changes_nothing(frame in frame(), cut in any::<prop::sample::Index>()) {
        let mut body = frame.encode();
        let head = body.split_to(cut.index(body.len() + 1));

        let raw = RawFrame::decode_parts(head, body).expect("it was just encoded");

        prop_assert_eq!((raw.cluster(), raw.to()), (frame.cluster, frame.to));
        prop_assert_eq!(raw.decode_content(), Ok(frame.content));
    }
}

/// The most that the heads of a frame, its message and one entry take.
const HEADS_BYTES_MAX: u64 = 200;

proptest! {
    /// Bounds in bytes are kept by weight: a message that is within them fits a frame which is a little longer.
    #[test]
    fn no_message_is_longer_than_what_it_weighs_and_its_heads(message in message()) {
        let weight = match &message.body {
            Body::AppendEntries(append) => append.entries.iter().map(Entry::weight).sum(),
            Body::InstallSnapshot(chunk) => {
                let metadata = chunk.metadata.as_ref();
                metadata.map_or(0, |it| it.configuration.weight()) + chunk.data.len() as u64
            }
            _ => 0,
        };

        let content = Content::Message(message);
        let head = Head::of(ClusterId(0), ServerId(0), &content);
        let bytes = head.encode().len() + wire::encode_content(&content).len();

        prop_assert!(bytes as u64 <= weight + HEADS_BYTES_MAX);
    }
}

pub(super) fn frame() -> impl Strategy<Value = Frame> {
    (any::<u128>(), server(), content()).prop_map(|(cluster, to, content)| Frame {
        cluster: ClusterId(cluster),
        to,
        content,
    })
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        9 => message().prop_map(Content::Message),
        1 => (any::<u64>(), vec(blob(), 0..5))
            .prop_map(|(request, commands)| Content::Propose { request, commands }),
        1 => (any::<u64>(), propose_answer())
            .prop_map(|(request, answer)| Content::ProposeReply { request, answer }),
        1 => (any::<u64>(), term(), vec(step(), 0..5)).prop_map(|(request, term, steps)| Content::Change {
            request,
            term,
            change: MembershipChange { steps },
        }),
        1 => (any::<u64>(), change_result())
            .prop_map(|(request, result)| Content::ChangeReply { request, result }),
        1 => (any::<u64>(), term(), option::of(server()))
            .prop_map(|(request, term, to)| Content::Transfer { request, term, to }),
        1 => (any::<u64>(), transfer_result())
            .prop_map(|(request, result)| Content::TransferReply { request, result }),
        1 => joining(),
    ]
}

fn message() -> BoxedStrategy<Message> {
    (term(), body())
        .prop_map(|(term, body)| Message { term, body })
        .boxed()
}

fn body() -> BoxedStrategy<Body> {
    prop_oneof![
        request_vote().prop_map(Body::RequestVote),
        request_vote_reply().prop_map(Body::RequestVoteReply),
        append_entries().prop_map(Body::AppendEntries),
        append_entries_reply().prop_map(Body::AppendEntriesReply),
        install_snapshot().prop_map(|of| Body::InstallSnapshot(Box::new(of))),
        install_snapshot_reply().prop_map(Body::InstallSnapshotReply),
        Just(Body::TimeoutNow),
        any::<u64>().prop_map(|id| Body::ReadIndex(ReadIndex { id })),
        (any::<u64>(), option::of(index()))
            .prop_map(|(id, index)| Body::ReadIndexReply(ReadIndexReply { id, index })),
    ]
    .boxed()
}

fn request_vote() -> impl Strategy<Value = RequestVote> {
    (any::<bool>(), term(), position(), any::<bool>()).prop_map(
        |(pre_vote, campaign, last, leadership_transfer)| RequestVote {
            pre_vote,
            campaign,
            last,
            leadership_transfer,
        },
    )
}

fn request_vote_reply() -> impl Strategy<Value = RequestVoteReply> {
    (any::<bool>(), term(), any::<bool>()).prop_map(|(pre_vote, campaign, granted)| {
        RequestVoteReply {
            pre_vote,
            campaign,
            granted,
        }
    })
}

fn append_entries() -> BoxedStrategy<AppendEntries> {
    let entry = (term(), number().prop_map(ClusterTime), payload());
    (
        number().prop_map(Round),
        position(),
        index(),
        reply_wanted(),
        vec(entry, 0..6),
        number().prop_map(Round),
        token(),
    )
        .prop_map(
            |(round, prev, commit, reply, entries, confirmed, token)| AppendEntries {
                round,
                prev,
                commit,
                reply,
                entries: (prev.index.0 + 1..)
                    .zip(entries)
                    .map(|(index, (term, stamp, payload))| Entry {
                        index: Index(index),
                        term,
                        stamp,
                        payload,
                    })
                    .collect::<Vec<_>>()
                    .into(),
                confirmed,
                token,
            },
        )
        .boxed()
}

fn token() -> impl Strategy<Value = Token> {
    any::<u64>().prop_map(Token)
}

fn reply_wanted() -> impl Strategy<Value = ReplyWanted> {
    prop_oneof![
        Just(ReplyWanted::No),
        Just(ReplyWanted::WhenDurable),
        Just(ReplyWanted::AtOnce),
    ]
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Noop),
        blob().prop_map(Payload::Command),
        configuration().prop_map(|of| Payload::Configuration(Arc::new(of))),
    ]
}

fn append_entries_reply() -> BoxedStrategy<AppendEntriesReply> {
    let conflict = (index(), position()).prop_map(|(prev, hint)| Conflict { prev, hint });
    (
        number().prop_map(Round),
        index(),
        index(),
        index(),
        index(),
        option::of(conflict),
        any::<u64>().prop_map(Duration::from_nanos),
        token(),
        index(),
    )
        .prop_map(
            |(round, match_index, received, commit, applied, conflict, promise, token, last)| {
                AppendEntriesReply {
                    round,
                    match_index,
                    received,
                    commit,
                    applied,
                    conflict,
                    promise,
                    token,
                    last,
                }
            },
        )
        .boxed()
}

fn install_snapshot() -> BoxedStrategy<InstallSnapshot> {
    (
        number().prop_map(Round),
        any::<u64>(),
        option::of(snapshot_metadata()),
        number(),
        blob(),
    )
        .prop_map(
            |(round, transfer, metadata, offset, data)| InstallSnapshot {
                round,
                transfer,
                metadata,
                offset,
                data,
            },
        )
        .boxed()
}

fn snapshot_metadata() -> impl Strategy<Value = SnapshotMetadata> {
    let stamp = number().prop_map(ClusterTime);
    (
        position(),
        stamp,
        configuration(),
        index(),
        number(),
        any::<u32>(),
    )
        .prop_map(
            |(last, stamp, configuration, configuration_index, length, digest)| SnapshotMetadata {
                last,
                stamp,
                configuration: Arc::new(configuration),
                configuration_index,
                length,
                digest,
            },
        )
}

fn install_snapshot_reply() -> impl Strategy<Value = InstallSnapshotReply> {
    (
        number().prop_map(Round),
        any::<u64>(),
        (number(), number()),
        any::<bool>(),
        index(),
        index(),
    )
        .prop_map(
            |(round, transfer, (next_offset, received), known, match_index, last)| {
                InstallSnapshotReply {
                    round,
                    transfer,
                    next_offset,
                    received,
                    known,
                    match_index,
                    last,
                }
            },
        )
}

fn configuration() -> BoxedStrategy<Configuration> {
    let members = btree_map(server(), member(), 0..6);
    let why = prop_oneof![Just(Dismissal::Removed), Just(Dismissal::Forgot)];
    let history = option::of(any::<u64>());
    (members, vec((server(), why), 0..4), number(), history)
        .prop_map(
            |(members, dismissed, bytes, history): (BTreeMap<_, _>, _, _, _)| {
                let configuration = Configuration::from_members(members)
                    .with_dismissed(dismissed)
                    .with_entry_bytes_max(bytes);
                match history {
                    Some(history) => configuration.with_history(History(history)),
                    None => configuration,
                }
            },
        )
        .boxed()
}

fn member() -> impl Strategy<Value = Member> {
    let role = prop_oneof![
        Just((None, true)),
        any::<bool>().prop_map(|outgoing| (Some(Suffrage::Voter), outgoing)),
        any::<bool>().prop_map(|outgoing| (Some(Suffrage::Learner), outgoing)),
    ];
    (role, public_key()).prop_map(|((suffrage, outgoing_voter), public_key)| Member {
        suffrage,
        outgoing_voter,
        public_key,
    })
}

fn propose_answer() -> impl Strategy<Value = ProposeAnswer> {
    prop_oneof![
        Just(ProposeAnswer::Appended),
        option::of(server()).prop_map(|leader| ProposeAnswer::NotLeader { leader }),
        Just(ProposeAnswer::Busy),
        Just(ProposeAnswer::TooLarge),
        Just(ProposeAnswer::Transferring),
        Just(ProposeAnswer::NotMember),
    ]
}

fn joining() -> impl Strategy<Value = Content> {
    prop_oneof![
        public_key().prop_map(|public_key| Content::Join { public_key }),
        join_reply().prop_map(Content::JoinReply),
        foreign().prop_map(Content::Foreign),
    ]
}

fn foreign() -> impl Strategy<Value = Foreign> {
    prop_oneof![Just(Foreign::Cluster), Just(Foreign::History)]
}

fn join_reply() -> impl Strategy<Value = JoinReply> {
    prop_oneof![
        Just(JoinReply::Accepted),
        Just(JoinReply::Member),
        option::of(server()).prop_map(|leader| JoinReply::NotLeader { leader }),
        Just(JoinReply::Busy),
        Just(JoinReply::Dismissed),
        Just(JoinReply::Manual),
        Just(JoinReply::Forgot),
    ]
}

fn step() -> impl Strategy<Value = MembershipStep> {
    prop_oneof![
        (server(), public_key())
            .prop_map(|(id, public_key)| MembershipStep::AddVoter { id, public_key }),
        (server(), public_key())
            .prop_map(|(id, public_key)| MembershipStep::AddLearner { id, public_key }),
        server().prop_map(MembershipStep::Remove),
        server().prop_map(MembershipStep::Evict),
        server().prop_map(MembershipStep::Retire),
    ]
}

fn change_result() -> impl Strategy<Value = Result<Index, ChangeError>> {
    prop_oneof![
        index().prop_map(Ok),
        option::of(server()).prop_map(|leader| Err(ChangeError::NotLeader { leader })),
        Just(Err(ChangeError::Pending)),
        server().prop_map(|id| Err(ChangeError::AlreadyMember(id))),
        server().prop_map(|id| Err(ChangeError::NotMember(id))),
        Just(Err(ChangeError::AskerNotMember)),
        (any::<u64>(), any::<u64>()).prop_map(|(bytes, bytes_max)| {
            Err(ChangeError::Invalid(InvalidChange::TooLarge {
                bytes,
                bytes_max,
            }))
        }),
        Just(Err(ChangeError::Invalid(InvalidChange::NoSteps))),
        Just(Err(ChangeError::Invalid(InvalidChange::NoVoters))),
        server().prop_map(|id| Err(ChangeError::Invalid(InvalidChange::NamedTwice(id)))),
        Just(Err(ChangeError::Invalid(InvalidChange::TooManyServers))),
        server().prop_map(|id| Err(ChangeError::Invalid(InvalidChange::Forgot(id)))),
        server().prop_map(|id| Err(ChangeError::Invalid(InvalidChange::KeyTooLong(id)))),
        server().prop_map(|id| Err(ChangeError::Unreachable(id))),
        server().prop_map(|id| Err(ChangeError::TooSlow(id))),
        (server(), foreign()).prop_map(|(id, why)| Err(ChangeError::Foreign(id, why))),
        option::of(server()).prop_map(|leader| Err(ChangeError::Unknown { leader })),
    ]
}

fn transfer_result() -> impl Strategy<Value = Result<ServerId, TransferError>> {
    prop_oneof![
        server().prop_map(Ok),
        option::of(server()).prop_map(|leader| Err(TransferError::NotLeader { leader })),
        server().prop_map(|id| Err(TransferError::NotVoter(id))),
        Just(Err(TransferError::NoCandidate)),
        server().prop_map(|to| Err(TransferError::Pending { to })),
        Just(Err(TransferError::Busy)),
        Just(Err(TransferError::AskerNotMember)),
        server().prop_map(|id| Err(TransferError::NoTakeover(id))),
    ]
}

fn position() -> impl Strategy<Value = LogPosition> {
    (term(), index()).prop_map(|(term, index)| LogPosition::new(term, index))
}

fn term() -> impl Strategy<Value = Term> {
    number().prop_map(Term)
}

fn index() -> impl Strategy<Value = Index> {
    number().prop_map(Index)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, 0..NUMBER_END, Just(NUMBER_END - 1)]
}

fn server() -> impl Strategy<Value = ServerId> {
    any::<u128>().prop_map(ServerId)
}

fn public_key() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=128).prop_map(Bytes::from)
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}
