//! Natively: WebSocket over TCP and TLS, a task for each socket.

use std::time::Duration;

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use liferaft_platform::spawn;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{SignalingServer, SocketEnd, SocketEvent};
use crate::websocket::{Target, WebSocketConfig};

/// A server that reads nothing for so long is none.
const SENDING_TIME_MAX: Duration = Duration::from_secs(10);

/// What only a native host is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    websocket: WebSocketConfig,
}

impl SignalingServer {
    /// Connects to the server as a WebSocket carrier of this configuration does: with its certificate authorities, and
    /// on this machine only if that stays there.
    #[must_use]
    pub fn with_websocket(mut self, config: WebSocketConfig) -> Self {
        self.host.websocket = config;
        self
    }
}

/// Opens a socket, and moves its texts until it ends.
pub(super) fn open(target: Target, options: &Options, end: SocketEnd) {
    let config = options.websocket.clone();
    spawn(async move { run(config, &target, end).await });
}

async fn run(config: WebSocketConfig, target: &Target, end: SocketEnd) {
    let SocketEnd {
        mut texts,
        mut events,
    } = end;
    let opened = tokio::select! {
        opened = config.open(target) => opened,
        // Nobody waits for it any more.
        () = ended(&mut texts) => return,
    };
    let mut socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(host = target.host, %error, "the signaling server is not reached");
            return;
        }
    };
    if events.send(SocketEvent::Open).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            text = texts.next() => {
                let Some(text) = text else {
                    // Not the goodbye of a peer that leaves: the id stays ours.
                    return;
                };
                let sending = timeout(SENDING_TIME_MAX, socket.send(Message::text(text)));
                if !matches!(sending.await, Ok(Ok(()))) {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let text = text.as_str().to_owned();
                    if events.send(SocketEvent::Text(text)).await.is_err() {
                        return;
                    }
                }
                // Pings are answered below, by tungstenite.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
        }
    }
}

/// Waits until nobody is at the other end. What is said before the socket is open is lost.
async fn ended(texts: &mut mpsc::Receiver<String>) {
    while texts.next().await.is_some() {}
}
