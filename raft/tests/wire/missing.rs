//! What safety needs must be there: its absence is never a zero.

use bytes::Bytes;
use liferaft_raft::wire::{DecodeError, Frame};

use super::samples::{
    ID, access_token, append_entries, append_entries_reply, assert_understood, configuration,
    conflict, description, entry, envelope, install_snapshot, install_snapshot_reply, member,
    metadata, request_vote, request_vote_reply, step, voucher, with_configuration, with_conflict,
    with_description, with_entry, with_member, with_metadata, with_step, with_token,
};
use super::{Fields, decode, message, request};

#[track_caller]
fn assert_missing(content: &[u8], field: &'static str) {
    assert_eq!(decode(content), Err(DecodeError::Missing { field }));
}

#[test]
fn a_frame_without_an_address_a_kind_a_term_or_a_body_is_refused() {
    let refused = |field| Frame::decode(Bytes::from(envelope().without(field).encode()));

    assert!(Frame::decode(Bytes::from(envelope().encode())).is_ok());
    assert_eq!(refused(1), Err(DecodeError::Missing { field: "cluster" }));
    assert_eq!(refused(2), Err(DecodeError::Missing { field: "receiver" }));
    assert_eq!(
        refused(3),
        Err(DecodeError::Missing {
            field: "kind of frame"
        })
    );
    assert_eq!(refused(4), Err(DecodeError::Missing { field: "term" }));
    assert_eq!(refused(5), Err(DecodeError::Missing { field: "body" }));
}

#[test]
fn a_request_for_a_vote_lacks_nothing_that_safety_needs() {
    let without = |field| message(1, 5, &request_vote().without(field));

    assert_understood(&message(1, 5, &request_vote()));
    assert_missing(&without(1), "pre-vote");
    assert_missing(&without(2), "campaign");
    assert_missing(&without(3), "last term");
    assert_missing(&without(4), "last index");
}

#[test]
fn a_reply_to_a_request_for_a_vote_lacks_nothing_that_safety_needs() {
    let without = |field| message(2, 5, &request_vote_reply().without(field));

    assert_understood(&message(2, 5, &request_vote_reply()));
    assert_missing(&without(1), "pre-vote");
    assert_missing(&without(2), "campaign");
    assert_missing(&without(3), "granted");
}

#[test]
fn append_entries_lacks_nothing_that_safety_needs() {
    let without = |field| message(3, 5, &append_entries().without(field));

    assert_understood(&message(3, 5, &append_entries()));
    assert_missing(&without(1), "round");
    assert_missing(&without(2), "term of the previous entry");
    assert_missing(&without(3), "index of the previous entry");
    assert_missing(&without(4), "commit index");
}

#[test]
fn an_entry_lacks_nothing_that_safety_needs() {
    let without = |field| with_entry(&entry().without(field));

    assert_understood(&with_entry(&entry()));
    assert_missing(&without(1), "entry's term");
    assert_missing(&without(2), "stamp");
    assert_missing(&without(3), "kind of entry");
    assert_missing(&without(4), "command");
}

#[test]
fn a_reply_to_append_entries_lacks_nothing_that_safety_needs() {
    let without = |field| message(4, 5, &append_entries_reply().without(field));

    assert_understood(&message(4, 5, &append_entries_reply()));
    assert_missing(&without(1), "round");
    assert_missing(&without(2), "match index");
    assert_missing(&without(3), "received index");
    assert_missing(&without(9), "end of the log");
}

#[test]
fn a_conflict_lacks_nothing_that_safety_needs() {
    let without = |field| with_conflict(&conflict().without(field));

    assert_understood(&with_conflict(&conflict()));
    assert_missing(&without(1), "index of the conflict");
    assert_missing(&without(2), "term of the hint");
    assert_missing(&without(3), "index of the hint");
}

#[test]
fn a_chunk_of_a_snapshot_may_lack_its_metadata_and_nothing_else() {
    let without = |field| message(5, 5, &install_snapshot().without(field));

    assert_understood(&message(5, 5, &install_snapshot()));
    assert_missing(&without(1), "round");
    assert_missing(&without(2), "transfer");
    assert_understood(&without(3));
    assert_missing(&without(4), "offset");
    assert_missing(&without(5), "data");
}

#[test]
fn the_metadata_of_a_snapshot_lack_nothing_that_safety_needs() {
    let without = |field| with_metadata(&metadata().without(field));

    assert_understood(&with_metadata(&metadata()));
    assert_missing(&without(1), "last term");
    assert_missing(&without(2), "last index");
    assert_missing(&without(3), "stamp");
    assert_missing(&without(4), "configuration");
    assert_missing(&without(5), "index of the configuration");
    assert_missing(&without(6), "length of the snapshot");
    assert_missing(&without(7), "digest of the snapshot");
}

#[test]
fn a_configuration_lacks_nothing_that_safety_needs() {
    let without = |field| with_member(&member().without(field));

    assert_understood(&with_configuration(&configuration()));
    assert_missing(
        &with_configuration(&configuration().without(1)),
        "configuration format",
    );
    assert_missing(
        &with_configuration(&configuration().without(4)),
        "longest entry",
    );
    assert_missing(&without(1), "member's id");
    assert_missing(&without(2), "suffrage");
    assert_missing(&without(3), "outgoing voter");
    assert_missing(&without(5), "description of a server");
    assert_missing(
        &with_configuration(&configuration().without(6)),
        "version of the cluster",
    );
    assert_missing(
        &with_configuration(&configuration().without(7)),
        "whether the cluster is open",
    );
}

#[test]
fn a_description_may_lack_all_but_its_versions() {
    let without = |field| with_description(&description().without(field));

    assert_understood(&with_description(&description()));
    assert_missing(&without(4), "lowest version");
    assert_missing(&without(5), "highest version");
}

#[test]
fn a_voucher_lacks_nothing() {
    let without = |field| with_member(&member().message(6, &voucher().without(field)));

    assert_missing(&without(1), "key of a voucher");
    assert_missing(&without(2), "signature of a voucher");
}

#[test]
fn an_access_token_lacks_nothing() {
    let without = |field| with_token(&access_token().without(field));

    assert_understood(&with_token(&access_token()));
    assert_missing(&without(1), "key of a token");
    assert_missing(&without(2), "what a token grants");
    assert_missing(&without(3), "expiry of a token");
    assert_missing(&without(4), "uses left of a token");
}

#[test]
fn a_dismissal_lacks_nothing_that_safety_needs() {
    let dismissed = || Fields::default().bytes(1, &[9; 16]).number(2, 2);
    let with = |dismissed: &Fields| with_configuration(&configuration().message(3, dismissed));

    assert_understood(&with(&dismissed()));
    assert_missing(&with(&dismissed().without(1)), "dismissed server");
    assert_missing(&with(&dismissed().without(2)), "reason of a dismissal");
}

#[test]
fn a_reply_to_a_chunk_of_a_snapshot_lacks_nothing_that_safety_needs() {
    let without = |field| message(6, 5, &install_snapshot_reply().without(field));

    assert_understood(&message(6, 5, &install_snapshot_reply()));
    assert_missing(&without(1), "round");
    assert_missing(&without(2), "transfer");
    assert_missing(&without(3), "next offset");
    assert_missing(&without(4), "match index");
    assert_missing(&without(5), "end of the log");
    assert_missing(&without(6), "known");
    assert_missing(&without(7), "received bytes");
}

#[test]
fn reads_and_their_replies_name_the_read() {
    assert_missing(&message(8, 5, &Fields::default()), "id of the read");
    assert_missing(
        &message(9, 5, &Fields::default().number(2, 9)),
        "id of the read",
    );
}

#[test]
fn requests_and_their_replies_name_the_request() {
    let answer = Fields::default().number(2, 1);

    assert_missing(&request(16, &Fields::default()), "request");
    assert_missing(&request(17, &answer), "request");
    assert_missing(&request(18, &Fields::default()), "request");
    assert_missing(&request(19, &answer), "request");
    assert_missing(&request(20, &Fields::default()), "request");
    assert_missing(&request(21, &Fields::default().bytes(2, &ID)), "request");
}

#[test]
fn a_request_names_the_term_that_it_is_for() {
    let termless = Fields::default().number(1, 1);

    assert_missing(&request(18, &termless), "term of the change");
    assert_missing(&request(20, &termless), "term of the transfer");
}

#[test]
fn a_reply_to_a_request_says_what_became_of_it() {
    let nothing = Fields::default().number(1, 1);

    assert_missing(&request(17, &nothing), "answer");
    assert_missing(&request(19, &nothing), "index of the change");
    assert_missing(&request(21, &nothing), "server that the answer is about");
}

#[test]
fn an_error_about_a_server_names_it() {
    let change_error = |code| request(19, &Fields::default().number(1, 1).number(3, code));
    let transfer_error = |code| request(21, &Fields::default().number(1, 1).number(3, code));
    let about = "server that the answer is about";

    assert_missing(&change_error(3), about);
    assert_missing(&change_error(4), about);
    assert_missing(&change_error(7), about);
    assert_missing(&change_error(8), about);
    assert_missing(&change_error(9), about);
    assert_missing(&change_error(12), about);
    assert_missing(&change_error(18), about);
    assert_missing(&transfer_error(2), about);
    assert_missing(&transfer_error(4), about);
    assert_missing(&transfer_error(5), about);
}

#[test]
fn an_error_about_a_token_or_a_version_names_it() {
    let error = |code| request(19, &Fields::default().number(1, 1).number(3, code));

    assert_missing(&error(19), "key of a token");
    assert_missing(&error(21), "version that the answer is about");
    for code in 23..=26 {
        assert_missing(&error(code), "key of a token");
    }
}

#[test]
fn a_step_lacks_nothing() {
    assert_understood(&with_step(&step()));
    assert_missing(&with_step(&step().without(1)), "kind of step");
    assert_missing(&with_step(&step().without(2)), "server of the step");
    assert_understood(&with_step(&step().without(4)));
    let of_kind = |kind| with_step(&Fields::default().number(1, kind).bytes(2, &ID));
    assert_missing(&of_kind(6), "description of a server");
    assert_missing(&of_kind(7), "issued token");
    assert_missing(&of_kind(8), "key of a token");
    assert_missing(&of_kind(9), "version of the step");
}

#[test]
fn what_is_said_of_joining_lacks_nothing() {
    assert_missing(&request(32, &Fields::default()), "description of a server");
    assert_missing(&request(33, &Fields::default()), "answer");
    assert_missing(&request(34, &Fields::default()), "what is foreign");
}
