//! Tests how members come, stop, come back and leave, and which folders they are refused in.

use std::fs;
use std::path::Path;

use liferaft::storage::DiskStorage;
use serde_json::Value;

use crate::node::{ANYWHERE, Folder, Node, error_of, init, init_with, join, misuse_of, run};

#[test]
fn whoever_is_invited_joins_over_sockets_and_comes_back_after_a_stop() {
    let folder = Folder::new("join");
    let ada = init(&folder.of("ada"));
    let invitation = ada.invitation();
    let bob = join(&folder.of("bob"), &invitation, "bob");
    let eve = join(&folder.of("eve"), &invitation, "eve");
    eve.until_voters(3);
    bob.until_voters(3);

    let stopped = ada.stop();
    bob.until("led", |told| {
        let leader = told["leader"].as_str();
        leader == Some("bob") || leader == Some("eve")
    });
    // At another port than before, which it tells the others.
    let ada = Node::start(&["node", "--data", &folder.of("ada"), "--listen", ANYWHERE]);
    ada.until("led", |told| !told["leader"].is_null());

    assert_eq!(stopped, Some(0));
    for node in [ada, bob, eve] {
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn a_member_that_is_killed_is_replaced_and_comes_back() {
    let folder = Folder::new("kill");
    let mut ada = init(&folder.of("ada"));
    let address = ada.address();
    let invitation = ada.invitation();
    let bob = join(&folder.of("bob"), &invitation, "bob");
    let eve = join(&folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);

    ada.process.0.kill().expect("it runs");
    ada.ended();
    let term = bob.until("led", |told| {
        told["term"].as_u64() > Some(2) && !told["leader"].is_null()
    });
    let again = Node::start(&["node", "--data", &folder.of("ada"), "--listen", &address]);
    let follows = again.until("led", |told| !told["leader"].is_null());

    assert!(follows["term"].as_u64() >= term["term"].as_u64());
}

#[test]
fn an_ephemeral_member_leaves_when_it_ends() {
    let folder = Folder::new("ephemeral");
    let ada = init(&folder.of("ada"));
    let invitation = ada.invitation();
    let guest = Node::start(&[
        "node",
        "--ephemeral",
        "--listen",
        ANYWHERE,
        "--name",
        "guest",
        "--join",
        &invitation,
    ]);
    ada.until_voters(2);

    assert_eq!(guest.stop(), Some(0));

    ada.until_voters(1);
}

#[test]
fn a_member_leaves_when_it_is_asked_to() {
    let folder = Folder::new("leave");
    let ada = init(&folder.of("ada"));
    let bob = join(&folder.of("bob"), &ada.invitation(), "bob");
    ada.until_voters(2);
    assert_eq!(bob.stop(), Some(0));

    let left = run(&["leave", "--data", &folder.of("bob"), "--listen", ANYWHERE]);

    assert_eq!(left.status.code(), Some(0));
    ada.until_voters(1);
    let refused = error_of(&["node", "--data", &folder.of("bob"), "--listen", ANYWHERE]);
    assert!(refused.contains("has left its cluster"), "{refused}");
}

/// It waited to become a voter first, for a minute, and did not leave then.
#[test]
fn a_learner_that_is_to_be_a_voter_leaves_at_once() {
    let folder = Folder::new("leave-learner");
    let ada = init(&folder.of("ada"));
    let invitation = ada.invitation();
    let _bob = join(&folder.of("bob"), &invitation, "bob");
    let mut eve = join(&folder.of("eve"), &invitation, "eve");
    ada.until_voters(3);
    // Nobody gets a vote before all voters answer.
    eve.process.0.kill().expect("it runs");
    eve.ended();
    let dan = join(&folder.of("dan"), &invitation, "dan");
    let named = |told: &Value, suffrage: &str| {
        let named = told[suffrage].as_array().expect("it is a list");
        named.iter().any(|name| name == "dan")
    };
    // Whoever knows nothing of it yet has no cluster to leave.
    dan.until("members", |told| named(told, "learners"));
    assert_eq!(dan.stop(), Some(0));

    let left = run(&["leave", "--data", &folder.of("dan"), "--listen", ANYWHERE]);

    let why = String::from_utf8_lossy(&left.stderr);
    assert_eq!(left.status.code(), Some(0), "{why}");
    ada.until("members", |told| !named(told, "learners"));
}

#[test]
fn an_empty_folder_makes_no_second_cluster() {
    let folder = Folder::new("empty");
    let wiped = folder.of("wiped");

    let refused = error_of(&["node", "--data", &wiped, "--listen", ANYWHERE]);

    assert!(refused.contains("liferaft init --data"), "{refused}");
    assert!(refused.contains("--join INVITATION"), "{refused}");
    assert!(!Path::new(&wiped).exists());
}

#[test]
fn a_cluster_is_made_in_an_empty_folder_alone() {
    let folder = Folder::new("twice");
    let (ada, home) = (folder.of("ada"), folder.of("home"));
    init(&ada).invitation();
    fs::create_dir(&home).expect("it is not there");
    fs::write(Path::new(&home).join("letter"), "dear").expect("there is room");

    let again = error_of(&["init", "--data", &ada, "--listen", ANYWHERE]);
    let elsewhere = error_of(&["init", "--data", &home, "--listen", ANYWHERE]);

    assert!(again.contains("liferaft node --data"), "{again}");
    assert!(elsewhere.contains("is not empty"), "{elsewhere}");
    assert_eq!(fs::read_dir(&home).expect("it is there").count(), 1);
}

#[test]
fn a_founding_that_was_killed_early_is_made_again() {
    let folder = Folder::new("interrupted");
    // A store that belongs to no cluster is what every founding begins with.
    let begun = folder.of("begun");
    let store = Path::new(&begun);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let opened = runtime
        .expect("a thread is enough")
        .block_on(DiskStorage::open(store));
    drop(opened.expect("there is room"));
    let names = fs::read_dir(store).expect("it was made");
    let names = names.map(|entry| entry.expect("it is there").file_name());
    let names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    let log = names.iter().find(|name| name.starts_with("log-"));
    let log = &**log.expect("there is a log");
    let unfinished = format!("{log}.new");
    let lock = ("lock", "lock");
    let remains = [
        vec![lock],
        vec![lock, (log, &*unfinished)],
        vec![lock, (log, log)],
        vec![lock, (log, log), ("header", "header.new")],
    ];

    for (number, files) in remains.iter().enumerate() {
        let data = folder.of(&format!("remains-{number}"));
        fs::create_dir(&data).expect("it is not there");
        for (from, to) in files {
            let to = Path::new(&data).join(to);
            fs::copy(store.join(from), to).expect("it is there, and there is room");
        }

        init(&data).invitation();
    }
}

#[test]
fn a_log_that_has_lost_its_header_is_no_begun_founding() {
    let folder = Folder::new("headless");
    let ada = folder.of("ada");
    let node = init(&ada);
    node.invitation();
    assert_eq!(node.stop(), Some(0));
    fs::remove_file(Path::new(&ada).join("header")).expect("it is there");

    let refused = error_of(&["init", "--data", &ada, "--listen", ANYWHERE]);

    assert!(refused.contains("is not empty"), "{refused}");
}

#[test]
fn nobody_joins_in_a_folder_of_something_else() {
    let folder = Folder::new("foreign");
    let home = folder.of("home");
    let ada = init(&folder.of("ada"));
    fs::create_dir(&home).expect("it is not there");
    fs::write(Path::new(&home).join("letter"), "dear").expect("there is room");

    let invitation = ada.invitation();
    let refused = error_of(&[
        "node",
        "--data",
        &home,
        "--listen",
        ANYWHERE,
        "--join",
        &invitation,
    ]);

    assert!(refused.contains(&home), "{refused}");
    assert!(refused.contains("there is letter"), "{refused}");
    assert_eq!(fs::read_dir(&home).expect("it is there").count(), 1);
}

#[test]
fn a_bad_invitation_is_refused_and_not_repeated() {
    let folder = Folder::new("secret");
    let bob = folder.of("bob");
    let secret = "liferaft:AQBpbQubfPDWvh6Wgz8P3YZJ";

    let refused = misuse_of(&[
        "node", "--data", &bob, "--listen", ANYWHERE, "--join", secret,
    ]);

    assert!(refused.contains("the invitation is cut short"), "{refused}");
    assert!(!refused.contains(secret), "{refused}");
    assert!(!Path::new(&bob).exists());
}

#[test]
fn an_open_cluster_is_joined_by_an_address_alone() {
    let folder = Folder::new("address");
    let ada = init_with(&folder.of("ada"), &["--open"]);
    let address = ada.address();

    let bob = Node::start(&[
        "node",
        "--data",
        &folder.of("bob"),
        "--listen",
        ANYWHERE,
        "--open",
        "--join",
        &address,
    ]);

    ada.until_voters(2);
    bob.until_voters(2);
}

#[test]
fn a_closed_cluster_is_not_joined_by_an_address() {
    let folder = Folder::new("told");
    let ada = init(&folder.of("ada"));
    let bob = folder.of("bob");
    let address = ada.address();

    let refused = error_of(&[
        "node", "--data", &bob, "--listen", ANYWHERE, "--join", &address,
    ]);

    assert!(refused.contains("is reached by an invitation"), "{refused}");
    assert!(!Path::new(&bob).exists());
}

#[test]
fn names_and_addresses_are_judged_before_anything_is_made() {
    let folder = Folder::new("judged");
    let ada = folder.of("ada");
    let long = "x".repeat(33);

    let named = misuse_of(&[
        "init", "--data", &ada, "--listen", ANYWHERE, "--name", &long,
    ]);
    let resolved = misuse_of(&["init", "--data", &ada, "--listen", "localhost:4811"]);

    assert!(named.contains("at most 32 bytes"), "{named}");
    assert!(resolved.contains("an IP address and a port"), "{resolved}");
    assert!(!Path::new(&ada).exists());
}

#[test]
fn all_interfaces_need_an_address_to_tell_others() {
    let folder = Folder::new("interfaces");
    let ada = folder.of("ada");

    let refused = misuse_of(&["init", "--data", &ada, "--listen", "0.0.0.0:0"]);

    assert!(refused.contains("--advertise"), "{refused}");
    assert!(!Path::new(&ada).exists());
}
