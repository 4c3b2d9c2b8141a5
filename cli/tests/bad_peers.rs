//! Runs a member as a process beside peers that keep to no rule: they are refused or bounded, its memory too, and it
//! goes on serving.
//!
//! What each of them is told, and what the carrier counts, is tested by `transport/tests/websocket/bad_peers.rs`. Here
//! it is what they cost a process. Other tests have other files: these open a thousand connections.

#![cfg(unix)]

#[path = "processes/node.rs"]
#[expect(dead_code, reason = "the tests of single processes use more of it")]
mod node;
#[path = "../../transport/tests/websocket/raw.rs"]
#[expect(dead_code, reason = "the tests of the carrier use more of it")]
mod raw;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use liferaft::Invitation;
use liferaft::transport::handshake::HANDSHAKE_VERSION;
use tokio::time::timeout;

use self::node::{ANYWHERE, Folder, Node, PATIENCE, client, init, run};
use self::raw::{BINARY, Raw};

/// All of them together may cost so much memory, in KiB: 64 KiB for each connection.
const GROWTH_KIB_MAX: u64 = 64 << 10;

/// From so many hosts come a thousand idle connections: the member takes 128 of each, and 1,024 in all.
const HOSTS: u8 = 8;
const IDLE_OF_EACH: u8 = 125;

/// So many of them are there at once at least, or it is not shown what they cost.
const IDLE_MIN: u32 = 900;

/// From so many hosts come idle connections beyond the files that a process may have open.
const FLOODING_HOSTS: u8 = 12;

/// A member that accepts connections at all does so within this time.
const ACCEPTING_TIME_MAX: Duration = Duration::from_secs(2);

/// A snapshot is written after fewer writes than these.
const WRITES_MAX: u32 = 100;

/// The files that a process may have open where nobody has raised the limit.
const FILES_MAX: usize = 1_024;

/// The memory of a process that is resident, in KiB, by a line of its status.
fn memory_kib(process: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let mut lines = status.lines();
    let found = lines.find_map(|found| found.strip_prefix(line));
    let words = found.expect("Linux tells").split_whitespace();
    let number = words.filter_map(|word| word.parse().ok()).next();
    number.expect("it is a number")
}

/// A connection from a host of its own for each kind of peer.
async fn connected(kind: u8, to: SocketAddr) -> Raw {
    Raw::connect_from(Ipv4Addr::new(127, 0, 1, kind), to).await
}

async fn upgraded(kind: u8, to: SocketAddr) -> Raw {
    let mut raw = connected(kind, to).await;
    raw.upgrade().await;
    raw
}

/// What is no request, half of one, half of a frame, one that announces 4 GiB, and packets that mean nothing.
async fn garble(to: SocketAddr) -> Vec<Raw> {
    let mut garbage = connected(1, to).await;
    garbage.write(&[0xa5; 64 << 10]).await;
    let mut half_request = connected(2, to).await;
    half_request.write(b"GET / HTTP/1.1\r\nHost: life").await;
    let mut half_frame = upgraded(3, to).await;
    half_frame
        .write(&[BINARY, 0xfe, 0xff, 0, 0, 0, 0, 0, 1, 2, 3])
        .await;
    let mut announcing = upgraded(4, to).await;
    let head = [BINARY, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    announcing.write(&head).await;
    announcing.write(&[0; 64 << 10]).await;
    let mut meaningless = upgraded(5, to).await;
    for first in 0..=u8::MAX {
        meaningless.write_frame(BINARY, &[first; 100]).await;
    }
    vec![garbage, half_request, half_frame, announcing, meaningless]
}

/// Begins handshakes of versions that there are not.
async fn begin_in_other_versions(to: SocketAddr) -> Raw {
    let mut raw = upgraded(6, to).await;
    for version in (0..=u8::MAX).filter(|version| *version != HANDSHAKE_VERSION) {
        let mut message = b"\xfeLRH".to_vec();
        message.extend([version, 0]);
        message.resize(110, 7);
        raw.write_frame(BINARY, &message).await;
    }
    raw
}

/// Has many pings answered, and reads no answer.
async fn never_read(to: SocketAddr) -> Raw {
    let mut raw = upgraded(7, to).await;
    let flood = async {
        for _ in 0..200_000 {
            raw.write_frame(0x89, &[7; 125]).await;
        }
    };
    // The member stops to read, or not: either is an answer.
    let _stuck = timeout(Duration::from_secs(3), flood).await;
    raw
}

/// A client of another cluster, which was given this member's address.
async fn ask_as_a_stranger(theirs: &str, own: &str) {
    let theirs: Invitation = theirs.parse().expect("it was just printed");
    let own: Invitation = own.parse().expect("it was just printed");
    let addresses = own.addresses().to_vec();
    let lost = theirs.with_addresses(addresses).expect("they are few");
    let store = client(lost, Duration::from_secs(2));
    store
        .get("key")
        .await
        .expect_err("it is of another cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_peers_cost_a_process_little_and_it_goes_on() {
    if !Path::new("/proc/self/status").exists() {
        println!("skipped: bad peers: nobody tells what a process takes of memory");
        return;
    }
    let folder = Folder::new("bad-peers");
    let ada = init(&folder.of("ada"));
    let address: SocketAddr = ada.address().parse().expect("it is one");
    let operator = ada.invitation_for("operator");
    let eve = init(&folder.of("eve"));
    let theirs = eve.invitation_for("operator");
    let process = ada.process.0.id();
    let served = |value: &str| {
        let set = run(&["kv", "--at", &operator, "set", "key", value]);
        set.status.success()
    };
    assert!(served("before"));
    let before = memory_kib(process, "VmRSS:");

    let mut bad = garble(address).await;
    bad.push(begin_in_other_versions(address).await);
    bad.push(never_read(address).await);
    ask_as_a_stranger(&theirs, &operator).await;
    let with_bad = memory_kib(process, "VmRSS:");
    assert!(served("beside bad peers"));
    let mut idle = 0;
    for host in 1..=HOSTS {
        for _ in 0..IDLE_OF_EACH {
            let from = Ipv4Addr::new(127, 0, 2, host);
            let mut raw = Raw::connect_from(from, address).await;
            // The member closes those for which it has no place.
            let status = timeout(PATIENCE, raw.upgrade_with("")).await;
            idle += u32::from(matches!(status, Ok(Ok(101))));
            bad.push(raw);
        }
    }
    let with_all = memory_kib(process, "VmRSS:");
    assert!(served("beside a thousand idle connections"));
    drop(bad);

    let peak = memory_kib(process, "VmHWM:");
    println!(
        "resident: {before} KiB before, {with_bad} beside bad peers, {with_all} beside {idle} idle connections as well, \
         {peak} at the peak"
    );
    assert!(idle >= IDLE_MIN, "{idle} are taken");
    assert!(peak - before <= GROWTH_KIB_MAX, "{peak} KiB, from {before}");
    assert_eq!(ada.stop(), Some(0));
}

/// The snapshots that are in a folder.
fn snapshots(folder: &str) -> BTreeSet<OsString> {
    let entries = fs::read_dir(folder).expect("a member is there");
    let names = entries.map(|entry| entry.expect("it is read").file_name());
    let is_snapshot = |name: &OsString| name.to_string_lossy().starts_with("snapshot-");
    names.filter(is_snapshot).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_leave_a_member_files_for_its_snapshots() {
    if !Path::new("/proc/self/status").exists() {
        println!("skipped: idle connections: only Linux has all of 127.0.0.0/8");
        return;
    }
    let folder = Folder::new("files");
    let data = folder.of("ada");
    let mut limited = Command::new("sh");
    let limit = format!("ulimit -n {FILES_MAX} && exec \"$0\" \"$@\"");
    limited.args(["-c", &limit, env!("CARGO_BIN_EXE_liferaft")]);
    let arguments = ["init", "--data", &data, "--listen", ANYWHERE];
    let arguments = [&arguments[..], &["--snapshot-after", "4096"]].concat();
    let ada = Node::start_by(limited, &arguments);
    let address: SocketAddr = ada.address().parse().expect("it is one");
    let operator = ada.invitation_for("operator");

    let store = client(operator.parse().expect("it was just printed"), PATIENCE);
    store.set("key", "first").await.expect("it serves");

    let mut flood = Vec::new();
    'flood: for host in 1..=FLOODING_HOSTS {
        for _ in 0..IDLE_OF_EACH {
            let mut raw = Raw::connect_from(Ipv4Addr::new(127, 0, 3, host), address).await;
            match timeout(ACCEPTING_TIME_MAX, raw.upgrade_with("")).await {
                Ok(Ok(101)) => flood.push(raw),
                // There is no place for it.
                Ok(_) => {}
                // It is not even accepted where there is no file for it.
                Err(_) => break 'flood,
            }
        }
    }

    let before = snapshots(&data);
    let value = "v".repeat(4_096);
    let mut writes = 0;
    while snapshots(&data).is_subset(&before) {
        store.set("key", value.clone()).await.expect("it serves");
        writes += 1;
        assert!(writes < WRITES_MAX, "a snapshot is written");
    }
    assert!(flood.len() >= FILES_MAX / 4, "{} are taken", flood.len());
    assert_eq!(ada.stop(), Some(0));
}
