//! TLS: which certificates are taken.

use liferaft_platform::Address;
use liferaft_transport::carrier::{Carrier, DialError, OpenFailure};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::{LinkError, LinkEvent};
use liferaft_transport::websocket::{
    Fingerprint, TlsError, TlsIdentity, WebSocketCarrier, WebSocketConfig,
};

use crate::ends::{assert_linked, connect, endpoint, listen, next, wanted};

fn self_signed() -> TlsIdentity {
    TlsIdentity::self_signed().expect("there is entropy")
}

fn secured(identity: TlsIdentity) -> WebSocketConfig {
    WebSocketConfig::default().with_identity(identity)
}

fn dialing(config: WebSocketConfig, address: &Address) -> Endpoint {
    let mut end = endpoint(2, WebSocketCarrier::dial_only(config));
    end.want(&[wanted(1, address)]);
    end
}

/// A text in PEM of a certificate for `localhost` that signs itself, and one with its key.
fn certificate_of_localhost() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let rcgen::CertifiedKey { cert, signing_key } = made.expect("there is entropy");
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let both = format!("{certificate}{key}");
    (certificate, both)
}

#[tokio::test]
async fn a_pinned_certificate_is_taken() {
    let (carrier, address) = listen(secured(self_signed())).await;
    let mut a = endpoint(1, carrier);
    let mut b = dialing(WebSocketConfig::default(), &address);

    connect(&mut a, &mut b).await;

    assert_linked(&mut a, &mut b).await;
    assert_linked(&mut b, &mut a).await;
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused() {
    let (carrier, address) = listen(secured(self_signed())).await;
    let meter = carrier.meter();
    let mut a = endpoint(1, carrier);
    let (authority, _) = address.as_str().split_once('#').expect("it is pinned");
    let wrong = format!("{authority}#sha256={}", Fingerprint([7; 32]));
    let mut b = dialing(
        WebSocketConfig::default(),
        &wrong.parse().expect("an address"),
    );

    let event = tokio::select! { event = next(&mut a) => event, event = next(&mut b) => event };

    let LinkEvent::Failed { error, .. } = event else {
        panic!("there is no link: {event:?}");
    };
    assert!(
        matches!(error, LinkError::NotOpened(OpenFailure::Tls(_))),
        "{error:?}"
    );
    assert_eq!(meter.read().broken, 0);
}

#[tokio::test]
async fn a_certificate_of_no_authority_is_refused_without_a_pin() {
    let (carrier, address) = listen(secured(self_signed())).await;
    let mut a = endpoint(1, carrier);
    let (unpinned, _) = address.as_str().split_once('#').expect("it is pinned");
    let mut b = dialing(
        WebSocketConfig::default(),
        &unpinned.parse().expect("an address"),
    );

    let event = tokio::select! { event = next(&mut a) => event, event = next(&mut b) => event };

    assert!(matches!(event, LinkEvent::Failed { .. }), "{event:?}");
}

#[tokio::test]
async fn a_certificate_of_an_authority_is_taken_for_its_name_alone() {
    let (authority, both) = certificate_of_localhost();
    let identity = TlsIdentity::from_pem(both.as_bytes()).expect("it is whole");
    let (carrier, address) = listen(secured(identity)).await;
    let config = WebSocketConfig::default().with_authorities(authority.as_bytes());
    let config = config.expect("it is a certificate");
    let port = carrier.socket_address().expect("it listens").port();
    let named = carrier.address_at(&format!("localhost:{port}"));
    let mut a = endpoint(1, carrier);

    let mut nameless = dialing(config.clone(), &address);
    let event =
        tokio::select! { event = next(&mut a) => event, event = next(&mut nameless) => event };
    assert!(matches!(event, LinkEvent::Failed { .. }), "{event:?}");
    let mut b = dialing(config, &named.expect("an address"));

    connect(&mut a, &mut b).await;
}

#[tokio::test]
async fn a_kept_certificate_has_the_same_address_after_a_restart() {
    let kept = TlsIdentity::self_signed_pem().expect("there is entropy");

    let read = || TlsIdentity::from_pem(kept.as_bytes()).expect("it is whole");

    assert_eq!(read().fingerprint(), read().fingerprint());
    assert_ne!(read().fingerprint(), self_signed().fingerprint());
}

#[tokio::test]
async fn what_is_no_certificate_is_told() {
    let (certificate, _) = certificate_of_localhost();
    let (_, others) = certificate_of_localhost();
    let error = |text: &str| TlsIdentity::from_pem(text.as_bytes()).expect_err("no identity");
    let missing = TlsIdentity::from_pem_files("/no/such/file", "/no/such/file").await;

    assert!(matches!(error("hello"), TlsError::NoCertificate));
    assert!(matches!(error(&certificate), TlsError::NoKey));
    let of_another = format!("{certificate}{others}");
    assert!(matches!(error(&of_another), TlsError::Unusable(_)));
    assert!(matches!(missing, Err(TlsError::Read { .. })));
}

#[tokio::test]
async fn an_address_that_is_none_is_not_dialed() {
    let mut carrier = WebSocketCarrier::dial_only(WebSocketConfig::default());
    let address: Address = "wss://example.org#sha256=short"
        .parse()
        .expect("an address");

    let dialed = carrier.dial(&address);

    assert_eq!(dialed, Err(DialError::BadAddress(address)));
}
