//! Says which version this is, and what becomes of it when there is a bug.

use std::panic;

use js_sys::Function;
use liferaft::platform;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Returns the version of the module, which its script compares with its own.
#[wasm_bindgen]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

thread_local! {
    static ON_PANIC: std::cell::RefCell<Option<Function>> = const { std::cell::RefCell::new(None) };
}

/// Calls this function with a sentence when there is a panic: the module has ended then, and no promise of it is
/// settled any more. No member of it does anything any more: others take them for silent.
#[wasm_bindgen(js_name = onPanic)]
pub fn on_panic(tell: Function) {
    ON_PANIC.set(Some(tell));
    panic::set_hook(Box::new(|panicked| {
        platform::end_tasks();
        let tell = ON_PANIC.take();
        if let Some(tell) = tell {
            // Whoever throws is not told again.
            let _thrown = tell.call1(&JsValue::UNDEFINED, &panicked.to_string().into());
        }
    }));
}
