//! Under Node: the servers of npm's `ws`, which is found by `NODE_PATH`, and the sockets of either. Before version 22
//! Node has sockets of its own by `--experimental-websocket`.

use js_sys::{Function, Promise};
use liferaft_platform::Address;
use liferaft_transport::websocket::{WebSocketCarrier, WebSocketConfig};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Makes a socket from a URL.
const SOCKET: &str = r#"
    const { createRequire } = process.getBuiltinModule("node:module");
    const { WebSocket } = createRequire(process.cwd() + "/")("ws");
    return new WebSocket(url, { perMessageDeflate: false });
"#;

/// Starts a server that gives its sockets away. Promises the port.
const SERVER: &str = r#"
    const { createRequire } = process.getBuiltinModule("node:module");
    const { WebSocketServer } = createRequire(process.cwd() + "/")("ws");
    return new Promise((resolve, reject) => {
        const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
        server.on("connection", (socket, request) => accept(socket, String(request.socket.remoteAddress)));
        server.on("listening", () => resolve(server.address().port));
        server.on("error", reject);
    });
"#;

/// Ends with an even number dial by the sockets that Node has itself, as in browsers.
pub(crate) async fn listen(number: u8) -> (WebSocketCarrier, Address) {
    let mut config = WebSocketConfig::default();
    if number % 2 == 1 {
        config = config.with_sockets(Function::new_with_args("url", SOCKET));
    }
    let carrier = WebSocketCarrier::dial_only(config);
    let acceptor = carrier.acceptor();
    let accept = move |socket: JsValue, from: String| acceptor.accept(socket, &from);
    let accept = Closure::<dyn Fn(JsValue, String)>::new(accept).into_js_value();
    let started = Function::new_with_args("accept", SERVER).call1(&JsValue::NULL, &accept);
    let started: Promise = started.expect("Node has npm's ws").unchecked_into();
    let port = JsFuture::from(started).await;
    let port = port.expect("loopback has free ports").as_f64();
    let address = format!("ws://127.0.0.1:{}", port.expect("a port is a number"));
    (carrier, address.parse().expect("an address"))
}
