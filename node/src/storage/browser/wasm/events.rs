//! Waits for events.

use futures::channel::oneshot;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use web_sys::{Event, EventTarget};

/// What JavaScript calls. There is one type of it, since each takes its own code.
pub(super) type Callback = Closure<dyn FnMut(JsValue) -> JsValue>;

/// Makes what JavaScript calls with an event.
pub(super) fn on_event(mut hear: impl FnMut(&Event) + 'static) -> Callback {
    Closure::new(move |event: JsValue| {
        hear(event.unchecked_ref());
        JsValue::UNDEFINED
    })
}

/// Listens as long as it is there.
pub(super) struct Listener {
    target: EventTarget,
    types: &'static [&'static str],
    callback: Callback,
}

impl Listener {
    pub(super) fn new(
        target: &EventTarget,
        types: &'static [&'static str],
        callback: Callback,
    ) -> Self {
        for kind in types {
            let function = callback.as_ref().unchecked_ref();
            let added = target.add_event_listener_with_callback(kind, function);
            debug_assert!(added.is_ok(), "a listener is a function");
        }
        Self {
            target: target.clone(),
            types,
            callback,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for kind in self.types {
            let function = self.callback.as_ref().unchecked_ref();
            let removed = self
                .target
                .remove_event_listener_with_callback(kind, function);
            debug_assert!(removed.is_ok(), "a listener is a function");
        }
    }
}

/// The first of some events, which may come at once: it is listened for from when this is made.
pub(super) struct First {
    heard: oneshot::Receiver<String>,
    _listener: Listener,
}

impl First {
    pub(super) fn of(target: &EventTarget, types: &'static [&'static str]) -> Self {
        let (tell, heard) = oneshot::channel();
        let mut tell = Some(tell);
        let callback = on_event(move |event| {
            if let Some(tell) = tell.take() {
                // Nobody may wait any more.
                drop(tell.send(event.type_()));
            }
        });
        Self {
            heard,
            _listener: Listener::new(target, types, callback),
        }
    }

    /// Resolves with the type of the event.
    pub(super) async fn event(&mut self) -> String {
        (&mut self.heard).await.expect("the listener tells once")
    }
}
