//! A closed cluster: who is invited joins, who is not does not, and who is expelled stays out.

use std::error::Error;
use std::time::Duration;

use liferaft::{
    Founding, Handle, Invitation, Kv, Member, MemberBuilder, MemoryNetwork, MemoryStorage, Storage,
    Terms,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = MemoryNetwork::new(1);
    let mut founder = MemoryStorage::default();
    let founding = Founding::by(founder.identity()).closed();
    founding.found(&mut founder).await?;
    let ada = member(&network, "ada", founder).start().await?;

    // One may come within the hour. The text is all that a newcomer needs, and a secret on its way.
    let terms = Terms::membership().with_valid_for(Duration::from_secs(3600));
    let invitation = ada.invite(terms).await?;
    let (text, link) = (
        invitation.to_string(),
        invitation.link("https://example.org/join")?,
    );
    println!("ada invites: {text}");
    println!("as a link, whose secret no browser sends: {link}");

    let bob = newcomer(&network, "bob", &text).await?;
    bob.joined().await?;
    println!("bob has joined");

    // Somebody has read the text over bob's shoulder. It is used up.
    let eve = newcomer(&network, "eve", &text).await?;
    let told = eve.wait_for(|status| status.exclusion.is_some()).await?;
    let why = told.exclusion.expect("that was waited for");
    println!("eve is told: {why}");

    ada.remove_server(bob.id()).await?;
    let told = bob.wait_for(|status| status.exclusion.is_some()).await?;
    let why = told.exclusion.expect("that was waited for");
    println!("bob is told: {why}");
    ada.wait_for(|status| status.raft.configuration.members().len() == 1)
        .await?;
    println!("ada is left");
    Ok(())
}

/// Starts a member that was never there before, by the text of an invitation.
async fn newcomer(
    network: &MemoryNetwork,
    label: &str,
    text: &str,
) -> Result<Handle<Kv>, Box<dyn Error>> {
    let invitation: Invitation = text.parse()?;
    let member = member(network, label, MemoryStorage::default());
    Ok(member.invited(invitation).start().await?)
}

/// Builds a member whose links prove that it has the key of this storage.
fn member(network: &MemoryNetwork, label: &str, storage: MemoryStorage) -> MemberBuilder<Kv> {
    let transport = network.connect(storage.identity().clone());
    let transport = transport.expect("no two storages are of one server");
    Member::builder(Kv::new(), transport, storage).label(label)
}
