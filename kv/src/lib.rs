//! The key-value state machine of liferaft, with its typed handle.
//!
//! A key holds either a *value*, which is replaced as a whole, or a *sequence*, which grows at its end and is what a
//! chat or a journal is made of. All keys and values are bytes. [`Kv`] is the state machine that a cluster runs, and
//! [`KvHandle`] is how an application talks to it, on whichever member it happens to be:
//!
//! ```no_run
//! # async fn example(kv: liferaft_kv::KvHandle) -> Result<(), liferaft_kv::KvError> {
//! kv.set("captain", "Ada").await?;
//! assert_eq!(kv.get("captain").await?.as_deref(), Some(&b"Ada"[..]));
//!
//! let place = kv.append("chat", "Ada: the bridge is open").await?;
//! let line = kv.read_sequence("chat", place, 1).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Writes are atomic, one key each, and every one is checked again where it is applied: a command that another program
//! or another version proposed is held to the same [`limits`].

pub mod limits;

mod command;
mod count;
mod error;
mod handle;
mod local;
mod machine;
mod reply;
mod sequence;
mod snapshot;
mod store;

pub use command::{Command, Query};
pub use count::{Count, ParseCountError};
pub use error::{Kind, KvError, Refused};
pub use handle::KvHandle;
pub use machine::Kv;
pub use reply::{Answer, CompareAndSet, Done, Found, Reply, SeqAppend, SequencePart};
