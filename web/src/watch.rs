//! Tells a page of changes as they come.

use std::rc::Rc;

use futures::StreamExt;
use futures::lock::Mutex;
use futures::stream::{AbortHandle, Abortable};
use js_sys::Promise;
use liferaft::KvHandle;
use liferaft::kv::{Keys, Revision, Watch};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::plain::promise;
use crate::reply;

/// A watch of keys.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawWatch {
    watch: Rc<Mutex<Abortable<Watch>>>,
    end: AbortHandle,
}

impl RawWatch {
    pub(crate) fn new(kv: &KvHandle, keys: Keys, from: Option<u64>) -> Self {
        let watch = match from {
            Some(from) => kv.watch_from(keys, Revision(from)),
            None => kv.watch(keys),
        };
        let (end, ended) = AbortHandle::new_pair();
        Self {
            watch: Rc::new(Mutex::new(Abortable::new(watch, ended))),
            end,
        }
    }
}

#[wasm_bindgen]
impl RawWatch {
    /// Waits for what it tells next. `undefined` once it has ended.
    pub fn next(&self) -> Promise {
        let watch = Rc::clone(&self.watch);
        promise(async move {
            let next = watch.lock().await.next().await.transpose()?;
            Ok(next.map_or(JsValue::UNDEFINED, reply::of_watch))
        })
    }

    /// Ends it: whoever waits is told.
    pub fn end(&self) {
        self.end.abort();
    }
}
