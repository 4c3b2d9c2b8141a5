//! Runs a member of a cluster.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use liferaft::configuration::TokenFault;
use liferaft::storage::{DiskStorage, MemoryStorage, Storage, Verdict, inspect};
use liferaft::{Exclusion, Handle, Invitation, Kv, MemberBuilder};
use tokio::time::sleep;

use crate::client::{invitation_of, purpose_of};
use crate::failure::Misuse;
use crate::init::Invitations;
use crate::member::{
    Ending, News, Place, Report, SECONDS_MAX, Web, block_on, explained, forget_left, has_left,
    is_of_closed_cluster, run as run_member, stored_name,
};
use crate::members::Purpose;

/// Run a member: one that was there before, or a newcomer with an invitation
///
/// Ctrl-C, or a request to terminate, hands leadership over and stops; the member stays one, and goes on when it is run
/// again. `liferaft leave` takes it out.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the member
    #[arg(
        long,
        value_name = "DIR",
        env = "LIFERAFT_DATA",
        required_unless_present = "ephemeral"
    )]
    data: Option<PathBuf>,

    #[command(flatten)]
    place: Place,

    /// Joins the cluster that this is an invitation to, or a contact of; for an open cluster the address of any member
    /// will do. One that was a member before needs it only if nobody is left whom it knows
    #[arg(
        long,
        value_name = "INVITATION",
        env = "LIFERAFT_JOIN",
        hide_env_values = true
    )]
    join: Option<String>,

    /// Keeps nothing, and leaves the cluster on exit
    #[arg(
        long,
        env = "LIFERAFT_EPHEMERAL",
        conflicts_with = "data",
        requires = "join"
    )]
    ephemeral: bool,

    /// Prints an invitation once it takes part: for a member, or whom else. It may be given more than once
    #[arg(long, value_enum, value_name = "PURPOSE", env = "LIFERAFT_INVITE", num_args = 0..=1, default_missing_value = "member", value_delimiter = ',')]
    invite: Vec<Purpose>,

    #[command(flatten)]
    invitations: Invitations,
}

/// How the names begin of what may be in a folder without a store: what is left of one that was about to be made or was
/// set aside, the outboxes of an application, and what file systems have at their roots.
const BESIDE_STORES: [&str; 10] = [
    "header",
    "left",
    "lock",
    "log-",
    "lost+found",
    "outbox-",
    "reserve",
    "set-aside-",
    "snapshot-",
    "webrtc.pem",
];

/// So long whoever is at an address is waited for, to say which open cluster is there.
const CONTACT_TIME_MAX: Duration = Duration::from_secs(10);

/// So often it is looked why a newcomer is not taken in.
const WAITING_TOLD_EACH: Duration = Duration::from_secs(5);

/// A year, which is longer than anybody waits.
const NEVER: Duration = Duration::from_secs(SECONDS_MAX);

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(node(options))
}

async fn node(options: &Options) -> anyhow::Result<()> {
    let place = &options.place;
    place.check_rooms()?;
    let report = place.report();
    // Not by the parser of arguments, which repeats what it cannot read: it is a secret.
    let invitation = match &options.join {
        Some(text) => Some(invitation_of("--join", text, CONTACT_TIME_MAX).await?),
        None => None,
    };
    if let Some(invitation) = &invitation {
        place.check_reach(invitation)?;
    }
    let cluster = invitation.as_ref().map(Invitation::cluster);
    match &options.data {
        Some(data) => {
            check_known(data, options)?;
            let name = stored_name(data);
            let doors = place.open(Some(data)).await?;
            let disk = DiskStorage::open(data).await?;
            if disk.cluster().is_none() && options.join.is_none() {
                return Err(unknown(data, options));
            }
            for repair in disk.repairs() {
                report.tell(&News::Repaired {
                    what: repair.to_string(),
                });
            }
            let is_newcomer = disk.cluster().is_none();
            note_what_is_no_admission(data, options, invitation.as_ref().filter(|_| is_newcomer));
            doors.keep_certificate(data)?;
            let cluster = disk.cluster().or(cluster);
            if invitation.is_some() {
                forget_left(data)?;
            }
            let member = place.member(doors, disk, cluster, name, true);
            start(options, member, invitation, &report, Ending::Stay).await
        }
        None => {
            let doors = place.open(None).await?;
            let member = place.member(doors, MemoryStorage::default(), cluster, None, false);
            start(options, member, invitation, &report, Ending::Leave).await
        }
    }
}

async fn start(
    options: &Options,
    (mut member, web): (MemberBuilder<Kv>, Option<Web>),
    invitation: Option<Invitation>,
    report: &Report,
    ending: Ending,
) -> anyhow::Result<()> {
    let mut signals = options.place.signals()?;
    if let Some(invitation) = &invitation {
        member = member.invited(invitation.clone());
    }
    let member = member
        .start()
        .await
        .map_err(|error| explained(error, "--join INVITATION joins a closed one"))?;
    report.tell(&News::started(&member, web.as_ref()));
    let inviting = async {
        // It takes as long as it takes: whoever waits for nobody is told why by the report.
        if !options.invite.is_empty() && member.within(NEVER).joined().await.is_ok() {
            let Options {
                invitations,
                invite,
                ..
            } = options;
            invitations.invite(&member, invite, report).await?;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    let is_invited = invitation.is_some();
    let waiting = async {
        if is_invited {
            tell_what_is_waited_for(&member).await;
        }
        std::future::pending::<()>().await;
    };
    let refused = async {
        match invitation {
            Some(invitation) => wrong_invitation(&member, invitation).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = waiting => Ok(()),
        error = refused => {
            member.stop().await;
            Err(error)
        }
        ended = run_member(&member, web, report, &mut signals, ending) => ended,
        failed = inviting => failed,
    }
}

/// Tells on standard error why a newcomer is not taken in, each time that it is something else, until it is a member
/// or knows a leader.
async fn tell_what_is_waited_for(member: &Handle<Kv>) {
    let status = member.status();
    let mut told = None;
    loop {
        sleep(WAITING_TOLD_EACH).await;
        let last_error = {
            let now = status.borrow();
            let is_member = now.raft.configuration.contains(now.raft.id);
            if is_member || now.leader().is_some() || now.stopped.is_some() {
                return;
            }
            now.last_error.as_ref().map(|last| last.error.to_string())
        };
        if let Some(why) = last_error.filter(|why| told.as_ref() != Some(why)) {
            crate::tell_error(format_args!("not taken in yet: {why}"));
            told = Some(why);
        }
    }
}

/// Notes on standard error where whoever runs a member may take something for an admission that is none.
fn note_what_is_no_admission(data: &Path, options: &Options, comes_by: Option<&Invitation>) {
    let is_open = options.place.is_open;
    if is_open && is_of_closed_cluster(data) {
        crate::tell_error(format_args!(
            "note: --open: the cluster of {} is closed, and stays so: this member is reached from this machine alone, and \
             its address lets nobody in",
            data.display()
        ));
    }
    if !is_open && comes_by.is_some_and(|invitation| invitation.token().is_none()) {
        crate::tell_error(format_args!(
            "note: --join: this is a contact, which says where a cluster is: an open one takes this server in; of a \
             closed one an operator has to add it, or to give an invitation (`liferaft members invite member`)"
        ));
    }
}

/// Waits until the cluster has refused an invitation that is none to members, and says what it is for.
async fn wrong_invitation(member: &Handle<Kv>, invitation: Invitation) -> anyhow::Error {
    let wrong = Some(Exclusion::Token(TokenFault::GrantsOther));
    let mut status = member.status();
    if status
        .wait_for(|status| status.exclusion == wrong)
        .await
        .is_err()
    {
        return std::future::pending().await;
    }
    let purpose = purpose_of(invitation).await;
    let purpose = purpose.map_or("for something else", Purpose::in_words);
    let wrong = format!(
        "--join takes an invitation to members, and this one is {purpose}: an operator prints one by `liferaft members \
         --at INVITATION invite member`"
    );
    Misuse(wrong).into()
}

/// Refuses a folder that holds no member, unless there is an invitation: nothing is written there.
fn check_known(data: &Path, options: &Options) -> anyhow::Result<()> {
    let is_empty = match data.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_empty && options.join.is_none() {
        return Err(unknown(data, options));
    }
    if let Some(foreign) = foreign(data)? {
        bail!(
            "{} is no member's folder, as there is {foreign}: --data names the folder of a member, or an empty one for a \
             newcomer",
            data.display()
        );
    }
    if has_left(data) && options.join.is_none() {
        bail!(
            "the member in {} has left its cluster: --join INVITATION brings it back",
            data.display()
        );
    }
    Ok(())
}

/// What is in a folder where no store was ever made, and that making one does not leave behind.
fn foreign(data: &Path) -> anyhow::Result<Option<String>> {
    let looking = || format!("cannot look into {}", data.display());
    if !data.exists()
        || !matches!(
            inspect(data, 0).with_context(looking)?.verdict,
            Verdict::Blank
        )
    {
        return Ok(None);
    }
    let entries = data.read_dir().with_context(looking)?;
    for entry in entries {
        let name = entry.with_context(looking)?.file_name();
        let name = name.to_string_lossy();
        if !BESIDE_STORES.iter().any(|known| name.starts_with(known)) {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}

fn unknown(data: &Path, options: &Options) -> anyhow::Error {
    let (data, flags) = (data.display(), options.place.flags());
    anyhow::anyhow!(
        "{data} holds no member. `liferaft node --data {data} {flags} --join INVITATION` joins the cluster \
         that is there, also if the member's folder was lost; `liferaft init --data {data} {flags}` makes a \
         new cluster, an empty one, once"
    )
}
