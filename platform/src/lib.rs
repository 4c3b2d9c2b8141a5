//! The one place that asks where it runs: time, timers, tasks, entropy and files that others may not read.
//!
//! It also defines what every layer above names alike: [`ServerId`] and [`ClusterId`], and what a server tells of
//! itself: its [`PublicKey`], [`Starts`], [`Versions`], [`Address`]es and [`Label`]. These, [`CACHED_BYTES_MAX`] and
//! [`caught`] are all that remains without the feature `std`, which is on by default; the crate is `no_std` then. The
//! feature `serde` lets them be serialised, but for [`Starts`].
//!
//! Everything above is the same code natively (tokio) and in browsers or Node (wasm32). What differs is in the pair
//! `native.rs` / `wasm/mod.rs`, which offer the same names; this file chooses between them and says what they promise.
//!
//! Time is a [`Duration`](core::time::Duration) since an arbitrary origin, not an `Instant`: the protocol takes time as
//! a value, and a value can be written down, compared across tasks and made up in tests. Natively it is tokio's clock,
//! so that a test with `#[tokio::test(start_paused = true)]` runs everything above in virtual time.
//!
//! ```
//! # mod liferaft { pub use liferaft_platform as platform; }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::time::Duration;
//!
//! let deadline = liferaft::platform::now() + Duration::from_millis(5);
//! liferaft::platform::sleep_until(deadline).await;
//! assert!(liferaft::platform::now() >= deadline);
//! # }
//! ```

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod address;
mod boot;
#[cfg(feature = "std")]
mod environment;
#[cfg(feature = "std")]
mod files;
mod identity;
mod label;
mod memory;
mod panics;
mod public_key;
mod sorted_map;
mod starts;
mod versions;
mod wall_time;

#[cfg(all(feature = "std", not(target_arch = "wasm32")))]
#[path = "native.rs"]
mod host;
#[cfg(all(feature = "std", target_arch = "wasm32"))]
#[path = "wasm/mod.rs"]
mod host;
#[cfg(all(feature = "std", not(target_arch = "wasm32")))]
mod suspension;

pub use address::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, Address, AddressError};
pub use boot::Boot;
#[cfg(feature = "std")]
pub use environment::{
    Task, breathe, compute, end_tasks, entropy_u64, entropy_u128, now, rung, sleep_until, spawn,
    suspension_uncounted_max, wake_by,
};
#[cfg(feature = "std")]
pub use files::private_file;
pub use identity::{ClusterId, ParseIdError, ServerId};
pub use label::{LABEL_BYTES_MAX, Label, LabelError};
pub use memory::CACHED_BYTES_MAX;
pub use panics::caught;
#[cfg(feature = "std")]
pub use panics::caught_in;
pub use public_key::{PUBLIC_KEY_BYTES, ParseKeyError, PublicKey, TokenKey};
pub use sorted_map::{Elements, Entry, Iter, IterMut, SortedMap, SortedSet};
pub use starts::{EARLIER_STARTS_MAX, Starts};
pub use versions::Versions;
pub use wall_time::WallTime;
