//! Runs one WebSocket: what comes goes to [`Rooms`](crate::Rooms), what these say goes out, and neither waits for the
//! other.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::io::InspectReader;

use crate::config::Limits;
use crate::hub::{Hub, Inlet};
use crate::rooms::{Attach, ConnectionId, Ending};

/// A peer that is told goodbye answers within this time, or is cut off.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(3);
/// Allocated for each connection; a longer frame has its own.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Room for the frame's head and for answers to pings, beside a message that is being written.
const WRITE_SLACK_BYTES: usize = 4 * 1024;

/// A place among the connections, given up when it is dropped.
pub(crate) struct Connected {
    hub: Hub,
    connection: ConnectionId,
    ending: Ending,
}

impl Connected {
    pub(crate) const fn new(hub: Hub, connection: ConnectionId) -> Self {
        Self {
            hub,
            connection,
            ending: Ending::Lost,
        }
    }

    /// Speaks with a peer until the connection ends.
    pub(crate) async fn run<S>(mut self, stream: S, mut inlet: Inlet, attach: Attach<'_>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = &self.hub.config().limits;
        let config = config(limits);
        let unframed = Unframed::new(limits);
        let stream = unframed.count(stream);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let connection = self.connection;
        self.hub
            .change(|rooms, now| rooms.attach(now, connection, attach));
        let (mut sink, mut source) = stream.split();
        let end = tokio::select! {
            // What was said before a goodbye is written as well: see below.
            closing = &mut inlet.closing => match closing {
                Ok(closing) if closing.is_cut() => End::Cut,
                Ok(closing) => End::Goodbye(closing.code(), closing.reason()),
                Err(_) => End::Cut,
            },
            end = self.read(&mut source, &unframed) => end,
            () = unframed.too_many() => End::Cut,
            () = self.write(&mut sink, &mut inlet.texts) => End::Cut,
        };
        match end {
            End::Cut => {}
            End::Answer => {
                self.ending = Ending::Goodbye;
                // The answer is in the sink. An error, or no time, says that nobody waits for it.
                let _unheard = timeout(GOODBYE_TIME_MAX, sink.close()).await;
            }
            End::Goodbye(code, reason) => {
                let frame = CloseFrame {
                    code: CloseCode::from(code),
                    reason: Utf8Bytes::from_static(reason),
                };
                let goodbye = async {
                    while let Ok(text) = inlet.texts.try_recv() {
                        sink.send(Message::text(text)).await?;
                    }
                    sink.send(Message::Close(Some(frame))).await?;
                    // What is unread when a socket is closed makes the system drop what was written.
                    while source.next().await.is_some_and(|read| read.is_ok()) {}
                    Ok::<_, Error>(())
                };
                tokio::select! {
                    _unheard = timeout(GOODBYE_TIME_MAX, goodbye) => {}
                    () = unframed.too_many() => {}
                }
            }
        }
    }

    /// Reads, no faster than is allowed.
    async fn read<S>(
        &self,
        source: &mut SplitStream<WebSocketStream<S>>,
        unframed: &Unframed,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (hub, connection) = (&self.hub, self.connection);
        loop {
            let message = source.next().await;
            let bytes = unframed.take();
            let pause = match message {
                None => return End::Cut,
                Some(Ok(Message::Close(_))) => return End::Answer,
                Some(Ok(Message::Text(text))) => hub.change(|rooms, now| {
                    let beside = bytes.saturating_sub(text.len());
                    let pause = rooms.frame(now, connection, &text);
                    pause.max(rooms.overhead(now, connection, beside))
                }),
                Some(Ok(Message::Binary(_))) => {
                    hub.change(|rooms, now| rooms.binary_frame(now, connection));
                    // It is closed, which ends this.
                    Duration::MAX
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    hub.change(|rooms, now| {
                        let pause = rooms.ping(now, connection);
                        pause.max(rooms.overhead(now, connection, bytes))
                    })
                }
                Some(Err(Error::Capacity(_))) => return End::Goodbye(1009, "frame too long"),
                Some(Err(Error::Utf8(_))) => return End::Goodbye(1007, "no UTF-8"),
                Some(Err(Error::Protocol(_))) => return End::Goodbye(1002, "no WebSocket"),
                Some(Err(_)) => return End::Cut,
            };
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    async fn write<S>(
        &self,
        sink: &mut SplitSink<WebSocketStream<S>, Message>,
        texts: &mut mpsc::UnboundedReceiver<String>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(text) = texts.recv().await {
            let bytes = text.len();
            if sink.send(Message::text(text)).await.is_err() {
                return;
            }
            let connection = self.connection;
            self.hub.change(|rooms, _| rooms.sent(connection, bytes));
        }
        // Its outlet is gone: it is being closed.
        std::future::pending::<()>().await;
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.hub.end(self.connection, self.ending);
    }
}

/// How many bytes have come since the last message or ping, to which they are charged: frames without content that end
/// no message cost time alone, for as long as they come. What comes after a goodbye counts as well.
struct Unframed {
    bytes: Arc<AtomicUsize>,
    /// The longest message in frames whose heads are as long as what they carry, with what is read ahead.
    bytes_max: usize,
}

impl Unframed {
    fn new(limits: &Limits) -> Self {
        Self {
            bytes: Arc::default(),
            bytes_max: 2 * limits.frame_bytes_max + READ_BUFFER_BYTES,
        }
    }

    fn count<S: AsyncRead>(&self, stream: S) -> InspectReader<S, impl FnMut(&[u8]) + use<S>> {
        let bytes = Arc::clone(&self.bytes);
        InspectReader::new(stream, move |read: &[u8]| {
            bytes.fetch_add(read.len(), Ordering::Relaxed);
        })
    }

    /// A message has come, or a ping: how many bytes with it.
    fn take(&self) -> usize {
        self.bytes.swap(0, Ordering::Relaxed)
    }

    /// Waits until too many have come. It looks whenever it is polled: beside what reads.
    async fn too_many(&self) {
        let poll = |_: &mut Context<'_>| match self.bytes.load(Ordering::Relaxed) {
            bytes if bytes > self.bytes_max => Poll::Ready(()),
            _ => Poll::Pending,
        };
        poll_fn(poll).await;
    }
}

/// How a connection comes to its end.
enum End {
    /// It breaks, or is dropped without a word.
    Cut,
    /// The peer said goodbye, and is answered.
    Answer,
    /// The server says goodbye, with a code and a reason.
    Goodbye(u16, &'static str),
}

fn config(limits: &Limits) -> WebSocketConfig {
    // A message that is relayed has grown by the source that the server says.
    let written_max = limits.outgoing_bytes_per_connection_max + WRITE_SLACK_BYTES;
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(written_max)
        .max_message_size(Some(limits.frame_bytes_max))
        .max_frame_size(Some(limits.frame_bytes_max))
}
