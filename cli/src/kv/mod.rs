//! Reads and writes keys of a cluster, as a client of it.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use liferaft::driver::Client;
use liferaft::kv::{CompareAndSet, Count, Keys, Kv, KvHandle, Scan};
use serde_json::{Value, json};

use crate::client::{Access, block_on};
use crate::failure::{EXIT_CODES, Misuse, NotFound};

mod text;
mod transfer;
mod txn;
mod watch;

use self::text::{shown, value_of};

/// The operations of a client.
type Store = KvHandle<Client<Kv>>;

/// Read and write keys of a cluster
///
/// Keys and values are text, or any bytes from a file.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Options {
    #[command(flatten)]
    access: Access,

    #[command(subcommand)]
    operation: Operation,
}

#[derive(Clone, Debug, Subcommand)]
enum Operation {
    /// Print what a key holds
    Get {
        /// The key
        key: String,
        /// Print the bytes as they were set, without a line feed behind them
        #[arg(long)]
        raw: bool,
    },
    /// Make a key hold a value
    Set {
        /// The key
        key: String,
        #[command(flatten)]
        value: Given,
    },
    /// Remove a key
    Delete {
        /// The key, or with --prefix how all of them begin
        key: String,
        /// Remove all keys that begin so
        #[arg(long)]
        prefix: bool,
        /// With --prefix, the empty one is meant: all keys of the cluster are removed
        #[arg(long, requires = "prefix")]
        all: bool,
    },
    /// Make a key hold a value if it holds an expected one
    Cas {
        /// The key
        key: String,
        /// What it holds
        #[arg(long, value_name = "VALUE", required_unless_present = "absent")]
        expect: Option<String>,
        /// It does not exist
        #[arg(long, conflicts_with = "expect")]
        absent: bool,
        /// What it holds then
        #[arg(value_name = "NEW", required_unless_present = "delete")]
        new: Option<String>,
        /// It is removed
        #[arg(long, conflicts_with = "new")]
        delete: bool,
    },
    /// Append a value to a sequence
    Append {
        /// The key
        key: String,
        #[command(flatten)]
        value: Given,
    },
    /// Append a value to a sequence if nobody else has since
    SeqAppend {
        /// The key
        key: String,
        /// What its counter is, as `7@42`; 0: it does not exist
        count: Count,
        #[command(flatten)]
        value: Given,
    },
    /// Print the values of a sequence
    Read {
        /// The key
        key: String,
        /// From this place on
        #[arg(long, value_name = "PLACE", default_value_t = 0)]
        from: u64,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
        limit: u64,
    },
    /// Print keys and what they hold, in their order
    Scan {
        /// How the keys begin
        #[arg(default_value = "")]
        prefix: String,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
        limit: u64,
        /// Print the keys alone
        #[arg(long)]
        keys_only: bool,
    },
    /// Do several things at once, if conditions hold
    ///
    /// The file says which, as {"when": [{"key": "a", "is": "1"}, {"key": "b", "exists": false}], "then": [{"set": "a",
    /// "to": "2"}, {"delete": "b"}, {"append": "log", "value": "x"}, {"get": "c"}], "otherwise": [{"get": "a"}]}.
    ///
    /// If the conditions do not hold, the steps of "otherwise" are done, and that is a success; a file without
    /// "otherwise" does nothing then, and the exit code is 3. "branch" in the output names what was done.
    Txn {
        /// The file; - is standard input
        file: PathBuf,
    },
    /// Print changes of keys as they are made, until Ctrl-C
    ///
    /// Each change is printed once, also if the member that tells it dies.
    Watch {
        /// How the keys begin
        #[arg(default_value = "")]
        prefix: String,
        /// From this revision on, which may be in the past
        #[arg(long, value_name = "REVISION")]
        from: Option<u64>,
    },
    /// Write what a file has, which export has written
    Import {
        /// The file; - is standard input
        file: PathBuf,
    },
    /// Print all keys and what they hold, a line of JSON for each, at one revision
    ///
    /// Nothing is printed before all is read, at most 512 MiB but for sequences. Reading begins anew, up to four times,
    /// if so much is written meanwhile that the revision is forgotten (16,384 changes or 8 MiB).
    Export {
        /// How the keys begin
        #[arg(default_value = "")]
        prefix: String,
    },
}

/// A value on the command line, or in a file.
#[derive(Args, Clone, Debug)]
struct Given {
    /// The value
    #[arg(required_unless_present = "file")]
    value: Option<String>,
    /// The file that holds the value; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
}

impl Given {
    fn read(&self) -> anyhow::Result<Bytes> {
        match (&self.value, &self.file) {
            (Some(value), _) => Ok(Bytes::copy_from_slice(value.as_bytes())),
            (None, Some(file)) => read(file),
            (None, None) => bail!("there is no value"),
        }
    }
}

/// Reads a file, or standard input.
fn read(file: &PathBuf) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|read| bytes = read)
    }
    .with_context(|| format!("cannot read {}", file.display()))?;
    Ok(bytes.into())
}

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(async {
        let client = options.access.client().await?;
        let told = tell(&KvHandle::new(client), options).await?;
        match told {
            Told::Text(text) => print(text.as_bytes()),
            Told::Bytes(bytes) => print(&bytes),
            Told::Json(value) => print(format!("{value}\n").as_bytes()),
            Told::Nothing => Ok(()),
        }
    })
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.context("cannot write what was read")
}

/// What an operation prints.
enum Told {
    Nothing,
    Text(String),
    /// As they are, so that they can be piped.
    Bytes(Vec<u8>),
    Json(Value),
}

impl Told {
    /// For people and for programs.
    fn either(
        json: bool,
        of_text: impl FnOnce() -> String,
        of_json: impl FnOnce() -> Value,
    ) -> Self {
        if json {
            Self::Json(of_json())
        } else {
            Self::Text(of_text())
        }
    }
}

async fn tell(store: &Store, options: &Options) -> anyhow::Result<Told> {
    let json = options.access.json();
    match &options.operation {
        Operation::Get { key, raw } => {
            let found = store.get(key.as_str()).await?;
            let revision = found.revision.0;
            let Some(value) = found.value else {
                return Err(NotFound(format!("there is no key {key}")).into());
            };
            if json {
                let value = value_of(&value);
                return Ok(Told::Json(
                    json!({ "key": key, "value": value, "revision": revision }),
                ));
            }
            let mut bytes = value.to_vec();
            if !raw {
                bytes.push(b'\n');
            }
            Ok(Told::Bytes(bytes))
        }
        Operation::Set { key, value } => {
            let revision = store.set(key.as_str(), value.read()?).await?;
            Ok(done(json, revision.0))
        }
        Operation::Delete {
            key,
            prefix: true,
            all,
        } => {
            if key.is_empty() && !all {
                let wrong = "every key begins with an empty prefix: --all says that all of them are to be removed";
                return Err(Misuse(wrong.to_owned()).into());
            }
            let mut deleted = 0;
            loop {
                let done = store.delete_keys(Keys::prefix(key.as_str())).await?;
                deleted += done.deleted;
                if !done.more {
                    break;
                }
            }
            let text = || format!("{deleted} keys\n");
            Ok(Told::either(json, text, || json!({ "deleted": deleted })))
        }
        Operation::Delete {
            key, prefix: false, ..
        } => {
            let done_at = store.delete(key.as_str()).await?;
            if !done_at.value {
                return Err(NotFound(format!("there is no key {key}")).into());
            }
            Ok(done(json, done_at.revision.0))
        }
        Operation::Cas {
            key, expect, new, ..
        } => {
            let outcome = store
                .compare_and_set(key.as_str(), bytes(expect), bytes(new))
                .await?;
            match outcome.value {
                CompareAndSet::Set => Ok(done(json, outcome.revision.0)),
                CompareAndSet::Different { current } => {
                    let holds = current.map_or("does not exist".to_owned(), |current| {
                        format!("holds {}", shown(&current))
                    });
                    Err(NotFound(format!("{key} {holds}")).into())
                }
            }
        }
        Operation::Append { key, value } => {
            let place = store.append(key.as_str(), value.read()?).await?;
            let (place, revision) = (place.value, place.revision.0);
            let of_json = || json!({ "place": place, "revision": revision });
            Ok(Told::either(json, || format!("{place}\n"), of_json))
        }
        Operation::SeqAppend { key, count, value } => {
            let outcome = store
                .seq_append(key.as_str(), *count, value.read()?)
                .await?;
            let (now, revision) = (outcome.count.to_string(), outcome.revision.0);
            if !outcome.succeeded {
                return Err(NotFound(format!("the counter of {key} is {now}")).into());
            }
            let of_json = || json!({ "count": now, "revision": revision });
            Ok(Told::either(json, || format!("{now}\n"), of_json))
        }
        Operation::Read { key, from, limit } => {
            let mut out = Vec::new();
            let count = transfer::sequence(store, key, *from, *limit, |place, value| {
                if json {
                    let line = json!({ "place": place, "value": value_of(value) });
                    out.extend_from_slice(format!("{line}\n").as_bytes());
                } else {
                    out.extend_from_slice(value);
                    out.push(b'\n');
                }
                Ok(())
            })
            .await?;
            if count.is_empty() {
                return Err(NotFound(format!("there is no key {key}")).into());
            }
            Ok(Told::Bytes(out))
        }
        Operation::Scan {
            prefix,
            limit,
            keys_only,
        } => {
            let mut scan = Scan::of(Keys::prefix(prefix.as_str()));
            if *keys_only {
                scan = scan.keys_only();
            }
            transfer::scan(store, scan, *limit, json, *keys_only).await?;
            Ok(Told::Nothing)
        }
        Operation::Txn { file } => {
            let asked = txn::parse(&read(file)?);
            let asked = asked.with_context(|| Misuse(file.display().to_string()))?;
            let done = store.txn(asked.txn).await?;
            let branch = match done.succeeded {
                true => Some("then"),
                false => asked.has_otherwise.then_some("otherwise"),
            };
            let told = txn::told(&done.value, branch, done.revision.0);
            print(format!("{told}\n").as_bytes())?;
            if branch.is_none() {
                return Err(
                    NotFound("the conditions do not hold: nothing is done".to_owned()).into(),
                );
            }
            Ok(Told::Nothing)
        }
        Operation::Watch { prefix, from } => {
            watch::follow(store, prefix, *from, json).await?;
            Ok(Told::Nothing)
        }
        Operation::Import { file } => {
            let count = transfer::import(store, &read(file)?).await?;
            let text = || format!("{count} keys\n");
            Ok(Told::either(json, text, || json!({ "imported": count })))
        }
        Operation::Export { prefix } => {
            transfer::export(store, prefix).await?;
            Ok(Told::Nothing)
        }
    }
}

fn bytes(text: &Option<String>) -> Option<Bytes> {
    text.as_ref()
        .map(|text| Bytes::copy_from_slice(text.as_bytes()))
}

/// That of a write which tells nothing but when.
fn done(json: bool, revision: u64) -> Told {
    if json {
        Told::Json(json!({ "revision": revision }))
    } else {
        Told::Nothing
    }
}
