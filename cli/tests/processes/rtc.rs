//! Tests members that reach each other over WebRTC, by UDP: alone, and beside WebSocket.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::node::{ANYWHERE, Folder, Node, error_of, join_with, misuse_of, told_by};

/// A member that listens for WebRTC alone, the first of its cluster.
fn init_by_rtc(folder: &str) -> Node {
    Node::start(&["init", "--data", folder, "--rtc", ANYWHERE, "--name", "ada"])
}

fn join_by_rtc(folder: &str, invitation: &str, name: &str) -> Node {
    Node::start(&[
        "node", "--data", folder, "--rtc", ANYWHERE, "--name", name, "--join", invitation,
    ])
}

/// The addresses that a member tells others.
fn addresses(node: &Node) -> Vec<String> {
    let told = node.until("started", |_| true);
    let addresses = told["addresses"].as_array().expect("it is a list").iter();
    let text = |address: &Value| address.as_str().expect("it is text").to_owned();
    addresses.map(text).collect()
}

/// Returns how many sockets of TCP and of UDP a process has; `None` where the system does not tell.
fn sockets(node: &Node) -> Option<(usize, usize)> {
    let process = format!("/proc/{}", node.process.0.id());
    let open = fs::read_dir(format!("{process}/fd")).ok()?;
    let links = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(inode.to_owned())
    };
    let own: Vec<String> = links.filter_map(inode).collect();
    let count = |tables: [&str; 2]| {
        let tables = tables.map(|table| fs::read_to_string(format!("{process}/net/{table}")));
        let text = tables.map(Result::unwrap_or_default).concat();
        let is_own = |line: &&str| {
            let inode = line.split_whitespace().nth(9);
            inode.is_some_and(|inode| own.iter().any(|own| own == inode))
        };
        text.lines().filter(is_own).count()
    };
    Some((count(["tcp", "tcp6"]), count(["udp", "udp6"])))
}

#[test]
fn a_cluster_runs_by_udp_alone_and_clients_reach_it() {
    let folder = Folder::new("rtc");
    let ada = init_by_rtc(&folder.of("ada"));
    let invitation = ada.invitation();
    let operator = ada.invitation_for("operator");
    let bob = join_by_rtc(&folder.of("bob"), &invitation, "bob");
    let eve = join_by_rtc(&folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);

    told_by(&["kv", "--at", &operator, "set", "camp", "hill"]);
    let read = told_by(&["kv", "--at", &operator, "get", "camp"]);

    assert_eq!(read, "hill\n");
    for node in [&ada, &bob, &eve] {
        if let Some((tcp, udp)) = sockets(node) {
            assert_eq!(tcp, 0);
            assert!(udp > 0);
        }
    }
    // Leadership moves, and the cluster goes on without the first one.
    assert_eq!(ada.stop(), Some(0));
    bob.until("led", |told| {
        let leader = told["leader"].as_str();
        leader == Some("bob") || leader == Some("eve")
    });
}

#[test]
fn a_member_is_known_by_the_certificate_in_its_folder() {
    let folder = Folder::new("certificate");
    let data = folder.of("ada");
    let ada = init_by_rtc(&data);
    let before = addresses(&ada);
    let (authority, _) = before[0]["rtc://".len()..]
        .split_once('#')
        .expect("it has a fingerprint");
    assert_eq!(ada.stop(), Some(0));

    let again = Node::start(&["node", "--data", &data, "--rtc", authority]);
    let after = addresses(&again);
    assert_eq!(again.stop(), Some(0));
    let kept = Path::new(&data).join("webrtc.pem");
    let readers = readers(&kept);
    fs::write(&kept, "no certificate").expect("it is there");
    let refused = error_of(&["node", "--data", &data, "--rtc", ANYWHERE]);

    assert_eq!(before, after);
    assert_eq!(readers, 0o600);
    assert!(refused.contains("webrtc.pem is damaged"), "{refused}");
}

#[cfg(unix)]
fn readers(file: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = fs::metadata(file).expect("it is there");
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn readers(_: &Path) -> u32 {
    0o600
}

#[test]
fn members_of_either_transport_are_one_cluster() {
    let folder = Folder::new("mixed");
    let ada = Node::start(&[
        "init",
        "--data",
        &folder.of("ada"),
        "--listen",
        ANYWHERE,
        "--rtc",
        ANYWHERE,
        "--name",
        "ada",
    ]);
    let invitation = ada.invitation();
    let bob = join_with(&folder.of("bob"), &invitation, "bob", &[]);
    let eve = join_by_rtc(&folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);

    // Whoever is left has nobody between them: one listens for WebSocket alone, and the other for WebRTC alone.
    let mut ada = ada;
    ada.process.0.kill().expect("it runs");
    ada.ended();

    let leads = |told: &Value| told["term"].as_u64() > Some(1) && !told["leader"].is_null();
    bob.until("led", leads);
    eve.until("led", leads);
}

#[test]
fn an_open_cluster_runs_over_webrtc_on_its_machine() {
    let folder = Folder::new("rtc-open");
    let data = folder.of("ada");
    let elsewhere = ["init", "--data", &data, "--open", "--rtc", "0.0.0.0:0"];

    let refused = error_of(&elsewhere);
    let ada = Node::start(&["init", "--data", &data, "--open", "--rtc", ANYWHERE]);

    assert!(refused.contains("--open is for loopback"), "{refused}");
    assert!(addresses(&ada)[0].starts_with("rtc://127.0.0.1:"));
}

#[test]
fn others_are_told_where_they_reach_a_member_by_webrtc() {
    let folder = Folder::new("rtc-advertised");
    let all = "0.0.0.0:0";
    let advertised = ["--advertise", "rtc://van-1.example:4000,van-1.example:80"];
    let flags = ["--data", &folder.of("ada"), "--rtc", all, "--listen", all];
    let ada = Node::start(&[&["init"], &flags[..], &advertised].concat());

    let told = addresses(&ada);

    assert!(told[0].starts_with("rtc://van-1.example:4000#sha256="));
    assert_eq!(told[1], "ws://van-1.example:80");
    let data = folder.of("nobody");
    for (wrong, why) in [
        (&["--rtc", all][..], "--advertise rtc://HOST:PORT"),
        (&["--rtc", ANYWHERE, "--advertise", "x:1"], "--listen"),
        (&["--listen", ANYWHERE, "--advertise", "rtc://x:1"], "--rtc"),
    ] {
        let refused = misuse_of(&[&["init", "--data", &data], wrong].concat());
        assert!(refused.contains(why), "{refused}");
        assert!(!Path::new(&data).exists());
    }
}

#[test]
fn a_member_says_what_it_listens_by() {
    let folder = Folder::new("rtc-nothing");

    let refused = misuse_of(&["init", "--data", &folder.of("ada")]);

    let any = "<--listen <ADDR>|--rtc <ADDR>|--room <URL>>";
    assert!(refused.contains(any), "{refused}");
}

#[test]
fn an_invitation_by_webrtc_is_not_taken_without_it() {
    let folder = Folder::new("rtc-unreached");
    let ada = init_by_rtc(&folder.of("ada"));
    let invitation = ada.invitation();
    let bob = folder.of("bob");
    let join = ["node", "--data", &bob, "--listen", ANYWHERE, "--join"];

    let refused = misuse_of(&[&join[..], &[&invitation]].concat());
    let address = misuse_of(&[&join[..], &["rtc://127.0.0.1:1#sha256=x"]].concat());

    assert!(refused.contains("--rtc 0.0.0.0:0"), "{refused}");
    assert!(address.contains("of which cluster"), "{address}");
}

#[test]
fn servers_of_stun_and_turn_are_judged_first() {
    let folder = Folder::new("ice-servers");
    let (data, file) = (folder.of("ada"), folder.of("servers.json"));
    let init = ["init", "--data", &data, "--ice-servers", &file];
    let refused = |text: &str, door: &str| {
        fs::write(&file, text).expect("it is written");
        misuse_of(&[&init[..], &[door, ANYWHERE]].concat())
    };
    let wrong = [
        (r#"[{"credential": "SECRET"}]"#, "no list of servers"),
        (
            r#"[{"urls": "turn:turn.example"}]"#,
            "a username and a credential",
        ),
        (
            r#"[{"urls": "stun:a.example"}, {"urls": "http://SECRET.example"}]"#,
            "server 2 of the list: its URL begins with none of stun:",
        ),
    ];

    let useless = refused(wrong[0].0, "--listen");
    for (text, why) in wrong {
        let refused = refused(text, "--rtc");
        assert!(refused.contains(why), "{refused}");
        assert!(!refused.contains("SECRET.example"), "{refused}");
    }
    fs::remove_file(&file).expect("it is there");
    let missing = misuse_of(&[&init[..], &["--rtc", ANYWHERE]].concat());

    assert!(useless.contains("--rtc or --room"), "{useless}");
    assert!(missing.contains("is no file"), "{missing}");
    assert!(!Path::new(&data).exists());
}
