//! Tells a page of changes as they come.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::lock::Mutex;
use futures::stream::{AbortHandle, Abortable, LocalBoxStream};
use futures::{StreamExt, stream};
use js_sys::Promise;
use liferaft::kv::{
    Answer, Keys, KvError, Polled, Query, Revision, WatchError, WatchEvent, Watcher,
};
use liferaft::{Handle, ReadError, platform};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::machine::Machine;
use crate::plain::promise;
use crate::reply;

/// A watch asks again after so long when its member is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

type Events = LocalBoxStream<'static, Result<WatchEvent, WatchError>>;

/// A watch of keys.
#[wasm_bindgen]
pub struct RawWatch {
    events: Rc<Mutex<Abortable<Events>>>,
    end: AbortHandle,
}

impl std::fmt::Debug for RawWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawWatch")
    }
}

impl RawWatch {
    pub(crate) fn new(member: Handle<Machine>, keys: Keys, from: Option<u64>) -> Self {
        let watch = Some((member, Watcher::new(keys, from.map(Revision))));
        let events = stream::unfold(watch, |watch| async {
            let (member, mut watcher) = watch?;
            Some(match next(&member, &mut watcher).await {
                Ok(event) => (Ok(event), Some((member, watcher))),
                Err(cause) => {
                    let resume_from = watcher.next();
                    (Err(WatchError { cause, resume_from }), None)
                }
            })
        });
        let (end, ended) = AbortHandle::new_pair();
        Self {
            events: Rc::new(Mutex::new(Abortable::new(events.boxed_local(), ended))),
            end,
        }
    }
}

#[wasm_bindgen]
impl RawWatch {
    /// Waits for what it tells next. `undefined` once it has ended.
    pub fn next(&self) -> Promise {
        let events = Rc::clone(&self.events);
        promise(async move {
            let next = events.lock().await.next().await.transpose()?;
            Ok(next.map_or(JsValue::UNDEFINED, reply::of_watch))
        })
    }

    /// Ends it: whoever waits is told.
    pub fn end(&self) {
        self.end.abort();
    }
}

async fn next(member: &Handle<Machine>, watcher: &mut Watcher) -> Result<WatchEvent, KvError> {
    loop {
        let polled = poll_fn(|context| match watcher.poll(Some(context)) {
            Polled::Nothing => Poll::Pending,
            polled => Poll::Ready(polled),
        });
        if let Polled::Event(event) = polled.await {
            return Ok(event);
        }
        let query = watcher.query();
        watcher.answered(ask(member, query).await?)?;
    }
}

async fn ask(member: &Handle<Machine>, query: Query) -> Result<Answer, ReadError> {
    loop {
        match member.read_local(query.clone()).await {
            Ok(local) => {
                return Ok(local
                    .answer
                    .expect("keys are asked of members that have some"));
            }
            Err(ReadError::Busy(_)) => platform::sleep_until(platform::now() + BUSY_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}
