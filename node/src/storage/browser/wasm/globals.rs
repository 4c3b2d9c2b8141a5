//! Names what of a browser's interfaces web-sys has not, or only for those who build with flags of their own.

use js_sys::{Array, Function, Object, Promise};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen::{JsCast, UnwrapThrowExt};
use web_sys::{IdbFactory, IdbTransaction, Storage};

#[wasm_bindgen]
extern "C" {
    /// The global object of a page.
    pub(super) type Global;
    #[wasm_bindgen(method, getter, catch, js_name = indexedDB)]
    pub(super) fn indexed_db(this: &Global) -> Result<Option<IdbFactory>, JsValue>;
    #[wasm_bindgen(method, getter, catch, js_name = sessionStorage)]
    pub(super) fn session_storage(this: &Global) -> Result<Option<Storage>, JsValue>;
    #[wasm_bindgen(method, getter)]
    pub(super) fn navigator(this: &Global) -> Option<Navigator>;

    pub(super) type Navigator;
    #[wasm_bindgen(method, getter)]
    pub(super) fn locks(this: &Navigator) -> Option<LockManager>;
    #[wasm_bindgen(method, getter)]
    pub(super) fn storage(this: &Navigator) -> Option<StorageManager>;

    /// Web Locks.
    #[derive(Clone)]
    pub(super) type LockManager;
    #[wasm_bindgen(method, catch)]
    pub(super) fn request(
        this: &LockManager,
        name: &str,
        options: &Object,
        callback: &Function,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn query(this: &LockManager) -> Result<Promise, JsValue>;

    pub(super) type AbortSignal;
    #[wasm_bindgen(static_method_of = AbortSignal, catch)]
    pub(super) fn timeout(milliseconds: f64) -> Result<AbortSignal, JsValue>;

    pub(super) type StorageManager;
    #[wasm_bindgen(method, catch)]
    pub(super) fn estimate(this: &StorageManager) -> Result<Promise, JsValue>;

    /// An `IDBFactory` that lists its databases.
    pub(super) type Databases;
    #[wasm_bindgen(method, catch)]
    pub(super) fn databases(this: &Databases) -> Result<Promise, JsValue>;

    /// An `IDBDatabase` whose transactions have a durability.
    pub(super) type Transactions;
    #[wasm_bindgen(method, catch)]
    pub(super) fn transaction(
        this: &Transactions,
        stores: &Array,
        mode: &str,
        options: &Object,
    ) -> Result<IdbTransaction, JsValue>;

    /// An `IDBTransaction` that is told that no more requests come.
    pub(super) type Committed;
    #[wasm_bindgen(method, catch)]
    pub(super) fn commit(this: &Committed) -> Result<(), JsValue>;
}

/// Returns the global object.
pub(super) fn global() -> Global {
    js_sys::global().unchecked_into()
}

/// An object with one property.
pub(super) fn object(name: &str, value: &JsValue) -> Object {
    let object = Object::new();
    let set = js_sys::Reflect::set(&object, &name.into(), value);
    set.expect_throw("a plain object takes a property");
    object
}

/// Reads a property; `undefined` if there is none.
pub(super) fn property(of: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Returns the name of an error, and what it says.
pub(super) fn told(error: &JsValue) -> (String, String) {
    let text = |name| property(error, name).as_string().unwrap_or_default();
    let (name, message) = (text("name"), text("message"));
    let shown = match (name.as_str(), message.as_str()) {
        ("", "") => "the browser does not say why".to_owned(),
        (_, "") => name.clone(),
        _ => format!("{name}: {message}"),
    };
    (name, shown)
}
