//! In browsers: the sockets of the host, a task for each.

use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, SinkExt, StreamExt, select_biased};
use js_sys::{JsString, Promise, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortSignal, MessageEvent, ReadableStreamDefaultReader, ReadableStreamReadResult,
    RequestCredentials, RequestInit, Response, WebSocket,
};

use super::message::MESSAGE_BYTES_MAX;
use super::{SocketEnd, SocketEvent};
use crate::carrier::OpenFailure;
use crate::websocket::Target;

/// The most texts that wait for the task of their socket, which runs after each.
const UNTOLD_TEXTS_MAX: usize = 8;

/// The most bytes that a host holds to be sent. A server for which there are more reads nothing, and is none.
const UNSENT_BYTES_MAX: u32 = 1024 * 1024;

/// How long a server may take to say who is there, in milliseconds.
const LISTING_TIME_MAX_MS: u32 = 5_000;

#[wasm_bindgen]
extern "C" {
    /// That of the page, or of the worker.
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, options: &RequestInit) -> Result<Promise, JsValue>;
}

/// What only this host is told: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options;

/// Opens a socket, and moves its texts until it ends. A browser says goodbye in any case.
pub(super) fn open(target: Target, _options: &Options, _keeps_id: bool, end: SocketEnd) {
    spawn_local(async move {
        if let Ok(socket) = WebSocket::new(&target.url()) {
            run(&socket, end).await;
            for forget in [
                WebSocket::set_onopen,
                WebSocket::set_onmessage,
                WebSocket::set_onclose,
                WebSocket::set_onerror,
            ] {
                forget(&socket, None);
            }
            let _closed = socket.close();
        }
    });
}

/// Asks the server who is there, and tells what it answers, if that is something. It lets in pages of its own origin,
/// and of those that it permits.
pub(super) fn list(target: Target, _options: &Options, answer: oneshot::Sender<String>) {
    spawn_local(async move {
        match fetched(&target).await {
            // Nobody may wait for it any more.
            Ok(text) => drop(answer.send(text)),
            Err(error) => {
                tracing::debug!(
                    host = target.host,
                    ?error,
                    "the signaling server does not say who is there"
                );
            }
        }
    });
}

/// Returns a short text that a server answers with, of which no more is read than there may be.
async fn fetched(target: &Target) -> Result<String, JsValue> {
    let options = RequestInit::new();
    options.set_credentials(RequestCredentials::Omit);
    options.set_signal(Some(&AbortSignal::timeout_with_u32(LISTING_TIME_MAX_MS)));
    let url = target.url().replacen("ws", "http", 1);
    let response: Response = JsFuture::from(fetch(&url, &options)?).await?.dyn_into()?;
    let body = response.body().filter(|_| response.ok());
    let reader = body.ok_or("it refuses")?.get_reader();
    let reader: ReadableStreamDefaultReader = reader.dyn_into()?;
    let mut text = Vec::new();
    loop {
        let read = JsFuture::from(reader.read()).await?;
        let read: ReadableStreamReadResult = read.unchecked_into();
        if read.get_done() != Some(false) {
            return String::from_utf8(text).map_err(|_| "it says no text".into());
        }
        let part: Uint8Array = read.get_value().dyn_into()?;
        let length = usize::try_from(part.length()).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX - text.len() {
            let _canceled = reader.cancel();
            return Err("it says too much".into());
        }
        text.extend(part.to_vec());
    }
}

async fn run(socket: &WebSocket, end: SocketEnd) {
    let SocketEnd {
        mut texts,
        mut events,
    } = end;
    // `None` when the socket is closed. A host reads on whether texts are taken or not: more than there is room for end
    // it.
    let (mut told, mut tells) = mpsc::channel::<Option<SocketEvent>>(UNTOLD_TEXTS_MAX);
    let mut is_open = false;
    let mut opened = told.clone();
    let on_open = Closure::<dyn FnMut()>::new(move || {
        let _gone = opened.try_send(Some(SocketEvent::Open));
    });
    let mut closed = told.clone();
    let on_close = Closure::<dyn FnMut()>::new(move || {
        let _gone = closed.try_send(None);
    });
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        let event = text_of(&message).map(SocketEvent::Text);
        if told.try_send(event).is_err() {
            told.close_channel();
        }
    });
    socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
    socket.set_onerror(Some(on_close.as_ref().unchecked_ref()));
    socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    loop {
        select_biased! {
            event = tells.next().fuse() => match event {
                Some(Some(event)) => {
                    is_open = true;
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
                Some(None) | None if is_open => return,
                Some(None) | None => {
                    let why = OpenFailure::NotConnected("the browser does not say why".to_owned());
                    // Whoever has asked for it may have gone.
                    let _gone = events.send(SocketEvent::Unopened(why)).await;
                    return;
                }
            },
            text = texts.next().fuse() => match text {
                // One that comes too early is lost: whoever has sent it repeats it.
                Some(_) if socket.buffered_amount() > UNSENT_BYTES_MAX => return,
                Some(text) => {
                    let _early = socket.send_with_str(&text);
                }
                None => return,
            },
        }
    }
}

/// Returns the text of a message, if it is one that may be read. Its length is asked for before it is copied: in units
/// of UTF-16, of which none is more than three bytes.
fn text_of(message: &MessageEvent) -> Option<String> {
    let text = message.data().dyn_into::<JsString>().ok()?;
    let length = usize::try_from(text.length()).ok()?;
    (length <= MESSAGE_BYTES_MAX).then(|| text.into())
}
