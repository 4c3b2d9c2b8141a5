//! Puts members behind NATs, which translate the addresses of a network of their own: they find each other at a
//! signaling server, and are linked directly where a server of STUN tells them how they are seen, or else through one
//! of TURN.
//!
//! The home namespace is the Internet. It has a bridge, to which the NAT of each member is connected, and the servers.
//! A NAT is a namespace that forwards by rules of nftables; behind it is the namespace of the member.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::lab::{run as run_line, space};
use crate::node::{
    Ending, Folder, Node, awaited, liferaft, open_room, rows, run as run_program, told_by,
};

/// How a NAT names the sockets of a member to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nat {
    /// By one port, whomever they send to: as STUN tells it. Nobody gets in who was not sent to before.
    Cone,
    /// By another port for each whom they send to, drawn at random.
    Symmetric,
}

/// The members' NATs, and whether they can be linked directly.
const CASES: [([Nat; MEMBERS], bool); 3] = [
    ([Nat::Cone, Nat::Cone], true),
    ([Nat::Cone, Nat::Symmetric], false),
    ([Nat::Symmetric, Nat::Symmetric], false),
];

const MEMBERS: usize = 2;

/// Where the servers are, and the network around them: addresses for documentation (RFC 5737).
const SERVERS: &str = "203.0.113.1";
/// An address in that network that nobody has.
const NOBODY: &str = "203.0.113.254";
const STUN_PORT: u16 = 3478;

const USERNAME: &str = "van";
const CREDENTIAL: &str = "horse";

pub(crate) fn run() {
    let Some(coturn) = find_coturn() else {
        println!("skipped: netlab: coturn is not installed: nobody is behind a NAT");
        return;
    };
    if Command::new("nft").arg("--version").output().is_err() {
        println!("skipped: netlab: nftables is not installed: nobody is behind a NAT");
        return;
    }
    run_line("ip link add wan type bridge");
    run_line(&format!("ip address add {SERVERS}/24 dev wan"));
    run_line("ip link set wan up");
    // What is for nobody is lost without a word, as on the Internet: coturn ends a session by which something was sent
    // for which its host has no route.
    run_line(&format!(
        "ip neigh add {NOBODY} lladdr 02:00:00:00:00:01 dev wan nud permanent"
    ));
    run_line(&format!("ip route add default via {NOBODY}"));
    let _coturn = start_coturn(&coturn);
    for (nats, is_direct) in CASES {
        tried(nats, is_direct);
    }
}

/// Makes two members behind these NATs, and checks what links them.
fn tried(nats: [Nat; MEMBERS], is_direct: bool) {
    let folder = Folder::new("nat");
    let _networks = Networks::new(&folder.0, nats);
    let server = Node::start(&["serve", "--listen", &format!("{SERVERS}:0")]);
    let started = server.until("started", |_| true);
    let url = started["address"].as_str().expect("it listens");
    let room = open_room(url["http://".len()..].parse().expect("it is an address"));
    let servers = folder.of("servers.json");
    fs::write(&servers, servers_json()).expect("it is written");
    let start = |member: usize, command: &str, more: &[&str]| {
        let data = folder.of(&member.to_string());
        let place = ["--data", &data, "--room", &room, "--ice-servers", &servers];
        Node::start_by(
            liferaft_at(member),
            &[&[command], &place[..], more].concat(),
        )
    };
    let ada = start(0, "init", &["--name", "ada"]);
    let invitation = ada.invitation();
    let operator = ada.invitation_for("operator");

    let bob = start(1, "node", &["--name", "bob", "--join", &invitation]);
    bob.until_voters(MEMBERS);

    let ask = ["status", "--at", &operator, "--links", "--json"];
    let paths = awaited("both tell of their link", || {
        let told = String::from_utf8(run_program(&ask).stdout).expect("it is text");
        let rows = rows(&told);
        let paths: Vec<_> = rows
            .iter()
            .filter_map(|row| path_to_member(row, &rows))
            .collect();
        (paths.len() == MEMBERS).then_some(paths)
    });
    let target = if is_direct { "direct" } else { "by TURN" };
    for path in &paths {
        println!("{nats:?}: {path}; target: {target}");
        assert_eq!(path.contains("relay"), !is_direct);
        assert!(!is_direct || path.ends_with("(srflx)"));
    }
    told_by(&["kv", "--at", &operator, "set", "camp", "hill"]);
}

/// Returns what a member says of its link with the other one, over WebRTC.
fn path_to_member(row: &Value, rows: &[Value]) -> Option<String> {
    let mut paths = row["paths"].as_array()?.iter();
    let path = paths.find(|path| rows.iter().any(|row| row["id"] == path["peer"]))?;
    assert_eq!(path["carrier"], "rtc");
    path["path"].as_str().map(str::to_owned)
}

/// The program, run where a member is.
fn liferaft_at(member: usize) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &space(member)]);
    command.arg(liferaft().get_program());
    command
}

/// The file that names the servers to members.
fn servers_json() -> String {
    let at = format!("{SERVERS}:{STUN_PORT}");
    serde_json::json!([
        { "urls": format!("stun:{at}") },
        { "urls": format!("turn:{at}"), "username": USERNAME, "credential": CREDENTIAL },
    ])
    .to_string()
}

/// The networks of all members, each behind its NAT.
struct Networks;

impl Networks {
    fn new(folder: &Path, nats: [Nat; MEMBERS]) -> Self {
        for (member, nat) in nats.into_iter().enumerate() {
            let (inside, router) = (space(member), router(member));
            let (public, private) = (10 + member, format!("192.168.{}", 10 + member));
            let rules = folder.join(format!("{router}.nft"));
            fs::write(&rules, nat.rules()).expect("it is written");
            for line in [
                format!("ip netns add {router}"),
                format!("ip netns add {inside}"),
                format!("ip link add wan-{member} type veth peer name wan netns {router}"),
                format!("ip link set wan-{member} master wan up"),
                format!("ip -n {router} address add 203.0.113.{public}/24 dev wan"),
                format!("ip -n {router} link set wan up"),
                format!("ip -n {router} link add lan type veth peer name lan netns {inside}"),
                format!("ip -n {router} address add {private}.1/24 dev lan"),
                format!("ip -n {router} link set lan up"),
                format!("ip -n {inside} address add {private}.2/24 dev lan"),
                format!("ip -n {inside} link set lan up"),
                format!("ip -n {inside} link set lo up"),
                format!("ip -n {inside} route add default via {private}.1"),
                format!("ip netns exec {router} nft -f {}", rules.display()),
            ] {
                run_line(&line);
            }
            let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
            let forwarding = Command::new("ip")
                .args(["netns", "exec", &router, "sh", "-c", forward])
                .status();
            assert!(
                forwarding.is_ok_and(|status| status.success()),
                "it forwards"
            );
        }
        Self
    }
}

/// Whoever is in them must have left.
impl Drop for Networks {
    fn drop(&mut self) {
        for member in 0..MEMBERS {
            // A namespace takes what is in it along, some time later.
            run_line(&format!("ip link delete wan-{member}"));
            run_line(&format!("ip netns delete {}", space(member)));
            run_line(&format!("ip netns delete {}", router(member)));
        }
    }
}

/// The name of the namespace that is the NAT of a member.
fn router(member: usize) -> String {
    format!("nat-{member}")
}

impl Nat {
    /// What nftables is told. Strangers are dropped before they are remembered: whoever they are would be named by
    /// another port once they are sent to.
    fn rules(self) -> String {
        let ports = match self {
            Self::Cone => "",
            Self::Symmetric => "fully-random",
        };
        format!(
            "table ip nat {{
               chain translate {{
                 type nat hook postrouting priority srcnat; oifname wan masquerade {ports}
               }}
               chain in {{
                 type filter hook input priority filter; iifname wan ct state new drop
               }}
               chain through {{
                 type filter hook forward priority filter; iifname wan ct state new drop
               }}
             }}\n"
        )
    }
}

fn start_coturn(program: &Path) -> Ending {
    let arguments = format!(
        "-n --listening-ip={SERVERS} --listening-port={STUN_PORT} --relay-ip={SERVERS} --realm=example.org \
         --lt-cred-mech --user={USERNAME}:{CREDENTIAL} --userdb=/nonexistent --pidfile=/dev/null --log-file=stdout \
         --no-cli --no-dtls --no-rfc5780 --no-tls"
    );
    let mut command = Command::new(program);
    let command = command.args(arguments.split(' ')).stdin(Stdio::null());
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let process = Ending(command.spawn().expect("coturn starts"));
    awaited("coturn listens", || {
        TcpStream::connect((SERVERS, STUN_PORT)).ok()
    });
    process
}

/// Debian installs it where only root looks for programs.
fn find_coturn() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("LIFERAFT_TURNSERVER") {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let programs = folders.map(|folder| folder.join("turnserver"));
    programs.into_iter().find(|program| program.is_file())
}
