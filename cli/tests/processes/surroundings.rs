//! Tests that members bear what surrounds them: terminals that close, pipes that nobody reads, numbers beyond all
//! bounds.

use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::node::{ANYWHERE, Ending, Folder, Node, error_of, liferaft, run};

/// An output that takes no byte any more, and whoever could read it.
fn full() -> (OwnedFd, UnixStream) {
    let (mut output, reader) = UnixStream::pair().expect("there are sockets");
    output.set_nonblocking(true).expect("it is one");
    let full = loop {
        match output.write(&[b'\n'; 4096]) {
            Ok(taken) => assert_ne!(taken, 0),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    output.set_nonblocking(false).expect("it is one");
    (output.into(), reader)
}

/// An output whose reader is gone.
fn broken() -> OwnedFd {
    let (output, _reader) = UnixStream::pair().expect("there are sockets");
    output.into()
}

fn pid(process: &Child) -> Pid {
    Pid::from_child(process)
}

fn is_linux() -> bool {
    Path::new("/proc/self/status").exists()
}

/// A member whose terminal has it ended, or not, however these tests were started.
fn init_by_env(hangup: &str, folder: &str) -> Node {
    let mut env = Command::new("env");
    env.args([hangup, env!("CARGO_BIN_EXE_liferaft")]);
    Node::start_by(env, &["init", "--data", folder, "--listen", ANYWHERE])
}

#[test]
fn a_terminal_that_closes_has_a_member_hand_over_and_stop() {
    if !is_linux() {
        println!("skipped: closed terminals: `env` may not set what signals do");
        return;
    }
    let folder = Folder::new("hangup");
    let mut ada = init_by_env("--default-signal=HUP", &folder.of("ada"));
    ada.invitation_for("operator");

    kill_process(pid(&ada.process.0), Signal::HUP).expect("it runs");

    ada.until("stopping", |_| true);
    assert_eq!(ada.ended(), Some(0));
}

#[test]
fn a_member_that_is_to_outlive_its_terminal_does() {
    if !is_linux() {
        println!("skipped: closed terminals: `env` may not set what signals do");
        return;
    }
    let folder = Folder::new("no-hangup");
    let ada = init_by_env("--ignore-signal=HUP", &folder.of("ada"));
    let operator = ada.invitation_for("operator");

    kill_process(pid(&ada.process.0), Signal::HUP).expect("it runs");

    let set = run(&["kv", "--at", &operator, "set", "key", "value"]);
    assert!(set.status.success());
    assert_eq!(ada.stop(), Some(0));
}

#[test]
fn a_member_stops_whose_news_nobody_reads() {
    let folder = Folder::new("unread");
    let (output, _never_read) = full();
    let mut init = liferaft();
    init.args(["init", "--data", &folder.of("ada"), "--listen", ANYWHERE])
        .args(["--json", "--until-eof"])
        .stdin(Stdio::piped())
        .stdout(output);
    let mut ada = Ending(init.spawn().expect("the program starts"));

    drop(ada.0.stdin.take());

    assert_eq!(crate::node::ended(&mut ada), Some(0));
}

#[test]
fn a_member_goes_on_whose_errors_nobody_reads() {
    let folder = Folder::new("broken");
    let mut init = Command::new(env!("CARGO_BIN_EXE_liferaft"));
    init.stderr(broken());
    let arguments = ["--log", "trace", "init", "--data", &folder.of("ada")];
    let ada = Node::start_by(init, &[&arguments[..], &["--listen", ANYWHERE]].concat());

    let operator = ada.invitation_for("operator");

    let set = run(&["kv", "--at", &operator, "set", "key", "value"]);
    assert!(set.status.success());
    assert_eq!(ada.stop(), Some(0));
}

#[test]
fn a_command_keeps_its_exit_code_where_nobody_reads_why() {
    let folder = Folder::new("unread-error");
    let absent = folder.of("absent");
    let arguments = ["node", "--data", &absent, "--listen", ANYWHERE];
    error_of(&arguments);

    let status = liferaft().args(arguments).stderr(broken()).status();

    assert_eq!(status.expect("the program starts").code(), Some(1));
}

#[test]
fn times_beyond_all_bounds_are_refused_before_anything_is_done() {
    let folder = Folder::new("times");
    let ada = folder.of("ada");
    let forever = u64::MAX.to_string();
    let init = ["init", "--data", &ada, "--listen", ANYWHERE];

    let evict = run(&[&init[..], &["--evict-after", &forever]].concat());
    let get = run(&[
        "kv",
        "--at",
        "127.0.0.1:1",
        "--timeout",
        &forever,
        "get",
        "key",
    ]);

    assert_eq!(evict.status.code(), Some(2));
    assert_eq!(get.status.code(), Some(2));
    assert!(!Path::new(&ada).exists());
}
