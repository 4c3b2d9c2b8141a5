//! Reads and makes the plain values of JavaScript that pass between a page and its member.
//!
//! The façade in `web/js` has checked what comes: what is missing here is `undefined` there.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;

use crate::error::Fault;

/// Returns a property; `undefined` if there is none.
pub(crate) fn property(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or_default()
}

/// Returns a text among the properties.
pub(crate) fn text(of: &JsValue, name: &str) -> Option<String> {
    property(of, name).as_string()
}

/// Returns the texts in a list among the properties.
pub(crate) fn texts(of: &JsValue, name: &str) -> Vec<String> {
    let list = Array::from(&property(of, name));
    list.iter().filter_map(|text| text.as_string()).collect()
}

/// Returns true if a property is `true`.
pub(crate) fn is_set(of: &JsValue, name: &str) -> bool {
    property(of, name).is_truthy()
}

/// Returns a whole number, if the value is one.
pub(crate) fn whole(value: &JsValue) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is beyond either end becomes that end"
    )]
    value.as_f64().map(|number| number as u64)
}

/// Returns a number as JavaScript has it: exact up to 2^53, which no index, place or time reaches.
pub(crate) fn number(number: u64) -> JsValue {
    JsValue::from_f64(number as f64)
}

/// Returns the bytes of a `Uint8Array`.
pub(crate) fn bytes(value: &JsValue) -> Bytes {
    Uint8Array::new(value).to_vec().into()
}

/// Returns bytes as a `Uint8Array` of their own.
pub(crate) fn array(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// Makes a plain object.
pub(crate) fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A plain object takes every property.
        let _set = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

/// Makes a list.
pub(crate) fn list(values: impl IntoIterator<Item = JsValue>) -> JsValue {
    let list = Array::new();
    for value in values {
        list.push(&value);
    }
    list.into()
}

type Answering = Pin<Box<dyn Future<Output = Result<JsValue, Fault>>>>;

/// Makes a promise. It borrows nothing of an exported object, which the page may free meanwhile.
pub(crate) fn promise(
    answering: impl Future<Output = Result<JsValue, Fault>> + 'static,
) -> Promise {
    // All promises are of one type, as each takes its own code.
    fn of(answering: Answering) -> Promise {
        future_to_promise(async { answering.await.map_err(JsValue::from) })
    }
    of(Box::pin(answering))
}
