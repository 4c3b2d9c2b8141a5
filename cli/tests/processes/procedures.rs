//! The procedures of `docs/running.md`, as an operator carries them out.

use std::fs;
use std::path::Path;
use std::time::Duration;

use liferaft::Invitation;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::monitor::get;
use crate::node::{
    ANYWHERE, Folder, Node, awaited, client, free_port, init, join, liferaft, rows, run, until,
};

/// Runs a command until it succeeds, and returns what it prints.
fn until_done(arguments: &[&str]) -> String {
    let done = || Some(run(arguments)).filter(|output| output.status.success());
    let output = awaited(&format!("{arguments:?} succeeds"), done);
    String::from_utf8(output.stdout).expect("it is text")
}

fn again(folder: &str) -> Node {
    Node::start(&["node", "--data", folder, "--listen", ANYWHERE])
}

/// Writes all the while until it is told to stop, and returns how often.
async fn write_until(mut stop: oneshot::Receiver<()>, operator: Invitation) -> u64 {
    let store = client(operator, Duration::from_secs(10));
    let mut writes = 0;
    while matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
        let appended = store.append("log", writes.to_string()).await;
        assert_eq!(appended.expect("none fails").value, writes);
        writes += 1;
    }
    writes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_is_upgraded_and_no_write_fails() {
    let folder = Folder::new("upgrade");
    let start = |command: &str, name: &str, listen: &str, invitation: Option<&str>| {
        let mut member = liferaft();
        member.args([
            command,
            "--data",
            &folder.of(name),
            "--listen",
            listen,
            "--name",
            name,
        ]);
        member.args(["--monitor", ANYWHERE]);
        if let Some(invitation) = invitation {
            member.env("LIFERAFT_JOIN", invitation);
        }
        Node::supervised(member)
    };
    let ada = start("init", "ada", ANYWHERE, None);
    let address = ada.address();
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let bob = start("node", "bob", ANYWHERE, Some(&invitation));
    let eve = start("node", "eve", ANYWHERE, Some(&invitation));
    eve.until_voters(3);
    bob.until_voters(3);
    let (stop, stopped) = oneshot::channel();
    let by_operator = operator.parse().expect("it is one");
    let writer = tokio::spawn(write_until(stopped, by_operator));
    let written = || {
        until_done(&["kv", "--at", &operator, "read", "log"])
            .lines()
            .count()
    };
    let mut upgraded = Vec::new();

    for (name, node, listen) in [
        ("ada", ada, &*address),
        ("bob", bob, ANYWHERE),
        ("eve", eve, ANYWHERE),
    ] {
        let before = written();
        until("it writes", || written() > before);
        assert_eq!(node.stop_by(Signal::TERM), Some(0));
        let node = start("node", name, listen, None);
        let monitor = node.monitor();
        until("it is ready", || {
            get(monitor, "/readyz").starts_with("HTTP/1.1 200 ")
        });
        upgraded.push(node);
    }
    let before = written();
    until("it writes", || written() > before);
    stop.send(()).expect("it writes");

    let writes = writer.await.expect("no write fails");
    let told = until_done(&["kv", "--at", &operator, "read", "log"]);
    let expected: String = (0..writes).map(|number| format!("{number}\n")).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_service_is_told_everything_by_its_environment() {
    let folder = Folder::new("service");
    let ada = init(&folder.of("ada"));
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let port = free_port();
    let unit = || {
        let mut command = liferaft();
        command
            .arg("node")
            .env("LIFERAFT_DATA", folder.of("bob"))
            .env("LIFERAFT_LISTEN", format!("127.0.0.1:{port}"))
            .env("LIFERAFT_ADVERTISE", format!("localhost:{port}"))
            .env("LIFERAFT_NAME", "van-2")
            .env("LIFERAFT_MONITOR", ANYWHERE);
        command
    };
    let mut once = unit();
    once.env("LIFERAFT_JOIN", &invitation);
    let newcomer = Node::supervised(once);
    newcomer.until_voters(2);
    assert_eq!(newcomer.stop_by(Signal::TERM), Some(0));

    let service = Node::supervised(unit());

    let monitor = service.monitor();
    until("it is ready", || {
        get(monitor, "/readyz").starts_with("HTTP/1.1 200 ")
    });
    let members = rows(&until_done(&[
        "members", "--at", &operator, "list", "--json",
    ]));
    let own = members.iter().find(|row| row["name"] == "van-2");
    let address = format!("ws://localhost:{port}");
    assert_eq!(own.expect("it is a member")["addresses"], json!([address]));
    assert_eq!(service.stop_by(Signal::TERM), Some(0));
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

#[test]
fn a_cluster_is_founded_anew_from_its_best_survivor() {
    let folder = Folder::new("survivors");
    let ada = init(&folder.of("ada"));
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let others = ["bob", "eve", "sue"].map(|name| join(&folder.of(name), &invitation, name));
    for other in &others {
        other.until_voters(4);
    }
    until_done(&["kv", "--at", &operator, "set", "camp", "hill"]);
    drop((ada, others));

    // Two of four are left: not a majority.
    let (ada, bob) = (folder.of("ada"), folder.of("bob"));
    let is_best = run(&["recover", &ada, &bob]).status.success();
    let (best, other) = if is_best { (ada, bob) } else { (bob, ada) };
    until_done(&["recover", &best, &other, "--accept-data-loss"]);
    let founder = Node::start(&[
        "node",
        "--data",
        &best,
        "--listen",
        ANYWHERE,
        "--invite",
        "member,operator",
    ]);
    let (invitation, operator) = (founder.invitation(), founder.invitation_for("operator"));
    let kim = join(&folder.of("kim"), &invitation, "kim");
    kim.until_voters(2);

    let told = until_done(&["kv", "--at", &operator, "get", "camp"]);
    assert_eq!(told, "hill\n");
}
