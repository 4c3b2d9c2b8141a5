//! Natively: WebSocket over TCP and TLS, a task for each socket.

use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, SinkExt, StreamExt};
use liferaft_platform::spawn;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::message::MESSAGE_BYTES_MAX;
use super::{SignalingServer, SocketEnd, SocketEvent};
use crate::websocket::{Messages, Socket, Target, WebSocketConfig};

/// A server that reads nothing for so long is none.
const SENDING_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a server may take to say who is there.
const LISTING_TIME_MAX: Duration = Duration::from_secs(5);

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

/// Opens a socket, and moves its texts until it ends. It ends without a goodbye if its id is kept for whoever comes
/// back with its token.
pub(super) fn open(target: Target, options: &Options, keeps_id: bool, end: SocketEnd) {
    let config = options.websocket.clone();
    spawn(async move { run(config, &target, keeps_id, end).await });
}

/// A socket that says goodbye when it is dropped, if its id is given up with it: also at the end of a program, when no
/// task gets to do anything any more.
struct Parting {
    messages: Messages,
    keeps_id: bool,
}

impl Drop for Parting {
    fn drop(&mut self) {
        if !self.keeps_id {
            // What the system does not take at once is lost.
            let _said = self.messages.close(None).now_or_never();
        }
    }
}

async fn run(config: WebSocketConfig, target: &Target, keeps_id: bool, end: SocketEnd) {
    let SocketEnd {
        mut texts,
        mut events,
    } = end;
    let opened = tokio::select! {
        opened = config.open(target) => opened,
        // Nobody waits for it any more.
        () = ended(&mut texts) => return,
    };
    let Socket { messages, unframed } = match opened {
        Ok(socket) => socket,
        Err(error) => {
            // Whoever has asked for it may have gone.
            let _gone = events.send(SocketEvent::Unopened(error.into())).await;
            return;
        }
    };
    let mut parting = Parting { messages, keeps_id };
    let messages = &mut parting.messages;
    if events.send(SocketEvent::Open).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            text = texts.next() => {
                let Some(text) = text else {
                    return;
                };
                let sending = timeout(SENDING_TIME_MAX, messages.send(Message::text(text)));
                if !matches!(sending.await, Ok(Ok(()))) {
                    return;
                }
            }
            message = messages.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    unframed.on_message();
                    let text = text.as_str().to_owned();
                    if events.send(SocketEvent::Text(text)).await.is_err() {
                        return;
                    }
                }
                // Pings are answered below, by tungstenite.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
            () = unframed.too_many() => return,
        }
    }
}

/// Asks the server who is there, and tells what it answers, if that is something.
pub(super) fn list(target: Target, options: &Options, answer: oneshot::Sender<String>) {
    let config = options.websocket.clone();
    spawn(async move {
        let fetched = timeout(LISTING_TIME_MAX, config.fetch(&target, MESSAGE_BYTES_MAX)).await;
        match fetched {
            // Nobody may wait for it any more.
            Ok(Ok(text)) => drop(answer.send(text)),
            Ok(Err(error)) => {
                tracing::debug!(host = target.host, %error, "the signaling server does not say who is there");
            }
            Err(_late) => {
                tracing::debug!(host = target.host, "it does not say in time who is there");
            }
        }
    });
}

/// Waits until nobody is at the other end. What is said before the socket is open is lost.
async fn ended(texts: &mut mpsc::Receiver<String>) {
    while texts.next().await.is_some() {}
}
