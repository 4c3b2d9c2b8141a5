//! Runs the program, and members of it as processes that end with their test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use liferaft::driver::Client;
use liferaft::kv::{Kv, KvHandle};
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};
use liferaft::{Endpoint, Identity, Invitation};
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
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

/// What a command prints that succeeds.
pub(crate) fn told_by(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// Reads what a command prints as lines of JSON.
pub(crate) fn rows(text: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).expect("it is JSON");
    text.lines().map(read).collect()
}

/// Waits until this is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    awaited(what, || is_so().then_some(()));
}

/// Waits until this is there: other processes tell nobody when it is, so they are asked again and again.
pub(crate) fn awaited<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}, in time");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A port of loopback that nobody listens on.
pub(crate) fn free_port() -> u16 {
    free_ports(1)[0]
}

/// Ports of loopback, each another, that nobody listens on.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let listen = |_| TcpListener::bind(ANYWHERE).expect("a port is free");
    let listeners: Vec<_> = (0..count).map(listen).collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    listeners.iter().map(port).collect()
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
    /// What it has told and nobody has asked for.
    pub(crate) news: Receiver<Value>,
}

impl Node {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_by(liferaft(), arguments)
    }

    /// Starts it by a command that ends with the program's name.
    pub(crate) fn start_by(mut command: Command, arguments: &[&str]) -> Self {
        command.args(arguments).args(["--json", "--until-eof"]);
        Self::spawn(command.stdin(Stdio::piped()))
    }

    /// Starts it as a supervisor does: nothing but signals ends it. It tells lines of JSON.
    #[cfg(unix)]
    pub(crate) fn supervised(mut command: Command) -> Self {
        Self::spawn(command.env("LIFERAFT_JSON", "true").stdin(Stdio::null()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut process = command
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
        let mut other = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.news.recv_timeout(left) {
                Ok(item) if item["news"] == kind && is_it(&item) => return item,
                Ok(item) => other.push(item.to_string()),
                Err(error) => panic!("no {kind} is told: {error}, but {other:#?}"),
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

    /// Where monitors ask.
    pub(crate) fn monitor(&self) -> SocketAddr {
        let told = self.until("started", |_| true);
        let address = told["monitor"].as_str().expect("it listens");
        let address = address.trim_start_matches("http://").parse();
        address.expect("it is an address")
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

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.process.0);
        kill_process(id, signal).expect("it runs");
    }

    /// Ends it by a signal, and returns its exit code.
    #[cfg(unix)]
    pub(crate) fn stop_by(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.ended()
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        ended(&mut self.process)
    }
}

/// Waits until a process ends, and returns its exit code.
pub(crate) fn ended(process: &mut Ending) -> Option<i32> {
    let status = || process.0.try_wait().expect("it is a child");
    awaited("it ends", status).code()
}

/// Opens a room of a signaling server, and returns the link of its founder.
pub(crate) fn open_room(server: SocketAddr) -> String {
    let mut stream = TcpStream::connect(server).expect("it listens");
    let request = format!("GET /new HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is read");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("it is text");
    let mut lines = response.lines();
    let location = lines.find_map(|line| line.strip_prefix("location: "));
    format!("http://{server}{}", location.expect("it leads to a room"))
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
    init_with(folder, &[])
}

pub(crate) fn init_with(folder: &str, more: &[&str]) -> Node {
    let init = [
        "init", "--data", folder, "--listen", ANYWHERE, "--name", "ada",
    ];
    Node::start(&[&init, more].concat())
}

pub(crate) fn join(folder: &str, invitation: &str, name: &str) -> Node {
    join_with(folder, invitation, name, &[])
}

pub(crate) fn join_with(folder: &str, invitation: &str, name: &str, more: &[&str]) -> Node {
    let join = [
        "node", "--data", folder, "--listen", ANYWHERE, "--name", name, "--join", invitation,
    ];
    Node::start(&[&join, more].concat())
}

/// Starts a client by an invitation, by whatever its members listen for.
pub(crate) fn client(invitation: Invitation, request_timeout: Duration) -> KvHandle<Client<Kv>> {
    let identity = Identity::draw();
    let carrier = WebSocketCarrier::dial_only(WebSocketConfig::default());
    let endpoint = Endpoint::new(identity.clone(), carrier)
        .with_carrier(WebRtcCarrier::dial_only(WebRtcConfig::default()));
    let client = Client::<Kv>::builder(identity, endpoint, invitation);
    let client = client.request_timeout(request_timeout).start();
    KvHandle::new(client.expect("its transport is its own"))
}
