//! Tests what clients and operators do from a shell: `liferaft kv`, `members` and `status`.

use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::node::{
    ANYWHERE, Ending, Folder, Node, init, init_with, join, liferaft, rows, run, told_by,
};

/// A cluster of three, with an invitation to operators.
pub(crate) struct Three {
    pub(crate) nodes: Vec<Node>,
    pub(crate) operator: String,
    _folder: Folder,
}

impl Three {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let ada = init(&folder.of("ada"));
        let invitation = ada.invitation();
        let operator = ada.invitation_for("operator");
        let bob = join(&folder.of("bob"), &invitation, "bob");
        let eve = join(&folder.of("eve"), &invitation, "eve");
        bob.until_voters(3);
        eve.until_voters(3);
        // The first one knows of no member but the first.
        let named = run(&["members", "--at", &operator, "invite", "operator"]);
        let operator = String::from_utf8(named.stdout).expect("it is text");
        Self {
            nodes: vec![ada, bob, eve],
            operator: operator.trim().to_owned(),
            _folder: folder,
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run(&self.command(arguments))
    }

    fn command<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&arguments[..1], &["--at", &self.operator], &arguments[1..]].concat()
    }

    /// What a command prints that succeeds.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        told_by(&self.command(arguments))
    }

    pub(crate) fn code(&self, arguments: &[&str]) -> Option<i32> {
        self.run(arguments).status.code()
    }

    /// The name of the leader, by the word of all members.
    pub(crate) fn leader(&self) -> String {
        let rows = rows(&self.told(&["status", "--json"]));
        assert_eq!(rows.len(), 3);
        let leads = |row: &&Value| row["role"] == "leader";
        let leader = rows.iter().find(leads).expect("one leads");
        leader["name"].as_str().expect("it is text").to_owned()
    }
}

#[test]
fn keys_are_set_read_compared_and_deleted() {
    let three = Three::new("keys");

    assert_eq!(three.told(&["kv", "set", "camp", "the hill"]), "");
    assert_eq!(three.told(&["kv", "get", "camp"]), "the hill\n");
    assert_eq!(
        three.told(&["kv", "cas", "camp", "--expect", "the hill", "the ford"]),
        ""
    );
    assert_eq!(
        three.code(&["kv", "cas", "camp", "--expect", "the hill", "x"]),
        Some(3)
    );
    assert_eq!(three.code(&["kv", "cas", "tent", "--absent", "x"]), Some(0));
    assert_eq!(three.told(&["kv", "scan"]), "camp\tthe ford\ntent\tx\n");
    assert_eq!(three.told(&["kv", "delete", "camp"]), "");
    assert_eq!(three.code(&["kv", "get", "camp"]), Some(3));
}

#[test]
fn sequences_are_appended_to_and_read() {
    let three = Three::new("sequences");

    assert_eq!(three.told(&["kv", "append", "log", "one"]), "0\n");
    let count = three.told(&["kv", "seq-append", "log", "1@1", "two"]);
    assert_eq!(
        three.code(&["kv", "seq-append", "log", "1@1", "three"]),
        Some(3)
    );

    assert_eq!(count, "2@1\n");
    assert_eq!(three.told(&["kv", "read", "log"]), "one\ntwo\n");
}

#[test]
fn what_is_exported_is_imported_again() {
    let three = Three::new("export");
    let folder = Folder::new("exported");
    three.told(&["kv", "set", "camp", "the hill"]);
    three.told(&["kv", "append", "log", "one"]);
    three.told(&["kv", "append", "log", "two"]);

    let exported = three.told(&["kv", "export"]);
    let file = folder.of("file");
    std::fs::write(&file, &exported).expect("there is room");
    let careless = three.code(&["kv", "delete", "", "--prefix"]);
    three.told(&["kv", "delete", "", "--prefix", "--all"]);
    let emptied = three.told(&["kv", "scan"]);
    let imported = three.told(&["kv", "import", &file]);

    assert_eq!((careless, emptied.as_str()), (Some(2), ""));
    assert_eq!(imported, "2 keys\n");
    assert_eq!(three.told(&["kv", "export"]), exported);
}

#[test]
fn a_transaction_is_done_as_a_whole_or_not_at_all() {
    let three = Three::new("txn");
    let folder = Folder::new("transactions");
    let file = folder.of("file");
    let text = r#"{"when": [{"key": "a", "exists": false}], "then": [{"set": "a", "to": "1"}, {"append": "b", "value": "x"}]}"#;
    std::fs::write(&file, text).expect("there is room");

    let first: Value =
        serde_json::from_str(&three.told(&["kv", "txn", &file])).expect("it is JSON");
    let second = three.run(&["kv", "txn", &file]);

    assert_eq!(
        (&first["succeeded"], &first["branch"]),
        (&true.into(), &"then".into())
    );
    assert_eq!(three.told(&["kv", "read", "b"]), "x\n");
    assert_eq!(second.status.code(), Some(3));
    let why = String::from_utf8_lossy(&second.stderr);
    assert!(why.contains("the conditions do not hold"), "{why}");
}

#[test]
fn the_other_branch_of_a_transaction_is_a_success() {
    let folder = Folder::new("otherwise");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");
    let transact = |text: &str| {
        let file = folder.of("file");
        std::fs::write(&file, text).expect("there is room");
        run(&["kv", "--at", &operator, "txn", &file])
    };

    let done = transact(
        r#"{"when": [{"key": "a", "exists": true}], "then": [], "otherwise": [{"get": "a"}]}"#,
    );
    let malformed = transact(r#"{"when": ["#);

    assert_eq!((done.status.code(), &done.stderr[..]), (Some(0), &b""[..]));
    let told: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
    assert_eq!(told["branch"], "otherwise");
    assert_eq!(malformed.status.code(), Some(2));
    let why = String::from_utf8_lossy(&malformed.stderr);
    assert!(why.contains("the transaction is no JSON"), "{why}");
}

#[test]
fn bytes_come_back_as_they_were_set() {
    let folder = Folder::new("raw");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");
    let (file, bytes) = (folder.of("file"), [0, 255, b'\n', 10]);
    std::fs::write(&file, bytes).expect("there is room");

    let set = run(&["kv", "--at", &operator, "set", "a", "--file", &file]);
    let got = run(&["kv", "--at", &operator, "get", "a", "--raw"]);

    assert_eq!(set.status.code(), Some(0));
    assert_eq!(got.stdout, bytes);
}

#[test]
fn a_wrong_command_line_is_told_by_its_own_exit_code() {
    let wrong = [
        (&["kv", "get", "x"][..], "--at says where"),
        (&["status"], "--at says where"),
        (&["status", "--at", "127.0.0.1"], "a host and a port"),
        (&["status", "--at", ""], "the text is empty"),
        (&["status", "--at", "liferaft:AQBpbQubfPDW"], "is cut short"),
        (&["status", "--at", "[::1:4000"], "--at"),
    ];

    for (arguments, why) in wrong {
        let refused = run(arguments);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
}

#[test]
fn a_watch_whose_invitation_is_taken_back_ends_as_refused() {
    let folder = Folder::new("revoked");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");
    let invited = run(&["members", "--at", &operator, "invite", "reader"]);
    let reader = String::from_utf8(invited.stdout).expect("it is text");
    let reader = reader.trim();
    let watch = liferaft()
        .args(["kv", "--at", reader, "watch", "--from", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut watch = Ending(watch);
    let mut lines = BufReader::new(watch.0.stdout.take().expect("it is piped")).lines();
    run(&["kv", "--at", &operator, "set", "camp", "hill"]);
    let first = lines.next().expect("it is told").expect("it is text");

    let revoked = run(&["members", "--at", &operator, "revoke", reader]);
    let told = std::io::read_to_string(watch.0.stderr.take().expect("it is piped"));
    let code = watch.0.wait().expect("it is a child").code();
    let late = run(&["kv", "--at", reader, "watch"]);

    assert_eq!(
        (first.as_str(), revoked.status.code()),
        ("set\tcamp\thill", Some(0))
    );
    let told = told.expect("it is text");
    assert_eq!((code, late.status.code()), (Some(6), Some(6)), "{told}");
    assert_eq!(told.matches("no member gives").count(), 1, "{told}");
    assert!(told.contains("members invite writer"), "{told}");
}

#[test]
fn a_watch_goes_on_when_the_leader_is_killed() {
    let mut three = Three::new("watch");
    let watch = liferaft()
        .args([
            "kv",
            "--at",
            &three.operator,
            "watch",
            "camp/",
            "--from",
            "1",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut watch = Ending(watch);
    let lines = BufReader::new(watch.0.stdout.take().expect("it is piped"));
    let mut lines = lines.lines().map_while(Result::ok);
    three.told(&["kv", "set", "camp/1", "hill"]);
    let first = lines.next();

    let leader = three.leader();
    let place = ["ada", "bob", "eve"]
        .iter()
        .position(|name| *name == leader);
    let mut killed = three.nodes.remove(place.expect("it is one of them"));
    killed.process.0.kill().expect("it runs");
    three.told(&["kv", "--timeout", "60", "set", "camp/2", "ford"]);
    let second = lines.next();

    assert_eq!(first.as_deref(), Some("set\tcamp/1\thill"));
    assert_eq!(second.as_deref(), Some("set\tcamp/2\tford"));
}

#[test]
fn an_operator_hands_leadership_over_and_expels() {
    let mut three = Three::new("operate");
    let leader = three.leader();
    let other = ["ada", "bob", "eve"]
        .into_iter()
        .find(|name| *name != leader);
    let other = other.expect("there are two others");

    let told = three.told(&["members", "transfer", other]);
    let leads_then = three.leader();
    three.told(&["members", "expel", &leader]);

    assert_eq!(leads_then, other);
    assert!(told.starts_with(&format!("{other} (0x")), "{told}");
    let left = three.told(&["members", "list"]);
    assert_eq!(left.lines().count(), 2);
    assert!(!left.contains(&leader), "{left}");
    let place = ["ada", "bob", "eve"]
        .iter()
        .position(|name| *name == leader);
    let expelled = &mut three.nodes[place.unwrap()];
    expelled.until("excluded", |told| {
        let why = told["why"].as_str().unwrap_or_default();
        why.contains("an operator removed this server")
    });
    assert_eq!(expelled.ended(), Some(5));
}

#[test]
fn whoever_may_read_may_not_write_nor_operate() {
    let three = Three::new("reader");
    let reader = three.told(&["members", "invite", "reader"]);
    let reader = reader.trim();
    three.told(&["kv", "set", "camp", "hill"]);

    let read = run(&["kv", "--at", reader, "get", "camp"]);
    let written = run(&["kv", "--at", reader, "set", "camp", "ford"]);
    let operated = run(&["members", "--at", reader, "transfer"]);

    assert_eq!(String::from_utf8_lossy(&read.stdout), "hill\n");
    assert_eq!(written.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&written.stderr).contains("may only read"));
    assert_eq!(operated.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&operated.stderr).contains("may not operate"));
}

#[test]
fn an_open_cluster_is_used_by_an_address_alone() {
    let folder = Folder::new("open");
    let ada = init_with(&folder.of("ada"), &["--open"]);
    let address = ada.address();
    ada.invitation();

    let set = run(&["kv", "--at", &address, "set", "camp", "hill"]);
    let got = run(&["kv", "--at", &address, "get", "camp"]);

    assert_eq!(
        set.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&set.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&got.stdout), "hill\n");
}

#[test]
fn a_closed_cluster_is_not_used_by_an_address() {
    let folder = Folder::new("closed");
    let ada = init(&folder.of("ada"));
    let address = ada.address();

    let refused = run(&["kv", "--at", &address, "get", "camp"]);

    assert_eq!(refused.status.code(), Some(6));
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("does not say who it is"), "{why}");
}

#[test]
fn an_address_that_refuses_the_connection_is_named() {
    let folder = Folder::new("unreached");
    let ada = init(&folder.of("ada"));
    let address = ada.address();
    let operator = ada.invitation_for("operator");
    assert_eq!(ada.stop(), Some(0));

    let read = run(&["kv", "--at", &operator, "--timeout", "2", "get", "camp"]);

    let why = String::from_utf8_lossy(&read.stderr);
    assert_eq!(read.status.code(), Some(5), "{why}");
    let told = format!("tried ws://{address}: the connection is refused");
    assert!(why.contains(&told), "{why}");
}

#[test]
fn an_invitation_for_another_purpose_is_refused_at_once() {
    let folder = Folder::new("purposes");
    let ada = init(&folder.of("ada"));
    let (member, operator) = (ada.invitation(), ada.invitation_for("operator"));

    // Neither waits: the deadline is beyond the patience of this test.
    let read = run(&["kv", "--at", &member, "--timeout", "1000", "get", "camp"]);
    let mut joining = join(&folder.of("bob"), &operator, "bob");

    let why = String::from_utf8_lossy(&read.stderr);
    assert_eq!(read.status.code(), Some(6), "{why}");
    assert!(why.contains("for `liferaft node --join`"), "{why}");
    assert_eq!(joining.ended(), Some(2));
    let joined = liferaft()
        .args(["node", "--data", &folder.of("eve"), "--listen", ANYWHERE])
        .args(["--join", &operator])
        .output();
    let why = joined.expect("the program starts").stderr;
    let why = String::from_utf8_lossy(&why);
    assert!(why.contains("this one is to operators"), "{why}");
    assert!(why.contains("invite member"), "{why}");
}

#[test]
fn a_watch_tells_when_it_is_cut_off_and_when_it_goes_on() {
    let folder = Folder::new("cut");
    let mut ada = init(&folder.of("ada"));
    let address = ada.address();
    let operator = ada.invitation_for("operator");
    let watch = liferaft()
        .args(["kv", "--at", &operator, "--json", "watch", "camp/"])
        .args(["--from", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut watch = Ending(watch);
    let lines = BufReader::new(watch.0.stdout.take().expect("it is piped"));
    let lines = lines.lines().map_while(Result::ok);
    let mut items = lines.map(|line| -> Value { serde_json::from_str(&line).expect("it is JSON") });
    let set = |key: &str| {
        let set = run(&["kv", "--at", &operator, "--timeout", "60", "set", key, "x"]);
        assert_eq!(set.status.code(), Some(0));
    };

    set("camp/1");
    let first = items.next().expect("it is told");
    ada.process.0.kill().expect("it runs");
    ada.ended();
    let cut = items.next().expect("it is told");
    let again = Node::start(&["node", "--data", &folder.of("ada"), "--listen", &address]);
    let resumed = items.next().expect("it is told");
    set("camp/2");
    let second = items.next().expect("it is told");

    assert_eq!(
        (&first["set"], &second["set"]),
        (&"camp/1".into(), &"camp/2".into())
    );
    assert!(cut["interrupted"]["why"].is_string(), "{cut}");
    assert!(resumed["resumed"]["after_ms"].is_u64(), "{resumed}");
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn an_operator_sees_the_tokens_and_takes_one_back() {
    let mut three = Three::new("tokens");
    let writer = three.told(&["members", "invite", "writer", "--prefix", "camp/"]);
    let writer = writer.trim();
    let purposes = |listed: &str| {
        let items = listed
            .lines()
            .map(|line| -> Value { serde_json::from_str(line).unwrap() });
        let writers = items.filter(|item| item["purpose"] == "writer");
        writers.collect::<Vec<_>>()
    };

    let listed = purposes(&three.told(&["members", "tokens", "--json"]));
    let token = listed[0]["token"].as_str().expect("it is text");
    let by_reader = run(&["members", "--at", writer, "tokens"]);
    three.told(&["members", "revoke", &token[..12]]);
    let left = purposes(&three.told(&["members", "tokens", "--json"]));
    // One that is gone does not keep the others' refusal from being told.
    three.nodes[1].process.0.kill().expect("it runs");
    let read = run(&["kv", "--at", writer, "--timeout", "60", "get", "camp/1"]);

    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["prefixes"][0], "camp/");
    assert_eq!((by_reader.status.code(), left.len()), (Some(6), 0));
    let why = String::from_utf8_lossy(&read.stderr);
    assert_eq!(read.status.code(), Some(6), "{why}");
    assert!(
        why.contains("not known to the cluster, or was revoked"),
        "{why}"
    );
    let again = three.run(&["members", "revoke", writer]);
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn uses_are_counted_of_invitations_to_members_alone() {
    let folder = Folder::new("uses");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");

    let refused = run(&[
        "members", "--at", &operator, "invite", "writer", "--uses", "3",
    ]);

    assert_eq!(refused.status.code(), Some(2));
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(
        why.contains("--uses is for invitations to members"),
        "{why}"
    );
}

#[test]
fn no_majority_is_told_at_the_deadline() {
    let mut three = Three::new("minority");
    three.told(&["kv", "set", "camp", "hill"]);
    for node in &mut three.nodes[1..] {
        node.process.0.kill().expect("it runs");
    }

    let read = three.run(&["kv", "--timeout", "3", "get", "camp"]);
    let written = three.code(&["kv", "--timeout", "3", "set", "camp", "ford"]);
    let status = three.run(&["status", "--json"]);

    let why = String::from_utf8_lossy(&read.stderr);
    assert_eq!(read.status.code(), Some(5), "{why}");
    assert!(
        why.contains("of the members 1 answer, and no leader"),
        "{why}"
    );
    assert!(matches!(written, Some(4 | 5)), "{written:?}");
    let fault = String::from_utf8_lossy(&status.stderr);
    assert_eq!(status.status.code(), Some(5), "{fault}");
    assert!(fault.contains("no leader is reached"), "{fault}");
    let status = String::from_utf8_lossy(&status.stdout);
    assert!(status.contains(r#""unix_ms":"#), "{status}");
    let silent = status
        .lines()
        .filter(|line| line.contains(r#""role":"silent""#))
        .count();
    assert_eq!((status.lines().count(), silent), (3, 2), "{status}");
}

#[test]
#[cfg(unix)]
fn a_frozen_leader_holds_up_no_newcomer() {
    use rustix::process::{Pid, Signal, kill_process};
    let three = Three::new("frozen");
    three.told(&["kv", "set", "camp", "hill"]);
    let leader = three.leader();
    let names = ["ada", "bob", "eve"];
    let place = names.iter().position(|name| *name == leader);
    let place = place.expect("it is one of them");
    let process = three.nodes[place].process.0.id();
    let process = Pid::from_raw(process.try_into().expect("it is small")).expect("it is one");

    // It accepts connections, and answers nobody.
    kill_process(process, Signal::STOP).expect("it runs");
    let follower = &three.nodes[usize::from(place == 0)];
    follower.until("led", |told| {
        told["leader"].as_str().is_some_and(|name| name != leader)
    });

    assert_eq!(
        three.told(&["kv", "--timeout", "4", "get", "camp"]),
        "hill\n"
    );
    let status = three.told(&["status", "--timeout", "4", "--json"]);
    let silent = |line: &&str| line.contains(r#""role":"silent""#);
    assert_eq!(status.lines().filter(silent).count(), 1, "{status}");
}

#[test]
fn a_watch_from_the_future_says_that_it_waits() {
    let folder = Folder::new("future");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");

    let watch = liferaft()
        .args(["kv", "--at", &operator, "watch", "--from", "1000000"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut watch = Ending(watch);
    let told = BufReader::new(watch.0.stderr.take().expect("it is piped"));
    let told = told.lines().map_while(Result::ok).next();

    let told = told.expect("it is told");
    assert!(told.contains("waiting for 1000000"), "{told}");
}

#[test]
fn a_host_without_a_port_is_told_that_it_is_missing() {
    for host in ["localhost", "van-1.example"] {
        let refused = run(&["kv", "--at", host, "get", "camp"]);

        assert_eq!(refused.status.code(), Some(2));
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(why.contains("port"), "{why}");
    }
}
