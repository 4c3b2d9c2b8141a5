//! Tests members that find each other in a room of a signaling server, and clusters that grow without it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use liferaft::Invitation;
use serde_json::Value;

use crate::monitor::get;
use crate::node::{
    ANYWHERE, Folder, Node, awaited, liferaft, misuse_of, open_room, rows, run, told_by, until,
};

/// A signaling server in a process.
struct Server {
    node: Node,
    address: SocketAddr,
    monitor: SocketAddr,
}

impl Server {
    fn start(listen: &str) -> Self {
        let node = Node::start(&["serve", "--listen", listen, "--monitor", ANYWHERE]);
        let started = node.until("started", |_| true);
        let address = |of: &str| {
            let url = started[of].as_str().expect("it listens");
            url["http://".len()..].parse().expect("it is an address")
        };
        let (address, monitor) = (address("address"), address("monitor"));
        Self {
            node,
            address,
            monitor,
        }
    }

    /// Opens a room, and returns its link as its founder has it.
    fn room(&self) -> String {
        open_room(self.address)
    }

    fn figure(&self, name: &str) -> u64 {
        let figures = get(self.monitor, "/metrics");
        let prefix = format!("liferaft_signaling_{name} ");
        let found = figures.lines().find_map(|line| line.strip_prefix(&prefix));
        found.and_then(|found| found.parse().ok()).expect(name)
    }

    /// Kills it, and returns where it was.
    fn kill(mut self) -> String {
        kill(&mut self.node);
        self.address.to_string()
    }
}

fn kill(node: &mut Node) {
    node.process.0.kill().expect("it runs");
    node.ended();
}

/// A member that has no address but that of its room.
fn init_in(room: &str, folder: &str) -> Node {
    Node::start(&["init", "--data", folder, "--room", room, "--name", "ada"])
}

fn join_in(room: &str, folder: &str, invitation: &str, name: &str) -> Node {
    let join = ["node", "--data", folder, "--room", room];
    Node::start(&[&join[..], &["--name", name, "--join", invitation]].concat())
}

/// Joins from outside of all rooms, by the addresses that the invitation names.
fn join_outside(folder: &str, invitation: &str, name: &str) -> Node {
    let join = ["node", "--data", folder, "--rtc", ANYWHERE];
    Node::start(&[&join[..], &["--name", name, "--join", invitation]].concat())
}

/// The addresses that a member tells others.
fn addresses(node: &Node) -> Vec<String> {
    let told = node.until("started", |_| true);
    let addresses = told["addresses"].as_array().expect("it is a list").iter();
    let text = |address: &Value| address.as_str().expect("it is text").to_owned();
    addresses.map(text).collect()
}

#[test]
fn a_room_that_is_none_is_refused_before_anything_else() {
    let folder = Folder::new("no-room");

    let codes = ["init", "node"].map(|command| {
        let refused = run(&[command, "--data", &folder.of("ada"), "--room", "foo"]);
        refused.status.code()
    });

    assert_eq!(codes, [Some(2), Some(2)]);
}

#[test]
fn a_room_is_all_that_it_takes_to_join() {
    let folder = Folder::new("room");
    let server = Server::start(ANYWHERE);
    let room = server.room();

    let ada = init_in(&room, &folder.of("ada"));
    let told = addresses(&ada);
    let invitation = ada.invitation();
    let operator = ada.invitation_for("operator");
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");
    // This one is in no room, and dials by the address that the invitation names.
    let eve = join_outside(&folder.of("eve"), &invitation, "eve");

    bob.until_voters(3);
    eve.until_voters(3);
    told_by(&["kv", "--at", &operator, "set", "camp", "hill"]);
    let number =
        &room[room.find('=').expect("it has a number") + 1..room.len() - "#firstServer".len()];
    let prefix = format!("rtc+ws://{}/{number}/", server.address);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with(&prefix), "{told:?}");
}

/// The leader may close its link with whom the configuration names no more before it has answered.
#[test]
fn who_is_found_in_a_room_leaves_when_it_is_asked_to() {
    let folder = Folder::new("room-leave");
    let server = Server::start(ANYWHERE);
    let room = server.room();
    let ada = init_in(&room, &folder.of("ada"));
    let invitation = ada.invitation();
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");
    let eve = join_in(&room, &folder.of("eve"), &invitation, "eve");
    ada.until_voters(3);
    eve.until_voters(3);
    assert_eq!(bob.stop(), Some(0));

    let left = run(&["leave", "--data", &folder.of("bob"), "--room", &room]);

    let told = String::from_utf8_lossy(&left.stderr);
    assert_eq!(left.status.code(), Some(0), "{told}");
    ada.until_voters(2);
}

#[test]
fn a_member_that_was_killed_gets_its_id_back() {
    let folder = Folder::new("room-again");
    let server = Server::start(ANYWHERE);
    let room = server.room();
    let data = folder.of("ada");
    let mut ada = init_in(&room, &data);
    let told = addresses(&ada);
    let invitation = ada.invitation();
    until("it is registered", || server.figure("peers") == 1);

    kill(&mut ada);
    let again = Node::start(&["node", "--data", &data, "--room", &room]);
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");

    bob.until_voters(2);
    assert_eq!(addresses(&again), told);
    assert_eq!(server.figure("ids_taken_total"), 0);
}

#[test]
fn a_member_tells_monitors_how_many_rooms_it_reaches() {
    let folder = Folder::new("room-figures");
    let server = Server::start(ANYWHERE);
    let (room, data) = (server.room(), folder.of("ada"));
    let ada = Node::start(&[
        "init",
        "--data",
        &data,
        "--room",
        &room,
        "--monitor",
        ANYWHERE,
    ]);
    let monitor = ada.monitor();
    let has = |figure: &str| get(monitor, "/metrics").contains(&format!("\n{figure}\n"));

    until("it is found there", || has("liferaft_rooms_reached 1"));
    server.kill();
    until("it is not", || has("liferaft_rooms_reached 0"));

    assert!(has("liferaft_rooms 1"));
}

/// So long a join takes at most that waits for the server's return.
const JOINING_TIME: Duration = Duration::from_secs(5);

/// So long it may take on a machine that builds and tests besides.
const PATIENCE_WITH_JOINS: Duration = Duration::from_secs(30);

/// So many connections are refused before the server returns: by then three peers wait as long as they ever do.
const REFUSED: usize = 18;

#[test]
fn a_join_succeeds_soon_after_the_server_has_returned() {
    let folder = Folder::new("room-returns");
    let server = Server::start(ANYWHERE);
    let room = server.room();
    let ada = init_in(&room, &folder.of("ada"));
    let invitation = ada.invitation();
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");
    bob.until_voters(2);

    let address = server.kill();
    let closed = TcpListener::bind(&address).expect("it is free again");
    let eve = join_in(&room, &folder.of("eve"), &invitation, "eve");
    for _ in 0..REFUSED {
        drop(closed.accept().expect("a peer tries"));
    }
    drop(closed);
    // It knows nothing of the room.
    let _server = Server::start(&address);
    let returned_at = Instant::now();
    eve.until_voters(3);

    let took = returned_at.elapsed();
    println!("joined {took:?} after the server's return; target {JOINING_TIME:?}");
    assert!(took < PATIENCE_WITH_JOINS, "{took:?}");
}

/// Whoever knows both rooms comes in by the one whose server is there. When the other one is back, members are found
/// there by the same ids.
#[test]
fn of_two_rooms_one_whose_server_is_there_is_enough() {
    let folder = Folder::new("room-two");
    let (first, second) = (Server::start(ANYWHERE), Server::start(ANYWHERE));
    let rooms = [first.room(), second.room()];
    let start = |command: &str, name: &str, more: &[&str]| {
        let data = folder.of(name);
        let flags = [command, "--data", &data, "--name", name];
        let in_both = ["--room", &rooms[0], "--room", &rooms[1]];
        Node::start(&[&flags[..], &in_both, more].concat())
    };
    let ada = start("init", "ada", &[]);
    let invitation = ada.invitation();
    until("it is registered in both", || {
        first.figure("peers") == 1 && second.figure("peers") == 1
    });

    let address = first.kill();
    let bob = start("node", "bob", &["--join", &invitation]);
    bob.until_voters(2);
    let first = Server::start(&address);
    until("both are back", || first.figure("peers") == 2);
    second.kill();
    let eve = join_in(&rooms[0], &folder.of("eve"), &invitation, "eve");

    eve.until_voters(3);
    assert_eq!(first.figure("ids_taken_total"), 0);
}

/// The server's list of who is there is a hint, and members prove what they are.
#[test]
fn a_newcomer_finds_members_in_the_room_whom_nobody_has_named() {
    let folder = Folder::new("room-listed");
    let server = Server::start(ANYWHERE);
    let room = server.room();
    let mut ada = init_in(&room, &folder.of("ada"));
    // It names the one who is alone.
    let invitation = ada.invitation();
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");
    let eve = join_in(&room, &folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);

    kill(&mut ada);
    let dan = join_in(&room, &folder.of("dan"), &invitation, "dan");

    // The dead one counts as a voter for some time.
    dan.until("members", |told| {
        let named = ["voters", "learners"].map(|role| told[role].as_array().cloned());
        named
            .into_iter()
            .flatten()
            .flatten()
            .any(|name| name == "dan")
    });
}

/// Founds a cluster in a room, by a member that has an address of its own too.
fn init_with_an_address(room: &str, data: &str) -> Node {
    let ada = ["init", "--data", data, "--rtc", ANYWHERE, "--name", "ada"];
    Node::start(&[&ada[..], &["--room", room]].concat())
}

#[test]
fn a_members_link_lets_newcomers_in_without_the_server() {
    let folder = Folder::new("room-dead");
    let server = Server::start(ANYWHERE);
    let room = server.room();
    let ada = init_with_an_address(&room, &folder.of("ada"));
    let told = addresses(&ada);
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");
    let eve = join_in(&room, &folder.of("eve"), &invitation, "eve");
    eve.until_voters(3);
    bob.until_voters(3);

    server.kill();
    // Of all others but the first there are no addresses that lead anywhere.
    let data = folder.of("dan");
    let dan = ["node", "--data", &data, "--rtc", ANYWHERE, "--name", "dan"];
    let dan = Node::start(&[&dan[..], &["--join", &invitation]].concat());

    dan.until_voters(4);
    until("it has direct links with all", || {
        links(&operator, "dan") == ["rtc", "rtc", "rtc"]
    });
    assert!(told[0].starts_with("rtc://"), "{told:?}");
    assert!(told[1].starts_with("rtc+ws://"), "{told:?}");
}

/// Returns by which carriers the direct links of a member run.
fn links(operator: &str, member: &str) -> Vec<String> {
    let told = rows(&told_by(&["status", "--at", operator, "--links", "--json"]));
    let row = told.iter().find(|row| row["name"] == member);
    let row = row.expect("it is a member");
    let paths = row["paths"].as_array().expect("it is a list").iter();
    let direct = paths.filter(|path| path["relay"].is_null());
    let carrier = |path: &Value| path["carrier"].as_str().expect("it is text").to_owned();
    direct.map(carrier).collect()
}

/// npm's `peer`, whose address is in `PEERJS_SERVER` as `ws://127.0.0.1:9000/peerjs`.
#[test]
#[ignore = "needs npm's peer, which cargo xtask test --only browser has"]
fn a_published_server_is_all_that_it_takes_to_join() {
    let folder = Folder::new("room-published");
    let room = std::env::var("PEERJS_SERVER").expect("PEERJS_SERVER says where it is");

    let ada = init_in(&room, &folder.of("ada"));
    let invitation = ada.invitation();
    let operator = ada.invitation_for("operator");
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");
    // This one dials the id that the invitation names, and has nothing else to do with the server.
    let eve = join_outside(&folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);
    told_by(&["kv", "--at", &operator, "set", "camp", "hill"]);
    told_by(&["members", "--at", &operator, "transfer", "bob"]);
    // The leader answers, of what it has itself.
    let read = told_by(&["kv", "--at", &operator, "get", "camp"]);

    assert_eq!(read.trim_end(), "hill");
    let named: Invitation = invitation.parse().expect("it is one");
    let [address] = named.addresses() else {
        panic!("{named:?}");
    };
    assert!(address.as_str().starts_with(&format!("rtc+{room}/")));
    until("all have direct links", || {
        ["ada", "bob", "eve"].map(|name| links(&operator, name)) == [["rtc", "rtc"]; 3]
    });
}

/// A client that was there for a moment left its id behind, for whoever looked into the room.
#[test]
fn a_client_leaves_nothing_behind_in_a_room() {
    let folder = Folder::new("room-client");
    let server = Server::start(ANYWHERE);
    let ada = init_in(&server.room(), &folder.of("ada"));
    let operator = ada.invitation_for("operator");

    told_by(&["kv", "--at", &operator, "set", "camp", "hill"]);

    until("the member alone is left", || server.figure("peers") == 1);
    assert_eq!(ada.stop(), Some(0));
}

/// A socket that is accepted by the system and answered by nobody is given up in time.
#[test]
fn a_signaling_server_that_is_frozen_is_named_in_time() {
    let folder = Folder::new("room-frozen");
    let server = Server::start(ANYWHERE);
    let ada = init_in(&server.room(), &folder.of("ada"));
    let operator = ada.invitation_for("operator");
    assert_eq!(ada.stop(), Some(0));
    let address = server.kill();
    let _frozen = TcpListener::bind(&address).expect("it is free again");

    let refused = run(&["kv", "--at", &operator, "get", "camp"]);

    let why = String::from_utf8_lossy(&refused.stderr);
    let named = format!("the signaling server ws://{address}/");
    assert_eq!(refused.status.code(), Some(5), "{why}");
    assert!(why.contains(&named), "{why}");
    assert!(
        why.contains("a member that has an address of its own"),
        "{why}"
    );
}

/// Whoever joins heard of no leader, and of nothing else; and clients, that nobody answers in time.
#[test]
fn whoever_finds_no_server_hears_which_one_and_why() {
    let folder = Folder::new("room-unreached");
    let server = Server::start(ANYWHERE);
    let room = server.room();
    let data = folder.of("ada");
    let ada = init_in(&room, &data);
    let operator = ada.invitation_for("operator");
    assert_eq!(ada.stop(), Some(0));
    let address = server.kill();

    let refused = run(&["kv", "--at", &operator, "--timeout", "7", "get", "camp"]);
    let again = ["node", "--data", &data, "--room", &room];
    let mut again = liferaft()
        .args(again)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let errors = BufReader::new(again.stderr.take().expect("it is piped"));
    let warned = errors
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("WARN"));
    again.kill().expect("it runs");
    again.wait().expect("it is ours");

    let why = String::from_utf8_lossy(&refused.stderr);
    let named = format!("the signaling server ws://{address}/");
    assert_eq!(refused.status.code(), Some(5), "{why}");
    assert!(why.contains(&named), "{why}");
    assert!(why.contains("the connection is refused"), "{why}");
    let warned = warned.expect("it is told");
    assert!(warned.contains("is not reached"), "{warned}");
    assert!(
        warned.contains(&format!("server=\"ws://{address}/")),
        "{warned}"
    );
}

#[test]
fn rooms_are_judged_before_anything_is_made() {
    let folder = Folder::new("room-judged");
    let ada = folder.of("ada");

    for (wrong, why) in [
        (
            "http://127.0.0.1:9000",
            "http://127.0.0.1:9000/new makes one",
        ),
        (
            "http://127.0.0.1:9000/peerjs",
            "is ws://127.0.0.1:9000/peerjs",
        ),
        ("127.0.0.1:9000/?channel=1#SECRET", "?channel=ROOM"),
    ] {
        let refused = misuse_of(&["init", "--data", &ada, "--room", wrong]);

        assert!(refused.contains(why), "{refused}");
        assert!(!refused.contains("SECRET"), "{refused}");
        assert!(!Path::new(&ada).exists());
    }
    let five = [1, 2, 3, 4, 5].map(|number| format!("ws://127.0.0.1:9/ROOM{number}"));
    let five = five.join(",");
    let many = misuse_of(&["init", "--data", &ada, "--room", &five]);
    assert!(many.contains("at most 4 addresses"), "{many}");
    assert!(!Path::new(&ada).exists());
}

/// By the one member that has an address, while the others are found by the server alone, which is dead.
#[test]
fn a_member_that_others_alone_reach_is_told_from_a_dead_one() {
    let folder = Folder::new("room-unlinked");
    let server = Server::start(ANYWHERE);
    let room = server.room();
    let ada = init_with_an_address(&room, &folder.of("ada"));
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let bob = join_in(&room, &folder.of("bob"), &invitation, "bob");
    let mut eve = join_in(&room, &folder.of("eve"), &invitation, "eve");
    eve.until_voters(3);
    bob.until_voters(3);

    server.kill();
    kill(&mut eve);
    let roles = awaited("one is known to be dead", || {
        let told = run(&["status", "--at", &operator, "--json"]);
        let rows = rows(&String::from_utf8_lossy(&told.stdout));
        let is_of = |row: &&Value, name: &str| row["name"] == name;
        let [bob, eve] =
            ["bob", "eve"].map(|name| rows.iter().find(|row| is_of(row, name)).cloned());
        let (bob, eve) = (bob?, eve?);
        (eve["role"] == "silent").then(|| (bob["role"].clone(), bob["unreached"].clone()))
    });

    assert_eq!(roles.0, "unreached");
    let why = roles.1.as_str().expect("it is told");
    assert!(why.contains("signaling server"), "{why}");
}
