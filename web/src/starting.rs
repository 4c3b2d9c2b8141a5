//! Starts a member as a page wants it: opens its storage, founds in it or joins by it.

use liferaft::transport::token::TokenSecret;
use liferaft::{
    Founding, Handle, Invitation, Kv, Member, MemberBuilder, ServerId, Storage, StorageError,
};

use crate::error::Fault;
use crate::machine::{Machine, PageMachine};
use crate::options::Options;
use crate::reach::Reach;
use crate::storage::{Kept, Opened, Wanted, in_browser, in_memory};

/// A member that was started.
pub(crate) struct Started {
    pub(crate) member: Handle<Machine>,
    /// Whether it has a machine of the page's, in place of keys.
    pub(crate) has_machine: bool,
    pub(crate) reach: Reach,
    pub(crate) kept: Kept,
    /// The token by which it invites others.
    pub(crate) token: Option<TokenSecret>,
}

/// Starts a member. `None` if it was to go on as a stored server, and there is none.
pub(crate) async fn started(options: Options) -> Result<Option<Started>, Fault> {
    let invitation = options.invitation()?;
    // What was given is looked at before anything is stored.
    options.addresses(&options.rooms()?, ServerId(0))?;
    options.config()?;
    let wanted = match &invitation {
        _ if options.is_set("fresh") || options.is_set("found") => Wanted::Fresh,
        Some(invitation) => Wanted::Of(invitation.cluster()),
        None => Wanted::Stored,
    };
    let kind = options.text("storage");
    let why = if kind.as_deref() == Some("memory") {
        None
    } else {
        match in_browser(&options, wanted).await {
            Ok(Some(opened)) => return started_over(&options, invitation, opened).await.map(Some),
            Ok(None) => return Ok(None),
            Err(StorageError::Unavailable { reason }) if kind.as_deref() == Some("auto") => {
                Some(reason)
            }
            Err(error) => return Err(error.into()),
        }
    };
    if matches!(wanted, Wanted::Stored) {
        return Ok(None);
    }
    let opened = in_memory(why).await;
    started_over(&options, invitation, opened).await.map(Some)
}

async fn started_over<S: Storage>(
    options: &Options,
    invitation: Option<Invitation>,
    Opened { mut storage, kept }: Opened<S>,
) -> Result<Started, Fault> {
    let identity = storage.identity().clone();
    if storage.cluster().is_none() && invitation.is_none() {
        let founding = Founding::by(&identity).closed();
        founding.found(&mut storage).await?;
    }
    let cluster = invitation.as_ref().map(Invitation::cluster);
    let cluster = cluster.or_else(|| storage.cluster());
    let rooms = options.rooms()?;
    let addresses = options.addresses(&rooms, identity.id())?;
    let kind = (cluster, kept.browser.is_some());
    let (endpoint, reach) = Reach::make(options, rooms, &identity, kind).await;
    // Others may come by what it came by.
    let came_by = invitation.as_ref().and_then(Invitation::token).cloned();
    let machine = options.machine().map(PageMachine::of);
    let has_machine = machine.is_some();
    let machine = machine.map_or_else(|| Machine::Kv(Kv::new()), Machine::Page);
    let builder = Member::builder(machine, endpoint, storage).addresses(addresses);
    let member = prepared(builder, options, invitation)?.start().await?;
    if let (None, Some(token)) = (&kept.token, &came_by) {
        // The member runs. Without it another token is made after a reload.
        let _unless_stored = kept.keep_token(token).await;
    }
    Ok(Started {
        token: kept.token.clone().or(came_by),
        member,
        has_machine,
        reach,
        kept,
    })
}

fn prepared(
    builder: MemberBuilder<Machine>,
    options: &Options,
    invitation: Option<Invitation>,
) -> Result<MemberBuilder<Machine>, Fault> {
    let config = options.config()?;
    let membership = options.membership(config.election_timeout());
    let mut builder = builder.config(config).membership(membership);
    if let Some(name) = options.text("name") {
        builder = builder.label(name);
    }
    if let Some(timeout) = options.request_timeout() {
        builder = builder.request_timeout(timeout);
    }
    Ok(match invitation {
        Some(invitation) => builder.invited(invitation),
        None => builder,
    })
}
