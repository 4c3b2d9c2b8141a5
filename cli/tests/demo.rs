//! The program from outside: `liferaft demo`, as a shell runs it.

use std::io::Read as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Much longer than any of these takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(180);

const KEYS: [&str; 16] = [
    "duplicated",
    "elect_after_half_ms",
    "elect_after_leader_ms",
    "evict_after_ms",
    "lines",
    "links",
    "lost",
    "mesh_ms",
    "nodes",
    "propagate_100_ms",
    "propagate_1_ms",
    "recover_half_ms",
    "recover_leader_ms",
    "udp_datagrams",
    "up_ms",
    "verified",
];

/// Runs the demo, and returns its status and what it wrote on standard output.
fn demo(arguments: &[&str]) -> (ExitStatus, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_liferaft"))
        .arg("demo")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the program starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        drop(sender.send(read));
    });
    let Ok(text) = receiver.recv_timeout(DEADLINE) else {
        child.kill().expect("it runs");
        panic!("the demo with {arguments:?} did not end");
    };
    let status = child.wait().expect("it has ended");
    (status, text.expect("it is text"))
}

fn verified(arguments: &[&str]) -> Value {
    let (status, text) = demo(arguments);
    let json: Value = serde_json::from_str(&text).expect("it is one object");
    let keys: Vec<&String> = json.as_object().expect("it is an object").keys().collect();

    assert_eq!(keys, KEYS);
    assert!(status.success(), "{json}");
    assert_eq!(json["verified"], true);
    assert_eq!(json["lost"], 0);
    assert_eq!(json["duplicated"], 0);
    assert!(json["up_ms"].is_number());
    assert!(json["propagate_1_ms"].is_number());
    assert!(json["propagate_100_ms"].is_number());
    json
}

#[test]
fn one_member_is_a_cluster_that_nobody_kills() {
    let json = verified(&["--json", "--nodes", "1", "--lines", "30"]);

    assert_eq!(json["nodes"], 1);
    assert_eq!(json["lines"], 30);
    assert!(json["elect_after_leader_ms"].is_null());
    assert!(json["elect_after_half_ms"].is_null());
}

#[test]
fn two_members_are_a_cluster_that_nobody_kills() {
    let json = verified(&["--json", "--nodes", "2"]);

    assert!(json["elect_after_leader_ms"].is_null());
    assert!(json["elect_after_half_ms"].is_null());
}

#[test]
fn three_members_survive_their_leader() {
    let json = verified(&["--json", "--nodes", "3", "--election-timeout", "250"]);

    assert!(json["elect_after_leader_ms"].is_number());
    assert!(json["elect_after_half_ms"].is_number());
    // Three voters are the fewest: the dead are kept.
    assert!(json["recover_leader_ms"].is_null());
}

#[test]
fn in_the_laboratory_the_dead_are_evicted_down_to_two() {
    let json = verified(&["--json", "--lab", "--nodes", "3"]);

    assert_eq!(json["evict_after_ms"], 1000);
    assert!(json["recover_leader_ms"].is_number());
    assert!(json["recover_half_ms"].is_number());
}

#[test]
fn five_members_survive_their_leader_and_just_under_half() {
    let json = verified(&["--json", "--election-timeout", "250", "--seed", "7"]);

    assert_eq!(json["nodes"], 5);
    assert_eq!(json["lines"], 100);
    assert_eq!(json["evict_after_ms"], 1000);
    assert!(json["elect_after_leader_ms"].is_number());
    assert!(json["elect_after_half_ms"].is_number());
    assert!(json["recover_leader_ms"].is_number());
    assert!(json["recover_half_ms"].is_number());
}

#[test]
fn a_network_that_loses_a_fifth_loses_no_line() {
    let json = verified(&["--json", "--loss", "20", "--election-timeout", "250"]);

    assert!(json["elect_after_half_ms"].is_number());
}

#[test]
fn three_members_over_websocket_survive_their_leader() {
    let json = verified(&[
        "--json",
        "--transport=websocket",
        "--nodes=3",
        "--election-timeout=250",
    ]);

    assert!(json["elect_after_leader_ms"].is_number());
    assert!(json["elect_after_half_ms"].is_number());
}

#[test]
fn five_members_over_websocket_survive_just_under_half() {
    let json = verified(&["--json", "--transport=websocket", "--election-timeout=250"]);

    assert_eq!(json["nodes"], 5);
    assert!(json["recover_leader_ms"].is_number());
    assert!(json["recover_half_ms"].is_number());
}

#[test]
fn three_processes_survive_the_kill_of_their_leader() {
    let json = verified(&["--json", "--processes", "--lab", "--nodes=3"]);

    assert!(json["elect_after_leader_ms"].is_number());
    assert!(json["recover_leader_ms"].is_number());
    assert!(json["elect_after_half_ms"].is_number());
    assert!(json["recover_half_ms"].is_number());
}

/// Runs the demo over WebRTC, with its leader and just under half of the members killed. The demo fails by itself if
/// one packet has come to a survivor by another way than UDP.
fn verified_over_webrtc(arguments: &[&str]) -> Value {
    let json = verified(&[&["--json", "--transport=webrtc"], arguments].concat());

    assert!(json["elect_after_leader_ms"].is_number());
    assert!(json["elect_after_half_ms"].is_number());
    assert!(json["udp_datagrams"].as_u64() > Some(0), "{json}");
    json
}

#[test]
fn three_members_over_webrtc_survive_their_leader() {
    verified_over_webrtc(&["--nodes=3", "--election-timeout=250"]);
}

#[test]
fn five_members_over_webrtc_survive_just_under_half() {
    let json = verified_over_webrtc(&["--election-timeout=250"]);

    assert!(json["recover_leader_ms"].is_number());
    assert!(json["recover_half_ms"].is_number());
}

#[test]
fn eleven_members_over_webrtc_survive_just_under_half() {
    let json = verified_over_webrtc(&["--nodes=11", "--lines=110"]);

    assert!(json["recover_half_ms"].is_number());
}

#[test]
fn links_grow_as_members_times_voters() {
    let json = verified_over_webrtc(&["--nodes=11", "--voters=3", "--lab", "--lines=22"]);

    // Of the voters among themselves, and with each learner.
    assert_eq!(json["links"], 3 + 3 * 8);
}

#[test]
fn nobody_is_evicted_before_its_time() {
    let json = verified_over_webrtc(&[
        "--processes",
        "--evict-after=2500",
        "--election-timeout=250",
    ]);

    // Silence counts from the last answer, a heartbeat of 50 ms before the kill at most.
    assert!(
        json["recover_leader_ms"].as_f64() >= Some(2_450.0),
        "{json}"
    );
    assert!(json["recover_half_ms"].as_f64() >= Some(2_450.0), "{json}");
}

#[test]
fn three_processes_over_webrtc_survive_the_kill_of_their_leader() {
    let json = verified_over_webrtc(&["--processes", "--lab", "--nodes=3"]);

    assert!(json["recover_leader_ms"].is_number());
}

#[test]
fn eleven_processes_over_webrtc_survive_the_kill_of_just_under_half() {
    let json = verified_over_webrtc(&["--processes", "--lab", "--nodes=11", "--lines=110"]);

    assert!(json["recover_half_ms"].is_number());
}

#[test]
fn loss_over_a_transport_that_loses_nothing_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_liferaft"))
        .args(["demo", "--transport", "websocket", "--loss", "20"])
        .output()
        .expect("the program starts");

    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--loss is for --transport memory"));
}

#[test]
fn for_people_there_is_a_table_on_standard_output() {
    let (status, text) = demo(&["--nodes", "3", "--election-timeout", "250", "--lines", "3"]);

    assert!(status.success());
    assert!(text.contains("verified"), "{text}");
    assert!(
        !text.contains('\u{1b}'),
        "colours are for terminals: {text}"
    );
}

#[test]
fn a_flag_that_makes_no_sense_is_refused_with_its_range() {
    let output = Command::new(env!("CARGO_BIN_EXE_liferaft"))
        .args(["demo", "--nodes", "102"])
        .output()
        .expect("the program starts");

    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1..=101"));
}

#[cfg(unix)]
mod interrupted {
    use std::fs;
    use std::time::Instant;

    use super::*;

    // A demo that Ctrl-C ended left its members' folders among the temporary files.
    #[test]
    fn an_interrupted_demo_leaves_no_files() {
        let folder = format!("liferaft-interrupted-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        for (signal, transport) in [
            ("-INT", "--transport=memory"),
            ("-TERM", "--transport=memory"),
            // Their processes end with it: whoever still ran would make files.
            ("-INT", "--processes"),
        ] {
            fs::create_dir(&folder).expect("the name is free");
            let mut child = Command::new(env!("CARGO_BIN_EXE_liferaft"))
                .args(["demo", "--json", transport])
                .env("TMPDIR", &folder)
                .stdout(Stdio::null())
                .spawn()
                .expect("the program starts");
            let has_members = || {
                let root = fs::read_dir(&folder).ok()?.next()?.ok()?;
                let members = fs::read_dir(root.path()).ok()?;
                (members.count() == 5).then_some(())
            };
            wait_until(has_members);

            let killed = Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status();
            assert!(killed.expect("there is such a program").success());
            let status = wait_until(|| child.try_wait().expect("it is ours"));

            assert_eq!(status.code(), Some(130), "{signal} {transport}");
            fs::remove_dir(&folder).expect("nothing is left in it");
        }
    }

    /// Returns what this returns at last.
    fn wait_until<T>(mut found: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(Instant::now() < until, "it does not happen");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
