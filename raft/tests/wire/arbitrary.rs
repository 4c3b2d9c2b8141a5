//! Frames of every kind, drawn at random.
//!
//! The larger strategies are boxed: a strategy by value contains all that it is made of, and would not fit on a stack.

mod clients;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use liferaft_raft::configuration::{
    AccessToken, Address, Configuration, Description, Dismissal, Foreign, Grants, History, Label,
    Member, PublicKey, SCOPE_PREFIX_BYTES_MAX, SCOPE_PREFIXES_MAX, Scope, Suffrage, TokenFault,
    TokenKey, Versions, Voucher,
};
use liferaft_raft::consensus::{
    Addition, ChangeError, InvalidChange, MembershipChange, MembershipStep, NewToken, TransferError,
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
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use self::clients::{client_answer, client_ask};

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
        1 => (any::<u64>(), client_ask())
            .prop_map(|(request, ask)| Content::ClientRequest { request, ask }),
        1 => (any::<u64>(), client_answer())
            .prop_map(|(request, answer)| Content::ClientReply { request, answer }),
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
    let why = prop_oneof![Just(Dismissal::Removed), Just(Dismissal::Forgot)];
    let founders = (number(), option::of(any::<u64>()), any::<bool>());
    let gone = (
        vec((server(), why), 0..4),
        vec(server(), 0..4),
        vec(voucher(), 0..4),
    );
    (
        vec(member(), 0..6),
        gone,
        vec(access_token(), 0..4),
        any::<u32>(),
        founders,
    )
        .prop_map(
            |(members, (dismissed, evicted, past), tokens, version, founders)| {
                let (bytes, history, is_open) = founders;
                let vouching = members.iter().filter_map(|(_, member)| member.voucher);
                let vouching = vouching.map(|voucher| voucher.by).collect::<Vec<_>>();
                let configuration = Configuration::from_members(members)
                    .with_past_vouchers(vouching.into_iter().zip(past))
                    .with_dismissed(dismissed)
                    .with_evicted(evicted)
                    .with_tokens(tokens)
                    .with_version(version)
                    .with_entry_bytes_max(bytes)
                    .with_open(is_open);
                match history {
                    Some(history) => configuration.with_history(History(history)),
                    None => configuration,
                }
            },
        )
        .boxed()
}

fn member() -> impl Strategy<Value = (ServerId, Member)> {
    let role = prop_oneof![
        Just((None, true)),
        any::<bool>().prop_map(|outgoing| (Some(Suffrage::Voter), outgoing)),
        any::<bool>().prop_map(|outgoing| (Some(Suffrage::Learner), outgoing)),
    ];
    (server(), role, description(), option::of(voucher())).prop_map(
        |(id, (suffrage, outgoing_voter), description, voucher)| {
            let id = description.public_key().map_or(id, |key| key.server_id());
            let member = Member {
                suffrage,
                outgoing_voter,
                description,
                voucher,
            };
            (id, member)
        },
    )
}

fn description() -> impl Strategy<Value = Description> {
    let versions = (any::<u32>(), any::<u32>()).prop_map(|(min, max)| Versions { min, max });
    let label = "\\PC{0,8}".prop_map(|text| text.parse::<Label>().unwrap_or_default());
    let address = "[a-z]{1,4}:[!-~]{1,20}";
    let address = address.prop_map(|text| text.parse::<Address>().expect("it keeps to the rules"));
    let addresses = vec(address, 0..=4);
    (option::of(public_key()), label, addresses, versions).prop_map(
        |(key, label, addresses, versions)| {
            let description = key.map_or_else(Description::default, Description::of);
            description
                .with_label(label)
                .with_addresses(addresses)
                .with_versions(versions)
        },
    )
}

fn voucher() -> impl Strategy<Value = Voucher> {
    let signature = vec(any::<u8>(), 64).prop_map(|bytes| bytes.try_into().expect("it has 64"));
    (public_key(), signature).prop_map(|(by, signature)| Voucher { by, signature })
}

fn access_token() -> impl Strategy<Value = AccessToken> {
    let grants = prop_oneof![
        Just(Grants::Membership),
        Just(Grants::Reading),
        Just(Grants::Writing),
        Just(Grants::Operating)
    ];
    (token_key(), grants, any::<u64>(), any::<u32>(), scope()).prop_map(
        |(key, grants, expires_at, uses_left, scope)| AccessToken {
            key,
            grants,
            expires_at: ClusterTime(expires_at),
            uses_left,
            scope,
        },
    )
}

fn scope() -> impl Strategy<Value = Scope> {
    let prefix = vec(any::<u8>(), 1..=SCOPE_PREFIX_BYTES_MAX);
    option::of(vec(prefix, 1..=SCOPE_PREFIXES_MAX)).prop_map(|prefixes| match prefixes {
        Some(prefixes) => Scope::of_prefixes(prefixes).expect("they are within bounds"),
        None => Scope::everything(),
    })
}

fn token_key() -> impl Strategy<Value = TokenKey> {
    public_key().prop_map(TokenKey)
}

fn token_fault() -> impl Strategy<Value = TokenFault> {
    prop_oneof![
        Just(TokenFault::Unknown),
        Just(TokenFault::UsedUp),
        Just(TokenFault::Expired),
        Just(TokenFault::GrantsOther),
    ]
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
        (description(), option::of(token_key()))
            .prop_map(|(description, token)| Content::Join { description, token }),
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
        (option::of(server()), option::of(description())).prop_map(|(leader, description)| {
            JoinReply::NotLeader {
                leader,
                description,
            }
        }),
        Just(JoinReply::Busy),
        Just(JoinReply::Dismissed),
        Just(JoinReply::Manual),
        Just(JoinReply::Forgot),
        Just(JoinReply::NotInvited),
        token_fault().prop_map(JoinReply::Token),
        Just(JoinReply::OtherVersion),
    ]
}

fn new_token() -> impl Strategy<Value = NewToken> {
    (access_token(), 0..NUMBER_END).prop_map(|(token, millis)| NewToken {
        key: token.key,
        grants: token.grants,
        valid_for: Duration::from_millis(millis),
        uses: token.uses_left,
        scope: token.scope,
    })
}

fn step() -> impl Strategy<Value = MembershipStep> {
    prop_oneof![
        addition().prop_map(MembershipStep::AddVoter),
        addition().prop_map(MembershipStep::AddLearner),
        server().prop_map(MembershipStep::Remove),
        server().prop_map(MembershipStep::Evict),
        server().prop_map(MembershipStep::Retire),
        (server(), description())
            .prop_map(|(id, description)| MembershipStep::Describe(id, description)),
        new_token().prop_map(MembershipStep::Issue),
        token_key().prop_map(MembershipStep::Revoke),
        any::<u32>().prop_map(MembershipStep::RaiseVersion),
    ]
}

fn addition() -> impl Strategy<Value = Addition> {
    let told = (option::of(description()), option::of(voucher()));
    (server(), told, option::of(token_key())).prop_map(|(id, (description, voucher), token)| {
        Addition {
            id,
            description,
            voucher,
            token,
        }
    })
}

fn change_result() -> impl Strategy<Value = Result<Index, ChangeError>> {
    prop_oneof![
        index().prop_map(Ok),
        option::of(server()).prop_map(|leader| Err(ChangeError::NotLeader { leader })),
        Just(Err(ChangeError::Pending)),
        server().prop_map(|id| Err(ChangeError::AlreadyMember(id))),
        server().prop_map(|id| Err(ChangeError::NotMember(id))),
        Just(Err(ChangeError::AskerNotMember)),
        server().prop_map(|id| Err(ChangeError::NotLinked(id))),
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
        invalid_key_or_version().prop_map(|error| Err(ChangeError::Invalid(error))),
        (token_key(), token_fault()).prop_map(|(key, why)| Err(ChangeError::Token(key, why))),
        server().prop_map(|id| Err(ChangeError::Unreachable(id))),
        server().prop_map(|id| Err(ChangeError::TooSlow(id))),
        (server(), foreign()).prop_map(|(id, why)| Err(ChangeError::Foreign(id, why))),
        option::of(server()).prop_map(|leader| Err(ChangeError::Unknown { leader })),
    ]
}

fn invalid_key_or_version() -> impl Strategy<Value = InvalidChange> {
    prop_oneof![
        server().prop_map(InvalidChange::WrongKey),
        token_key().prop_map(InvalidChange::IssuedBefore),
        Just(InvalidChange::TooManyTokens),
        any::<u32>().prop_map(InvalidChange::VersionNotRaised),
        (server(), any::<u32>())
            .prop_map(|(server, version)| InvalidChange::VersionNotSpoken { server, version }),
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

fn public_key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey)
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}
