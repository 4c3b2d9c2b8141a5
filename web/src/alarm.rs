//! Lets JavaScript ring for the members of the page.

use js_sys::Function;
use liferaft::platform;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Has this function ring from here on: it is called with the milliseconds after which to call [`rung`], or without any
/// once nobody waits. Until this is called, the page's `setTimeout` rings.
#[wasm_bindgen(js_name = setAlarm)]
pub fn set_alarm(alarm: Function) {
    platform::wake_by(move |milliseconds| {
        let delay = milliseconds.map_or(JsValue::UNDEFINED, JsValue::from);
        // Whoever throws has named no alarm: there is nobody to tell.
        let _thrown = alarm.call1(&JsValue::UNDEFINED, &delay);
    });
}

/// Wakes whoever has waited until now, as the alarm rings. To ring too early, or too often, does no harm.
#[wasm_bindgen]
pub fn rung() {
    platform::rung();
}
