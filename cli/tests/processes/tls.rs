//! Tests members behind proxies that end TLS.

use std::sync::Arc;

use liferaft::transport::websocket::TlsIdentity;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, version};

use crate::node::{ANYWHERE, Folder, Node, free_port, rows, told_by};

/// Ends TLS for a member that listens on a port of loopback. Returns the address that others reach it at.
async fn secured(port: u16) -> String {
    let pem = TlsIdentity::self_signed_pem().expect("there is entropy");
    let identity = TlsIdentity::from_pem(pem.as_bytes()).expect("it is whole");
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is whole");
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("it is whole");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .expect("it is provided")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(ANYWHERE).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inner = TcpStream::connect(("127.0.0.1", port)).await?;
                let mut outer = acceptor.accept(stream).await?;
                copy_bidirectional(&mut outer, &mut inner).await
            });
        }
    });
    format!("wss://{address}#sha256={}", identity.fingerprint())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_find_each_other_behind_proxies_that_end_tls() {
    let folder = Folder::new("tls");
    let start = |command: &str, name: &str, port: u16, address: &str, others: &[&str]| {
        let (data, listen) = (folder.of(name), format!("127.0.0.1:{port}"));
        let own = [
            command, "--data", &data, "--name", name, "--listen", &listen,
        ];
        Node::start(&[&own[..], &["--advertise", address], others].concat())
    };
    let (port, other) = (free_port(), free_port());
    let (of_ada, of_bob) = (secured(port).await, secured(other).await);
    let ada = start("init", "ada", port, &of_ada, &[]);
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));

    let bob = start("node", "bob", other, &of_bob, &["--join", &invitation]);
    bob.until_voters(2);

    told_by(&["kv", "--at", &operator, "set", "camp", "hill"]);
    told_by(&["members", "--at", &operator, "transfer", "bob"]);
    assert_eq!(told_by(&["kv", "--at", &operator, "get", "camp"]), "hill\n");
    let members = rows(&told_by(&["members", "--at", &operator, "list", "--json"]));
    let addresses: Vec<_> = members.iter().map(|row| &row["addresses"][0]).collect();
    assert!(addresses.contains(&&of_ada.into()) && addresses.contains(&&of_bob.into()));
}
