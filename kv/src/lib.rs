//! The key-value state machine of liferaft, with its typed handle.
//!
//! A key holds either a *value*, which is replaced as a whole, or a *sequence*, which grows at its end, is trimmed at
//! its beginning, and is what a chat or a journal is made of. All keys and values are bytes. [`Kv`] is the state
//! machine that a cluster runs, and [`KvHandle`] is how an application talks to it, on whichever member it happens to
//! be:
//!
//! ```no_run
//! # mod liferaft { pub use liferaft_kv as kv; }
//! # async fn example(kv: liferaft::kv::KvHandle) -> Result<(), liferaft::kv::KvError> {
//! kv.set("captain", "Ada").await?;
//! assert_eq!(kv.get("captain").await?.as_deref(), Some(&b"Ada"[..]));
//!
//! let place = kv.append("chat", "Ada: the bridge is open").await?;
//! let line = kv.read_sequence("chat", *place, 1).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Every write is checked again where it is applied: a command that another program or another version proposed is held
//! to the same [`limits`].
//!
//! # What changes, and what ends by itself
//!
//! [`KvHandle::watch`] follows a key, a prefix or a range: exactly the committed changes, in their order. Keys that are
//! set with a [`Lease`] are deleted when their holder no longer keeps it alive. Both are told at [`Revision`]s, which
//! every answer has too.
//!
//! # Several keys at once
//!
//! A [`Txn`] compares and changes several keys in one step, a batch carries independent steps in one entry of the log,
//! and a [`Scan`] reads many keys in order, page by page, as they are or as they were:
//!
//! ```no_run
//! # mod liferaft { pub use liferaft_kv as kv; }
//! # async fn example(kv: liferaft::kv::KvHandle) -> Result<(), liferaft::kv::KvError> {
//! use liferaft::kv::{Compare, Keys, Scan, Step, Txn};
//!
//! let handed_over = kv
//!     .txn(
//!         Txn::when([Compare::value("radio", "ada")])
//!             .then([Step::set("radio", "bob"), Step::append("log", "ada gives the radio to bob")])
//!             .otherwise([Step::get("radio")]),
//!     )
//!     .await?;
//! if !handed_over.succeeded {
//!     println!("it is {:?} who has it", handed_over.entry(0));
//! }
//!
//! let mut scan = Some(Scan::of(Keys::prefix("tents/")));
//! while let Some(page) = scan.take() {
//!     let page = kv.scan(page).await?;
//!     println!("{:?}", page.entries);
//!     scan = page.next;
//! }
//! # Ok(())
//! # }
//! ```

pub mod limits;

mod budget;
mod command;
mod count;
mod entry;
mod error;
mod handle;
mod history;
mod into_bytes;
mod keys;
mod lease;
mod leases;
mod local;
mod machine;
mod outbox;
mod outcome;
mod query;
mod reply;
mod revision;
mod scan;
mod scope;
mod sequence;
mod snapshot;
mod step;
mod store;
mod txn;
mod watch;

pub use command::Command;
pub use count::{Count, ParseCountError};
pub use entry::{Content, Entry, LeaseId, Meta};
pub use error::{Kind, KvError, Refused};
pub use handle::KvHandle;
pub use history::{Change, ChangeKind};
pub use into_bytes::{IntoBytes, IntoOptionalBytes};
pub use keys::Keys;
pub use lease::{KeptAlive, Lease};
pub use machine::Kv;
pub use outbox::{KvOutbox, KvOutboxError, KvPushError, KvTicket};
pub use query::Query;
pub use reply::{
    Answer, ChangesPage, CompareAndSet, DeleteKeys, Done, Found, LeaseStatus, Reply, SeqAppend,
    SequencePart, TrimBefore,
};
pub use revision::{Revised, Revision};
pub use scan::{PAGE_BYTES_MAX, PAGE_COUNT_MAX, PAGE_ENTRIES_MAX, Page, Scan};
pub use step::{Step, StepDone, StepPage};
pub use txn::{Compare, Order, Txn, TxnDone};
pub use watch::{
    Backlog, Changes, ClientWatch, Polled, Subscription, Watch, WatchError, WatchEvent, Watcher,
};
