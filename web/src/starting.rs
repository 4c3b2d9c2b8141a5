//! Starts a member as a page wants it: opens its storage, founds in it or joins by it.

use liferaft::transport::token::TokenSecret;
use liferaft::{
    Founding, Handle, Invitation, Kv, Member, MemberBuilder, ServerId, StateMachine, Storage,
    StorageError,
};

use crate::error::Fault;
use crate::machine::JsMachine;
use crate::options::Options;
use crate::reach::Reach;
use crate::running::Running;
use crate::storage::{Kept, Opened, Wanted, in_browser, in_memory};

/// A member that was started.
pub(crate) struct Started {
    pub(crate) replica: Replica,
    pub(crate) reach: Reach,
    pub(crate) kept: Kept,
    /// The token by which it invites others.
    pub(crate) token: Option<TokenSecret>,
}

/// A member, by what it replicates.
pub(crate) enum Replica {
    Kv(Handle<Kv>),
    Machine(Handle<JsMachine>),
}

impl Replica {
    pub(crate) fn member(&self) -> &dyn Running {
        match self {
            Self::Kv(member) => member,
            Self::Machine(member) => member,
        }
    }
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
    let replica = match options.machine() {
        None => {
            let builder = Member::builder(Kv::new(), endpoint, storage).addresses(addresses);
            Replica::Kv(prepared(builder, options, invitation)?.start().await?)
        }
        Some(machine) => {
            let machine = JsMachine::of(machine);
            let builder = Member::builder(machine, endpoint, storage).addresses(addresses);
            Replica::Machine(prepared(builder, options, invitation)?.start().await?)
        }
    };
    if let (None, Some(token)) = (&kept.token, &came_by) {
        // The member runs. Without it another token is made after a reload.
        let _unless_stored = kept.keep_token(token).await;
    }
    Ok(Started {
        token: kept.token.clone().or(came_by),
        replica,
        reach,
        kept,
    })
}

fn prepared<S: StateMachine>(
    builder: MemberBuilder<S>,
    options: &Options,
    invitation: Option<Invitation>,
) -> Result<MemberBuilder<S>, Fault> {
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
