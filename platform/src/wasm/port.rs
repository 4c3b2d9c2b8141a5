//! Lets the host handle what has happened, by a message to itself: a timeout would take four milliseconds, and in a
//! hidden page a second.

use std::cell::Cell;
use std::time::Duration;

use futures::channel::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessageChannel;

use super::now;

/// How long work goes on before what has happened is handled.
pub(super) const STRETCH: Duration = Duration::from_millis(8);

/// What is known of the host, which does not say when it handles anything but messages.
#[derive(Clone, Copy)]
enum Turn {
    /// It handled a message then.
    Taken(Duration),
    /// A message to itself waits since then.
    Awaited(Duration),
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Taken(Duration::ZERO)) };
}

/// Waits until what had happened before is handled, if nothing has been for a stretch of work. The first call after a
/// rest posts a message, which tells when the host handles anything, and waits for nothing.
pub(crate) async fn breathe() {
    let now = now();
    let is_over = |since| now.saturating_sub(since) >= STRETCH;
    match TURN.get() {
        Turn::Taken(at) if is_over(at) => {
            TURN.set(Turn::Awaited(now));
            drop(post());
        }
        Turn::Awaited(since) if is_over(since) => turn().await,
        Turn::Taken(_) | Turn::Awaited(_) => {}
    }
}

/// Waits until what had happened before is handled.
pub(super) async fn turn() {
    // The sender is dropped only when it has been used.
    let _over = post().await;
}

/// Posts a message, and returns what tells that it has arrived. The channel is there for that one alone: an open port
/// would keep a process of Node from its end.
fn post() -> oneshot::Receiver<()> {
    let (arrived, arrival) = oneshot::channel();
    let channel = MessageChannel::new().expect("every host has channels for messages");
    let port = channel.port1();
    let on_message = Closure::once_into_js({
        let port = port.clone();
        move || {
            port.close();
            TURN.set(Turn::Taken(now()));
            // Nobody waits any more if this is refused.
            let _unheard = arrived.send(());
        }
    });
    port.set_onmessage(Some(on_message.unchecked_ref()));
    let posted = channel.port2().post_message(&JsValue::NULL);
    posted.expect("what is not an object can be posted");
    arrival
}
