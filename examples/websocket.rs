//! A member and a client that meet over WebSocket, as they do in two processes on two machines.
//!
//! Only an address, in an invitation, leads from the one to the other. Links prove who is there and seal what they
//! carry, so that `ws:` is enough; `docs/websocket.md` says when to use TLS as well.

use std::error::Error;

use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};
use liferaft::{
    Client, Endpoint, Founding, Handle, Identity, Invitation, Kv, KvHandle, Member, MemoryStorage,
    Storage, Terms,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ada = member().await?;

    // What travels from one machine to the other, once: a secret.
    let invitation = ada.invite(Terms::writing()).await?.to_string();
    let kv = client(&invitation)?;

    kv.set("camp", "below the bridge").await?;
    let camp = kv.get("camp").await?.value.ok_or("it was set")?;
    println!("the client reads: {}", String::from_utf8_lossy(&camp));

    // An invitation that was taken back lets nobody in, and the client is told so at once.
    let token = invitation.parse::<Invitation>()?;
    let token = token.token().ok_or("it has one")?.key();
    ada.revoke(token).await?;
    kv.raft().wait_for(|status| status.links == 0).await?;
    let refused = kv.get("camp").await;
    println!("and later: {}", refused.map(drop).unwrap_err());
    ada.stop().await;
    Ok(())
}

/// A member of a cluster of its own, which listens on a port of this machine. In earnest it has a `DiskStorage`, an
/// address that others reach, and founds once.
async fn member() -> Result<Handle<Kv>, Box<dyn Error>> {
    let mut storage = MemoryStorage::default();
    let founding = Founding::by(storage.identity()).closed();
    founding.found(&mut storage).await?;
    let listening = WebSocketCarrier::listen(WebSocketConfig::default(), "127.0.0.1:0".parse()?);
    let carrier = listening.await?;
    let address = carrier.local_address().ok_or("it listens")?;
    println!("the member listens at {address}");
    let transport = Endpoint::new(storage.identity().clone(), carrier);
    let member = Member::builder(Kv::new(), transport, storage)
        .addresses([address])
        .serve_clients();
    let member = member.start().await?;
    member.joined().await?;
    Ok(member)
}

/// A client, which dials and does not listen.
fn client(invitation: &str) -> Result<KvHandle<Client<Kv>>, Box<dyn Error>> {
    let identity = Identity::draw();
    let carrier = WebSocketCarrier::dial_only(WebSocketConfig::default());
    let transport = Endpoint::new(identity.clone(), carrier);
    let client = Client::builder(identity, transport, invitation.parse()?).start()?;
    Ok(KvHandle::new(client))
}
