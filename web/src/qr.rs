//! Gives a page the modules of a QR code.

use liferaft::transport::invitation::qr_modules;
use wasm_bindgen::JsValue;

use crate::plain::{array, number, object};

/// Returns the size of the code of a text, and its modules row by row, a byte each; `undefined` if there is none.
pub(crate) fn of(text: &str) -> JsValue {
    match qr_modules(text) {
        Ok(code) => {
            let modules: Vec<u8> = code.rows().flatten().map(u8::from).collect();
            object(&[
                ("size", number(code.rows().count() as u64)),
                ("modules", array(&modules)),
            ])
        }
        Err(_) => JsValue::UNDEFINED,
    }
}
