//! Tests what commands print, and the exit codes that they end with.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::clients::Three;
use crate::node::{ANYWHERE, Ending, Folder, Node, init, join, liferaft, rows, run, until};

#[test]
fn the_status_tells_where_every_member_stands() {
    let three = Three::new("stand");
    three.told(&["kv", "set", "camp", "hill"]);

    let status = rows(&three.told(&["status", "--json"]));

    let names: Vec<_> = status.iter().map(|row| row["name"].as_str()).collect();
    assert_eq!(names.len(), 3);
    assert!(
        ["ada", "bob", "eve"]
            .iter()
            .all(|name| names.contains(&Some(name))),
        "{names:?}"
    );
    let leader = status
        .iter()
        .find(|row| row["role"] == "leader")
        .expect("one leads");
    for row in &status {
        let number = |field: &str| {
            row[field]
                .as_u64()
                .unwrap_or_else(|| panic!("{field}: {row}"))
        };
        assert_eq!(number("term"), leader["term"].as_u64().expect("it has one"));
        assert_eq!(row["leader"], leader["id"]);
        assert!(number("commit") <= number("last") && number("applied") <= number("commit"));
        assert!(number("applied") > 0 && number("log_bytes") > 0, "{row}");
        assert!(number("links") >= 2, "{row}");
        if row["id"] != leader["id"] {
            assert!(
                number("lag_entries") < 100 && number("round_trip_us") > 0,
                "{row}"
            );
        }
    }
    let table = three.told(&["status"]);
    let head: Vec<_> = table
        .lines()
        .next()
        .expect("it has a head")
        .split_whitespace()
        .collect();
    let columns = "member role term last commit applied lag links round trip";
    assert_eq!(
        (head.join(" ").as_str(), table.lines().count()),
        (columns, 4)
    );
}

#[test]
fn a_status_that_is_watched_is_printed_again() {
    let folder = Folder::new("again");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");
    let watch = liferaft()
        .args(["status", "--at", &operator, "--watch"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut watch = Ending(watch.expect("the program starts"));
    let lines = BufReader::new(watch.0.stdout.take().expect("it is piped")).lines();

    let told: Vec<_> = lines.map_while(Result::ok).take(4).collect();

    for table in told.chunks(2) {
        assert!(table[0].starts_with("member  "), "{told:?}");
        assert!(
            table[1].starts_with("ada  ") && table[1].contains("leader"),
            "{told:?}"
        );
    }
}

#[test]
fn an_operator_says_who_is_a_member() {
    let three = Three::new("operator");
    let invitation = three.told(&["members", "invite", "member"]);
    let folder = Folder::new("invited");
    let mut sue = join(&folder.of("sue"), invitation.trim(), "sue");
    let id = sue.until("started", |_| true)["server"].clone();
    let id = id.as_str().expect("it is text");
    sue.until_voters(4);
    let role = || {
        let listed = rows(&three.told(&["members", "list", "--json"]));
        let sue = listed.into_iter().find(|row| row["id"] == id);
        sue.map(|row| row["role"].as_str().expect("it is text").to_owned())
    };

    three.told(&["members", "expel", "sue"]);
    let expelled = role();
    assert_eq!(sue.ended(), Some(5));
    // Started again it waits outside.
    let data = folder.of("sue");
    let named = [
        "node", "--data", &data, "--listen", ANYWHERE, "--name", "sue",
    ];
    let sue = Node::start(&named);
    sue.until("excluded", |told| !told["why"].is_null());
    three.told(&["members", "add", id]);
    sue.until_voters(4);
    let added = role();
    // Its name comes with what it tells of itself.
    until("its name is told", || {
        three.told(&["members", "list"]).contains("sue")
    });
    let promoted = three.run(&["members", "promote", "sue"]);
    assert_eq!(sue.stop(), Some(0));
    three.told(&["members", "remove", "sue"]);

    assert_eq!((expelled, added.as_deref()), (None, Some("voter")));
    let why = String::from_utf8_lossy(&promoted.stderr);
    assert_eq!(promoted.status.code(), Some(1), "{why}");
    assert!(why.contains("is that already"), "{why}");
    assert_eq!(role(), None);
    assert_eq!(three.code(&["members", "promote", "nobody"]), Some(1));
}

#[test]
fn keys_are_printed_as_it_is_asked_for() {
    let three = Three::new("printed");
    let folder = Folder::new("values");
    let file = folder.of("file");
    fs::write(&file, "from\na file").expect("there is room");
    three.told(&["kv", "set", "a", "--file", &file]);
    three.told(&["kv", "set", "b", "two"]);
    three.told(&["kv", "append", "c", "three"]);

    let scanned = rows(&three.told(&["kv", "scan", "--json", "--limit", "2"]));
    let names = three.told(&["kv", "scan", "--keys-only"]);
    let limited = three.told(&["kv", "scan", "--keys-only", "--limit", "1"]);
    let got: Value = rows(&three.told(&["kv", "get", "a", "--json"])).remove(0);

    let values: Vec<_> = scanned
        .iter()
        .map(|row| (&row["key"], &row["value"]))
        .collect();
    assert_eq!(
        values,
        [
            (&json!("a"), &json!("from\na file")),
            (&json!("b"), &json!("two"))
        ]
    );
    assert_eq!((names.as_str(), limited.as_str()), ("a\nb\nc\n", "a\n"));
    assert_eq!(got["value"], "from\na file");
    assert_eq!(
        three.code(&["kv", "cas", "b", "--expect", "one", "--delete"]),
        Some(3)
    );
    assert_eq!(
        three.told(&["kv", "cas", "b", "--expect", "two", "--delete"]),
        ""
    );
    assert_eq!(three.code(&["kv", "delete", "b"]), Some(3));
    assert_eq!(three.code(&["kv", "scan", "--limit", "many"]), Some(2));
}

#[test]
fn a_file_that_is_no_export_changes_nothing() {
    let folder = Folder::new("broken");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");
    let kv = |arguments: &[&str]| run(&[&["kv", "--at", &operator], arguments].concat());
    // More than are written at once stand before the line that is none.
    let mut text = String::new();
    for number in 0..200 {
        text += &format!(
            "{}\n",
            json!({ "key": format!("key-{number}"), "value": "x" })
        );
    }
    let file = folder.of("file");
    fs::write(&file, text + "{\"key\": 7").expect("there is room");

    let imported = kv(&["import", &file]);
    let left = kv(&["scan"]);

    let why = String::from_utf8_lossy(&imported.stderr);
    assert_eq!(imported.status.code(), Some(1), "{why}");
    assert!(why.contains("line 201"), "{why}");
    assert_eq!((left.status.code(), left.stdout), (Some(0), Vec::new()));
}

#[test]
#[cfg(unix)]
fn what_was_sent_and_never_answered_is_unknown() {
    use rustix::process::Signal;

    let folder = Folder::new("unknown");
    let ada = init(&folder.of("ada"));
    let operator = ada.invitation_for("operator");
    let mut text = String::new();
    for number in 0..50_000 {
        text += &format!(
            "{}\n",
            json!({ "key": format!("key-{number}"), "value": "x" })
        );
    }
    let file = folder.of("file");
    fs::write(&file, text).expect("there is room");
    let kv = |arguments: &[&str], timeout: &str| {
        let mut command = liferaft();
        command
            .args(["kv", "--at", &operator, "--timeout", timeout])
            .args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ending(command.spawn().expect("the program starts"))
    };
    let mut watch = kv(&["watch", "--from", "1"], "60");
    let mut lines = BufReader::new(watch.0.stdout.take().expect("it is piped")).lines();

    let mut import = kv(&["import", &file], "3");
    let first = lines.next().expect("it goes on").expect("it is text");
    ada.signal(Signal::STOP);
    let code = import.0.wait().expect("it is a child").code();

    assert_eq!((first.as_str(), code), ("set\tkey-0\tx", Some(4)));
    let listen = run(&["node", "--listen", ANYWHERE]);
    assert_eq!(listen.status.code(), Some(2));
}
