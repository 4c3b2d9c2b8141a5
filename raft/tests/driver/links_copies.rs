//! Tells a server from copies of its storage, by the starts that its peers have seen.

use liferaft_platform::EARLIER_STARTS_MAX;
use liferaft_raft::driver::Exclusion;
use liferaft_raft::storage::{MemoryStorage, Storage};

use crate::links::{Site, excluded, patient, start};
use crate::links_impostors::refused_as_old;

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
