//! The key-value store on three members: values, a chat, and a leader that dies.

use std::error::Error;

use liferaft::kv::CompareAndSet;
use liferaft::{Kv, KvHandle, Member, MemoryNetwork, MemoryStorage, Storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = MemoryNetwork::new(1);
    let members = three_members(&network).await?;
    let [ada, bob, eve] = &members;

    ada.set("camp", "below the bridge").await?;
    let camp = bob.get("camp").await?.value.expect("it was set");
    println!("bob reads what ada set: camp = {}", text(&camp));
    assert_eq!(camp, "below the bridge");

    let by_bob = bob
        .compare_and_set("cook", None, Some("bob".into()))
        .await?;
    let by_eve = eve
        .compare_and_set("cook", None, Some("eve".into()))
        .await?;
    println!("who cooks? bob: {by_bob:?}, eve: {by_eve:?}");
    assert_eq!(by_bob, CompareAndSet::Set);
    assert!(!by_eve.is_set());

    ada.append("chat", "ada: the road is blocked").await?;
    bob.append("chat", "bob: we take the boat").await?;

    let leader = ada
        .raft()
        .status()
        .borrow()
        .leader()
        .expect("it was elected");
    network.kill(leader);
    let dead = members.iter().find(|member| member.raft().id() == leader);
    let dead = dead.expect("one of the three leads").raft().label();
    println!("{dead}, the leader, falls silent");
    let survivors: Vec<_> = members
        .iter()
        .filter(|member| member.raft().id() != leader)
        .collect();
    for member in &survivors {
        let line = format!("{}: still here", member.raft().label());
        member.append("chat", line).await?;
    }

    let mut chats = Vec::new();
    for member in &survivors {
        chats.push(member.read_sequence("chat", 0, 100).await?);
    }
    for line in &chats[0].values {
        println!("  {}", text(line));
    }
    assert_eq!(chats[0], chats[1], "both survivors hold the same chat");
    assert_eq!(chats[0].values.len(), 4, "no line is lost or doubled");
    println!("both survivors hold these {} lines", chats[0].values.len());
    Ok(())
}

/// A first member, and two that join it.
async fn three_members(network: &MemoryNetwork) -> Result<[KvHandle; 3], Box<dyn Error>> {
    // A storage says which server it is of. In memory it ends with the program: each run is of other servers.
    let member = |label, storage: MemoryStorage| {
        let transport = network.connect(storage.identity().clone());
        let transport = transport.expect("no two storages are of one server");
        Member::builder(Kv::new(), transport, storage).label(label)
    };
    let mut founder = MemoryStorage::default();
    let cluster = Member::found(&mut founder).await?;
    let ada = member("ada", founder).start().await?;
    let bob = member("bob", MemoryStorage::default()).join(cluster, ada.id());
    let bob = bob.start().await?;
    let eve = member("eve", MemoryStorage::default()).join(cluster, bob.id());
    let eve = eve.start().await?;
    bob.joined().await?;
    eve.joined().await?;
    Ok([ada, bob, eve].map(KvHandle::new))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("only text is written here")
}
