//! Gives a page an outbox: writes, by their numbers.

use std::rc::Rc;

use futures::lock::Mutex;
use js_sys::Promise;
use liferaft::Outbox;
use liferaft::driver::{OutboxState, OutboxStatus, PendingCommand, PendingState};
use tokio::sync::watch::Receiver;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::command::command;
use crate::error::Fault;
use crate::machine::Machine;
use crate::plain::{list, number, object, promise, whole};
use crate::reply::{milliseconds, of_command, of_write};

/// An outbox.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawOutbox {
    outbox: Rc<Outbox<Machine>>,
    status: Rc<Mutex<Receiver<OutboxStatus>>>,
}

impl RawOutbox {
    pub(crate) fn new(outbox: Outbox<Machine>) -> Self {
        Self {
            status: Rc::new(Mutex::new(outbox.status())),
            outbox: Rc::new(outbox),
        }
    }

    fn pushed(&self, asked: &JsValue) -> Result<u64, Fault> {
        let command = command(asked)?;
        command.check()?;
        Ok(self.outbox.push(&command)?.number())
    }
}

#[wasm_bindgen]
impl RawOutbox {
    /// Takes a write, and returns its number.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn push(&self, asked: &JsValue) -> Result<JsValue, JsValue> {
        let number_of_it = self.pushed(asked)?;
        Ok(number(number_of_it))
    }

    /// Waits for what a pending write did. `undefined` if there is none of this number.
    #[must_use]
    pub fn done(&self, of: &JsValue) -> Option<Promise> {
        let ticket = self.outbox.ticket(whole(of)?)?;
        Some(promise(async move { of_write(ticket.await?) }))
    }

    /// Waits until a write survives the page, and returns true if it does.
    #[must_use]
    pub fn stored(&self, of: &JsValue) -> Promise {
        let of = whole(of).unwrap_or(u64::MAX);
        let mut status = self.outbox.status();
        promise(async move {
            let is_over = |status: &OutboxStatus| {
                of <= status.stored_through || matches!(status.state, OutboxState::Closed(_))
            };
            // Once the outbox is gone, its last status says it.
            drop(status.wait_for(is_over).await);
            let is_stored = of <= status.borrow().stored_through;
            Ok(is_stored.into())
        })
    }

    /// What is not done, in order.
    #[must_use]
    pub fn pending(&self) -> JsValue {
        let pending = self.outbox.pending();
        list(pending.iter().map(|pending| self.of_pending(pending)))
    }

    fn of_pending(&self, pending: &PendingCommand) -> JsValue {
        let state = match pending.state {
            PendingState::Queued => "waiting",
            PendingState::Sent => "sent",
            _ => "given-up",
        };
        let mut fields = vec![
            ("number", number(pending.number)),
            ("state", state.into()),
            ("isStored", pending.stored.into()),
            ("ageMs", milliseconds(pending.age)),
        ];
        if let Some(command) = self.outbox.command(pending.number) {
            fields.extend(of_command(&command));
        }
        object(&fields)
    }

    /// Whether it works.
    #[must_use]
    pub fn state(&self) -> String {
        let state = match self.outbox.status().borrow().state {
            OutboxState::Running => "running",
            OutboxState::Halted => "halted",
            _ => "closed",
        };
        state.to_owned()
    }

    /// Waits until something has changed since this was last asked. Returns false once it is closed.
    #[must_use]
    pub fn changed(&self) -> Promise {
        let status = Rc::clone(&self.status);
        promise(async move {
            let mut status = status.lock().await;
            let is_over = matches!(status.borrow_and_update().state, OutboxState::Closed(_));
            let has_changed = !is_over && status.changed().await.is_ok();
            Ok(has_changed.into())
        })
    }

    /// Waits until all is done that was pushed before.
    #[must_use]
    pub fn flush(&self) -> Promise {
        let outbox = Rc::clone(&self.outbox);
        promise(async move {
            outbox.flush().await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Lets go what was given up, and goes on. Returns whether it had halted.
    #[must_use]
    pub fn resume(&self) -> bool {
        self.outbox.resume()
    }

    /// Ends it.
    #[must_use]
    pub fn close(&self) -> Promise {
        let outbox = Rc::clone(&self.outbox);
        promise(async move {
            drop(outbox.close().await);
            Ok(JsValue::UNDEFINED)
        })
    }
}
