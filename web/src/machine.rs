//! Applies commands by a state machine of the page's: bytes go in, and bytes come out.

use std::cell::RefCell;

use bytes::Bytes;
use js_sys::{Array, Function, Reflect, Uint8Array};
use liferaft::{ApplyContext, Capture, RestoreError, StateMachine};
use wasm_bindgen::{JsCast, JsValue};

use crate::plain::{array, number, object, property, text};

thread_local! {
    /// The machines of the page, and `undefined` in places that are free. Objects of JavaScript stay where they are,
    /// while members have numbers.
    static MACHINES: RefCell<Vec<JsValue>> = const { RefCell::new(Vec::new()) };
}

/// A state machine of the page's, by its number.
#[derive(Debug)]
pub(crate) struct JsMachine(usize);

impl JsMachine {
    /// Takes an object with the four methods.
    pub(crate) fn of(machine: JsValue) -> Self {
        MACHINES.with_borrow_mut(|machines| {
            let free = machines.iter().position(JsValue::is_undefined);
            let at = free.unwrap_or(machines.len());
            machines.resize(machines.len().max(at + 1), JsValue::UNDEFINED);
            machines[at] = machine;
            Self(at)
        })
    }

    /// Calls a method, and returns what it returns, or what it throws.
    fn call(&self, method: &str, arguments: &[JsValue]) -> Result<JsValue, String> {
        let machine = MACHINES.with_borrow(|machines| machines[self.0].clone());
        let method: Function = property(&machine, method).unchecked_into();
        let arguments: Array = arguments.iter().collect();
        let returned = Reflect::apply(&method, &machine, &arguments);
        returned.map_err(|thrown| {
            let message = text(&thrown, "message").or_else(|| thrown.as_string());
            message.unwrap_or_else(|| "it does not say why".to_owned())
        })
    }

    fn bytes(&self, method: &str, arguments: &[JsValue]) -> Result<Bytes, String> {
        let returned = self.call(method, arguments)?;
        Ok(Uint8Array::new(&returned).to_vec().into())
    }
}

impl Drop for JsMachine {
    fn drop(&mut self) {
        MACHINES.with_borrow_mut(|machines| machines[self.0] = JsValue::UNDEFINED);
    }
}

impl StateMachine for JsMachine {
    type Command = Bytes;
    type Reply = Bytes;
    type Query = Bytes;
    type Answer = Result<Bytes, String>;

    fn apply(&mut self, context: ApplyContext, command: Bytes) -> Bytes {
        let at = object(&[
            ("index", number(context.index.0)),
            ("term", number(context.term.0)),
            ("timeMs", number(context.time.0)),
        ]);
        let applied = self.bytes("apply", &[array(&command), at]);
        // Its state is not that of the others any more: nobody may see it.
        applied.unwrap_or_else(|thrown| panic!("the state machine threw: {thrown}"))
    }

    fn query(&self, query: Bytes) -> Self::Answer {
        self.bytes("query", &[array(&query)])
    }

    fn snapshot(&self) -> impl Capture {
        let state = self.bytes("snapshot", &[]);
        let state = state.unwrap_or_else(|thrown| panic!("the state machine threw: {thrown}"));
        move || state.to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let restored = self.call("restore", &[array(state)]);
        restored.map(drop).map_err(RestoreError::new)
    }
}
