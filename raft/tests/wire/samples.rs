//! Well-formed messages, written field by field, for tests to take a field from or add one to.

use liferaft_raft::wire::Content;

use super::{Fields, decode, message, request};

pub(super) const ID: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

pub(super) fn envelope() -> Fields {
    Fields::default()
        .bytes(1, &ID)
        .bytes(2, &ID)
        .number(3, 7)
        .number(4, 5)
        .bytes(5, &[])
}

pub(super) fn request_vote() -> Fields {
    Fields::default()
        .number(1, 1)
        .number(2, 6)
        .number(3, 4)
        .number(4, 9)
}

pub(super) fn request_vote_reply() -> Fields {
    Fields::default().number(1, 1).number(2, 6).number(3, 1)
}

pub(super) fn append_entries() -> Fields {
    Fields::default()
        .number(1, 7)
        .number(2, 4)
        .number(3, 9)
        .number(4, 8)
        .number(5, 1)
}

pub(super) fn entry() -> Fields {
    Fields::default()
        .number(1, 5)
        .number(2, 1000)
        .number(3, 2)
        .bytes(4, b"set")
}

pub(super) fn append_entries_reply() -> Fields {
    let positions = Fields::default().number(1, 7).number(2, 9).number(3, 9);
    positions.number(9, 9)
}

pub(super) fn conflict() -> Fields {
    Fields::default().number(1, 20).number(2, 3).number(3, 11)
}

pub(super) fn install_snapshot() -> Fields {
    let fields = Fields::default()
        .number(1, 7)
        .number(2, 2)
        .message(3, &metadata());
    fields.number(4, 0).bytes(5, b"state")
}

pub(super) fn metadata() -> Fields {
    let position = Fields::default().number(1, 4).number(2, 9).number(3, 1000);
    position
        .message(4, &configuration())
        .number(5, 1)
        .number(6, 5)
        .fixed32(7, 0xdead_beef)
}

pub(super) fn configuration() -> Fields {
    let members = Fields::default().number(1, 2).message(2, &member());
    members.number(4, 1000).number(6, 1).number(7, 1)
}

pub(super) fn member() -> Fields {
    Fields::default()
        .bytes(1, &ID)
        .number(2, 1)
        .number(3, 0)
        .message(5, &description())
}

pub(super) fn description() -> Fields {
    Fields::default().number(4, 1).number(5, 1)
}

pub(super) fn voucher() -> Fields {
    Fields::default().bytes(1, &[7; 32]).bytes(2, &[8; 64])
}

pub(super) fn access_token() -> Fields {
    let named = Fields::default().bytes(1, &[7; 32]).number(2, 1);
    named.number(3, 5000).number(4, 2)
}

pub(super) fn install_snapshot_reply() -> Fields {
    Fields::default()
        .number(1, 7)
        .number(2, 2)
        .number(3, 5)
        .number(4, 9)
        .number(5, 9)
        .number(6, 1)
        .number(7, 5)
}

pub(super) fn step() -> Fields {
    let added = Fields::default().number(1, 1).bytes(2, &ID);
    added.message(4, &description())
}

pub(super) fn with_entry(entry: &Fields) -> Vec<u8> {
    message(3, 5, &append_entries().message(6, entry))
}

pub(super) fn with_conflict(conflict: &Fields) -> Vec<u8> {
    message(4, 5, &append_entries_reply().message(6, conflict))
}

pub(super) fn with_metadata(metadata: &Fields) -> Vec<u8> {
    message(5, 5, &install_snapshot().without(3).message(3, metadata))
}

pub(super) fn with_configuration(configuration: &Fields) -> Vec<u8> {
    with_entry(
        &entry()
            .without(3)
            .without(4)
            .number(3, 3)
            .message(4, configuration),
    )
}

pub(super) fn with_member(member: &Fields) -> Vec<u8> {
    with_configuration(&configuration().without(2).message(2, member))
}

pub(super) fn with_description(description: &Fields) -> Vec<u8> {
    with_member(&member().without(5).message(5, description))
}

pub(super) fn with_token(token: &Fields) -> Vec<u8> {
    with_configuration(&configuration().message(8, token))
}

pub(super) fn with_step(step: &Fields) -> Vec<u8> {
    request(
        18,
        &Fields::default().number(1, 1).message(2, step).number(3, 5),
    )
}

#[track_caller]
pub(super) fn assert_understood(content: &[u8]) -> Content {
    decode(content).expect("it lacks nothing that matters")
}
