//! Moves the packets of one connection, from when it is being opened until it has ended.

use std::fmt;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::mpsc;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::opening::{BATCH_BYTES, Messages, OpenError, Socket};
use super::unframed::Unframed;
use crate::carrier::{CarrierEvent, Channel};
use crate::websocket::deadlines::{late_close, late_opening, silence};
use crate::websocket::pipe::Pipe;
use crate::websocket::table::End;

/// Why a connection ended.
enum Ending {
    /// This end closed it.
    Closed,
    ByPeer,
    Silent,
    /// What came is no packet.
    NoPacket,
    Error(Box<Error>),
}

/// Opens a connection, and runs it to its end.
pub(super) async fn run(opening: impl Future<Output = Result<Socket, OpenError>>, mut end: End) {
    let path = end.path;
    let opened = tokio::select! {
        biased;
        () = end.pipe.closed() => None,
        opened = opening => Some(opened),
        () = late_opening(&end.limits) => Some(Err(OpenError::TooLong)),
    };
    match opened {
        Some(Ok(socket)) => {
            let binding = None;
            end.tell(CarrierEvent::Opened { path, binding }).await;
            let ending = drive(socket, &end).await;
            tracing::debug!(?path, %ending, "a connection has ended");
            match ending {
                Ending::NoPacket => end.meter.on_broken(),
                Ending::Silent => end.meter.on_silent(),
                Ending::Closed | Ending::ByPeer | Ending::Error(_) => {}
            }
        }
        Some(Err(error)) => {
            tracing::debug!(?path, %error, "a connection was not opened");
            end.meter.on_unopened();
            let why = error.into();
            return end.tell(CarrierEvent::Unopened { path, why }).await;
        }
        None => {}
    }
    end.tell(CarrierEvent::Closed { path }).await;
}

async fn drive(socket: Socket, end: &End) -> Ending {
    let Socket { messages, unframed } = socket;
    let (sink, stream) = messages.split();
    let is_heard = AtomicBool::new(false);
    tokio::select! {
        ending = read(stream, &unframed, end, &is_heard) => ending,
        () = unframed.too_many() => Ending::NoPacket,
        error = write(sink, &unframed, end) => Ending::from(error),
        () = silence(&is_heard, &end.pipe, &end.limits) => Ending::Silent,
        () = late_close(&end.pipe, &end.limits) => Ending::Closed,
    }
}

/// Gives what comes to the carrier, which takes it when it has room: until then nothing more is read.
async fn read(
    mut stream: SplitStream<Messages>,
    unframed: &Unframed,
    end: &End,
    is_heard: &AtomicBool,
) -> Ending {
    let path = end.path;
    let mut arrivals = end.arrivals.clone();
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(bytes)) => {
                is_heard.store(true, Ordering::Relaxed);
                unframed.on_message();
                let packet = CarrierEvent::Packet {
                    path,
                    channel: Channel::Ordered,
                    packet: bytes.into(),
                };
                // A carrier that has closed the connection, or is gone, takes nothing, and the peer is heard out: a
                // socket that is closed with bytes unread takes back what was sent last (RFC 1122, section 4.2.2.13).
                if !end.pipe.is_closed() {
                    let _gone = arrivals.send(packet).await;
                }
            }
            // Pings are answered below, by tungstenite.
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            // The other end waits for our answer, and then closes.
            Ok(Message::Close(_)) => end.pipe.close(),
            Ok(Message::Text(_) | Message::Frame(_)) => return Ending::NoPacket,
            Err(error) => return Ending::from(error),
        }
    }
    if end.pipe.is_closed() {
        Ending::Closed
    } else {
        Ending::ByPeer
    }
}

/// Sends what waits, until it cannot.
async fn write(mut sink: SplitSink<Messages, Message>, unframed: &Unframed, end: &End) -> Error {
    match send_all(&mut sink, unframed, &end.pipe, end).await {
        // The other end closes now.
        Ok(()) => pending().await,
        Err(error) => error,
    }
}

async fn send_all(
    sink: &mut SplitSink<Messages, Message>,
    unframed: &Unframed,
    pipe: &Pipe,
    end: &End,
) -> Result<(), Error> {
    let mut arrivals: mpsc::Sender<_> = end.arrivals.clone();
    while let Some(packet) = pipe.next().await {
        unframed.on_sent();
        let mut bytes = packet.len();
        sink.feed(Message::Binary(packet.into_bytes())).await?;
        while bytes < BATCH_BYTES
            && let Some(packet) = pipe.try_next()
        {
            bytes += packet.len();
            sink.feed(Message::Binary(packet.into_bytes())).await?;
        }
        sink.flush().await?;
        if pipe.take_writable() {
            let path = end.path;
            let _gone = arrivals.send(CarrierEvent::Writable { path }).await;
        }
    }
    sink.close().await
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        match error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::ByPeer,
            Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => Self::NoPacket,
            error => Self::Error(Box::new(error)),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by this end"),
            Self::ByPeer => f.write_str("closed by the other end"),
            Self::Silent => f.write_str("no packet came, or none was to be sent, for too long"),
            Self::NoPacket => f.write_str("what came is no packet"),
            Self::Error(error) => error.fmt(f),
        }
    }
}
