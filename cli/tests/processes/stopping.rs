//! Tests what signals do to a member that leads: another leads at once, and the member stays one.

use std::fs::{self, File};

use rustix::process::Signal;

use crate::node::{ANYWHERE, Folder, Node, init, join, liferaft, rows, told_by};

/// Has a member of three stop that leads and was started so, and shows how another came to lead.
fn hands_over(name: &str, command: &str, signal: Signal) {
    let folder = Folder::new(name);
    let (data, log) = (folder.of("ada"), folder.of("log"));
    if command == "node" {
        let ada = init(&data);
        ada.invitation_for("operator");
        assert_eq!(ada.stop(), Some(0));
    }
    let mut ada = liferaft();
    ada.args([
        command, "--data", &data, "--listen", ANYWHERE, "--log", "debug",
    ]);
    if command == "node" {
        ada.args(["--invite", "member,operator"]);
    }
    ada.stderr(File::create(&log).expect("there is room"));
    let ada = Node::supervised(ada);
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let bob = join(&folder.of("bob"), &invitation, "bob");
    let eve = join(&folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);
    let operator = told_by(&["members", "--at", &operator, "invite", "operator"]);
    let status = || rows(&told_by(&["status", "--at", operator.trim(), "--json"]));
    let before = status();
    let leader = before.iter().find(|row| row["role"] == "leader");
    let leader = leader.expect("one leads");
    let others = ["bob", "eve"].map(Some);
    assert!(!others.contains(&leader["name"].as_str()), "{leader}");
    let term = leader["term"].as_u64().expect("it answers");

    let code = ada.stop_by(signal);

    let led = bob.until("led", |told| {
        others.contains(&told["leader"].as_str()) && told["term"].as_u64() > Some(term)
    });
    assert_eq!((code, led["term"].as_u64()), (Some(0), Some(term + 1)));
    let log = fs::read_to_string(log).expect("it is there");
    let handed = log
        .lines()
        .find(|line| line.contains("handed over before stopping"));
    assert!(handed.is_some_and(|line| line.contains("Ok(")), "{log}");
    let after = status();
    let still = after.iter().find(|row| row["id"] == leader["id"]);
    let still = still.expect("it stays a member");
    assert_eq!(
        (&still["role"], &still["is_voter"]),
        (&"silent".into(), &true.into())
    );
}

#[test]
fn whoever_founds_hands_over_on_an_interrupt() {
    hands_over("interrupt", "init", Signal::INT);
}

#[test]
fn a_member_hands_over_on_a_request_to_terminate() {
    hands_over("terminate", "node", Signal::TERM);
}
