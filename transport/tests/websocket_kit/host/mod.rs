//! Listens: natively by the carrier itself, under Node by a server of npm's `ws`.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::listen;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::listen;
