//! Speaks to a server as a peer does, over real sockets, each wait with a deadline.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use liferaft_signaling::{Config, Hub, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server on loopback, for as long as it is held.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) operators: SocketAddr,
    pub(crate) hub: Hub,
    ends: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), config).await
    }

    pub(crate) async fn start_at(address: SocketAddr, config: Config) -> Self {
        let any = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(address, config).await.expect("a free port");
        let server = server.with_operators(any).await.expect("a free port");
        let address = server.address().expect("it listens");
        let operators = server.operator_address().expect("it listens");
        let hub = server.hub().clone();
        let (ends, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async {
            let _ends = ended.await;
        }));
        Self {
            address,
            operators,
            hub,
            ends: Some(ends),
            task,
        }
    }

    /// Ends the server, and waits for it.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        drop(self.ends.take());
        let stopped = timeout(DEADLINE, &mut self.task).await;
        stopped.expect("it ends").expect("it does not panic");
        self.address
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// Sends a request with these lines among its headers.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        ask(self.address, method, path, headers).await
    }

    pub(crate) async fn attach(&self, id: &str) -> Peer {
        self.attach_to("peerjs", id, &format!("secret-{id}")).await
    }

    pub(crate) async fn attach_to(&self, key: &str, id: &str, token: &str) -> Peer {
        let query = format!("key={key}&id={id}&token={token}&version=1.5.5");
        let peer = Peer::connect(self.address, &query, None).await;
        peer.expect("it is let in")
    }
}

/// What was answered to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // A server that refuses early need not read all of it.
        let _early = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _early = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).expect("answers are text")
    };
    let answer = timeout(DEADLINE, exchange).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    Answer {
        status: status.unwrap_or_default(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A peer's end of its connection.
pub(crate) struct Peer(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Peer {
    pub(crate) async fn connect(
        address: SocketAddr,
        query: &str,
        origin: Option<&str>,
    ) -> Result<Self, Error> {
        let url = format!("ws://{address}/peerjs?{query}");
        let mut request = url.into_client_request()?;
        if let Some(origin) = origin {
            let origin = origin.parse().expect("a value");
            request.headers_mut().insert("origin", origin);
        }
        let connected = timeout(DEADLINE, connect_async(request)).await;
        connected
            .expect("it answers")
            .map(|(socket, _)| Self(socket))
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        let sent = timeout(DEADLINE, self.0.send(message)).await;
        sent.expect("it reads").expect("it is connected");
    }

    /// Waits for a text.
    pub(crate) async fn hear(&mut self) -> String {
        let heard = timeout(DEADLINE, self.0.next()).await.expect("it speaks");
        match heard {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Waits until it is closed, and returns the code and the reason if it was told.
    pub(crate) async fn closed(&mut self) -> Option<(u16, String)> {
        loop {
            match timeout(DEADLINE, self.0.next()).await.expect("it ends") {
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    return Some((code.into(), reason.as_str().to_owned()));
                }
                Some(Ok(Message::Close(None)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}
