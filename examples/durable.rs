//! A log book that survives its program.
//!
//! ```text
//! cargo run --example durable -- found DIR     once: begins a log book
//! cargo run --example durable -- run DIR       writes down the lines that it is given
//! ```
//!
//! It says of each line when that is durable. End it as rudely as you like: run again, it shows all lines of which it
//! said so. Without arguments it does both, in a temporary folder that it removes.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io, process};

use liferaft::{DiskStorage, Kv, KvHandle, Member, MemoryNetwork, StopReason, Storage};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let told = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["found", folder] => found(folder.as_ref()).await,
        ["run", folder] => run(folder.as_ref()).await,
        [] => try_it().await,
        _ => Err("what is it to do? `found DIR`, once, or `run DIR`".into()),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Founds the cluster, of one member so far. This is a step of its own, and no part of a start: a member whose folder
/// was lost would found another cluster, in which nothing is that was written to this one. Interrupted, it is made
/// again; a folder that belongs to a cluster is refused.
async fn found(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut disk = DiskStorage::open(folder).await?;
    let cluster = Member::found(&mut disk).await?;
    disk.close().await?;
    println!("founded cluster {cluster} in {}", folder.display());
    Ok(())
}

/// Shows the lines that are there, and writes down others until its input ends.
async fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    // The folder says which server this is, and what it has promised.
    let disk = DiskStorage::open(folder).await?;
    if disk.cluster().is_none() {
        let folder = folder.display();
        return Err(format!("no log book was founded in {folder}: `found {folder}` does").into());
    }
    for repair in disk.repairs() {
        println!("repaired: {repair}");
    }
    let server = disk.identity().id();
    let transport = MemoryNetwork::new(1).connect(disk.identity().clone())?;
    let member = Member::builder(Kv::new(), transport, disk).label("log book");
    let kv = KvHandle::new(member.start().await?);
    let (label, folder) = (kv.raft().label(), folder.display());
    println!("{label} is server {server}, on {folder}");

    let written = write(&kv).await;
    // What is durable is durable: this only closes the folder, so that it can be opened again at once.
    kv.raft().stop().await;
    match &kv.raft().status().borrow().stopped {
        // It has stopped by itself, as when its disk failed: that is what there is to tell.
        Some(why) if *why != StopReason::Shutdown => {
            Err(format!("the member has stopped: {why}").into())
        }
        _ => written,
    }
}

async fn write(kv: &KvHandle) -> Result<(), Box<dyn Error>> {
    let book = kv.read_sequence("book", 0, usize::MAX).await?;
    for (place, line) in (book.from..).zip(&book.values) {
        println!("{place:>4}  {}", String::from_utf8_lossy(line));
    }
    for line in io::stdin().lines() {
        let place = kv.append("book", line?).await?;
        println!("line {} is durable", *place);
    }
    Ok(())
}

async fn try_it() -> Result<(), Box<dyn Error>> {
    let folder = env::temp_dir().join(format!("liferaft-durable-{}", process::id()));
    found(&folder).await?;
    let ran = run(&folder).await;
    fs::remove_dir_all(&folder)?;
    ran
}
