//! Members that find each other in a room of a signaling server, reach each other over WebRTC, and go on without it.
//!
//! A crate of your own depends on `liferaft` with the feature `webrtc`, on tokio, and for the server on
//! `liferaft-signaling`; `liferaft serve` runs the same server. `docs/webrtc.md` and `docs/signaling.md` have the rest.

use std::error::Error;

use liferaft::transport::signaling::SignalingServer;
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig};
use liferaft::{
    Endpoint, Founding, Handle, Invitation, Kv, KvHandle, Member, MemberBuilder, MemoryStorage,
    Storage, Terms,
};
use liferaft_signaling::{Config, Server};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("127.0.0.1:0".parse()?, Config::default()).await?;
    // The place for all. A visit to `/new` makes a room that nobody else knows, whose link does as well.
    let room = SignalingServer::at(&format!("ws://{}/peerjs", server.address()?))?;
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        let _ended = ended.await;
    }));

    let mut storage = MemoryStorage::default();
    let founding = Founding::by(storage.identity()).closed();
    founding.found(&mut storage).await?;
    let ada = member("ada", storage, &room).start().await?;
    ada.joined().await?;
    // What a newcomer needs: it names the cluster, and where in the room the member is found. A secret.
    let invitation = ada.invite(Terms::membership().with_uses(2)).await?;
    let invitation = invitation.to_string();
    let bob = newcomer("bob", &invitation, &room).await?;
    let eve = newcomer("eve", &invitation, &room).await?;
    for link in eve.status().borrow().links.iter() {
        let path = link.path.as_ref().ok_or("the transport tells")?;
        let between = path.description.as_deref().unwrap_or("somewhere");
        println!("eve has a link by {}, {between}", path.carrier);
    }

    // Those who have met need nobody between them.
    drop(end);
    serving.await?;
    KvHandle::new(bob).set("camp", "below the bridge").await?;
    let camp = KvHandle::new(eve).get("camp").await?.value;
    let camp = camp.ok_or("it was set")?;
    println!("eve reads: {}", String::from_utf8_lossy(&camp));
    Ok(())
}

/// Starts a member that was never there before, and waits until it takes part.
async fn newcomer(
    label: &str,
    invitation: &str,
    room: &SignalingServer,
) -> Result<Handle<Kv>, Box<dyn Error>> {
    let invitation: Invitation = invitation.parse()?;
    let member = member(label, MemoryStorage::default(), room).invited(invitation);
    let member = member.start().await?;
    member.joined().await?;
    Ok(member)
}

/// Builds a member that is found in a room. In earnest it has a `DiskStorage`, keeps its certificate
/// (`WebRtcConfig::with_identity`), and does not stay on this machine.
fn member(label: &str, storage: MemoryStorage, room: &SignalingServer) -> MemberBuilder<Kv> {
    let identity = storage.identity().clone();
    let address = room.address_of(identity.id());
    let config = WebRtcConfig::default()
        .on_this_machine()
        .with_signaling(room.clone());
    let transport = Endpoint::new(identity, WebRtcCarrier::dial_only(config));
    Member::builder(Kv::new(), transport, storage)
        .label(label)
        .addresses([address])
}
