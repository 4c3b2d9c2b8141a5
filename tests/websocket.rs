//! A cluster whose members reach each other over WebSocket alone, through proxies that cut.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use liferaft::transport::websocket::{TlsIdentity, WebSocketCarrier, WebSocketConfig};
use liferaft::{
    Config, Endpoint, Founding, Invitation, Kv, KvHandle, Member, MemoryStorage, Storage, Terms,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Forwards what comes to its address, until it is told to cut all connections.
struct Proxy {
    address: SocketAddr,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    async fn to(target: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cuts, cut) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(forward(from, target, cut.clone()));
            }
        });
        Ok(Self { address, cuts })
    }

    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn forward(mut from: TcpStream, target: SocketAddr, mut cut: watch::Receiver<u64>) {
    cut.mark_unchanged();
    if let Ok(mut to) = TcpStream::connect(target).await {
        tokio::select! {
            _ = copy_bidirectional(&mut from, &mut to) => {}
            _ = cut.changed() => {}
        }
    }
}

/// Starts a member that others reach by a proxy only: one that is invited, or the founder.
async fn start(disk: MemoryStorage, invitation: Option<Invitation>) -> Outcome<(KvHandle, Proxy)> {
    let config = WebSocketConfig::default().with_identity(TlsIdentity::self_signed()?);
    let carrier = WebSocketCarrier::listen(config, "127.0.0.1:0".parse()?).await?;
    let proxy = Proxy::to(carrier.socket_address().ok_or("it listens")?).await?;
    let address = carrier.address_at(&proxy.address.to_string())?;
    let end = Endpoint::new(disk.identity().clone(), carrier);
    let config = Config::builder().election_timeout(Duration::from_millis(500));
    let mut member = Member::builder(Kv::new(), end, disk)
        .config(config.build()?)
        .addresses([address]);
    if let Some(invitation) = invitation {
        member = member.invited(invitation);
    }
    Ok((KvHandle::new(member.start().await?), proxy))
}

#[tokio::test]
async fn three_members_elect_write_and_survive_cuts() -> Outcome {
    let mut disk = MemoryStorage::default();
    let founding = Founding::by(disk.identity()).closed();
    founding.found(&mut disk).await?;
    let (ada, of_ada) = start(disk, None).await?;
    let invitation = ada.raft().invite(Terms::membership().with_uses(2)).await?;
    let (bob, of_bob) = start(MemoryStorage::default(), Some(invitation.clone())).await?;
    let (eve, of_eve) = start(MemoryStorage::default(), Some(invitation)).await?;
    bob.raft().joined().await?;
    eve.raft().joined().await?;

    for (number, proxy) in [&of_ada, &of_bob, &of_eve].into_iter().enumerate() {
        ada.set("camp", format!("place {number}")).await?;
        proxy.cut();
        let read = bob.get("camp").await?;
        assert_eq!(read.as_deref(), Some(format!("place {number}").as_bytes()));
    }
    drop(ada);
    bob.set("camp", "hill").await?;

    assert_eq!(eve.get("camp").await?.as_deref(), Some(&b"hill"[..]));
    Ok(())
}
