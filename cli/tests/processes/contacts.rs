//! Tests that whoever knows one member finds all.

use liferaft::Invitation;

use crate::node::{ANYWHERE, Folder, Node, init, join, rows, told_by};

/// Starts a member of an open cluster.
fn open(command: &str, data: &str, name: &str, others: &[&str]) -> Node {
    let own = [
        command, "--data", data, "--listen", ANYWHERE, "--open", "--name", name,
    ];
    Node::start(&[&own, others].concat())
}

/// What a member tells of where it is.
fn contact_of(node: &Node) -> Invitation {
    let started = node.until("started", |_| true);
    let contact = started["contact"].as_str().expect("it is text");
    let contact: Invitation = contact.parse().expect("it is one");
    assert_eq!(
        (contact.inviters().len(), contact.addresses().len()),
        (1, 1)
    );
    contact
}

#[test]
fn a_client_that_knows_a_follower_finds_the_leader() {
    let folder = Folder::new("follower");
    let ada = init(&folder.of("ada"));
    let (invitation, operator) = (ada.invitation(), ada.invitation_for("operator"));
    let bob = join(&folder.of("bob"), &invitation, "bob");
    let contact = contact_of(&bob);
    let eve = join(&folder.of("eve"), &invitation, "eve");
    eve.until_voters(3);
    bob.until_voters(3);
    let operator: Invitation = operator.parse().expect("it is one");
    let token = operator.token().expect("it is closed").clone();
    let by_bob = contact.with_token(token).to_string();

    told_by(&["kv", "--at", &by_bob, "set", "camp", "hill"]);

    assert_eq!(told_by(&["kv", "--at", &by_bob, "get", "camp"]), "hill\n");
    let status = rows(&told_by(&["status", "--at", &by_bob, "--json"]));
    let roles: Vec<_> = status.iter().filter(|row| row["name"] == "bob").collect();
    assert_eq!((status.len(), roles.len()), (3, 1));
    assert_eq!(roles[0]["role"], "follower");
}

#[test]
fn a_newcomer_that_knows_a_follower_finds_all() {
    let folder = Folder::new("known");
    let ada = open("init", &folder.of("ada"), "ada", &[]);
    let (address, invitation) = (ada.address(), ada.invitation());
    let bob = open("node", &folder.of("bob"), "bob", &["--join", &invitation]);
    let contact = contact_of(&bob).to_string();
    bob.until_voters(2);

    let eve = open("node", &folder.of("eve"), "eve", &["--join", &contact]);
    eve.until_voters(3);

    let status = rows(&told_by(&["status", "--at", &address, "--json"]));
    let of_eve = status.iter().find(|row| row["name"] == "eve");
    let of_eve = of_eve.expect("it is a member");
    assert!(of_eve["links"].as_u64() >= Some(2), "{of_eve}");
    assert_eq!(bob.stop(), Some(0));
    // Nobody but the one that it did not come by.
    told_by(&[
        "kv",
        "--at",
        &address,
        "--timeout",
        "60",
        "set",
        "camp",
        "hill",
    ]);
}
