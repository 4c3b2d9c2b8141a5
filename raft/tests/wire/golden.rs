//! The exact bytes of each kind of content. They are what members of other versions send: they never change.

mod clients;
mod membership;

use std::sync::Arc;
use std::time::Duration;

use liferaft_raft::configuration::{
    AccessToken, Configuration, Description, Dismissal, Grants, History, Member, PublicKey, Scope,
    TokenKey, Versions, Voucher,
};
use liferaft_raft::consensus::TransferError;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, Round, ServerId, Term};
use liferaft_raft::message::{
    AppendEntries, AppendEntriesReply, Body, Conflict, InstallSnapshot, InstallSnapshotReply,
    Message, ReadIndex, ReadIndexReply, ReplyWanted, RequestVote, RequestVoteReply,
    SnapshotMetadata, Token,
};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{self, Content, Frame, Head, ProposeAnswer};

use super::{CLUSTER, RECEIVER, bytes, decode};

const KEY: PublicKey = PublicKey([7; 32]);

const VOUCHER: Voucher = Voucher {
    by: PublicKey([8; 32]),
    signature: [9; 64],
};

const TOKEN: AccessToken = AccessToken {
    key: TokenKey(PublicKey([6; 32])),
    grants: Grants::Membership,
    expires_at: ClusterTime(5000),
    uses_left: 2,
    scope: Scope::everything(),
};

/// The description of the server with [`KEY`].
fn ada() -> Description {
    let label = "ada".parse().expect("it is a label");
    let address = "memory:7".parse().expect("it is an address");
    Description::of(KEY)
        .with_label(label)
        .with_addresses([address])
        .with_versions(Versions { min: 1, max: 2 })
}

/// Asserts the encoding of a content, both ways. Spaces in the expectation part the fields.
#[track_caller]
fn assert_golden(content: &Content, expected: &str) {
    let encoded = wire::encode_content(content);

    let found: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, expected.replace(' ', ""));
    assert_eq!(decode(&encoded).as_ref(), Ok(content));
}

fn message(body: Body) -> Content {
    Content::Message(Message {
        term: Term(5),
        body,
    })
}

fn position(term: u64, index: u64) -> LogPosition {
    LogPosition::new(Term(term), Index(index))
}

#[test]
fn the_bytes_of_a_frame() {
    let content = Content::Message(Message {
        term: Term(5),
        body: Body::TimeoutNow,
    });
    let frame = Frame {
        cluster: CLUSTER,
        to: RECEIVER,
        content,
    };

    let encoded = frame.encode();

    let found: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = "0a10 000000000000000000000000000000c0 \
                    1210 00000000000000000000000000000002 \
                    1807 2005 2a00";
    assert_eq!(found, expected.replace(' ', ""));
}

#[test]
fn the_bytes_of_a_request_for_a_vote() {
    let body = Body::RequestVote(RequestVote {
        pre_vote: true,
        campaign: Term(6),
        last: position(4, 300),
        leadership_transfer: true,
    });

    assert_golden(&message(body), "1801 2005 2a0b 0801 1006 1804 20ac02 2801");
}

#[test]
fn the_bytes_of_a_reply_to_a_request_for_a_vote() {
    let body = Body::RequestVoteReply(RequestVoteReply {
        pre_vote: false,
        campaign: Term(5),
        granted: true,
    });

    assert_golden(&message(body), "1802 2005 2a06 0800 1005 1801");
}

#[test]
fn the_bytes_of_append_entries_with_every_kind_of_entry() {
    let leaving = Member {
        suffrage: None,
        outgoing_voter: true,
        ..Member::voter(Description::default())
    };
    let staying = Member {
        outgoing_voter: true,
        ..Member::voter(Description::default())
    };
    let described = Member {
        voucher: Some(VOUCHER),
        ..Member::voter(ada())
    };
    let members = Configuration::from_members([
        (ServerId(1), leaving),
        (ServerId(2), staying),
        (ServerId(3), Member::learner(Description::default())),
        (KEY.server_id(), described),
    ])
    .with_dismissed([
        (ServerId(4), Dismissal::Removed),
        (ServerId(5), Dismissal::Forgot),
    ])
    .with_evicted([ServerId(8)])
    .with_past_vouchers([(VOUCHER.by, VOUCHER)])
    .with_tokens([TOKEN])
    .with_version(3)
    .with_open(false);
    let entry = |index, payload| Entry {
        index: Index(index),
        term: Term(5),
        stamp: ClusterTime(1000),
        payload,
    };
    let body = Body::AppendEntries(AppendEntries {
        round: Round(7),
        prev: position(4, 9),
        commit: Index(8),
        reply: ReplyWanted::AtOnce,
        confirmed: Round::ZERO,
        token: Token::NONE,
        entries: vec![
            entry(10, Payload::Noop),
            entry(11, Payload::Command(bytes("set"))),
            entry(12, Payload::Configuration(Arc::new(members))),
        ]
        .into(),
    });

    assert_golden(
        &message(body),
        "1803 2005 2abc04 0807 1004 1809 2008 2802 \
         3207 0805 10e807 1801 \
         320c 0805 10e807 1802 2203 736574 \
         329804 0805 10e807 1803 228e04 0802 \
         121c 0a10 00000000000000000000000000000001 1000 1801 2a04 2001 2801 \
         121c 0a10 00000000000000000000000000000002 1001 1801 2a04 2001 2801 \
         121c 0a10 00000000000000000000000000000003 1002 1800 2a04 2001 2801 \
         12b301 0a10 4bb06f8e4e3a7715d201d573d0aa4237 1001 1800 \
         2a35 0a20 0707070707070707070707070707070707070707070707070707070707070707 \
         1203 616461 1a08 6d656d6f72793a37 2001 2802 \
         3264 0a20 0808080808080808080808080808080808080808080808080808080808080808 \
         1240 0909090909090909090909090909090909090909090909090909090909090909 \
         0909090909090909090909090909090909090909090909090909090909090909 \
         1a14 0a10 00000000000000000000000000000004 1001 \
         1a14 0a10 00000000000000000000000000000005 1002 20808040 3003 3800 \
         4229 0a20 0606060606060606060606060606060606060606060606060606060606060606 1001 188827 2002 \
         4a10 00000000000000000000000000000008 \
         528801 0a20 0808080808080808080808080808080808080808080808080808080808080808 \
         1264 0a20 0808080808080808080808080808080808080808080808080808080808080808 \
         1240 0909090909090909090909090909090909090909090909090909090909090909 \
         0909090909090909090909090909090909090909090909090909090909090909",
    );
}

#[test]
fn the_bytes_of_a_notice_of_commitment() {
    let body = Body::AppendEntries(AppendEntries {
        round: Round(7),
        prev: position(4, 9),
        commit: Index(9),
        reply: ReplyWanted::No,
        confirmed: Round::ZERO,
        token: Token::NONE,
        entries: Arc::default(),
    });

    assert_golden(&message(body), "1803 2005 2a08 0807 1004 1809 2009");
}

#[test]
fn the_bytes_of_a_heartbeat_that_tells_what_it_has_heard() {
    let body = Body::AppendEntries(AppendEntries {
        round: Round(7),
        prev: position(4, 9),
        commit: Index(9),
        reply: ReplyWanted::AtOnce,
        confirmed: Round(6),
        token: Token::NONE,
        entries: Arc::default(),
    });

    assert_golden(
        &message(body),
        "1803 2005 2a0c 0807 1004 1809 2009 2802 3806",
    );
}

#[test]
fn the_bytes_of_a_configuration_whose_founding_has_a_name() {
    let configuration = Configuration::default().with_history(History(0x0102_0304_0506_0708));
    let body = Body::AppendEntries(AppendEntries {
        round: Round(7),
        prev: position(4, 9),
        commit: Index(8),
        reply: ReplyWanted::AtOnce,
        confirmed: Round::ZERO,
        token: Token::NONE,
        entries: Arc::new(vec![Entry {
            index: Index(10),
            term: Term(5),
            stamp: ClusterTime(1000),
            payload: Payload::Configuration(Arc::new(configuration)),
        }]),
    });

    assert_golden(
        &message(body),
        "1803 2005 2a28 0807 1004 1809 2008 2802 \
         321c 0805 10e807 1803 2213 0802 20808040 29 0807060504030201 3001 3801",
    );
}

#[test]
fn the_bytes_of_a_head_with_a_history_and_a_token() {
    let head = Head {
        cluster: CLUSTER,
        to: RECEIVER,
        history: Some(History(0x1112_1314_1516_1718)),
        token: Token(0x0102_0304_0506_0708),
    };

    let encoded = head.encode();

    let found: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = "0a10 000000000000000000000000000000c0 \
                    1210 00000000000000000000000000000002 \
                    39 1817161514131211 \
                    31 0807060504030201";
    assert_eq!(found, expected.replace(' ', ""));
    assert_eq!(encoded.len(), wire::HEAD_BYTES_MAX);
}

#[test]
fn the_bytes_of_a_reply_to_append_entries() {
    let body = Body::AppendEntriesReply(AppendEntriesReply {
        round: Round(7),
        match_index: Index(9),
        received: Index(12),
        commit: Index(8),
        applied: Index(6),
        conflict: Some(Conflict {
            prev: Index(20),
            hint: position(3, 11),
        }),
        promise: Duration::ZERO,
        token: Token::NONE,
        last: Index(14),
    });

    assert_golden(
        &message(body),
        "1804 2005 2a14 0807 1009 180c 2008 2806 3206 0814 1003 180b 480e",
    );
}

#[test]
fn the_bytes_of_a_reply_to_append_entries_that_makes_a_promise() {
    let body = Body::AppendEntriesReply(AppendEntriesReply {
        round: Round(7),
        match_index: Index(9),
        received: Index(9),
        commit: Index(9),
        applied: Index(9),
        conflict: None,
        promise: Duration::from_nanos(300),
        token: Token::NONE,
        last: Index(9),
    });

    assert_golden(
        &message(body),
        "1804 2005 2a0f 0807 1009 1809 2009 2809 38ac 02 4809",
    );
}

#[test]
fn the_bytes_of_a_reply_to_append_entries_that_tells_when_it_was_given() {
    let body = Body::AppendEntriesReply(AppendEntriesReply {
        round: Round(7),
        match_index: Index(9),
        received: Index(9),
        commit: Index(9),
        applied: Index(9),
        conflict: None,
        promise: Duration::ZERO,
        token: Token(0x0102_0304_0506_0708),
        last: Index(9),
    });

    assert_golden(
        &message(body),
        "1804 2005 2a15 0807 1009 1809 2009 2809 41 0807060504030201 4809",
    );
}

#[test]
fn the_bytes_of_a_chunk_of_a_snapshot() {
    let body = Body::InstallSnapshot(Box::new(InstallSnapshot {
        round: Round(7),
        transfer: 2,
        metadata: Some(SnapshotMetadata {
            last: position(4, 9),
            stamp: ClusterTime(1000),
            configuration: Arc::new(Configuration::of_voters([ServerId(1)])),
            configuration_index: Index(1),
            length: 5,
            digest: 0xdead_beef,
        }),
        offset: 3,
        data: bytes("te"),
    }));

    assert_golden(
        &message(body),
        "1805 2005 2a46 0807 1002 \
         1a3a 0804 1009 18e807 \
         2228 0802 121c 0a10 00000000000000000000000000000001 1001 1800 2a04 2001 2801 \
         20808040 3001 3801 \
         2801 3005 3defbeadde \
         2003 2a02 7465",
    );
}

#[test]
fn the_bytes_of_a_chunk_of_a_snapshot_that_is_known() {
    let body = Body::InstallSnapshot(Box::new(InstallSnapshot {
        round: Round(7),
        transfer: 2,
        metadata: None,
        offset: 3,
        data: bytes("te"),
    }));

    assert_golden(&message(body), "1805 2005 2a0a 0807 1002 2003 2a02 7465");
}

#[test]
fn the_bytes_of_a_reply_to_a_chunk_of_a_snapshot() {
    let body = Body::InstallSnapshotReply(InstallSnapshotReply {
        round: Round(7),
        transfer: 2,
        next_offset: 5,
        received: 6,
        known: true,
        match_index: Index(9),
        last: Index(9),
    });

    assert_golden(
        &message(body),
        "1806 2005 2a0e 0807 1002 1805 2009 2809 3001 3806",
    );
}

#[test]
fn the_bytes_of_timeout_now() {
    assert_golden(&message(Body::TimeoutNow), "1807 2005 2a00");
}

#[test]
fn the_bytes_of_read_index() {
    assert_golden(
        &message(Body::ReadIndex(ReadIndex { id: 0 })),
        "1808 2005 2a02 0800",
    );
}

#[test]
fn the_bytes_of_replies_to_read_index() {
    let answered = Body::ReadIndexReply(ReadIndexReply {
        id: 1,
        index: Some(Index(9)),
    });
    let refused = Body::ReadIndexReply(ReadIndexReply { id: 1, index: None });

    assert_golden(&message(answered), "1809 2005 2a04 0801 1009");
    assert_golden(&message(refused), "1809 2005 2a02 0801");
}

#[test]
fn the_bytes_of_a_proposal() {
    let content = Content::Propose {
        request: 1,
        commands: vec![bytes("a"), bytes("")],
    };

    assert_golden(&content, "1810 2a07 0801 1201 61 1200");
}

#[test]
fn the_bytes_of_replies_to_a_proposal() {
    let reply = |answer| Content::ProposeReply { request: 1, answer };
    let unled = ProposeAnswer::NotLeader { leader: None };
    let led = ProposeAnswer::NotLeader {
        leader: Some(ServerId(3)),
    };

    assert_golden(&reply(ProposeAnswer::Appended), "1811 2a04 0801 1001");
    assert_golden(&reply(unled), "1811 2a04 0801 1002");
    assert_golden(
        &reply(led),
        "1811 2a16 0801 1002 1a10 00000000000000000000000000000003",
    );
    assert_golden(&reply(ProposeAnswer::Busy), "1811 2a04 0801 1003");
    assert_golden(&reply(ProposeAnswer::TooLarge), "1811 2a04 0801 1004");
    assert_golden(&reply(ProposeAnswer::Transferring), "1811 2a04 0801 1005");
    assert_golden(&reply(ProposeAnswer::NotMember), "1811 2a04 0801 1006");
}

#[test]
fn the_bytes_of_a_leadership_transfer() {
    let to_any = Content::Transfer {
        request: 1,
        term: Term(2),
        to: None,
    };
    let to_one = Content::Transfer {
        request: 1,
        term: Term(2),
        to: Some(ServerId(3)),
    };

    assert_golden(&to_any, "1814 2a04 0801 1802");
    assert_golden(
        &to_one,
        "1814 2a16 0801 1210 00000000000000000000000000000003 1802",
    );
}

#[test]
fn the_bytes_of_replies_to_a_leadership_transfer() {
    let reply = |result| Content::TransferReply { request: 1, result };
    let error = |error| reply(Err(error));
    let id = ServerId(3);

    assert_golden(
        &reply(Ok(id)),
        "1815 2a14 0801 1210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(TransferError::NotLeader { leader: None }),
        "1815 2a04 0801 1801",
    );
    assert_golden(
        &error(TransferError::NotVoter(id)),
        "1815 2a16 0801 1210 00000000000000000000000000000003 1802",
    );
    assert_golden(&error(TransferError::NoCandidate), "1815 2a04 0801 1803");
    assert_golden(
        &error(TransferError::Pending { to: id }),
        "1815 2a16 0801 1210 00000000000000000000000000000003 1804",
    );
    assert_golden(
        &error(TransferError::NoTakeover(id)),
        "1815 2a16 0801 1210 00000000000000000000000000000003 1805",
    );
    assert_golden(&error(TransferError::Busy), "1815 2a04 0801 1806");
    assert_golden(&error(TransferError::AskerNotMember), "1815 2a04 0801 1807");
}
