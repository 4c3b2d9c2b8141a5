//! Runs the program, and members of it as processes that end with their test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes so long on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A folder that is removed when it is dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("liferaft-processes-{name}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir(&folder.0).expect("nobody else has the name");
        folder
    }

    pub(crate) fn of(&self, member: &str) -> String {
        let path = self.0.join(member);
        path.to_str().expect("its name is text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _absent = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn liferaft() -> Command {
    Command::new(env!("CARGO_BIN_EXE_liferaft"))
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    let output = liferaft().args(arguments).stdin(Stdio::null()).output();
    output.expect("the program starts")
}

/// The error that a command ends with.
pub(crate) fn error_of(arguments: &[&str]) -> String {
    failed(arguments, 1)
}

/// The error that a command ends with whose command line is wrong.
pub(crate) fn misuse_of(arguments: &[&str]) -> String {
    failed(arguments, 2)
}

fn failed(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stderr).expect("it is text")
}

/// A member in a process.
pub(crate) struct Node {
    pub(crate) process: Ending,
    news: Receiver<Value>,
}

impl Node {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_by(liferaft(), arguments)
    }

    /// Starts it by a command that ends with the program's name.
    pub(crate) fn start_by(mut command: Command, arguments: &[&str]) -> Self {
        let mut process = command
            .args(arguments)
            .args(["--json", "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = process.stdout.take().expect("it is piped");
        let (sender, news) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let item = serde_json::from_str(&line).expect("each line is JSON");
                if sender.send(item).is_err() {
                    break;
                }
            }
        });
        Self {
            process: Ending(process),
            news,
        }
    }

    /// Waits for news of this kind about which this is true.
    pub(crate) fn until(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let item = self.news.recv_timeout(left).expect("it is told in time");
            if item["news"] == kind && is_it(&item) {
                return item;
            }
        }
    }

    pub(crate) fn invitation(&self) -> String {
        self.invitation_for("member")
    }

    /// Waits for an invitation for this purpose.
    pub(crate) fn invitation_for(&self, purpose: &str) -> String {
        let told = self.until("invited", |told| told["purpose"] == purpose);
        told["invitation"].as_str().expect("it is text").to_owned()
    }

    pub(crate) fn address(&self) -> String {
        let told = self.until("started", |_| true);
        let address = told["addresses"][0].as_str().expect("it has one");
        address.trim_start_matches("ws://").to_owned()
    }

    /// Waits until so many vote.
    pub(crate) fn until_voters(&self, count: usize) {
        self.until("members", |told| {
            told["voters"].as_array().map(Vec::len) == Some(count)
        });
    }

    /// Ends it as its supervisor would, and returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        drop(self.process.0.stdin.take());
        self.ended()
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        ended(&mut self.process)
    }
}

/// Waits until a process ends, and returns its exit code.
pub(crate) fn ended(process: &mut Ending) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.0.try_wait().expect("it is a child") {
            return status.code();
        }
        assert!(Instant::now() < deadline, "it ends in time");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process that ends with this at the latest.
pub(crate) struct Ending(pub(crate) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(crate) const ANYWHERE: &str = "127.0.0.1:0";

pub(crate) fn init(folder: &str) -> Node {
    Node::start(&[
        "init", "--data", folder, "--listen", ANYWHERE, "--name", "ada",
    ])
}

pub(crate) fn join(folder: &str, invitation: &str, name: &str) -> Node {
    Node::start(&[
        "node", "--data", folder, "--listen", ANYWHERE, "--name", name, "--join", invitation,
    ])
}
