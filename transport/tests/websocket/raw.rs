//! A peer that writes bytes of its own over TCP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: liferaft\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

pub(crate) const BINARY: u8 = 0x82;
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const PING: u8 = 0x89;

pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, to).await
    }

    /// Connects from another address of this machine.
    pub(crate) async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        let bound = socket.bind((from, 0).into());
        bound.expect("all of 127.0.0.0/8 is this machine");
        // What is not read stays with the other end.
        let small = socket.set_recv_buffer_size(4 * 1024);
        small.expect("a buffer may be small");
        let stream = socket.connect(to).await;
        Self(stream.expect("the other end listens"))
    }

    /// Asks for the upgrade, with further headers. Returns the status.
    pub(crate) async fn upgrade_with(&mut self, headers: &str) -> io::Result<u16> {
        self.write(format!("{REQUEST}{headers}\r\n").as_bytes())
            .await;
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            response.push(self.0.read_u8().await?);
        }
        let status = &response["HTTP/1.1 ".len()..][..3];
        Ok(String::from_utf8_lossy(status).parse().expect("a status"))
    }

    pub(crate) async fn upgrade(&mut self) {
        let status = self.upgrade_with("").await;
        assert_eq!(status.expect("it is answered"), 101);
    }

    /// Writes, unless the other end has closed.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _closed = self.0.write_all(bytes).await;
    }

    /// Writes a frame of at most 125 bytes, masked with zeros.
    pub(crate) async fn write_frame(&mut self, first: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("it is short");
        let head = [first, 0x80 | length, 0, 0, 0, 0];
        self.write(&[&head[..], payload].concat()).await;
    }

    /// Reads the payload of a frame.
    pub(crate) async fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let _first = self.0.read_u8().await?;
        let length = match self.0.read_u8().await? {
            126 => u64::from(self.0.read_u16().await?),
            127 => self.0.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("it is in memory")];
        self.0.read_exact(&mut payload).await?;
        Ok(payload)
    }

    /// Waits until the other end closes.
    pub(crate) async fn closed(&mut self) {
        let mut buffer = [0; 1024];
        while matches!(self.0.read(&mut buffer).await, Ok(bytes) if bytes > 0) {}
    }

    /// Returns true if the other end closes within some time.
    pub(crate) async fn is_closed_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.closed()).await.is_ok()
    }
}
