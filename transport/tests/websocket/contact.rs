//! Whom an address leads to: a carrier tells its contact to whoever opens a connection, if it is to.

use liferaft_platform::{ClusterId, PublicKey};
use liferaft_transport::invitation::Invitation;
use liferaft_transport::token::TokenSecret;
use liferaft_transport::websocket::{ContactError, WebSocketConfig, contact_at};

use crate::ends::{endpoint, listen, next};

#[tokio::test]
async fn whoever_has_an_address_is_told_the_contact_without_its_token() {
    let (carrier, address) = listen(WebSocketConfig::default()).await;
    let contact = Invitation::new(ClusterId(7), [PublicKey([3; 32])]).expect("it names one");
    let contact = contact
        .with_addresses([address.clone()])
        .expect("it is one");
    let token = TokenSecret::from_bytes([5; 32]);
    carrier.tell_contact(&contact.clone().with_token(token));
    let mut end = endpoint(1, carrier);

    let told = tokio::select! {
        _ = next(&mut end) => panic!("nobody is linked"),
        told = contact_at(WebSocketConfig::default(), &address) => told,
    };

    let told = told.expect("it was told").to_string();
    assert_eq!(told, contact.to_string());
}

#[tokio::test]
async fn a_carrier_that_was_told_nothing_tells_nobody_who_it_is() {
    let (carrier, address) = listen(WebSocketConfig::default()).await;
    let mut end = endpoint(1, carrier);

    let told = tokio::select! {
        _ = next(&mut end) => panic!("nobody is linked"),
        told = contact_at(WebSocketConfig::default(), &address) => told,
    };

    assert!(matches!(told, Err(ContactError::Untold(at)) if at == address));
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_not_reached() {
    let nowhere = "ws://127.0.0.1:1".parse().expect("it is an address");
    let elsewhere = "udp:127.0.0.1:1".parse().expect("it is an address");

    let unreached = contact_at(WebSocketConfig::default(), &nowhere).await;
    let unread = contact_at(WebSocketConfig::default(), &elsewhere).await;

    assert!(matches!(unreached, Err(ContactError::NotReached { .. })));
    assert!(matches!(unread, Err(ContactError::BadAddress(_))));
}
