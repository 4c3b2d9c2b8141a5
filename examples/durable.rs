//! A log book that survives its program: `cargo run --example durable -- DIR`.
//!
//! It writes down each line that it is given and says when that is durable. End it as rudely as you like: started again
//! with the same folder, it shows all lines of which it said so. Without a folder it takes one among the temporary
//! files.

use std::error::Error;
use std::path::PathBuf;
use std::{env, io};

use liferaft::storage::{DiskStorage, Storage};
use liferaft::{ClusterId, Kv, KvHandle, Member, MemoryNetwork, ServerId};

const CLUSTER: ClusterId = ClusterId(0x10b);
/// An id belongs to the storage of its member: a folder that was wiped must not be used under the same id again.
const SERVER: ServerId = ServerId(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| env::temp_dir().join("liferaft-durable"));

    // What is stored comes first: whoever starts without it does not know what it has promised.
    let disk = DiskStorage::open(&folder).await?;
    println!(
        "opened {} for the {}. time",
        folder.display(),
        disk.identity().boot()
    );
    let transport = MemoryNetwork::new(1).attach(SERVER)?;
    let member = Member::builder(CLUSTER, Kv::new(), transport)
        .storage(disk)
        .first_server()
        .start()
        .await?;
    let kv = KvHandle::new(member);

    let book = kv.read_sequence("book", 0, usize::MAX).await?;
    for (place, line) in (book.from..).zip(&book.values) {
        println!("{place:>4}  {}", String::from_utf8_lossy(line));
    }

    for line in io::stdin().lines() {
        let place = kv.append("book", line?).await?;
        println!("line {} is durable", *place);
    }
    // Not needed, only kinder: what is durable is durable.
    kv.raft().stop().await;
    Ok(())
}
