//! A proxy between two ends, which cuts connections, or forgets them, when it is told to.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::ends::{LOOPBACK, socket};

/// Forwards what comes to its address. It ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// What becomes of the connections that there are when it is told.
    fate: watch::Sender<Fate>,
}

#[derive(Clone, Copy)]
enum Fate {
    Cut,
    /// They stay open, and nothing passes.
    Forgotten,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(socket(LOOPBACK)).await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let (fate, told) = watch::channel(Fate::Cut);
        tokio::spawn(async move {
            let mut gone = told.clone();
            while let Some(Ok((from, _))) = tokio::select! {
                accepted = listener.accept() => Some(accepted),
                () = closed(&mut gone) => None,
            } {
                tokio::spawn(forward(from, target, told.clone()));
            }
        });
        Self { address, fate }
    }

    pub(crate) fn cut(&self) {
        self.fate.send_replace(Fate::Cut);
    }

    pub(crate) fn forget(&self) {
        self.fate.send_replace(Fate::Forgotten);
    }
}

/// Waits until the proxy was dropped.
async fn closed(told: &mut watch::Receiver<Fate>) {
    while told.changed().await.is_ok() {}
}

async fn forward(mut from: TcpStream, target: SocketAddr, mut told: watch::Receiver<Fate>) {
    told.mark_unchanged();
    if let Ok(mut to) = TcpStream::connect(target).await {
        let changed = tokio::select! {
            _ = copy_bidirectional(&mut from, &mut to) => return,
            changed = told.changed() => changed,
        };
        if changed.is_ok() && matches!(*told.borrow(), Fate::Forgotten) {
            closed(&mut told).await;
        }
    }
}
