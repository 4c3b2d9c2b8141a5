//! The program from outside, over stores on disk: `liferaft inspect`, `recover`, `rebuild` and `backup`, as a shell
//! runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use liferaft::consensus::{HardState, Write};
use liferaft::entry::{Entry, Payload};
use liferaft::ids::{Boot, Index, Term};
use liferaft::storage::outbox::{DiskOutboxStore, OutboxStore, OutboxWrite, StoredCommand};
use liferaft::storage::{DiskStorage, Storage};
use liferaft::time::ClusterTime;
use liferaft::{ClusterId, Configuration, ServerId};
use serde_json::{Value, json};

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("liferaft-cli-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// A folder with the store of a voter that has so many commands in its log.
    fn with_store(name: &str, commands: u64) -> Self {
        let folder = Self::new(name);
        block_on(write_store(&folder.0, commands, |_| {
            [1, 2, 3].map(ServerId).to_vec()
        }));
        folder
    }

    /// A folder with the store of the only voter of its cluster.
    fn with_only_voter(name: &str) -> Self {
        let folder = Self::new(name);
        block_on(write_store(&folder.0, 3, |server| vec![server]));
        folder
    }

    fn shown(&self) -> &str {
        self.0.to_str().expect("its name is text")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test may not have made it.
        let _absent = fs::remove_dir_all(&self.0);
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a thread is enough").block_on(future)
}

async fn write_store(folder: &Path, commands: u64, voters: impl FnOnce(ServerId) -> Vec<ServerId>) {
    let mut disk = DiskStorage::open(folder).await.expect("it is blank");
    disk.bind(ClusterId(0xc1), None).await.expect("it is blank");
    let voters = Configuration::of_voters(voters(disk.identity().id()));
    let mut payloads = vec![Payload::Configuration(Arc::new(voters))];
    for _ in 0..commands {
        payloads.push(Payload::Command(Bytes::from_static(b"command")));
    }
    let entry = |(index, payload)| Entry {
        index: Index(index),
        term: Term(3),
        stamp: ClusterTime(0),
        payload,
    };
    let boot = Boot {
        number: 4,
        nonce: 0xf,
    };
    let write = Write {
        hard_state: Some(HardState {
            term: Term(3),
            voted_for: Some(ServerId(2)),
            commit: Index(1),
            ..HardState::default()
        }),
        peer_boots: Some([(ServerId(2), boot)].into_iter().collect()),
        entries: (1..).zip(payloads).map(entry).collect(),
        ..Write::default()
    };
    disk.write(vec![write]).await.expect("it is in order");
    disk.close().await.expect("it is in order");
}

/// Damages the log where it is marked as durable.
fn damage(folder: &Folder) {
    let segment = folder.0.join("log-0000000000000001");
    let mut bytes = fs::read(&segment).expect("it has a log");
    bytes[4096 + 100] ^= 1;
    fs::write(&segment, bytes).expect("it can be written");
}

/// A process that is begun shares the open files of this one for a moment, and their locks: no store is closed in that
/// moment, so that one that is closed is unlocked.
static BEGINS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    BEGINS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(arguments: &[&str]) -> Output {
    let _alone = alone();
    Command::new(env!("CARGO_BIN_EXE_liferaft"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// What `inspect --json` prints, and its exit status.
fn inspected(folder: &Folder) -> (Value, Option<i32>) {
    let output = run(&["inspect", "--json", "--last", "2", folder.shown()]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    let json = serde_json::from_str(&text).expect("it is one object");
    (json, output.status.code())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn an_inspection_tells_whose_a_store_is_and_what_it_holds() {
    let folder = Folder::with_store("whole", 3);
    block_on(async {
        let store = DiskOutboxStore::open(&folder.0, "uplink").await;
        let append = vec![StoredCommand {
            number: 1,
            command: Bytes::from_static(b"waits"),
        }];
        let write = OutboxWrite {
            append,
            ..OutboxWrite::default()
        };
        let mut store = store.expect("it is blank");
        store.write(write).await.expect("it is in order");
    });

    let (json, code) = inspected(&folder);

    assert_eq!(code, Some(0));
    assert_eq!(json["state"], "sound");
    assert_eq!(
        (&json["error"], &json["in_use"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(json["header"]["cluster"], "0xc1");
    assert_eq!(json["header"]["boots"], 1);
    assert_eq!(json["header"]["term"], 3);
    assert_eq!(json["header"]["voted_for"], "0x2");
    assert_eq!(json["header"]["commit"], 1);
    assert_eq!(
        (&json["log"]["first"], &json["log"]["last"]),
        (&json!(1), &json!(4))
    );
    assert_eq!(json["snapshot"], Value::Null);
    assert_eq!(
        json["configuration"]["voters"],
        json!(["0x1", "0x2", "0x3"])
    );
    let last =
        [3, 4].map(|index| json!({ "index": index, "term": 3, "kind": "command", "bytes": 7 }));
    assert_eq!(json["last_entries"], json!(last));
    let seen = json!({ "server": "0x2", "number": 4, "nonce": "0xf" });
    assert_eq!(json["peer_boots"], json!([seen]));
    assert_eq!(json["outboxes"][0]["name"], "uplink");
    assert_eq!(
        (&json["outboxes"][0]["first"], &json["outboxes"][0]["bytes"]),
        (&json!(1), &json!(5))
    );
}

#[test]
fn an_inspection_of_a_damaged_store_names_the_place_and_fails() {
    let folder = Folder::with_store("damaged", 3);
    damage(&folder);

    let (json, code) = inspected(&folder);
    let told = run(&["inspect", folder.shown()]);

    assert_eq!(code, Some(3));
    assert_eq!(json["state"], "refused");
    assert_eq!(json["flaws"][0]["file"], "log-0000000000000001");
    assert_eq!(json["flaws"][0]["byte"], 4096);
    assert_eq!(json["flaws"][0]["batch"], 1);
    assert_eq!(
        json["header"]["cluster"], "0xc1",
        "what can be read is told"
    );
    assert_eq!(told.status.code(), Some(3));
    assert!(text(&told).contains("log-0000000000000001, batch 1 at byte 4096"));
}

#[test]
fn an_inspection_of_a_store_in_use_says_so_and_disturbs_nobody() {
    let folder = Folder::with_store("used", 3);
    let open = block_on(DiskStorage::open(&folder.0)).expect("it is in order");

    let (json, code) = inspected(&folder);

    assert_eq!((code, &json["in_use"]), (Some(0), &json!(true)));
    assert_eq!(json["header"]["boots"], 2);
    block_on(async { drop(open) });
    assert_eq!(inspected(&folder).0["in_use"], false);
}

#[test]
fn what_is_no_store_is_blank_and_what_is_no_folder_an_error() {
    let folder = Folder::new("none");
    let absent = run(&["inspect", folder.shown()]);
    fs::create_dir(&folder.0).unwrap();
    fs::write(folder.0.join("README"), "mine").unwrap();

    let (json, code) = inspected(&folder);

    assert_eq!(absent.status.code(), Some(1));
    assert_eq!((code, &json["state"]), (Some(0), &json!("blank")));
    assert_eq!(
        fs::read_dir(&folder.0).unwrap().count(),
        1,
        "nothing is made"
    );
}

#[test]
fn nothing_is_recovered_before_the_loss_is_accepted() {
    let folder = Folder::with_store("survivor", 5);
    let (before, _) = inspected(&folder);

    let refused = run(&["recover", folder.shown()]);
    let (after, _) = inspected(&folder);
    let recovered = run(&["recover", "--accept-data-loss", folder.shown()]);
    let (founded, _) = inspected(&folder);

    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("6@3"), "{}", text(&refused));
    assert_eq!(before, after);
    assert!(recovered.status.success(), "{}", text(&recovered));
    assert_ne!(founded["header"]["cluster"], "0xc1");
    assert_eq!(
        founded["configuration"]["voters"],
        json!([before["header"]["server"]])
    );
    assert_eq!(founded["log"]["last"], 7);
}

#[test]
fn of_several_survivors_the_one_with_the_longest_log_is_recovered() {
    let (short, long) = (
        Folder::with_store("short", 2),
        Folder::with_store("long", 5),
    );
    let flags = ["recover", "--accept-data-loss"];
    let recover = |folders: [&str; 2]| run(&[&flags[..], &folders[..]].concat());

    let refused = recover([short.shown(), long.shown()]);
    let recovered = recover([long.shown(), short.shown()]);

    assert_eq!(refused.status.code(), Some(1));
    let wanted = format!("recover {}", long.shown());
    assert!(text(&refused).contains(&wanted), "{}", text(&refused));
    assert_eq!(inspected(&short).0["header"]["cluster"], "0xc1");
    assert!(recovered.status.success(), "{}", text(&recovered));
}

#[test]
fn a_damaged_store_is_not_compared_and_its_name_is_told() {
    let (whole, damaged) = (
        Folder::with_store("compared", 5),
        Folder::with_store("uncompared", 2),
    );
    damage(&damaged);

    let recovered = run(&[
        "recover",
        "--accept-data-loss",
        whole.shown(),
        damaged.shown(),
    ]);

    let told = text(&recovered);
    assert!(recovered.status.success(), "{told}");
    let named = format!("not compared: {}: the log is damaged", damaged.shown());
    assert!(told.contains(&named), "{told}");
    assert!(!told.contains("rebuild"), "{told}");
}

#[test]
fn a_store_that_is_named_twice_is_not_compared_with_itself() {
    let folder = Folder::with_store("twice", 5);
    let again = format!("{}/.", folder.shown());

    let refused = run(&["recover", "--accept-data-loss", folder.shown(), &again]);

    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("twice"), "{}", text(&refused));
    assert_eq!(inspected(&folder).0["header"]["cluster"], "0xc1");
}

/// It is the last one: there is nobody from whom a new server would get what it held.
#[test]
fn whoever_recovers_a_damaged_store_is_told_of_a_backup() {
    let folder = Folder::with_store("lost", 5);
    damage(&folder);

    let refused = run(&["recover", "--accept-data-loss", folder.shown()]);

    let told = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("or a backup"), "{told}");
    assert!(!told.contains("rebuild"), "{told}");
}

#[test]
fn a_backup_is_called_one_until_a_cluster_is_founded_from_it() {
    let (folder, to) = (Folder::with_store("kept", 3), Folder::new("kept-copy"));
    let copied = run(&["backup", folder.shown(), to.shown()]);
    assert!(copied.status.success(), "{}", text(&copied));

    let shown = run(&["inspect", to.shown()]);
    let (before, _) = inspected(&to);
    let recovered = run(&["recover", "--accept-data-loss", to.shown()]);
    let (after, _) = inspected(&to);

    assert!(
        text(&shown).contains("liferaft recover"),
        "{}",
        text(&shown)
    );
    assert_eq!(before["header"]["is_backup"], true);
    assert!(recovered.status.success(), "{}", text(&recovered));
    assert_eq!(after["header"]["is_backup"], false);
}

#[test]
fn a_damaged_store_is_set_aside_and_a_whole_one_is_not() {
    let folder = Folder::with_store("aside", 3);

    let refused = run(&["rebuild", folder.shown()]);
    damage(&folder);
    let set_aside = run(&["rebuild", folder.shown()]);
    let (json, _) = inspected(&folder);

    assert_eq!(refused.status.code(), Some(1));
    assert!(set_aside.status.success(), "{}", text(&set_aside));
    assert_eq!(json["state"], "blank");
    assert!(folder.0.join("set-aside-1/header").exists());
}

#[test]
fn a_damaged_outbox_is_set_aside_without_the_store() {
    let folder = Folder::with_store("outbox", 3);
    drop(block_on(DiskOutboxStore::open(&folder.0, "uplink")));
    fs::write(folder.0.join("outbox-uplink"), "").unwrap();

    let shown = run(&["inspect", folder.shown()]);
    let set_aside = run(&["rebuild", folder.shown()]);

    assert!(text(&shown).contains("the stored outbox is damaged"));
    let told = text(&set_aside);
    assert!(told.contains("set aside: outbox uplink, in "), "{told}");
    assert!(
        told.contains("the store of the member stays as it is"),
        "{told}"
    );
    assert!(!told.contains("new server"), "{told}");
    assert_eq!(inspected(&folder).0["state"], "sound");
}

#[test]
fn whoever_rebuilds_the_only_voter_is_told_of_a_backup() {
    let folder = Folder::with_only_voter("only");
    // Not the log, so that the configuration can still be read.
    let header = fs::read(folder.0.join("header")).unwrap();
    fs::write(folder.0.join("header"), vec![0; header.len()]).unwrap();

    let set_aside = run(&["rebuild", folder.shown()]);

    let told = text(&set_aside);
    assert!(told.contains("no other voter"), "{told}");
    assert!(told.contains("restore a backup"), "{told}");
    assert!(!told.contains("as a new server"), "{told}");
}

#[test]
fn nothing_is_recovered_where_a_majority_is_in_order() {
    let folder = Folder::with_only_voter("majority");

    let refused = run(&["recover", "--accept-data-loss", folder.shown()]);

    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused);
    assert!(told.contains("start their members instead"), "{told}");
    assert_eq!(inspected(&folder).0["header"]["cluster"], "0xc1");
}

#[test]
fn what_the_system_refuses_names_the_path_once() {
    let file = Folder::new("file");
    fs::write(&file.0, "mine").unwrap();
    let below = file.0.join("member");

    let refused = run(&["backup", file.shown(), below.to_str().unwrap()]);

    let told = text(&refused);
    assert_eq!(told.matches(file.shown()).count(), 1, "{told}");
    assert_eq!(told.matches("os error").count(), 1, "{told}");
    fs::remove_file(&file.0).unwrap();
}

#[test]
fn a_backup_may_be_named_with_a_slash_at_its_end() {
    let (folder, to) = (Folder::with_store("slash", 3), Folder::new("slash-copy"));

    let copied = run(&["backup", folder.shown(), &format!("{}/", to.shown())]);

    assert!(copied.status.success(), "{}", text(&copied));
    assert_eq!(inspected(&to).0["state"], "sound");
}

#[test]
fn a_store_with_a_folder_in_place_of_its_log_is_set_aside() {
    let folder = Folder::with_store("replaced", 3);
    let segment = folder.0.join("log-0000000000000001");
    fs::remove_file(&segment).unwrap();
    fs::create_dir(&segment).unwrap();

    let set_aside = run(&["rebuild", folder.shown()]);

    assert!(set_aside.status.success(), "{}", text(&set_aside));
    assert_eq!(inspected(&folder).0["state"], "blank");
}
