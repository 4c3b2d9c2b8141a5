//! Takes locks of the browser, each held by a promise that this page keeps open.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use js_sys::{Array, Function, Promise};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::events::Callback;
use super::globals::{AbortSignal, LockManager, object, property, told};
use super::unavailable;
use crate::storage::StorageError;

/// A lock, which is free again when this is dropped.
pub(super) struct Lock {
    manager: LockManager,
    name: String,
    release: Function,
    /// Set if the browser has taken it away.
    is_over: Rc<Cell<bool>>,
}

impl Lock {
    /// Takes the lock of this name, after a wait of this length at most. `None` if another page holds it.
    pub(super) async fn take(
        manager: &LockManager,
        name: &str,
        wait: Duration,
    ) -> Result<Option<Self>, StorageError> {
        let options = if wait.is_zero() {
            object("ifAvailable", &true.into())
        } else {
            let signal = AbortSignal::timeout(wait.as_secs_f64() * 1000.0);
            object(
                "signal",
                &signal.map_err(|error| unavailable(&error))?.into(),
            )
        };
        let mut resolve = None;
        let held = Promise::new(&mut |resolves, _| resolve = Some(resolves));
        let release = resolve.expect("a promise has a function that resolves it");
        let (tell, granted) = oneshot::channel();
        let mut tell = Some(tell);
        let callback: Callback = Closure::new(move |lock: JsValue| {
            let is_granted = !lock.is_null();
            if let Some(tell) = tell.take() {
                // Nobody may wait any more.
                let _unheard = tell.send(is_granted);
            }
            if is_granted {
                held.clone().into()
            } else {
                JsValue::UNDEFINED
            }
        });
        let requested = manager.request(name, &options, callback.as_ref().unchecked_ref());
        let requested = requested.map_err(|error| unavailable(&error))?;
        let (is_over, refused) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(None)));
        spawn_local({
            let (is_over, refused) = (Rc::clone(&is_over), Rc::clone(&refused));
            async move {
                let over = JsFuture::from(requested).await;
                is_over.set(true);
                *refused.borrow_mut() = over.err();
                // Whoever waits hears that it was not granted.
                drop(callback);
            }
        });
        match granted.await {
            Ok(true) => Ok(Some(Self {
                manager: manager.clone(),
                name: name.to_owned(),
                release,
                is_over,
            })),
            Ok(false) => Ok(None),
            Err(_) => match refused.take() {
                Some(error) if !["TimeoutError", "AbortError"].contains(&&*told(&error).0) => {
                    Err(unavailable(&error))
                }
                _ => Ok(None),
            },
        }
    }

    /// Asks the browser whether this page still holds it.
    pub(super) async fn is_held(&self) -> bool {
        let Ok(asked) = self.manager.query() else {
            return false;
        };
        let Ok(found) = JsFuture::from(asked).await else {
            return false;
        };
        let held: Array = property(&found, "held").unchecked_into();
        let is_there = held
            .iter()
            .any(|lock| property(&lock, "name").as_string().as_ref() == Some(&self.name));
        is_there && !self.is_over.get()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let released = self.release.call0(&JsValue::UNDEFINED);
        debug_assert!(released.is_ok(), "resolving a promise does not throw");
    }
}
