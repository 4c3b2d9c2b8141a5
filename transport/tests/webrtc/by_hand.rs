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
fn end(number: u8) -> End {
    let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default().on_this_machine());
    let by_hand = carrier.by_hand();
    (endpoint(number, carrier), by_hand)
}

type End = (Endpoint, ByHand);

/// Has the first end make an offer.
async fn offer(a: &mut End, b: &mut End) -> String {
    let made = during(&mut a.0, &mut b.0, a.1.offer()).await;
    made.expect("there is room for one")
}

/// Gives the second end a text.
async fn give(a: &mut End, b: &mut End, text: &str) -> Result<Option<String>, ByHandError> {
    during(&mut a.0, &mut b.0, b.1.take(text)).await
}

/// Gives the second end an offer, and returns its answer.
async fn answer(a: &mut End, b: &mut End, offer: &str) -> String {
    let answer = give(a, b, offer).await.expect("it is an offer");
    answer.expect("offers are answered")
}

/// Polls both ends while a person dawdles.
async fn dawdle(a: &mut End, b: &mut End, time: Duration) {
    pause();
    for _ in 0..time.as_secs() {
        during(&mut a.0, &mut b.0, sleep(Duration::from_secs(1))).await;
    }
    resume();
}

const TWO_MINUTES: Duration = Duration::from_secs(120);

#[tokio::test]
async fn two_ends_are_linked_by_texts_two_minutes_apart() {
    let (mut a, mut b) = (end(1), end(2));
    b.0.want(&[wanted(1, &address_of(id(1)))]);

    let offer = offer(&mut a, &mut b).await;
    dawdle(&mut a, &mut b, TWO_MINUTES).await;
    let answer = answer(&mut a, &mut b, &offer).await;
    dawdle(&mut a, &mut b, TWO_MINUTES).await;
    let taken = give(&mut b, &mut a, &answer).await;

    assert_eq!(taken, Ok(None));
    connect(&mut a.0, &mut b.0).await;
    assert_linked(&mut a.0, &mut b.0).await;
    assert_linked(&mut b.0, &mut a.0).await;
    for text in [offer, answer] {
        assert!(text.len() <= BY_HAND_CHARS_MAX, "{} characters", text.len());
    }
}

#[tokio::test]
async fn whoever_has_offered_may_be_who_looks_for_the_other() {
    let (mut a, mut b) = (end(1), end(2));
    a.0.want(&[wanted(2, &address_of(id(2)))]);

    let offer = offer(&mut a, &mut b).await;
    let answer = answer(&mut a, &mut b, &offer).await;
    let taken = give(&mut b, &mut a, &answer).await;

    assert_eq!(taken, Ok(None));
    connect(&mut a.0, &mut b.0).await;
    assert_linked(&mut a.0, &mut b.0).await;
}

#[tokio::test]
async fn an_offer_is_good_once_and_for_ten_minutes() {
    let (mut a, mut b) = (end(1), end(2));
    let offer = offer(&mut a, &mut b).await;
    let answer = answer(&mut a, &mut b, &offer).await;

    let again = give(&mut a, &mut b, &offer).await;
    assert_eq!(again, Ok(Some(answer.clone())));
    dawdle(&mut a, &mut b, BY_HAND_TIME_MAX + Duration::from_secs(2)).await;
    let late = give(&mut b, &mut a, &answer).await;
    let taken = give(&mut a, &mut b, &offer).await;

    assert_eq!(late, Err(ByHandError::NoOffer));
    assert_eq!(taken, Err(ByHandError::TakenBefore));
}

#[tokio::test]
async fn texts_of_no_use_are_refused_each_for_its_reason() {
    let (mut a, mut b) = (end(1), end(2));
    let offer = offer(&mut a, &mut b).await;
    let damaged = offer.replace("rtc-offer:", "rtc-offer:A");

    let own = give(&mut b, &mut a, &offer).await;
    let garbage = give(&mut a, &mut b, "hello").await;
    let damaged = give(&mut a, &mut b, &damaged).await;

    assert_eq!(own, Err(ByHandError::Own));
    assert_eq!(garbage, Err(ParseByHandError::NoNote.into()));
    assert_eq!(damaged, Err(ParseByHandError::Damaged.into()));
}

#[tokio::test]
async fn more_offers_than_may_wait_are_refused() {
    let (mut a, mut b) = (end(1), end(2));
    for _ in 0..BY_HAND_MAX {
        offer(&mut a, &mut b).await;
    }

    let one_more = during(&mut a.0, &mut b.0, a.1.offer()).await;

    assert_eq!(one_more, Err(ByHandError::TooMany));
}

#[tokio::test]
async fn an_end_that_is_gone_makes_no_offers() {
    let (a, at_a) = end(1);
    drop(a);

    assert_eq!(at_a.offer().await, Err(ByHandError::Closed));
}

/// It waited for an answer that nobody was there to give.
#[tokio::test]
async fn a_carrier_that_no_endpoint_has_makes_no_offers() {
    let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let by_hand = carrier.by_hand();

    assert_eq!(by_hand.offer().await, Err(ByHandError::Closed));
    assert_eq!(by_hand.take("hello").await, Err(ByHandError::Closed));
}
