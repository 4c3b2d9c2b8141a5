//! The exact bytes of changes of membership, of wishes to join, and of what is answered to both.

use liferaft_raft::configuration::{Description, Foreign, Grants, Scope, TokenFault};
use liferaft_raft::consensus::{
    Addition, ChangeError, InvalidChange, MembershipChange, MembershipStep, NewToken,
};
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{Content, JoinReply};

use super::{TOKEN, VOUCHER, ada, assert_golden};

#[test]
fn the_bytes_of_a_membership_change() {
    let learner = MembershipStep::AddLearner(Addition {
        description: Some(Description::default()),
        voucher: Some(VOUCHER),
        token: Some(TOKEN.key),
        ..Addition::of(ServerId(4))
    });
    let change = MembershipChange::add_voter(ServerId(3))
        .and(learner.into())
        .and(MembershipChange::remove(ServerId(5)))
        .and(MembershipChange::retire(ServerId(6)));

    assert_golden(
        &Content::Change {
            request: 1,
            term: Term(2),
            change,
        },
        "1812 2aeb01 0801 \
         1214 0801 1210 00000000000000000000000000000003 \
         12a201 0802 1210 00000000000000000000000000000004 2204 2001 2801 \
         2a64 0a20 0808080808080808080808080808080808080808080808080808080808080808 \
         1240 0909090909090909090909090909090909090909090909090909090909090909 \
         0909090909090909090909090909090909090909090909090909090909090909 \
         3220 0606060606060606060606060606060606060606060606060606060606060606 \
         1214 0803 1210 00000000000000000000000000000005 \
         1214 0805 1210 00000000000000000000000000000006 \
         1802",
    );
}

#[test]
fn the_bytes_of_a_change_that_leaves_the_servers_as_they_are() {
    let change = MembershipChange::describe(ServerId(3), Description::default())
        .and(MembershipChange::issue(NewToken {
            key: TOKEN.key,
            grants: TOKEN.grants,
            valid_for: TOKEN.expires_at.since(ClusterTime::ZERO),
            uses: TOKEN.uses_left,
            scope: TOKEN.scope,
        }))
        .and(MembershipChange::revoke(TOKEN.key))
        .and(MembershipChange::raise_version(3));

    assert_golden(
        &Content::Change {
            request: 1,
            term: Term(2),
            change,
        },
        "1812 2a7b 0801 \
         121a 0806 1210 00000000000000000000000000000003 2204 2001 2801 \
         122d 0807 3a29 0a20 0606060606060606060606060606060606060606060606060606060606060606 1001 188827 2002 \
         1224 0808 3220 0606060606060606060606060606060606060606060606060606060606060606 \
         1204 0809 4003 \
         1802",
    );
}

#[test]
fn the_bytes_of_a_token_that_is_limited_to_keys() {
    let change = MembershipChange::issue(NewToken {
        key: TOKEN.key,
        grants: Grants::Writing,
        valid_for: TOKEN.expires_at.since(ClusterTime::ZERO),
        uses: TOKEN.uses_left,
        scope: Scope::of_prefixes(["camp/", "log"]).expect("they are short"),
    });

    assert_golden(
        &Content::Change {
            request: 1,
            term: Term(2),
            change,
        },
        "1812 2a41 0801 \
         123b 0807 3a37 0a20 0606060606060606060606060606060606060606060606060606060606060606 1003 188827 2002 \
         2a0c 0a05 63616d702f 0a03 6c6f67 \
         1802",
    );
}

#[test]
fn the_bytes_of_replies_to_a_membership_change() {
    let reply = |result| Content::ChangeReply { request: 1, result };
    let error = |error| reply(Err(error));
    let id = ServerId(3);

    assert_golden(&reply(Ok(Index(9))), "1813 2a04 0801 1009");
    assert_golden(
        &error(ChangeError::NotLeader { leader: Some(id) }),
        "1813 2a16 0801 1801 2210 00000000000000000000000000000003",
    );
    assert_golden(&error(ChangeError::Pending), "1813 2a04 0801 1802");
    assert_golden(
        &error(ChangeError::AlreadyMember(id)),
        "1813 2a16 0801 1803 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::NotMember(id)),
        "1813 2a16 0801 1804 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Invalid(InvalidChange::NoSteps)),
        "1813 2a04 0801 1805",
    );
    assert_golden(
        &error(ChangeError::Invalid(InvalidChange::NoVoters)),
        "1813 2a04 0801 1806",
    );
    assert_golden(
        &error(ChangeError::Invalid(InvalidChange::NamedTwice(id))),
        "1813 2a16 0801 1807 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Invalid(InvalidChange::TooManyServers)),
        "1813 2a04 0801 180b",
    );
    let (bytes, bytes_max) = (300, 200);
    assert_golden(
        &error(ChangeError::Invalid(InvalidChange::TooLarge {
            bytes,
            bytes_max,
        })),
        "1813 2a0a 0801 180e 28ac02 30c801",
    );
    assert_golden(&error(ChangeError::AskerNotMember), "1813 2a04 0801 180d");
    assert_golden(
        &error(ChangeError::NotLinked(id)),
        "1813 2a16 0801 181b 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Invalid(InvalidChange::Forgot(id))),
        "1813 2a16 0801 180c 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Invalid(InvalidChange::WrongKey(id))),
        "1813 2a16 0801 1812 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Unreachable(id)),
        "1813 2a16 0801 1808 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::TooSlow(id)),
        "1813 2a16 0801 1809 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Foreign(id, Foreign::Cluster)),
        "1813 2a16 0801 1810 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Foreign(id, Foreign::History)),
        "1813 2a16 0801 1811 2210 00000000000000000000000000000003",
    );
    assert_golden(
        &error(ChangeError::Unknown { leader: None }),
        "1813 2a04 0801 180a",
    );
}

#[test]
fn the_bytes_of_replies_about_tokens_and_versions() {
    let reply = |error| Content::ChangeReply {
        request: 1,
        result: Err(error),
    };
    let invalid = |invalid| reply(ChangeError::Invalid(invalid));
    let token = |fault| reply(ChangeError::Token(TOKEN.key, fault));
    let (server, version) = (ServerId(3), 4);

    assert_golden(
        &invalid(InvalidChange::IssuedBefore(TOKEN.key)),
        "1813 2a26 0801 1813 3a20 0606060606060606060606060606060606060606060606060606060606060606",
    );
    assert_golden(
        &invalid(InvalidChange::TooManyTokens),
        "1813 2a04 0801 1814",
    );
    assert_golden(
        &invalid(InvalidChange::VersionNotRaised(version)),
        "1813 2a06 0801 1815 4004",
    );
    assert_golden(
        &invalid(InvalidChange::VersionNotSpoken { server, version }),
        "1813 2a18 0801 1816 2210 00000000000000000000000000000003 4004",
    );
    assert_golden(
        &token(TokenFault::Unknown),
        "1813 2a26 0801 1817 3a20 0606060606060606060606060606060606060606060606060606060606060606",
    );
    assert_golden(
        &token(TokenFault::UsedUp),
        "1813 2a26 0801 1818 3a20 0606060606060606060606060606060606060606060606060606060606060606",
    );
    assert_golden(
        &token(TokenFault::Expired),
        "1813 2a26 0801 1819 3a20 0606060606060606060606060606060606060606060606060606060606060606",
    );
    assert_golden(
        &token(TokenFault::GrantsOther),
        "1813 2a26 0801 181a 3a20 0606060606060606060606060606060606060606060606060606060606060606",
    );
}

#[test]
fn the_bytes_of_a_wish_to_join() {
    let invited = Content::Join {
        description: ada(),
        token: Some(TOKEN.key),
    };
    let bare = Content::Join {
        description: Description::default(),
        token: None,
    };

    assert_golden(
        &invited,
        "1820 2a59 1235 0a20 0707070707070707070707070707070707070707070707070707070707070707 \
         1203 616461 1a08 6d656d6f72793a37 2001 2802 \
         1a20 0606060606060606060606060606060606060606060606060606060606060606",
    );
    assert_golden(&bare, "1820 2a06 1204 2001 2801");
}

#[test]
fn the_bytes_of_replies_to_a_wish_to_join() {
    let unled = JoinReply::NotLeader {
        leader: None,
        description: None,
    };
    let led = JoinReply::NotLeader {
        leader: Some(ServerId(3)),
        description: None,
    };
    let described = JoinReply::NotLeader {
        leader: Some(ServerId(3)),
        description: Some(Description::default()),
    };

    assert_golden(&Content::JoinReply(JoinReply::Accepted), "1821 2a02 0801");
    assert_golden(&Content::JoinReply(JoinReply::Member), "1821 2a02 0802");
    assert_golden(&Content::JoinReply(unled), "1821 2a02 0803");
    assert_golden(
        &Content::JoinReply(led),
        "1821 2a14 0803 1210 00000000000000000000000000000003",
    );
    assert_golden(
        &Content::JoinReply(described),
        "1821 2a1a 0803 1210 00000000000000000000000000000003 1a04 2001 2801",
    );
    assert_golden(&Content::JoinReply(JoinReply::Busy), "1821 2a02 0804");
    assert_golden(&Content::JoinReply(JoinReply::Dismissed), "1821 2a02 0805");
    assert_golden(&Content::JoinReply(JoinReply::Manual), "1821 2a02 0806");
    assert_golden(&Content::JoinReply(JoinReply::Forgot), "1821 2a02 0807");
    let token = |fault| Content::JoinReply(JoinReply::Token(fault));
    assert_golden(&Content::JoinReply(JoinReply::NotInvited), "1821 2a02 0808");
    assert_golden(&token(TokenFault::Unknown), "1821 2a02 0809");
    assert_golden(&token(TokenFault::UsedUp), "1821 2a02 080a");
    assert_golden(&token(TokenFault::Expired), "1821 2a02 080b");
    assert_golden(&token(TokenFault::GrantsOther), "1821 2a02 080c");
    let other_version = Content::JoinReply(JoinReply::OtherVersion);
    assert_golden(&other_version, "1821 2a02 080d");
}

#[test]
fn the_bytes_of_the_words_of_a_foreign_server() {
    assert_golden(&Content::Foreign(Foreign::Cluster), "1822 2a02 0801");
    assert_golden(&Content::Foreign(Foreign::History), "1822 2a02 0802");
}
