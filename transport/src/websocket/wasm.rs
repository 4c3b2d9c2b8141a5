//! In browsers and Node: the sockets of the host, each in a task of its own.
//!
//! Objects of JavaScript stay in the tasks that use them, so that the carrier can be sent to wherever it is wanted.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, SinkExt, StreamExt, select_biased};
use js_sys::{ArrayBuffer, Function, Uint8Array};
use liferaft_platform::{now, sleep_until, spawn};
use sha2::{Digest, Sha256};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{BinaryType, MessageEvent, WebSocket};

use super::carrier::WebSocketCarrier;
use super::config::WebSocketConfig;
use super::deadlines::{late_close, late_opening, silence};
use super::limits::PACKET_BYTES_MAX;
use super::table::End;
use super::target::Target;
use crate::carrier::{CarrierEvent, Channel, Reach};

/// The most bytes that wait in a socket of the host. It shows a packet no sooner than all before it are gone.
const BUFFERED_BYTES_MAX: u32 = 16 * 1024;

/// How often a socket in which more waits is looked at: it does not tell when there is room.
const BUFFERED_FOR: Duration = Duration::from_millis(5);

/// The most bytes of messages of a connection that wait for the carrier. A host reads on whether they are taken or not,
/// so that more of them close the connection. Links bound what is under way by much less.
const UNREAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most sockets that wait to be accepted by the carrier.
const INCOMING_MAX: usize = 64;

/// What only a carrier in a host of JavaScript is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    make: Option<Function>,
}

impl WebSocketConfig {
    /// Makes sockets by a function, which is given a URL and returns an object with the interface of a browser's
    /// `WebSocket`. For hosts without one, such as Node before version 22 with `url => new (require("ws"))(url)`.
    #[must_use]
    pub fn with_sockets(mut self, make: Function) -> Self {
        self.host.make = Some(make);
        self
    }
}

impl WebSocketCarrier {
    /// Returns what takes in the sockets of a server that the host has, such as npm's `ws`.
    #[must_use]
    pub fn acceptor(&self) -> WebSocketAcceptor {
        WebSocketAcceptor(self.host.acceptor.clone())
    }
}

/// Takes in sockets that others have dialed, also while an [`Endpoint`](crate::endpoint::Endpoint) has the carrier.
#[derive(Clone, Debug)]
pub struct WebSocketAcceptor(mpsc::Sender<Incoming>);

impl WebSocketAcceptor {
    /// Takes in an open socket: an object with the interface of a browser's `WebSocket`. Those of one origin, such as
    /// the IP address of whoever has dialed, share a limit. A socket for which there is no room is closed.
    pub fn accept(&self, socket: JsValue, origin: &str) {
        let (hand_over, handed_over) = oneshot::channel();
        let from = origin.to_owned();
        let digest = Sha256::digest(origin);
        let mut origin = [0; 16];
        origin.copy_from_slice(&digest[..16]);
        let socket = Socket::new(socket.unchecked_into());
        let incoming = Incoming {
            origin,
            from,
            hand_over,
        };
        if self.0.clone().try_send(incoming).is_ok() {
            spawn_local(async move {
                if let Ok(end) = handed_over.await {
                    run(socket, end).await;
                }
            });
        }
    }
}

/// The sockets of the host.
#[derive(Debug)]
pub(super) struct Host {
    /// To the task that has the function by which sockets are made.
    dials: mpsc::UnboundedSender<(String, End)>,
    acceptor: mpsc::Sender<Incoming>,
    incoming: mpsc::Receiver<Incoming>,
}

impl Host {
    pub(super) fn new(Options { make }: Options) -> Self {
        // At most as many wait as connections may be dialed.
        let (dials, mut dialed) = mpsc::unbounded::<(String, End)>();
        spawn_local(async move {
            while let Some((url, end)) = dialed.next().await {
                spawn_local(dial(make_socket(make.as_ref(), &url), end));
            }
        });
        let (acceptor, incoming) = mpsc::channel(INCOMING_MAX);
        Self {
            dials,
            acceptor,
            incoming,
        }
    }

    pub(super) fn reach(&self) -> Reach {
        Reach::Anywhere
    }

    /// No host of JavaScript shows certificates, so that a fingerprint cannot be compared.
    pub(super) fn dials(&self, target: &Target) -> bool {
        target.pin.is_none()
    }

    pub(super) fn dial(&self, target: Target, end: End) {
        let sent = self.dials.unbounded_send((target.url(), end));
        assert!(sent.is_ok(), "the task lives as long as the host");
    }

    /// Returns the next connection of another.
    pub(super) fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        match self.incoming.poll_next_unpin(context) {
            Poll::Ready(Some(incoming)) => Poll::Ready(incoming),
            _ => Poll::Pending,
        }
    }
}

/// A socket of another, which waits in a task for a place among the connections.
#[derive(Debug)]
pub(super) struct Incoming {
    origin: [u8; 16],
    from: String,
    hand_over: oneshot::Sender<End>,
}

impl Incoming {
    pub(super) fn origin(&self) -> Vec<u8> {
        self.origin.to_vec()
    }

    pub(super) fn from(&self) -> &str {
        &self.from
    }

    pub(super) fn open(self, end: End) {
        if let Err(mut end) = self.hand_over.send(end) {
            let path = end.path;
            spawn(async move { end.tell(CarrierEvent::Closed { path }).await });
        }
    }
}

fn make_socket(make: Option<&Function>, url: &str) -> Result<Socket, JsValue> {
    let socket = match make {
        Some(make) => make.call1(&JsValue::NULL, &url.into())?.unchecked_into(),
        None => WebSocket::new(url)?,
    };
    Ok(Socket::new(socket))
}

async fn dial(socket: Result<Socket, JsValue>, mut end: End) {
    match socket {
        Ok(socket) => run(socket, end).await,
        Err(error) => {
            let path = end.path;
            tracing::debug!(?path, ?error, "the host makes no socket");
            end.meter.on_unopened();
            end.tell(CarrierEvent::Closed { path }).await;
        }
    }
}

/// A socket of the host, and what it has told.
struct Socket {
    socket: WebSocket,
    notices: mpsc::UnboundedReceiver<Notice>,
    unread: Rc<Unread>,
    /// What the host calls as long as this is here.
    _listeners: (
        Closure<dyn FnMut(MessageEvent)>,
        Closure<dyn FnMut()>,
        Closure<dyn FnMut()>,
    ),
}

thread_local! {
    /// A function that does nothing, for all sockets.
    static IGNORE: JsValue = Closure::<dyn FnMut()>::new(|| {}).into_js_value();
}

/// What a socket tells.
enum Notice {
    Open,
    Packet(Bytes),
    /// A message that is no packet came, or more than may wait.
    Broken,
    Closed,
}

/// The messages that wait for the carrier.
#[derive(Default)]
struct Unread {
    bytes: Cell<usize>,
    is_broken: Cell<bool>,
}

/// Why a connection ended.
enum Ending {
    Closed,
    Broken,
    Silent,
}

impl Socket {
    fn new(socket: WebSocket) -> Self {
        let (sender, notices) = mpsc::unbounded();
        let unread = Rc::<Unread>::default();
        let tell = move |notice| {
            // Nobody waits for it any more if this is refused.
            let _unheard = sender.unbounded_send(notice);
        };
        let (opened, closed) = (tell.clone(), tell.clone());
        let reading = Rc::clone(&unread);
        let on_message = Closure::new(move |message: MessageEvent| {
            if let Some(notice) = reading.take(&message.data()) {
                tell(notice);
            }
        });
        let on_open = Closure::new(move || opened(Notice::Open));
        let on_close = Closure::new(move || closed(Notice::Closed));
        socket.set_binary_type(BinaryType::Arraybuffer);
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        // An error is followed by a close. Without a listener Node's sockets throw it, also when nobody has them any
        // more.
        IGNORE.with(|ignore| socket.set_onerror(Some(ignore.unchecked_ref())));
        Self {
            socket,
            notices,
            unread,
            _listeners: (on_message, on_open, on_close),
        }
    }
}

impl Unread {
    fn take(&self, data: &JsValue) -> Option<Notice> {
        if self.is_broken.get() {
            return None;
        }
        let is_binary = data.is_instance_of::<ArrayBuffer>();
        let bytes = is_binary.then(|| Uint8Array::new(data)).filter(|bytes| {
            let length = usize::try_from(bytes.length()).unwrap_or(usize::MAX);
            length <= PACKET_BYTES_MAX && self.bytes.get() + length <= UNREAD_BYTES_MAX
        });
        let Some(bytes) = bytes else {
            self.is_broken.set(true);
            return Some(Notice::Broken);
        };
        let packet = Bytes::from(bytes.to_vec());
        self.bytes.set(self.bytes.get() + packet.len());
        Some(Notice::Packet(packet))
    }
}

/// The closures may be called no more.
impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onopen(None);
        self.socket.set_onclose(None);
        // One that is closed already refuses nothing that matters.
        let _closed = self.socket.close();
    }
}

/// Opens a connection, and runs it to its end.
async fn run(mut socket: Socket, mut end: End) {
    let path = end.path;
    let is_open = select_biased! {
        () = end.pipe.closed().fuse() => None,
        is_open = opened(&mut socket).fuse() => Some(is_open),
        () = late_opening(&end.limits).fuse() => Some(false),
    };
    match is_open {
        Some(true) => {
            let binding = None;
            end.tell(CarrierEvent::Opened { path, binding }).await;
            match drive(&mut socket, &end).await {
                Ending::Closed => {}
                Ending::Broken => end.meter.on_broken(),
                Ending::Silent => end.meter.on_silent(),
            }
        }
        Some(false) => end.meter.on_unopened(),
        None => {}
    }
    drop(socket);
    end.tell(CarrierEvent::Closed { path }).await;
}

/// Waits until the socket is open. Returns false if it is closed.
async fn opened(socket: &mut Socket) -> bool {
    if socket.socket.ready_state() == WebSocket::OPEN {
        return true;
    }
    matches!(socket.notices.next().await, Some(Notice::Open))
}

async fn drive(socket: &mut Socket, end: &End) -> Ending {
    let Socket {
        socket,
        notices,
        unread,
        ..
    } = socket;
    let is_heard = AtomicBool::new(false);
    let mut reading = pin!(read(notices, unread, end, &is_heard).fuse());
    let mut writing = pin!(write(socket, end).fuse());
    let mut silent = pin!(silence(&is_heard, &end.pipe, &end.limits).fuse());
    let mut late = pin!(late_close(&end.pipe, &end.limits).fuse());
    select_biased! {
        ending = reading => ending,
        () = writing => Ending::Closed,
        () = silent => Ending::Silent,
        () = late => Ending::Closed,
    }
}

/// Gives what comes to the carrier, which takes it when it has room.
async fn read(
    notices: &mut mpsc::UnboundedReceiver<Notice>,
    unread: &Unread,
    end: &End,
    is_heard: &AtomicBool,
) -> Ending {
    let path = end.path;
    let mut arrivals = end.arrivals.clone();
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Packet(bytes) => {
                is_heard.store(true, Ordering::Relaxed);
                unread.bytes.set(unread.bytes.get() - bytes.len());
                let packet = CarrierEvent::Packet {
                    path,
                    channel: Channel::Ordered,
                    packet: bytes.into(),
                };
                if !end.pipe.is_closed() {
                    let _gone = arrivals.send(packet).await;
                }
            }
            Notice::Open => {}
            Notice::Broken => return Ending::Broken,
            Notice::Closed => return Ending::Closed,
        }
    }
    Ending::Closed
}

/// Sends what waits, until the socket refuses.
async fn write(socket: &WebSocket, end: &End) {
    let mut arrivals = end.arrivals.clone();
    while let Some(first) = end.pipe.next().await {
        let mut next = Some(first);
        while let Some(packet) = next {
            // A copy: the host may send it when this memory holds something else.
            let bytes = Uint8Array::from(&*packet.into_bytes());
            if socket.send_with_array_buffer(&bytes.buffer()).is_err() {
                return;
            }
            let has_room = socket.buffered_amount() <= BUFFERED_BYTES_MAX;
            next = if has_room { end.pipe.try_next() } else { None };
        }
        if end.pipe.take_writable() {
            let path = end.path;
            let _gone = arrivals.send(CarrierEvent::Writable { path }).await;
        }
        while socket.buffered_amount() > BUFFERED_BYTES_MAX {
            sleep_until(now() + BUFFERED_FOR).await;
        }
    }
    // The host sends what is buffered first, and tells when the other end has closed as well.
    if socket.close().is_ok() {
        pending().await
    }
}
