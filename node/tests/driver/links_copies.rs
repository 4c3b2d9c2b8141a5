//! Tells a server from copies of its storage, by the starts that its peers have seen.

use std::task::{Context, Poll};

use liferaft_node::driver::{Exclusion, Handle, MemberError};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_platform::{Address, EARLIER_STARTS_MAX, ServerId};
use liferaft_transport::access::Refusal;
use liferaft_transport::carrier::{
    Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path, Reach,
};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::handshake::HandshakeError;
use liferaft_transport::links::LinkError;
use liferaft_transport::memory::{MemoryCarrier, MemoryNetwork};

use crate::links::{Site, excluded, patient, start, start_over};
use crate::machine::Journal;

/// Starts a member again, which is let in, and stops it.
async fn run_once(site: &Site, disk: &MemoryStorage) {
    let member = start(&site.network, disk, |member| member.membership(patient())).await;
    member.joined().await.expect("it is one");
    member.stop().await;
}

/// Counts starts of a disk that nobody sees.
async fn start_unseen(disk: &MemoryStorage, times: usize) {
    for _ in 0..times {
        let recovered = disk.clone().recover(u64::MAX).await;
        recovered.expect("it is in memory");
    }
}

/// Waits until nobody links to a server that shows an old start.
async fn refused_as_old(member: &Handle<Journal>, copy: ServerId) {
    let refused = member.wait_for(|status| {
        let error = status.last_error.as_ref().map(|last| &last.error);
        match error {
            Some(MemberError::NotLinked { peer, error }) if *peer == copy => matches!(
                error,
                LinkError::Handshake(HandshakeError::Refused {
                    refusal: Refusal::OldBoot,
                    ..
                })
            ),
            _ => false,
        }
    });
    refused.await.expect("it is refused");
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_storage_is_refused_and_told_why() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    third.stop().await;
    let copy = disk.copied();
    let third = start(&site.network, &disk, |member| member.membership(patient())).await;
    third.joined().await.expect("it is one");
    third.stop().await;

    let copied = start(&site.network, &copy, |member| member.membership(patient())).await;

    assert_eq!(excluded(&copied).await, Some(Exclusion::OldBoot));
    refused_as_old(&site.founder, copied.id()).await;
    assert_eq!(copied.status().borrow().counters.frames_received, 0);
    assert_eq!(copied.status().borrow().counters.frames_sent, 0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_refused_by_members_that_were_restarted_since() {
    let site = Site::closed().await;
    let (second, second_disk) = site.member().await;
    let (third, disk) = site.member().await;
    third.stop().await;
    let copy = disk.copied();
    let third = start(&site.network, &disk, |member| member.membership(patient())).await;
    third.joined().await.expect("it is one");
    for member in [&third, &second, &site.founder] {
        member.stop().await;
    }
    let founder = start(&site.network, &site.disk, |member| {
        member.membership(patient())
    })
    .await;
    let _second = start(&site.network, &second_disk, |member| {
        member.membership(patient())
    })
    .await;

    let copied = start(&site.network, &copy, |member| member.membership(patient())).await;

    assert_eq!(excluded(&copied).await, Some(Exclusion::OldBoot));
    refused_as_old(&founder, copied.id()).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_image_of_a_storage_is_refused() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    third.stop().await;
    let image = disk.copied();
    for _ in 0..3 {
        let third = start(&site.network, &disk, |member| member.membership(patient())).await;
        third.joined().await.expect("it is one");
        third.stop().await;
    }

    let restored = start(&site.network, &image, |member| member.membership(patient())).await;

    assert_eq!(excluded(&restored).await, Some(Exclusion::OldBoot));
    assert_eq!(restored.status().borrow().counters.frames_received, 0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_started_more_often_does_not_displace_its_server() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    third.stop().await;
    let copy = disk.copied();
    run_once(&site, &disk).await;
    start_unseen(&copy, 5).await;

    let copied = start(&site.network, &copy, |member| member.membership(patient())).await;
    let told = excluded(&copied).await;
    refused_as_old(&site.founder, copied.id()).await;
    let received = copied.status().borrow().counters.frames_received;
    copied.stop().await;
    let third = start(&site.network, &disk, |member| member.membership(patient())).await;

    assert_eq!((told, received), (Some(Exclusion::OldBoot), 0));
    assert_eq!(third.propose(1).await, Ok(1));
    assert_eq!(third.status().borrow().exclusion, None);
}

#[tokio::test(start_paused = true)]
async fn a_restored_image_is_refused_though_it_is_started_more_often() {
    let site = Site::closed().await;
    let (second, second_disk) = site.member().await;
    let (third, disk) = site.member().await;
    third.stop().await;
    let image = disk.copied();
    for _ in 0..3 {
        run_once(&site, &disk).await;
    }
    start_unseen(&image, 10).await;
    for member in [&second, &site.founder] {
        member.stop().await;
    }
    let founder = start(&site.network, &site.disk, |member| {
        member.membership(patient())
    })
    .await;
    let _second = start(&site.network, &second_disk, |member| {
        member.membership(patient())
    })
    .await;

    let restored = start(&site.network, &image, |member| member.membership(patient())).await;

    assert_eq!(excluded(&restored).await, Some(Exclusion::OldBoot));
    refused_as_old(&founder, restored.id()).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_is_let_in_after_starts_that_nobody_saw() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    third.stop().await;
    run_once(&site, &disk).await;
    start_unseen(&disk, EARLIER_STARTS_MAX / 2).await;
    run_once(&site, &disk).await;
    start_unseen(&disk, 2 * EARLIER_STARTS_MAX).await;

    let third = start(&site.network, &disk, |member| member.membership(patient())).await;

    assert_eq!(third.propose(1).await, Ok(1));
}

/// The starts that it shows do not reach back to the one that was seen.
#[tokio::test(start_paused = true)]
async fn a_copy_started_too_often_for_its_marks_passes_by_its_number() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    third.stop().await;
    let copy = disk.copied();
    run_once(&site, &disk).await;
    start_unseen(&copy, EARLIER_STARTS_MAX + 1).await;

    let copied = start(&site.network, &copy, |member| member.membership(patient())).await;

    assert_eq!(copied.propose(1).await, Ok(1));
}

/// A memory carrier of another network than the first, whose addresses have a scheme of their own.
struct Second(MemoryCarrier);

impl Carrier for Second {
    fn scheme(&self) -> &'static str {
        "second"
    }

    fn packet_bytes_max(&self) -> usize {
        self.0.packet_bytes_max()
    }

    fn reach(&self) -> Reach {
        self.0.reach()
    }

    fn is_inside_process(&self) -> bool {
        self.0.is_inside_process()
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        let address = format!("second:{server:?}");
        Some(address.parse().expect("it is short"))
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let first = format!("memory:{}", address.rest());
        self.0.dial(&first.parse().expect("it is short"))
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.0.send(path, channel, packet)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        self.0.poll(context)
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_copies_that_run_at_once_the_later_is_refused() {
    let elsewhere = MemoryNetwork::new(2);
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    let id = site.founder.id();
    site.founder.stop().await;
    let near = site.network.attach_carrier(id).expect("it is free");
    let far = elsewhere.attach_carrier(id).expect("it is free");
    let end = Endpoint::new(site.disk.identity().clone(), near).with_carrier(Second(far));
    let founder = start_over(end, &site.disk, |member| member.membership(patient())).await;
    third.stop().await;
    let copy = disk.copied();
    let third = start(&site.network, &disk, |member| member.membership(patient())).await;
    third.joined().await.expect("it is one");
    let far = elsewhere.attach_carrier(third.id()).expect("it is free");
    let end = Endpoint::new(copy.identity().clone(), Second(far));

    let copied = start_over(end, &copy, |member| member.membership(patient())).await;

    assert_eq!(excluded(&copied).await, Some(Exclusion::OldBoot));
    assert_eq!(copied.status().borrow().counters.frames_received, 0);
    assert_eq!(third.propose(1).await, Ok(1));
    assert_eq!(founder.read(()).await, Ok(vec![1]));
}
