//! Messages that nobody sent: any field may have any value that the wire would let through.

use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use liferaft_raft::configuration::{Configuration, Description, Member, Suffrage};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, Round, ServerId, Term};
use liferaft_raft::message::{
    AppendEntries, AppendEntriesReply, Body, Conflict, InstallSnapshot, InstallSnapshotReply,
    Message, ReadIndex, ReadIndexReply, ReplyWanted, RequestVote, RequestVoteReply,
    SnapshotMetadata, Token,
};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::NUMBER_END;

pub(crate) fn message(choices: &mut Unstructured<'_>) -> Result<Message> {
    Ok(Message {
        term: term(choices)?,
        body: body(choices)?,
    })
}

/// Mostly small, so that it often means something; sometimes as large as the wire lets through.
fn number(choices: &mut Unstructured<'_>) -> Result<u64> {
    if choices.ratio(1, 16_u8)? {
        choices.int_in_range(0..=NUMBER_END - 1)
    } else {
        choices.int_in_range(0..=12)
    }
}

fn term(choices: &mut Unstructured<'_>) -> Result<Term> {
    number(choices).map(Term)
}

fn index(choices: &mut Unstructured<'_>) -> Result<Index> {
    number(choices).map(Index)
}

fn position(choices: &mut Unstructured<'_>) -> Result<LogPosition> {
    Ok(LogPosition::new(term(choices)?, index(choices)?))
}

fn body(choices: &mut Unstructured<'_>) -> Result<Body> {
    Ok(match choices.int_in_range(0..=8_u8)? {
        0 => Body::RequestVote(RequestVote {
            pre_vote: choices.arbitrary()?,
            campaign: term(choices)?,
            last: position(choices)?,
            leadership_transfer: choices.arbitrary()?,
        }),
        1 => Body::RequestVoteReply(RequestVoteReply {
            pre_vote: choices.arbitrary()?,
            campaign: term(choices)?,
            granted: choices.arbitrary()?,
        }),
        2 => Body::AppendEntries(append_entries(choices)?),
        3 => Body::AppendEntriesReply(AppendEntriesReply {
            round: Round(number(choices)?),
            match_index: index(choices)?,
            received: index(choices)?,
            commit: index(choices)?,
            applied: index(choices)?,
            conflict: if choices.arbitrary()? {
                Some(Conflict {
                    prev: index(choices)?,
                    hint: position(choices)?,
                })
            } else {
                None
            },
            promise: Duration::from_nanos(number(choices)?),
            token: Token(choices.arbitrary()?),
            last: index(choices)?,
        }),
        4 => Body::InstallSnapshot(Box::new(install_snapshot(choices)?)),
        5 => Body::InstallSnapshotReply(InstallSnapshotReply {
            round: Round(number(choices)?),
            transfer: number(choices)?,
            next_offset: number(choices)?,
            received: number(choices)?,
            known: choices.arbitrary()?,
            match_index: index(choices)?,
            last: index(choices)?,
        }),
        6 => Body::TimeoutNow,
        7 => Body::ReadIndex(ReadIndex {
            id: number(choices)?,
        }),
        _ => Body::ReadIndexReply(ReadIndexReply {
            id: number(choices)?,
            index: if choices.arbitrary()? {
                Some(index(choices)?)
            } else {
                None
            },
        }),
    })
}

fn append_entries(choices: &mut Unstructured<'_>) -> Result<AppendEntries> {
    let prev = position(choices)?;
    let count = choices.int_in_range(0..=4_u64)?;
    let entries = (0..count).map(|offset| {
        // The wire implies the indices: they always follow one another.
        let index = Index(prev.index.0.saturating_add(offset + 1));
        entry(choices, index)
    });
    Ok(AppendEntries {
        prev,
        entries: entries.collect::<Result<Vec<_>>>()?.into(),
        round: Round(number(choices)?),
        commit: index(choices)?,
        reply: *choices.choose(&[
            ReplyWanted::No,
            ReplyWanted::WhenDurable,
            ReplyWanted::AtOnce,
        ])?,
        confirmed: Round(number(choices)?),
        token: Token(choices.arbitrary()?),
    })
}

fn entry(choices: &mut Unstructured<'_>, index: Index) -> Result<Entry> {
    let payload = match choices.int_in_range(0..=2_u8)? {
        0 => Payload::Noop,
        1 => Payload::Command(Bytes::from_static(b"forged")),
        _ => Payload::Configuration(Arc::new(configuration(choices)?)),
    };
    Ok(Entry {
        index,
        term: term(choices)?,
        stamp: ClusterTime(number(choices)?),
        payload,
    })
}

fn configuration(choices: &mut Unstructured<'_>) -> Result<Configuration> {
    let count = choices.int_in_range(0..=4_u8)?;
    let members = (0..count).map(|_| {
        let id = ServerId(choices.int_in_range(1..=5_u128)?);
        let suffrage = *choices.choose(&[None, Some(Suffrage::Voter), Some(Suffrage::Learner)])?;
        let outgoing_voter = choices.arbitrary()?;
        Ok((
            id,
            Member {
                suffrage,
                outgoing_voter,
                description: Description::default(),
                voucher: None,
            },
        ))
    });
    members
        .collect::<Result<Vec<_>>>()
        .map(Configuration::from_members)
}

fn install_snapshot(choices: &mut Unstructured<'_>) -> Result<InstallSnapshot> {
    let data = Bytes::from(vec![9; choices.int_in_range(0..=16_usize)?]);
    let honest = choices.arbitrary()?;
    let metadata = SnapshotMetadata {
        last: position(choices)?,
        stamp: ClusterTime(number(choices)?),
        configuration: Arc::new(configuration(choices)?),
        configuration_index: index(choices)?,
        length: if honest {
            data.len() as u64
        } else {
            number(choices)?
        },
        // The digest of sixteen nines and fewer is easily had; any other is a lie.
        digest: choices.arbitrary()?,
    };
    Ok(InstallSnapshot {
        round: Round(number(choices)?),
        transfer: number(choices)?,
        metadata: if choices.ratio(3_u8, 4)? {
            Some(metadata)
        } else {
            None
        },
        offset: if honest { 0 } else { number(choices)? },
        data,
    })
}
