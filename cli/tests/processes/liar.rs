//! Tests members in a room of a signaling server that lies: it shows everybody descriptions of its own, forges senders,
//! replays what was said and invents peers; and of one that keeps all that it hears.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use base64ct::{Base64Unpadded, Encoding as _};
use futures::{SinkExt as _, StreamExt as _};
use liferaft::transport::carrier::{Address, Carrier as _};
use liferaft::transport::signaling::SignalingServer;
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig};
use liferaft::{Invitation, ServerId};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::between::Between;
use crate::node::{ANYWHERE, Folder, Node, rows, told_by, until};

/// The token of the connections that are the server's own.
const OWN: &str = "impostor";

/// So much the server makes up at most.
const MADE_UP_MAX: usize = 6_000;

/// So many packets of handshakes it passes on between two ends at least.
const PASSED_MIN: usize = 8;

/// So many messages are kept to be replayed.
const EARLIER_MAX: usize = 50;

/// A server of PeerJS's protocol in this process.
#[derive(Clone, Default)]
struct Liar {
    state: Arc<Mutex<State>>,
    /// Packets that it has passed on between connections of its own.
    passed: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    is_hostile: bool,
    peers: BTreeMap<Peer, UnboundedSender<String>>,
    earlier: Vec<Value>,
    made_up: usize,
    /// All that it was ever told: the heads of requests, and each message.
    heard: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    id: String,
    /// It is one of the server's own connections, that passes for the peer.
    is_own: bool,
}

impl State {
    /// Carries a message of a peer, or lies about it.
    fn carry(&mut self, from: &Peer, mut message: Value) {
        let Some(to) = message["dst"].as_str().map(str::to_owned) else {
            return;
        };
        message["src"] = json!(from.id);
        if !self.is_hostile {
            if !from.is_own {
                self.tell(&to, false, &message);
                self.earlier.push(message);
                self.earlier.truncate(EARLIER_MAX);
            }
            return;
        }
        // Nobody but its own connections hears of a real peer.
        self.tell(&to, !from.is_own, &message);
        if self.made_up < MADE_UP_MAX {
            self.make_up(&from.id, &to);
        }
    }

    /// Tells each peer what was ever said to anybody: as it was said, in the names of others, and of nobody that there
    /// is.
    fn make_up(&mut self, from: &str, to: &str) {
        let mut lies = Vec::new();
        for (place, earlier) in self.earlier.iter().enumerate() {
            for source in [from, to, &format!("{place:032x}")] {
                let mut forged = earlier.clone();
                forged["src"] = json!(source);
                lies.push(forged);
            }
            lies.push(earlier.clone());
        }
        lies.push(json!({ "type": "EXPIRE", "src": from, "dst": to }));
        lies.push(json!({ "type": "LEAVE", "src": from, "dst": to }));
        let real = self.peers.keys().filter(|peer| !peer.is_own);
        let real: Vec<_> = real.map(|peer| peer.id.clone()).collect();
        for peer in &real {
            lies.iter().for_each(|lie| self.tell(peer, false, lie));
        }
        self.made_up += lies.len() * real.len();
    }

    fn tell(&self, id: &str, is_own: bool, message: &Value) {
        let id = id.to_owned();
        if let Some(peer) = self.peers.get(&Peer { id, is_own }) {
            // It may be gone.
            let _gone = peer.send(message.to_string());
        }
    }
}

impl Liar {
    /// Listens on loopback for as long as this process runs. Returns the address of a room there.
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let liar = Self::default();
        let serving = liar.clone();
        thread::spawn(move || runtime().block_on(serving.serve(listener)));
        (liar, format!("ws://{address}/room"))
    }

    async fn serve(self, listener: TcpListener) {
        listener.set_nonblocking(true).expect("it is a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("it listens");
        loop {
            let (stream, _) = listener.accept().await.expect("there are files");
            tokio::spawn(self.clone().attend(stream));
        }
    }

    /// Serves a peer until it is gone.
    async fn attend(self, stream: tokio::net::TcpStream) -> Option<()> {
        let (mut head, mut query) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "it is tungstenite's callback")]
        let read = |request: &Request, response: Response| {
            head = format!("{request:?}");
            query = request.uri().query().unwrap_or_default().to_owned();
            Ok(response)
        };
        let socket = accept_hdr_async(stream, read).await.ok()?;
        self.state().heard.extend(head.into_bytes());
        let of = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_owned())
        };
        let peer = Peer {
            id: of("id")?,
            is_own: of("token")? == OWN,
        };
        let (sender, mut texts) = unbounded_channel();
        sender.send(json!({ "type": "OPEN" }).to_string()).ok()?;
        self.state().peers.insert(peer.clone(), sender);
        let (mut sink, mut source) = socket.split();
        tokio::spawn(async move {
            while let Some(text) = texts.recv().await {
                if sink.send(Message::text(text)).await.is_err() {
                    break;
                }
            }
        });
        while let Some(Ok(message)) = source.next().await {
            self.state().heard.extend(message.clone().into_data());
            let text = message.to_text().unwrap_or_default();
            if let Ok(message) = serde_json::from_str(text) {
                self.state().carry(&peer, message);
            }
        }
        Some(())
    }

    /// Stands between a newcomer and a member with descriptions of its own.
    fn stand_between(&self, room: &str, newcomer: ServerId, member: ServerId) {
        let (room, passed) = (room.to_owned(), Arc::clone(&self.passed));
        let ends = move || async move {
            let (front, back) = (impostor(&room, member), impostor(&room, newcomer));
            let to = back.address_of(member).expect("it is dialed by its id");
            let mut between = Between::new(front, back, to);
            let standing = poll_fn(|context| {
                let polled = between.poll(context);
                passed.store(between.passed, Ordering::Relaxed);
                polled
            });
            standing.await;
        };
        thread::spawn(move || runtime().block_on(ends()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a thread is enough")
}

/// Returns a carrier that passes for a server whose key it has not.
fn impostor(room: &str, server: ServerId) -> WebRtcCarrier {
    let signaling = SignalingServer::at(room).expect("it is a room");
    let signaling = signaling.with_token(OWN).expect("it is a token");
    let config = WebRtcConfig::default().on_this_machine();
    let mut carrier = WebRtcCarrier::dial_only(config.with_signaling(signaling));
    carrier.introduce(server);
    carrier
}

/// Returns bytes as they are, and as texts have them: in hexadecimal, and in base64 behind whatever stands before them.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = [0, 1, 2].map(|before| {
        let text = Base64Unpadded::encode_string(&[&vec![0; before], bytes].concat());
        // The characters at both ends have bits of what stands beside the bytes.
        let whole = (before * 8).div_ceil(6)..(before + bytes.len()) * 8 / 6;
        text[whole].to_owned()
    });
    let for_urls = base64
        .clone()
        .map(|text| text.replace('+', "-").replace('/', "_"));
    let texts = base64.into_iter().chain(for_urls);
    let texts = texts.chain([hex.to_uppercase(), hex]);
    let texts = texts.map(String::into_bytes);
    texts.chain([bytes.to_vec()]).collect()
}

/// Leaves the addresses in rooms alone.
fn by_rooms_alone(invitation: &str) -> String {
    let invitation: Invitation = invitation.parse().expect("it was printed");
    let addresses = invitation.addresses().to_vec();
    let in_rooms = addresses.into_iter().filter(Address::is_signaled);
    invitation
        .with_addresses(in_rooms)
        .expect("they are fewer")
        .to_string()
}

fn id_of(node: &Node) -> ServerId {
    let told = node.until("started", |_| true);
    told["server"]
        .as_str()
        .expect("it is text")
        .parse()
        .expect("it is an id")
}

/// Returns who is a member, in which term, and where links run: all that a lie could change.
fn standing(operator: &str) -> Vec<[Value; 5]> {
    let told = rows(&told_by(&["status", "--at", operator, "--links", "--json"]));
    let fields = ["name", "is_voter", "term", "leader", "paths"];
    let mut all: Vec<_> = told
        .iter()
        .map(|row| fields.map(|field| row[field].clone()))
        .collect();
    all.sort_by_key(|fields| fields[0].to_string());
    all
}

#[test]
fn a_server_that_lies_changes_no_membership_and_gets_no_link() {
    let folder = Folder::new("liar");
    let (liar, room) = Liar::start();
    let data = folder.of("ada");
    let ada = [
        "init", "--data", &data, "--listen", ANYWHERE, "--name", "ada",
    ];
    let ada = Node::start(&[&ada[..], &["--room", &room]].concat());
    let member = id_of(&ada);
    let invitation = by_rooms_alone(&ada.invitation());
    let operator = ada.invitation_for("operator");
    let data = folder.of("bob");
    let bob = ["--listen", ANYWHERE, "--room", &room, "--name", "bob"];
    let join = ["node", "--data", &data, "--join", &invitation];
    let bob = Node::start(&[&join[..], &bob].concat());
    bob.until_voters(2);
    until("they have a link that the server has set up", || {
        standing(&operator).iter().all(|[.., paths]| {
            let is_one = paths.as_array().is_some_and(|paths| paths.len() == 1);
            is_one && paths[0]["carrier"] == "rtc" && paths[0]["relay"].is_null()
        })
    });
    let before = standing(&operator);

    liar.state().is_hostile = true;
    let data = folder.of("dan");
    let dan = ["node", "--data", &data, "--room", &room, "--name", "dan"];
    let dan = Node::start(&[&dan[..], &["--join", &invitation]].concat());
    liar.stand_between(&room, id_of(&dan), member);
    until("it has lied enough", || {
        let made_up = liar.state().made_up;
        liar.passed.load(Ordering::Relaxed) >= PASSED_MIN && made_up >= MADE_UP_MAX
    });

    assert_eq!(standing(&operator), before);
    told_by(&["kv", "--at", &operator, "set", "camp", "hill"]);
    liar.state().is_hostile = false;
    dan.until_voters(3);
}

#[test]
fn a_server_sees_no_secret_of_an_invitation_and_no_data() {
    let folder = Folder::new("unseen");
    let (server, room) = Liar::start();
    let in_room = |command: &str, name: &str, more: &[&str]| {
        let data = folder.of(name);
        let flags = [command, "--data", &data, "--room", &room, "--name", name];
        Node::start(&[&flags, more].concat())
    };
    let ada = in_room("init", "ada", &[]);
    let invitations = [ada.invitation(), ada.invitation_for("operator")];
    let bob = in_room("node", "bob", &["--join", &invitations[0]]);
    bob.until_voters(2);
    let (key, value) = ("camp-of-tonight", "hill-of-the-owls");
    told_by(&["kv", "--at", &invitations[1], "set", key, value]);

    let heard = server.state().heard.clone();

    let has = |bytes: &[u8]| heard.windows(bytes.len()).any(|window| window == bytes);
    let secrets = invitations.map(|text| {
        let invitation: Invitation = text.parse().expect("it was printed");
        let secret = *invitation.token().expect("it lets in").as_bytes();
        let is_in_text = |form: &Vec<u8>| text.contains(&*String::from_utf8_lossy(form));
        assert!(
            forms(&secret).iter().any(is_in_text),
            "it is found where it is"
        );
        secret
    });
    let unseen = [
        &secrets[0][..],
        &secrets[1],
        key.as_bytes(),
        value.as_bytes(),
    ];
    for form in unseen.iter().flat_map(|bytes| forms(bytes)) {
        assert!(!has(&form), "{}", String::from_utf8_lossy(&form));
    }
    // They met by it, and nowhere else.
    assert!(has(b"OFFER") && has(b"ANSWER"));
}
