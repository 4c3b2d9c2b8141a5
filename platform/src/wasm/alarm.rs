//! Rings by the host's `setTimeout`, where nobody has named another alarm.

use std::cell::RefCell;

use js_sys::{Function, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};

use super::timers::rung;

/// Makes an alarm of one timeout, which is cleared when it is set anew, or when nobody waits: one that is under way
/// keeps a process of Node from its end.
pub(super) fn by_timeout() -> impl Fn(Option<u32>) {
    let set = function("setTimeout");
    let clear = function("clearTimeout");
    let ring = Closure::<dyn FnMut()>::new(rung).into_js_value();
    let under_way = RefCell::new(JsValue::UNDEFINED);
    move |milliseconds| {
        // Neither throws: what is no timeout any more is left alone.
        let _cleared = clear.call1(&JsValue::UNDEFINED, &under_way.take());
        if let Some(milliseconds) = milliseconds {
            let timeout = set.call2(&JsValue::UNDEFINED, &ring, &milliseconds.into());
            under_way.replace(timeout.unwrap_or_default());
        }
    }
}

fn function(name: &str) -> Function {
    let function = Reflect::get(&js_sys::global(), &name.into()).unwrap_or_default();
    let function = function.dyn_into();
    function.expect("every host has timeouts")
}
