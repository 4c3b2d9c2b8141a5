//! A log book that survives its program: `cargo run --example durable -- DIR`.
//!
//! It writes down each line that it is given and says when that is durable. End it as rudely as you like: started again
//! with the same folder, it shows all lines of which it said so. Without a folder it takes one among the temporary
//! files.

use std::error::Error;
use std::path::PathBuf;
use std::{env, io};

use liferaft::{DiskStorage, Kv, KvHandle, Member, MemoryNetwork, Storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| env::temp_dir().join("liferaft-durable"));

    // The folder says which server this is, and what it has promised. A blank one is a server that there was never
    // before, and founds its cluster: this once.
    let mut disk = DiskStorage::open(&folder).await?;
    if disk.cluster().is_none() {
        Member::found(&mut disk).await?;
    }
    let (server, boot) = (disk.identity().id(), disk.identity().boot());
    let transport = MemoryNetwork::new(1).attach(server)?;
    let member = Member::builder(Kv::new(), transport, disk).label("log book");
    let kv = KvHandle::new(member.start().await?);
    println!(
        "{} is server {server}, started for the {boot}. time on {}",
        kv.raft().label(),
        folder.display()
    );

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
