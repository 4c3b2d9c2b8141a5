//! Gathering from Debian's coturn, and from servers that are no servers.

mod coturn;
mod garbage;
mod shell;

use self::coturn::{CREDENTIAL, Coturn, USERNAME, credential_of};
use self::shell::Shell;
use super::Gathered;
use crate::webrtc::by_hand::BY_HAND_TIME_MAX;
use crate::webrtc::ice_servers::{IceServer, IceTransportPolicy};

#[tokio::test]
async fn stun_tells_the_address_of_the_shared_socket() {
    let Some(coturn) = Coturn::start().await else {
        return;
    };
    let url = format!("stun:{}", coturn.address);
    let mut end = Shell::new(IceTransportPolicy::All, move || vec![IceServer::stun(&url)]);

    end.gather();
    let address = end.reflexive().await;

    // There is no NAT on this machine.
    assert_eq!(address, end.address());
}

#[tokio::test]
async fn two_ends_exchange_datagrams_through_their_relays() {
    let Some(coturn) = Coturn::start().await else {
        return;
    };
    let mut ends = [relayed(&coturn), relayed(&coturn)];
    let [one, other] = &mut ends;
    one.gather();
    other.gather();
    let addresses = [one.relayed().await, other.relayed().await];

    one.exchange(other, addresses, 40).await;

    assert_eq!(one.meter.read().relays_allocated, 1);
    assert_eq!(one.meter.read().relays_lost, 0);
    // By a channel of TURN, whose header has four bytes.
    assert_eq!(one.last_wrapped_bytes, 1_204);
}

#[tokio::test]
async fn a_user_with_one_allocation_gets_it_again_after_giving_it_back() {
    let Some(coturn) = Coturn::start_with_quota(1).await else {
        return;
    };
    let mut ends = [relayed(&coturn), relayed(&coturn)];
    let [one, other] = &mut ends;
    one.gather();
    one.relayed().await;

    one.close();
    other.gather();
    other.relayed().await;

    assert_eq!(one.is_lost(), Some(()));
    assert_eq!(one.gatherer.deadline(), None);
}

#[tokio::test]
async fn relay_only_ends_have_no_reflexive_addresses() {
    let Some(coturn) = Coturn::start().await else {
        return;
    };
    let mut end = relayed(&coturn);

    end.gather();
    end.relayed().await;

    let shown = end.told.iter();
    assert_eq!(
        shown
            .filter(|told| matches!(told, Gathered::Reflexive { .. }))
            .count(),
        0
    );
}

#[tokio::test]
async fn wrong_credentials_are_told_and_asked_for_anew() {
    let Some(coturn) = Coturn::start().await else {
        return;
    };
    let url = format!("turn:{}", coturn.address);
    let mut asked = 0;
    let mut end = Shell::new(IceTransportPolicy::Relay, move || {
        asked += 1;
        let credential = if asked == 1 { "outdated" } else { CREDENTIAL };
        vec![IceServer::turn(&url, USERNAME, credential)]
    });

    end.gather();
    end.relayed().await;

    assert_eq!(end.meter.read().relays_lost, 1);
    assert_eq!(end.asked, 2);
}

#[tokio::test]
async fn a_user_that_has_expired_is_asked_for_anew() {
    let Some(coturn) = Coturn::start_with_secret().await else {
        return;
    };
    let url = format!("turn:{}", coturn.address);
    // The first second of 1970, and the last that coturn can count.
    let mut users = ["1:node1", "2147483647:node1"].into_iter();
    let mut end = Shell::new(IceTransportPolicy::Relay, move || {
        let user = users.next().expect("it is asked twice");
        vec![IceServer::turn(&url, user, credential_of(user))]
    });

    end.gather();
    end.relayed().await;

    assert_eq!(end.asked, 2);
}

#[tokio::test]
async fn a_restarted_server_is_found_out_and_asked_again() {
    let Some(mut coturn) = Coturn::start().await else {
        return;
    };
    let mut ends = [relayed(&coturn), relayed(&coturn)];
    let [one, other] = &mut ends;
    one.gather();
    other.gather();
    let addresses = [one.relayed().await, other.relayed().await];

    coturn.restart().await;
    // The first that either has to do with a host shows that the server has forgotten.
    one.permit(addresses[1].ip());
    other.permit(addresses[0].ip());
    let again = [one.relayed_again().await, other.relayed_again().await];
    one.exchange(other, again, 1).await;

    assert_ne!(addresses, again);
    assert_eq!(one.asked, 2);
}

/// Whoever is given it in a text that people carry comes minutes later. The permission is asked for when it comes.
#[tokio::test]
async fn a_relay_that_is_awaited_is_kept_for_ten_minutes() {
    let Some(coturn) = Coturn::start().await else {
        return;
    };
    let mut ends = [relayed(&coturn), relayed(&coturn)];
    let [one, other] = &mut ends;
    one.is_awaited = true;
    one.gather();
    let told = one.relayed().await;

    one.let_pass(BY_HAND_TIME_MAX).await;
    other.gather();
    let addresses = [told, other.relayed().await];
    one.exchange(other, addresses, 1).await;
    one.is_awaited = false;
    one.let_pass(BY_HAND_TIME_MAX).await;

    assert_eq!(one.meter.read().relays_allocated, 1);
    assert_eq!(one.is_lost(), Some(()), "nobody waits for it any more");
}

/// Returns an end that is reached through a server only.
fn relayed(coturn: &Coturn) -> Shell {
    let url = format!("turn:{}?transport=udp", coturn.address);
    Shell::new(IceTransportPolicy::Relay, move || {
        vec![IceServer::turn(&url, USERNAME, CREDENTIAL)]
    })
}
