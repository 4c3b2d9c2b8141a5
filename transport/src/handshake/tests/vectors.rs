//! The bytes of one handshake, for other implementations, and so that none of them changes unnoticed.
//!
//! `vectors.txt` has all that goes in and all that comes out. Whoever changes the handshake changes
//! [`HANDSHAKE_VERSION`](crate::handshake::HANDSHAKE_VERSION) with it.

use std::fmt::Write;

use bytes::Bytes;

use super::kit::{CLUSTER, Server, Steps, TOKEN, joining, token_terms};
use crate::access::Role;
use crate::sealing::Sealer;

#[test]
fn a_handshake_has_the_bytes_that_it_had() {
    let mut joiner = Server::new(1, &[2]);
    joiner.local.starts = joiner.local.starts.next(6).next(7);
    let mut inviting = Server::new(2, &[2, 3]);
    inviting.table.tokens.extend(token_terms(Role::Joiner, 1));
    inviting.local.vouchers = [Server::new(3, &[]).voucher(CLUSTER, 2)].into();

    let run = Steps::with(&joiner, &inviting, joining(&[2])).run();

    let (one, two) = (run.initiator.unwrap(), run.responder.unwrap());
    let packet = |secrets: &crate::sealing::Secrets| {
        let mut sealer = Sealer::new(secrets.outgoing.clone());
        sealer.seal(b"head", b"body").unwrap()
    };
    let entropy = |number: u8, server: &Server| [number ^ server.local.key.0[0]; 32].to_vec();
    let values: [(&str, Bytes); 17] = [
        ("cluster", CLUSTER.0.to_be_bytes().to_vec().into()),
        ("initiator's secret key", vec![1; 32].into()),
        ("responder's secret key", vec![2; 32].into()),
        ("voucher's secret key", vec![3; 32].into()),
        ("token's secret key", TOKEN.to_vec().into()),
        ("initiator's entropy", entropy(1, &joiner).into()),
        ("responder's entropy", entropy(2, &inviting).into()),
        ("opening", run.messages[0].clone()),
        ("answer", run.messages[1].clone()),
        ("claim", run.messages[2].clone()),
        ("verdict", run.messages[3].clone()),
        ("generation", one.generation.to_be_bytes().to_vec().into()),
        ("packet text", Bytes::from_static(b"headbody")),
        ("initiator's first datagram", packet(&one.datagrams)),
        ("responder's first datagram", packet(&two.datagrams)),
        ("initiator's first ordered", packet(&one.ordered)),
        ("responder's first ordered", packet(&two.ordered)),
    ];
    let mut written = String::new();
    for (name, value) in values {
        writeln!(written, "{name}: {value:x}").unwrap();
    }
    assert_eq!(written, include_str!("vectors.txt"));
}
