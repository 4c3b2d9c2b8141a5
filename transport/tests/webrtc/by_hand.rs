//! Links over connections of which people carry offer and answer.

use std::time::Duration;

use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::signaling::{BY_HAND_CHARS_MAX, ParseByHandError};
use liferaft_transport::webrtc::{
    BY_HAND_MAX, BY_HAND_TIME_MAX, ByHand, ByHandError, WebRtcCarrier, WebRtcConfig,
};
use tokio::time::{pause, resume, sleep};

use crate::ends::{assert_linked, connect, during, endpoint, id, wanted};
use crate::exchange::address_of;

/// An end that is reached by hand alone.
fn end(number: u8) -> (Endpoint, ByHand) {
    let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default().on_this_machine());
    let by_hand = carrier.by_hand();
    (endpoint(number, carrier), by_hand)
}

/// Polls both ends while a person dawdles.
async fn dawdle(a: &mut Endpoint, b: &mut Endpoint, time: Duration) {
    pause();
    for _ in 0..time.as_secs() {
        during(a, b, sleep(Duration::from_secs(1))).await;
    }
    resume();
}

const TWO_MINUTES: Duration = Duration::from_secs(120);

#[tokio::test]
async fn two_ends_are_linked_by_texts_two_minutes_apart() {
    let ((mut a, at_a), (mut b, at_b)) = (end(1), end(2));
    b.want(&[wanted(1, &address_of(id(1)))]);

    let offer = during(&mut a, &mut b, at_a.offer())
        .await
        .expect("one is made");
    dawdle(&mut a, &mut b, TWO_MINUTES).await;
    let answer = during(&mut a, &mut b, at_b.take(&offer)).await;
    let answer = answer
        .expect("it is an offer")
        .expect("offers are answered");
    dawdle(&mut a, &mut b, TWO_MINUTES).await;
    let taken = during(&mut a, &mut b, at_a.take(&answer)).await;

    assert_eq!(taken, Ok(None));
    connect(&mut a, &mut b).await;
    assert_linked(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
    for text in [offer, answer] {
        assert!(text.len() <= BY_HAND_CHARS_MAX, "{} characters", text.len());
    }
}

#[tokio::test]
async fn whoever_has_offered_may_be_who_looks_for_the_other() {
    let ((mut a, at_a), (mut b, at_b)) = (end(1), end(2));
    a.want(&[wanted(2, &address_of(id(2)))]);

    let offer = during(&mut a, &mut b, at_a.offer())
        .await
        .expect("one is made");
    let answer = during(&mut a, &mut b, at_b.take(&offer)).await;
    let answer = answer
        .expect("it is an offer")
        .expect("offers are answered");
    let taken = during(&mut a, &mut b, at_a.take(&answer)).await;

    assert_eq!(taken, Ok(None));
    connect(&mut a, &mut b).await;
    assert_linked(&mut a, &mut b).await;
}

#[tokio::test]
async fn an_offer_is_good_once_and_for_ten_minutes() {
    let ((mut a, at_a), (mut b, at_b)) = (end(1), end(2));
    let offer = during(&mut a, &mut b, at_a.offer())
        .await
        .expect("one is made");
    let answer = during(&mut a, &mut b, at_b.take(&offer)).await;
    let answer = answer
        .expect("it is an offer")
        .expect("offers are answered");

    let again = during(&mut a, &mut b, at_b.take(&offer)).await;
    assert_eq!(again, Ok(Some(answer.clone())));
    dawdle(&mut a, &mut b, BY_HAND_TIME_MAX + Duration::from_secs(2)).await;
    let late = during(&mut a, &mut b, at_a.take(&answer)).await;
    let taken = during(&mut a, &mut b, at_b.take(&offer)).await;

    assert_eq!(late, Err(ByHandError::NoOffer));
    assert_eq!(taken, Err(ByHandError::TakenBefore));
}

#[tokio::test]
async fn texts_of_no_use_are_refused_each_for_its_reason() {
    let ((mut a, at_a), (mut b, at_b)) = (end(1), end(2));
    let offer = during(&mut a, &mut b, at_a.offer())
        .await
        .expect("one is made");
    let damaged = offer.replace("rtc-offer:", "rtc-offer:A");

    let own = during(&mut a, &mut b, at_a.take(&offer)).await;
    let garbage = during(&mut a, &mut b, at_b.take("hello")).await;
    let damaged = during(&mut a, &mut b, at_b.take(&damaged)).await;

    assert_eq!(own, Err(ByHandError::Own));
    assert_eq!(garbage, Err(ParseByHandError::NoNote.into()));
    assert_eq!(damaged, Err(ParseByHandError::Damaged.into()));
}

#[tokio::test]
async fn more_offers_than_may_wait_are_refused() {
    let ((mut a, at_a), (mut b, _)) = (end(1), end(2));
    for _ in 0..BY_HAND_MAX {
        let offer = during(&mut a, &mut b, at_a.offer()).await;
        assert!(offer.is_ok(), "{offer:?}");
    }

    let one_more = during(&mut a, &mut b, at_a.offer()).await;

    assert_eq!(one_more, Err(ByHandError::TooMany));
}

#[tokio::test]
async fn an_end_that_is_gone_makes_no_offers() {
    let (a, at_a) = end(1);
    drop(a);

    assert_eq!(at_a.offer().await, Err(ByHandError::Closed));
}
