//! Tests what people see in a terminal: `liferaft cluster` and `liferaft serve` by their keys, and the QR codes of
//! invitations.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use liferaft::Invitation;
use liferaft::configuration::Address;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::monitor::get;
use crate::node::{ANYWHERE, Ending, Folder, PATIENCE, liferaft, told_by, until};
use crate::reader::read;

/// A cluster in a terminal of its own.
struct Shown {
    process: Ending,
    keys: File,
    drawn: Receiver<String>,
    /// The last table, or what there is of it.
    lines: Vec<String>,
}

/// What a row of the table says.
#[derive(Debug)]
struct Row {
    name: String,
    address: String,
    role: String,
}

impl Shown {
    fn start(folder: &Folder) -> Self {
        let mut command = liferaft();
        command.args(["cluster", "3"]).env("TMPDIR", &folder.0);
        let errors = File::create(folder.0.join("errors")).expect("there is room");
        let (process, keys, drawn) = in_terminal(120, command.stderr(errors));
        Self {
            process,
            keys,
            drawn,
            lines: Vec::new(),
        }
    }

    fn press(&mut self, key: u8) {
        self.keys.write_all(&[key]).expect("somebody reads");
    }

    /// Waits for a whole table of which this is true.
    fn until(&mut self, what: &str, is_so: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.drawn.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("{what}, in time: {:#?}", self.lines));
            if line.starts_with("member ") {
                self.lines.clear();
            }
            let is_last = line.starts_with("k kills");
            self.lines.push(line);
            let rows: Vec<Row> = self.lines.iter().filter_map(|line| row(line)).collect();
            if is_last && rows.len() == 3 && is_so(&rows) {
                return rows;
            }
        }
    }
}

/// Runs a command in a terminal of its own, with so many columns. Returns what presses its keys, and the lines that it
/// draws.
fn in_terminal(columns: u16, command: &mut Command) -> (Ending, File, Receiver<String>) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let controller = openpt(flags).expect("there are terminals");
    grantpt(&controller).expect("it is our own");
    unlockpt(&controller).expect("it is our own");
    let size = Winsize {
        ws_row: 40,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&controller, size).expect("it is a terminal");
    let name = ptsname(&controller, Vec::new()).expect("it has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal = open(&*name, flags, Mode::empty()).expect("it is unlocked");
    let other: OwnedFd = terminal.try_clone().expect("there are file descriptors");
    let process = command
        .env("TERM", "xterm")
        .stdin(Stdio::from(terminal))
        .stdout(Stdio::from(other))
        .spawn()
        .expect("the program starts");
    let keys = File::from(controller);
    let mut output = keys.try_clone().expect("there are file descriptors");
    let (sender, drawn) = channel();
    thread::spawn(move || {
        let (mut bytes, mut line) = ([0; 4096], Vec::new());
        // It fails once the last process is gone that has the terminal.
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            for byte in &bytes[..read] {
                match byte {
                    b'\n' => {
                        let text = String::from_utf8_lossy(&line).into_owned();
                        line.clear();
                        if sender.send(plain(&text)).is_err() {
                            return;
                        }
                    }
                    byte => line.push(*byte),
                }
            }
        }
    });
    (Ending(process), keys, drawn)
}

/// A line without what colors it and moves the cursor.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // An escape sequence ends with a letter.
            characters.find(char::is_ascii_alphabetic);
        } else if !character.is_control() {
            out.push(character);
        }
    }
    out
}

fn row(line: &str) -> Option<Row> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [name, address, role, term, commit, lag, ..] = words[..] else {
        return None;
    };
    let numbers = [term, commit, lag];
    if !name.starts_with("member-") || numbers.iter().any(|text| text.parse::<u64>().is_err()) {
        return None;
    }
    Some(Row {
        name: name.to_owned(),
        address: address.to_owned(),
        role: role.to_owned(),
    })
}

fn count(rows: &[Row], role: &str) -> usize {
    rows.iter().filter(|row| row.role == role).count()
}

fn is_whole(rows: &[Row]) -> bool {
    count(rows, "leader") == 1 && count(rows, "follower") == 2
}

#[test]
fn a_cluster_in_a_terminal_does_what_its_keys_say() {
    let folder = Folder::new("terminal");
    let mut shown = Shown::start(&folder);
    let rows = shown.until("all take part", is_whole);
    let head = shown.lines[0].clone();
    let addresses: Vec<_> = rows.iter().map(|row| row.address.clone()).collect();

    // Any of them, without a token.
    for address in &addresses {
        told_by(&["kv", "--at", address, "set", "camp", "hill"]);
        assert_eq!(told_by(&["kv", "--at", address, "get", "camp"]), "hill\n");
    }
    let leader = |rows: &[Row]| {
        let leader = rows.iter().find(|row| row.role == "leader");
        leader.map(|row| row.name.clone())
    };
    let first = leader(&rows);
    shown.press(b'k');
    let killed = shown.until("the leader is dead, and another leads", |rows| {
        count(rows, "dead") == 1 && count(rows, "leader") == 1 && count(rows, "follower") == 1
    });
    shown.press(b'r');
    shown.until("the dead goes on", is_whole);
    shown.press(b'p');
    shown.until("one is paused", |rows| count(rows, "paused") == 1);
    shown.press(b'p');
    shown.until("it goes on", is_whole);
    shown.press(b'q');
    until("it ends", || {
        let ended = shown.process.0.try_wait().expect("it is a child");
        ended.is_some()
    });

    let code = shown.process.0.wait().expect("it is a child").code();
    let errors = fs::read_to_string(folder.0.join("errors")).expect("it is there");
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_ne!(leader(&killed), first);
    for column in [
        "member",
        "address",
        "role",
        "term",
        "commit",
        "lag",
        "commits/s",
    ] {
        assert!(head.split_whitespace().any(|word| word == column), "{head}");
    }
    // No child is left, and no folder.
    assert!(
        addresses
            .iter()
            .all(|address| TcpStream::connect(address).is_err())
    );
    let left = fs::read_dir(&folder.0).expect("it is there");
    assert_eq!(left.count(), 1);
}

#[test]
fn a_key_stops_signaling_and_starts_it_again() {
    let mut command = liferaft();
    command.args(["serve", "--listen", ANYWHERE, "--no-open"]);
    let (mut process, mut keys, drawn) = in_terminal(80, &mut command);
    let deadline = Instant::now() + PATIENCE;
    let said = |what: &str| -> String {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = drawn.recv_timeout(left).expect("it is said in time");
            if let Some(rest) = line.strip_prefix(what) {
                return rest.to_owned();
            }
        }
    };
    let address = said("signaling at http://");
    let address = address.parse().expect("it is an address");
    let status = || get(address, "/peerjs/id")[.."HTTP/1.1 200".len()].to_owned();
    said("s stops signaling");

    let before = status();
    keys.write_all(b"s").expect("somebody reads");
    said("signaling is stopped");
    let stopped = status();
    keys.write_all(b"s").expect("somebody reads");
    said("signaling goes on");
    let after = status();
    keys.write_all(b"q").expect("somebody reads");
    until("it ends", || {
        let ended = process.0.try_wait().expect("it is a child");
        ended.is_some()
    });

    let code = process.0.wait().expect("it is a child").code();
    assert_eq!([before, after], ["HTTP/1.1 200", "HTTP/1.1 200"]);
    assert_eq!((stopped.as_str(), code), ("HTTP/1.1 503", Some(0)));
}

/// The code that `liferaft init` shows in a terminal of this width, and the text before it.
fn invited(folder: &Folder, member: &str, columns: u16) -> (String, String) {
    let data = folder.of(member);
    let mut command = liferaft();
    command.args([
        "init", "--data", &data, "--listen", ANYWHERE, "--rtc", ANYWHERE,
    ]);
    let (_process, _keys, drawn) = in_terminal(columns, &mut command);
    let deadline = Instant::now() + PATIENCE;
    let (mut text, mut code) = (String::new(), String::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = drawn.recv_timeout(left).expect("it is shown in time");
        if line.starts_with("liferaft:") {
            text = line;
        } else if line.starts_with(['█', '▀']) {
            code += &(line + "\n");
        } else if line.starts_with("an invitation to operators") || line.starts_with("leads") {
            return (text, code);
        }
    }
}

#[test]
fn a_terminal_shows_an_invitation_as_a_code_too() {
    let folder = Folder::new("code");

    let (text, code) = invited(&folder, "wide", 80);

    assert!(code.lines().all(|line| line.chars().count() <= 80));
    assert_eq!(read(&code), text);
    let invitation: Invitation = text.parse().expect("it is one");
    let schemes: Vec<_> = invitation.addresses().iter().map(Address::scheme).collect();
    assert_eq!(schemes, ["rtc", "ws"]);
}

#[test]
fn a_terminal_that_is_too_narrow_shows_the_text_alone() {
    let folder = Folder::new("narrow");

    let (text, code) = invited(&folder, "narrow", 40);

    assert!(text.parse::<Invitation>().is_ok());
    assert_eq!(code, "");
}
