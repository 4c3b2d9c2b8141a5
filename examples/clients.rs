//! A client, which is no member: it watches and appends while the leader dies, and each line is there once.

use std::error::Error;

use liferaft::kv::{Keys, WatchEvent};
use liferaft::{
    Client, Founding, Handle, Identity, Invitation, Kv, KvHandle, Member, MemoryNetwork,
    MemoryStorage, Storage, StreamExt, Terms,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = MemoryNetwork::new(1);
    let members = three_members(&network).await?;

    // A client needs nothing but this text. It names its writer and others; the client finds the rest by them.
    let invitation = members[1].invite(Terms::writing()).await?.to_string();
    let kv = client(&network, &invitation)?;
    kv.append("log", "0: the road is blocked").await?;

    let mut watch = kv.watch(Keys::one("log"));
    let begun = watch.next().await.transpose()?;
    println!("the client watches: {begun:?}");

    let leader = members[0].status().borrow().leader();
    let leader = leader.expect("it was elected");
    network.kill(leader);
    println!("server {leader}, the leader, falls silent");
    for number in 1..4 {
        kv.append("log", format!("{number}: still here")).await?;
    }

    let mut told = 0;
    while told < 3 {
        if let Some(WatchEvent::Changes(changes)) = watch.next().await.transpose()? {
            told += changes.iter().count();
        }
    }
    let log = kv.read_sequence("log", 0, usize::MAX).await?;
    for line in &log.values {
        println!("  {}", String::from_utf8_lossy(line));
    }
    assert_eq!(log.values.len(), 4, "no line is lost or doubled");
    println!(
        "each of the 4 lines is there once; the watch told of the {told} that came after it began"
    );
    Ok(())
}

fn client(
    network: &MemoryNetwork,
    invitation: &str,
) -> Result<KvHandle<Client<Kv>>, Box<dyn Error>> {
    let invitation: Invitation = invitation.parse()?;
    // A key of its own, for this run: the session of the client belongs to it.
    let identity = Identity::draw();
    let transport = network.connect(identity.clone())?;
    let client = Client::builder(identity, transport, invitation).start()?;
    Ok(KvHandle::new(client))
}

/// A closed cluster of three that serve clients.
async fn three_members(network: &MemoryNetwork) -> Result<Vec<Handle<Kv>>, Box<dyn Error>> {
    let mut members: Vec<Handle<Kv>> = Vec::new();
    for label in ["ada", "bob", "eve"] {
        let mut storage = MemoryStorage::default();
        let invitation = match members.first() {
            Some(ada) => Some(ada.invite(Terms::membership()).await?),
            None => {
                let founding = Founding::by(storage.identity()).closed();
                founding.found(&mut storage).await?;
                None
            }
        };
        let transport = network.connect(storage.identity().clone())?;
        let member = Member::builder(Kv::new(), transport, storage);
        let mut member = member.label(label).serve_clients();
        if let Some(invitation) = invitation {
            member = member.invited(invitation);
        }
        let member = member.start().await?;
        member.joined().await?;
        members.push(member);
    }
    Ok(members)
}
