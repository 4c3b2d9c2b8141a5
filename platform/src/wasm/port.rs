//! Lets the host handle what has happened, by a message to itself: a timeout would take four milliseconds, and in a
//! hidden page a second.

use futures::channel::oneshot;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessageChannel;

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
            // Nobody waits any more if this is refused.
            let _unheard = arrived.send(());
        }
    });
    port.set_onmessage(Some(on_message.unchecked_ref()));
    let posted = channel.port2().post_message(&JsValue::NULL);
    posted.expect("what is not an object can be posted");
    arrival
}
