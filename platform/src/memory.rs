//! Says how much memory there is to spend.

/// The most bytes of what is in storage that a member keeps in memory as well, unless it is set otherwise: 64 MiB
/// natively, 8 MiB in browsers, where a tab shares its memory with the page.
#[cfg(not(target_arch = "wasm32"))]
pub const CACHED_BYTES_MAX: u64 = 64 << 20;
/// The most bytes of what is in storage that a member keeps in memory as well, unless it is set otherwise: 64 MiB
/// natively, 8 MiB in browsers, where a tab shares its memory with the page.
#[cfg(target_arch = "wasm32")]
pub const CACHED_BYTES_MAX: u64 = 8 << 20;
