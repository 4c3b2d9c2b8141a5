//! Runs a member of a cluster of processes: what `init`, `node` and `leave` share.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use liferaft::config::Config;
use liferaft::configuration::{Address, Label};
use liferaft::driver::{Handle, Member, MemberBuilder, StartError, StopReason};
use liferaft::kv::Kv;
use liferaft::storage::{Storage, inspect};
use liferaft::{ClusterId, Identity, Invitation, MembershipPolicy, ServerId};
use tokio::runtime::Builder;

use crate::failure::{MISUSE, Misuse};
use crate::runtime::run_in;

mod advertised;
mod certificate;
mod doors;
mod ice_servers;
mod lines;
mod report;
mod signals;
mod web;

pub(crate) use self::doors::Doors;
pub(crate) use self::report::{News, Report, Standing};
pub(crate) use self::signals::Signals;
pub(crate) use self::web::Web;

use self::advertised::Advertised;
use self::report::End;

/// The longest time that a command takes: a year, in seconds. Longer ones would overflow what is computed from them.
pub(crate) const SECONDS_MAX: u64 = 365 * 24 * 3600;

/// Where a member is, and what it is called.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("door").required(true).multiple(true))]
pub(crate) struct Place {
    /// The address and port that it listens on for WebSocket: 0.0.0.0 or [::] for all interfaces, port 0 for any that
    /// is free
    #[arg(
        long,
        value_name = "ADDR",
        env = "LIFERAFT_LISTEN",
        group = "door",
        value_parser = listening_address,
    )]
    listen: Option<SocketAddr>,

    /// The address and port of UDP that it listens on for WebRTC, beside --listen or in its place. It is preferred
    /// where both reach a member
    #[arg(long, value_name = "ADDR", env = "LIFERAFT_RTC", group = "door", value_parser = listening_address)]
    rtc: Option<SocketAddr>,

    /// A room of a signaling server where others find it, over WebRTC: the link of the room, as
    /// https://signaling.example/?channel=ROOM, or its address, as wss://signaling.example/ROOM; of npm's `peer`
    /// wss://signaling.example/peerjs. Invitations name it. Members that have met need no room. It may be given more
    /// than once
    #[arg(
        long,
        value_name = "URL",
        env = "LIFERAFT_ROOM",
        group = "door",
        hide_env_values = true,
        value_delimiter = ','
    )]
    room: Vec<String>,

    /// A file that names servers of STUN and TURN, as browsers take them: [{"urls": "turn:turn.example", "username":
    /// "van", "credential": "SECRET"}]. By them members behind NATs are reached that are found in rooms or by others.
    /// It is read whenever it is needed, so that credentials may change
    #[arg(long, value_name = "FILE", env = "LIFERAFT_ICE_SERVERS")]
    ice_servers: Option<PathBuf>,

    /// Where others reach it, if not at the address it listens on: for --listen as `van-2.example:4000`, or behind a
    /// proxy as `wss://van-2.example/raft`; for --rtc as `rtc://van-2.example:4000`, to which the fingerprint is added.
    /// Up to 4 in all, rooms included, with commas between them
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "LIFERAFT_ADVERTISE",
        value_delimiter = ',',
        value_parser = Advertised::read,
    )]
    advertise: Vec<Advertised>,

    /// What people call it, in up to 32 bytes
    #[arg(long, value_name = "NAME", env = "LIFERAFT_NAME")]
    name: Option<Label>,

    /// A member is evicted that was silent for so long. On disk it comes back by itself, also after that
    #[arg(
        long,
        value_name = "SECONDS",
        env = "LIFERAFT_EVICT_AFTER",
        value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX),
    )]
    evict_after: Option<u64>,

    /// A snapshot takes the place of the log after so many bytes of it, or as many as the last one has. Whoever misses
    /// more gets the snapshot [default: 4 MiB, and 16 MiB are kept for others]
    #[arg(
        long,
        value_name = "BYTES",
        env = "LIFERAFT_SNAPSHOT_AFTER",
        value_parser = clap::value_parser!(u64).range(1..),
    )]
    snapshot_after: Option<u64>,

    /// Lets whatever runs on this machine join, read and write: only on a loopback address, for trying out
    #[arg(id = "open", long, env = "LIFERAFT_OPEN")]
    pub(crate) is_open: bool,

    /// The address and port at which monitors ask for /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDR", env = "LIFERAFT_MONITOR", value_parser = listening_address)]
    monitor: Option<SocketAddr>,

    /// Tells what happens as lines of JSON
    #[arg(long, env = "LIFERAFT_JSON")]
    json: bool,

    /// Ends when its standard input does, as whoever started it
    #[arg(long, hide = true)]
    until_eof: bool,
}

/// Reads an address to listen on: a name may stand for several, of other machines as well.
fn listening_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "an IP address and a port are wanted, as 127.0.0.1:4000 or [::1]:4000")
}

/// Members on disk are evicted after ten minutes of silence: an upgrade is no eviction.
const EVICT_AFTER_ON_DISK: Duration = Duration::from_secs(600);

/// For so long whoever leaves waits for its cluster, at most.
const LEAVING_TIME_MAX: Duration = Duration::from_secs(10);

/// The name of a file that is in the folder of a member that has left: it does not come back by itself.
const LEFT: &str = "left";

/// Notes in a folder that its member has left.
pub(crate) fn note_left(data: &Path) -> anyhow::Result<()> {
    let written = std::fs::write(data.join(LEFT), "this member has left its cluster\n");
    written.with_context(|| format!("cannot note in {} that it has left", data.display()))
}

/// Returns true if the member of a folder has left.
pub(crate) fn has_left(data: &Path) -> bool {
    data.join(LEFT).exists()
}

/// The member of a folder comes back.
pub(crate) fn forget_left(data: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(data.join(LEFT)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot write in {}", data.display()))
        }
        _ => Ok(()),
    }
}

/// Returns what people called the member of a folder, by its store.
pub(crate) fn stored_name(data: &Path) -> Option<String> {
    let found = inspect(data, 0).ok()?;
    let (_, configuration) = found.configuration?;
    let member = configuration.member(found.header?.server)?;
    let label = member.description.label().as_str();
    (!label.is_empty()).then(|| label.to_owned())
}

/// Returns true if the member of a folder is one of a closed cluster, by its store.
pub(crate) fn is_of_closed_cluster(data: &Path) -> bool {
    let configuration = inspect(data, 0).ok().and_then(|found| found.configuration);
    configuration.is_some_and(|(_, configuration)| !configuration.is_open())
}

/// Says what to do about a member that does not start: `closed` says what of one of a closed cluster.
pub(crate) fn explained(error: StartError, closed: &str) -> anyhow::Error {
    match error {
        StartError::OpenToAll | StartError::OpenToMachine => anyhow::anyhow!(
            "not started: its cluster is open, or it was never taken in: --open runs a member of an open cluster, on a \
             loopback address, at every start; {closed}"
        ),
        error => error.into(),
    }
}

/// What ends a member on Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It stops, and stays a member.
    Stay,
    /// It leaves its cluster.
    Leave,
}

impl Place {
    /// Returns the flags that say where it listens, as one writes them.
    pub(crate) fn flags(&self) -> String {
        let listen = self.listen.map(|at| format!("--listen {at}"));
        let rtc = self.rtc.map(|at| format!("--rtc {at}"));
        // What a link has behind `#` may be an invitation.
        let rooms = self.room.iter().filter_map(|room| room.split('#').next());
        let rooms = rooms.map(|room| format!("--room '{}'", room.trim()));
        let given: Vec<_> = [listen, rtc].into_iter().flatten().chain(rooms).collect();
        given.join(" ")
    }

    /// Refuses rooms that are none, before anything else is said of them.
    pub(crate) fn check_rooms(&self) -> anyhow::Result<()> {
        doors::rooms(self).map(drop)
    }

    /// Listens. This comes before anything is written: an address that is taken founds nothing. `data` is the member's
    /// folder, if it has one.
    pub(crate) async fn open(&self, data: Option<&Path>) -> anyhow::Result<Doors> {
        Doors::open(self, data).await
    }

    /// Refuses an invitation to members that this one has no way to.
    pub(crate) fn check_reach(&self, invitation: &Invitation) -> anyhow::Result<()> {
        let mut schemes = invitation.addresses().iter().map(Address::scheme);
        let is_rtc = |scheme: &str| scheme.starts_with("rtc");
        let has_rtc = self.rtc.is_some() || !self.room.is_empty();
        if !has_rtc && !invitation.addresses().is_empty() && schemes.all(is_rtc) {
            let wrong = "--join: its members are reached by WebRTC alone: --rtc ADDR, as --rtc 0.0.0.0:0, reaches them, \
                         and so does --room URL";
            return Err(Misuse(wrong.to_owned()).into());
        }
        Ok(())
    }

    /// Builds the member over a storage.
    pub(crate) fn member(
        &self,
        mut doors: Doors,
        storage: impl Storage,
        cluster: Option<ClusterId>,
        stored_name: Option<String>,
        is_on_disk: bool,
    ) -> (MemberBuilder<Kv>, Option<Web>) {
        let identity: Identity = storage.identity().clone();
        let (addresses, web) = (doors.told(identity.id()), doors.web.take());
        let mut policy = MembershipPolicy::default();
        if let Some(seconds) = self.evict_after {
            policy = policy.with_evict_after(Duration::from_secs(seconds));
        } else if is_on_disk {
            policy = policy.with_evict_after(EVICT_AFTER_ON_DISK);
        }
        if self.is_open
            && let Some(cluster) = cluster
        {
            let contact = Invitation::new(cluster, [identity.public_key()])
                .and_then(|contact| contact.with_addresses(addresses.clone()));
            doors.tell_contact(&contact.expect("it has one key and few addresses"));
        }
        let mut member = Member::builder(Kv::new(), doors.endpoint(identity), storage)
            .membership(policy)
            .serve_clients()
            .addresses(addresses);
        if let Some(name) = self.name.clone().map(String::from).or(stored_name) {
            member = member.label(name);
        }
        if let Some(bytes) = self.snapshot_after {
            let config = Config::builder().limits(|limits| {
                limits.trailing_bytes_max = limits.trailing_bytes_max.min(bytes);
                limits.catch_up_bytes_max = limits.catch_up_bytes_max.min(bytes);
            });
            let config = config.build().expect("limits may be zero here");
            member = member.config(config).snapshot_after_log_bytes(bytes);
        }
        if self.is_open {
            member = member.open();
        }
        (member, web)
    }

    /// Listens for whatever is to end the member.
    pub(crate) fn signals(&self) -> anyhow::Result<Signals> {
        Signals::listen(self.until_eof)
    }

    /// Returns the one report of a command.
    pub(crate) fn report(&self) -> Report {
        Report::new(self.json)
    }
}

/// An operator has expelled the member while it ran.
#[derive(Debug)]
struct Expelled {
    server: ServerId,
}

impl fmt::Display for Expelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server;
        write!(
            f,
            "an operator has expelled this member: started again, it waits until `liferaft members add {server:?}` takes \
             it back"
        )
    }
}

impl std::error::Error for Expelled {}

/// The member was expelled.
const EXPELLED: u8 = 5;

/// Runs what a command does in a runtime, and tells how it ended.
pub(crate) fn block_on(task: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    match run_in(Builder::new_multi_thread(), task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::tell_error(format_args!("error: {error:#}"));
            if error.is::<Expelled>() {
                ExitCode::from(EXPELLED)
            } else if error.is::<Misuse>() {
                ExitCode::from(MISUSE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Tells what happens to a member until Ctrl-C or a request to terminate, and then ends it. One that is expelled ends
/// by itself.
pub(crate) async fn run(
    member: &Handle<Kv>,
    web: Option<Web>,
    report: &Report,
    signals: &mut Signals,
    ending: Ending,
) -> anyhow::Result<()> {
    let serving = async {
        match web {
            Some(web) => web.serve(member).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // What has happened is told before it ends the member.
        biased;
        end = report.follow(member) => match end {
            End::Stopped(why) => bail!("the member has stopped: {why}"),
            End::Expelled => {
                member.stop().await;
                let server = member.id();
                return Err(Expelled { server }.into());
            }
        },
        () = serving => {}
        () = signals.next() => {}
    }
    tokio::select! {
        ended = end(member, report, ending) => ended,
        () = signals.next() => bail!("interrupted before the member had stopped"),
    }
}

/// Ends a member: it hands leadership over if it leads.
pub(crate) async fn end(
    member: &Handle<Kv>,
    report: &Report,
    ending: Ending,
) -> anyhow::Result<()> {
    if ending == Ending::Leave {
        report.tell(&News::Leaving);
        if let Err(error) = member.within(LEAVING_TIME_MAX).leave().await {
            member.stop().await;
            return Err(error).context("it has stopped, and has not left");
        }
        return Ok(());
    }
    report.tell(&News::Stopping);
    member.stop().await;
    match &member.status().borrow().stopped {
        Some(why) if *why != StopReason::Shutdown => bail!("the member has stopped: {why}"),
        _ => Ok(()),
    }
}
