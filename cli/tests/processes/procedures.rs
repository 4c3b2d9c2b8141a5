//! The procedures of `docs/running.md`, as an operator carries them out.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::node::{ANYWHERE, Folder, Node, PATIENCE, init, join, run};

/// Runs a command until it succeeds, and returns what it prints.
fn until_done(arguments: &[&str]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = run(arguments);
        if output.status.success() {
            return String::from_utf8(output.stdout).expect("it is text");
        }
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < deadline, "{arguments:?}: {why}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn again(folder: &str) -> Node {
    Node::start(&["node", "--data", folder, "--listen", ANYWHERE])
}

#[test]
fn each_member_is_upgraded_in_its_turn() {
    let folder = Folder::new("upgrade");
    let ada = init(&folder.of("ada"));
    let address = ada.address();
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let bob = join(&folder.of("bob"), &invitation, "bob");
    let eve = join(&folder.of("eve"), &invitation, "eve");
    eve.until_voters(3);
    until_done(&["kv", "--at", &operator, "set", "camp", "hill"]);

    let mut upgraded = Vec::new();
    let of_others = [("bob", bob, ANYWHERE), ("eve", eve, ANYWHERE)];
    for (name, node, listen) in [("ada", ada, &*address)].into_iter().chain(of_others) {
        assert_eq!(node.stop(), Some(0));
        let data = folder.of(name);
        let node = Node::start(&["node", "--data", &data, "--listen", listen]);
        node.until("led", |told| !told["leader"].is_null());
        until_done(&["kv", "--at", &operator, "append", "log", name]);
        upgraded.push(node);
    }

    let told = until_done(&["kv", "--at", &operator, "read", "log"]);
    assert_eq!(told, "ada\nbob\neve\n");
    assert_eq!(
        until_done(&["kv", "--at", &operator, "get", "camp"]),
        "hill\n"
    );
}

#[test]
fn a_dead_machine_is_replaced_by_another() {
    let folder = Folder::new("replace");
    let start = |arguments: &[&str]| {
        let impatient = ["--listen", ANYWHERE, "--evict-after", "2"];
        Node::start(&[arguments, &impatient].concat())
    };
    let ada = start(&["init", "--data", &folder.of("ada"), "--name", "ada"]);
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let mut others = Vec::new();
    for name in ["bob", "eve"] {
        let data = folder.of(name);
        others.push(start(&[
            "node",
            "--data",
            &data,
            "--name",
            name,
            "--join",
            &invitation,
        ]));
    }
    others[1].until_voters(3);
    until_done(&["kv", "--at", &operator, "set", "camp", "hill"]);

    others[0].process.0.kill().expect("it runs");
    let data = folder.of("sue");
    let sue = start(&[
        "node",
        "--data",
        &data,
        "--name",
        "sue",
        "--join",
        &invitation,
    ]);
    sue.until("members", |told| {
        let voters = told["voters"].as_array().expect("it is a list");
        voters.len() == 3 && voters.iter().all(|name| name != "bob")
    });

    assert_eq!(
        until_done(&["kv", "--at", &operator, "get", "camp"]),
        "hill\n"
    );
}

#[test]
fn members_that_have_all_moved_find_each_other_by_a_contact() {
    let folder = Folder::new("moved");
    let ada = init(&folder.of("ada"));
    let bob = join(&folder.of("bob"), &ada.invitation(), "bob");
    bob.until_voters(2);
    assert_eq!(bob.stop(), Some(0));
    assert_eq!(ada.stop(), Some(0));

    // At other ports than before, both of them.
    let ada = again(&folder.of("ada"));
    let started = ada.until("started", |_| true);
    let contact = started["contact"].as_str().expect("it is text");
    let bob = join(&folder.of("bob"), contact, "bob");

    bob.until("led", |told| !told["leader"].is_null());
}

#[test]
fn a_member_that_a_copy_has_put_out_comes_back_as_a_new_one() {
    let folder = Folder::new("copied");
    let ada = init(&folder.of("ada"));
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let (data, copy) = (folder.of("bob"), folder.of("copy"));
    let bob = join(&data, &invitation, "bob");
    let eve = join(&folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);
    until_done(&["kv", "--at", &operator, "set", "camp", "hill"]);
    assert_eq!(bob.stop(), Some(0));
    fs::create_dir(&copy).expect("it is not there");
    for entry in fs::read_dir(&data).expect("it is there") {
        let entry = entry.expect("it is there");
        let to = Path::new(&copy).join(entry.file_name());
        fs::copy(entry.path(), to).expect("there is room");
    }

    let copied = again(&copy);
    copied.until("led", |told| !told["leader"].is_null());
    assert_eq!(copied.stop(), Some(0));
    let bob = again(&data);
    let put_out = bob.until("excluded", |told| !told["why"].is_null());
    assert_eq!(bob.stop(), Some(0));
    until_done(&["members", "--at", &operator, "remove", "bob"]);
    let bob = join(&folder.of("new"), &invitation, "bob");
    bob.until_voters(3);

    let why = put_out["why"].as_str().expect("it is text");
    assert!(why.contains("is a copy, or was set back"), "{why}");
    assert_eq!(
        until_done(&["kv", "--at", &operator, "get", "camp"]),
        "hill\n"
    );
}

#[test]
fn a_cluster_is_founded_anew_from_a_backup() {
    let folder = Folder::new("majority");
    let (data, backup) = (folder.of("ada"), folder.of("backup"));
    let ada = init(&data);
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let bob = join(&folder.of("bob"), &invitation, "bob");
    let eve = join(&folder.of("eve"), &invitation, "eve");
    eve.until_voters(3);
    bob.until_voters(3);
    until_done(&["kv", "--at", &operator, "set", "camp", "hill"]);
    until_done(&["backup", &data, &backup]);
    drop((ada, bob, eve));

    until_done(&["recover", &backup, "--accept-data-loss"]);
    let ada = Node::start(&[
        "node",
        "--data",
        &backup,
        "--listen",
        ANYWHERE,
        "--invite",
        "member,operator",
    ]);
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let sue = join(&folder.of("sue"), &invitation, "sue");
    sue.until_voters(2);

    assert_eq!(
        until_done(&["kv", "--at", &operator, "get", "camp"]),
        "hill\n"
    );
}
