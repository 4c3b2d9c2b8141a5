//! Members whose keys are not in memory: they sign late, or never.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use liferaft_node::driver::{Founding, Handle, Terms};
use liferaft_node::identity::{Identity, PublicKey};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_transport::endpoint::Signer;
use liferaft_transport::memory::MemoryNetwork;
use liferaft_transport::signing::SIGNATURE_BYTES;
use liferaft_transport::voucher::Voucher;
use tokio::sync::watch;

use crate::cluster::ELECTION_TIMEOUT;
use crate::links::{invite, names, start};
use crate::machine::Journal;

/// Signs all but one statement at once.
struct SlowSigner {
    key: Identity,
    withheld: Mutex<Bytes>,
    /// How often that statement was to be signed.
    asked: watch::Sender<u32>,
    /// Whether it can be signed, once that is known.
    verdict: watch::Sender<Option<bool>>,
}

impl Signer for SlowSigner {
    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    fn sign(&self, bytes: Bytes) -> BoxFuture<'static, Option<[u8; SIGNATURE_BYTES]>> {
        let is_withheld = *self.withheld.lock().unwrap() == bytes;
        let signature = self.key.sign(bytes);
        if !is_withheld {
            return signature;
        }
        self.asked.send_modify(|times| *times += 1);
        let mut verdict = self.verdict.subscribe();
        Box::pin(async move {
            let known = verdict.wait_for(Option::is_some).await;
            let can_sign = *known.ok()? == Some(true);
            if can_sign { signature.await } else { None }
        })
    }
}

/// A closed cluster of one, which does not sign the voucher of a guest that has come.
struct Scene {
    network: MemoryNetwork,
    signer: Arc<SlowSigner>,
    founder: Handle<Journal>,
    guest: Handle<Journal>,
}

impl Scene {
    async fn new() -> Self {
        let network = MemoryNetwork::new(1);
        let signer = Arc::new(SlowSigner {
            key: Identity::draw(),
            withheld: Mutex::default(),
            asked: watch::Sender::default(),
            verdict: watch::Sender::default(),
        });
        let mut disk = MemoryStorage::of(Identity::by(signer.clone()));
        let founding = Founding::by(disk.identity()).closed();
        founding.found(&mut disk).await.expect("the disk is blank");
        let founder = start(&network, &disk, |member| member).await;
        let led = founder.wait_for(|status| status.leader().is_some()).await;
        led.expect("it leads itself");
        let guest_disk = MemoryStorage::default();
        let subject = guest_disk.identity().public_key();
        *signer.withheld.lock().unwrap() = Voucher::statement(founder.cluster(), &subject);
        let guest = guest(&network, &founder, &guest_disk).await;
        let mut asked = signer.asked.subscribe();
        let asked_once = asked.wait_for(|times| *times > 0).await;
        asked_once.expect("the guest asks to join");
        Self {
            network,
            signer,
            founder,
            guest,
        }
    }

    async fn another_guest(&self) -> Handle<Journal> {
        guest(&self.network, &self.founder, &MemoryStorage::default()).await
    }
}

async fn guest(
    network: &MemoryNetwork,
    by: &Handle<Journal>,
    disk: &MemoryStorage,
) -> Handle<Journal> {
    let invitation = invite(by, Terms::membership()).await;
    start(network, disk, |member| member.invited(invitation)).await
}

#[tokio::test(start_paused = true)]
async fn who_is_vouched_for_late_is_taken_in_late() {
    let scene = Scene::new().await;
    let too_early = scene.guest.within(5 * ELECTION_TIMEOUT).joined().await;

    scene.signer.verdict.send_replace(Some(true));

    assert!(too_early.is_err());
    scene.guest.joined().await.expect("it is vouched for");
    let status = scene.founder.status().borrow().clone();
    let member = status.raft.configuration.member(scene.guest.id());
    assert!(member.is_some_and(|member| member.voucher.is_some()));
}

#[tokio::test(start_paused = true)]
async fn nobody_else_waits_for_a_voucher_that_never_comes() {
    let scene = Scene::new().await;

    let other = scene.another_guest().await;

    other.joined().await.expect("its voucher is signed");
    assert_eq!(other.propose(7).await, Ok(1));
    assert!(!names(&scene.founder, scene.guest.id()));
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_has_nothing_more_signed() {
    let scene = Scene::new().await;

    let joined = scene.guest.within(20 * ELECTION_TIMEOUT).joined().await;

    assert!(joined.is_err());
    assert_eq!(*scene.signer.asked.borrow(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_vouched_for_is_not_taken_in() {
    let scene = Scene::new().await;

    scene.signer.verdict.send_replace(Some(false));

    let joined = scene.guest.within(5 * ELECTION_TIMEOUT).joined().await;
    assert!(joined.is_err());
    assert!(!names(&scene.founder, scene.guest.id()));
}
