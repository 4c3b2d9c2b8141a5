//! Payloads are slices of the frame that brought them.

use std::sync::Arc;

use bytes::Bytes;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, Round, Term};
use liferaft_raft::message::{
    AppendEntries, Body, InstallSnapshot, Message, ReplyWanted, SnapshotMetadata, Token,
};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::{Content, Frame};

use super::{CLUSTER, RECEIVER, bytes};

fn encode(content: Content) -> Bytes {
    Frame {
        cluster: CLUSTER,
        to: RECEIVER,
        content,
    }
    .encode()
}

fn lies_within(slice: &Bytes, whole: &Bytes) -> bool {
    whole.as_ptr_range().contains(&slice.as_ptr())
}

#[test]
fn a_command_in_an_entry_is_a_slice_of_its_frame() {
    let entry = Entry {
        index: Index(1),
        term: Term(1),
        stamp: ClusterTime(0),
        payload: Payload::Command(bytes("command")),
    };
    let append = AppendEntries {
        round: Round(1),
        prev: LogPosition::ZERO,
        commit: Index(0),
        reply: ReplyWanted::WhenDurable,
        confirmed: Round(0),
        token: Token::NONE,
        entries: vec![entry].into(),
    };
    let body = Body::AppendEntries(append);
    let frame = encode(Content::Message(Message {
        term: Term(1),
        body,
    }));

    let decoded = Frame::decode(frame.clone()).expect("it was just encoded");

    let Content::Message(Message {
        body: Body::AppendEntries(append),
        ..
    }) = decoded.content
    else {
        panic!("it was append entries");
    };
    let Payload::Command(command) = &append.entries[0].payload else {
        panic!("it was a command");
    };
    assert!(lies_within(command, &frame));
}

#[test]
fn a_chunk_of_a_snapshot_is_a_slice_of_its_frame() {
    let body = Body::InstallSnapshot(Box::new(InstallSnapshot {
        round: Round(1),
        transfer: 1,
        metadata: Some(SnapshotMetadata {
            last: LogPosition::new(Term(1), Index(9)),
            stamp: ClusterTime(0),
            configuration: Arc::new(Configuration::default()),
            configuration_index: Index(0),
            length: 5,
            digest: 0,
        }),
        offset: 0,
        data: bytes("chunk"),
    }));
    let frame = encode(Content::Message(Message {
        term: Term(1),
        body,
    }));

    let decoded = Frame::decode(frame.clone()).expect("it was just encoded");

    let Content::Message(Message {
        body: Body::InstallSnapshot(install),
        ..
    }) = decoded.content
    else {
        panic!("it was install snapshot");
    };
    assert!(lies_within(&install.data, &frame));
}

#[test]
fn a_proposed_command_is_a_slice_of_its_frame() {
    let frame = encode(Content::Propose {
        request: 1,
        commands: vec![bytes("command")],
    });

    let decoded = Frame::decode(frame.clone()).expect("it was just encoded");

    let Content::Propose { commands, .. } = decoded.content else {
        panic!("it was a proposal");
    };
    assert!(lies_within(&commands[0], &frame));
}
