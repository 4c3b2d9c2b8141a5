//! Shows where every member of a running cluster stands.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use clap::Args;
use console::Term;
use futures::future::join_all;
use liferaft::ServerId;
use liferaft::configuration::{Address, Description};
use liferaft::consensus::RoleKind;
use liferaft::driver::{Client, ReadError, Unreached};
use liferaft::kv::Kv;
use liferaft::wire::{LinkReport, PeerReport, Report};
use serde_json::{Value, json};

use crate::client::{Access, block_on};
use crate::failure::EXIT_CODES;
use crate::members::of_leader;

/// Show where every member stands
///
/// Each member is asked itself; one that does not answer within two seconds is shown as silent, or as unreached where
/// others hear it: it runs, and there is no way to it from here. The leader tells how far each other one is behind, and
/// how long a round trip to it takes. A first member is waited for until --timeout. Without a leader the others are
/// shown, and the exit code is 5.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Options {
    #[command(flatten)]
    access: Access,

    /// Show each link too: its carrier and path, or the member that passes its packets on
    #[arg(long)]
    links: bool,

    /// Show it again each second, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// So long a member is waited for.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// So often the table is drawn again.
const WATCH_TIME: Duration = Duration::from_secs(1);

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(async {
        let client = options.access.client().await?;
        if !options.watch {
            let shown = table(&client, options.access.json(), options.links).await?;
            crate::print(&shown.text)?;
            return shown.fault.map_or(Ok(()), Err);
        }
        let terminal = Term::stdout();
        let mut drawn = 0;
        loop {
            let shown = table(&client, options.access.json(), options.links).await?;
            if terminal.is_term() && !options.access.json() {
                terminal.clear_last_lines(drawn)?;
            }
            crate::print(&shown.text)?;
            drawn = shown.text.lines().count();
            if let Some(fault) = &shown.fault {
                crate::tell_error(format_args!("{fault:#}"));
            }
            tokio::time::sleep(WATCH_TIME).await;
        }
    })
}

/// What is known of the members.
struct Table {
    text: String,
    /// Why it is not known of a leader.
    fault: Option<anyhow::Error>,
}

async fn table(client: &Client<Kv>, json: bool, with_links: bool) -> anyhow::Result<Table> {
    let mut fault = None;
    let patient = client.within(ANSWER_TIME);
    let mut report = of_leader(&patient).await;
    let knows_members = || !client.status().borrow().members.is_empty();
    if report.is_err() && !knows_members() {
        // There is nobody to show yet, so that a first one is worth the whole time.
        report = of_leader(client).await;
    }
    let (members, peers) = match report {
        Ok(report) => (report.members, report.peers),
        Err(error) => {
            let known = client.status().borrow().members.clone();
            if known.is_empty() {
                return Err(error);
            }
            // Whoever is there still says where it stands.
            fault = Some(error);
            let known = known
                .iter()
                .map(|(id, description)| (*id, true, description.clone()));
            (known.collect(), Vec::new())
        }
    };
    if members.is_empty() {
        bail!("nothing is known of any member");
    }
    let reports = members.iter().map(|(id, ..)| patient.report(*id));
    let reports = join_all(reports).await;
    let heard = heard(&reports, &peers);
    let tried = client.status().borrow().unreached.clone();
    let mut rows = Vec::new();
    for ((id, is_voter, description), report) in members.iter().zip(reports) {
        let peer = peers.iter().find(|peer| peer.id == *id);
        let name = match description.label().as_str() {
            "" => id.to_string(),
            label => label.to_owned(),
        };
        let why = report.is_err() && heard.contains(id);
        let why = why.then(|| why_unreached(description, tried.as_deref()));
        let row = Row {
            id: *id,
            name,
            is_voter: *is_voter,
            report: report.ok(),
            peer: peer.copied(),
            unreached: why,
        };
        rows.push(row);
    }
    if json {
        let now = unix_time().as_millis();
        let lines = rows.iter().map(|row| format!("{}\n", row.json(now)));
        let text = lines.collect();
        return Ok(Table { text, fault });
    }
    let head = format!(
        "{:<16} {:<10} {:>6} {:>10} {:>10} {:>10} {:>8} {:>6} {:>10}\n",
        "member", "role", "term", "last", "commit", "applied", "lag", "links", "round trip"
    );
    let mut text = rows.iter().fold(head, |text, row| text + &row.line());
    for row in &rows {
        if let Some(why) = &row.unreached {
            text += &format!(
                "{} runs, as others hear it, and is not reached from here: {why}\n",
                row.name
            );
        }
    }
    if with_links {
        let name_of = |id: ServerId| {
            let row = rows.iter().find(|row| row.id == id);
            row.map_or_else(|| id.to_string(), |row| row.name.clone())
        };
        let lines = rows.iter().flat_map(|row| row.link_lines(&name_of));
        text += &format!("\n{:<16} {:<16} {}\n", "link of", "to", "runs over");
        text.extend(lines);
    }
    Ok(Table { text, fault })
}

/// Returns the members that others hear: the leader says how long each has been silent, and without a leader those that
/// answer say with whom they have links, and who leads.
fn heard(reports: &[Result<Report, ReadError>], peers: &[PeerReport]) -> BTreeSet<ServerId> {
    if !peers.is_empty() {
        let is_heard = |peer: &&PeerReport| peer.silent_for.is_some_and(|time| time < ANSWER_TIME);
        return peers.iter().filter(is_heard).map(|peer| peer.id).collect();
    }
    let reports = reports.iter().flatten();
    let of_report = |report: &Report| {
        let linked: Vec<_> = report.paths.iter().map(|path| path.peer).collect();
        linked.into_iter().chain(report.leader)
    };
    reports.flat_map(of_report).collect()
}

/// Says why a member that runs is not reached, as far as it is known.
fn why_unreached(member: &Description, tried: Option<&Unreached>) -> String {
    let addresses = member.addresses();
    let tried = tried.iter().flat_map(|why| &why.tried);
    let mut of_member = tried.filter(|tried| addresses.contains(&tried.address));
    if let Some(error) = of_member.find_map(|tried| tried.error.as_ref()) {
        return error.to_string();
    }
    let is_met = |address: &Address| address.scheme().starts_with("rtc+");
    match addresses {
        [] => "it has no address".to_owned(),
        addresses if addresses.iter().all(is_met) => {
            "it has no address of its own, and is found by a signaling server alone".to_owned()
        }
        _ => "none of its addresses answers".to_owned(),
    }
}

/// The time by the clock of this machine, since the start of 1970 in UTC. Who watches puts rows in order by it.
fn unix_time() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// A member, and what is known of it.
struct Row {
    id: ServerId,
    name: String,
    is_voter: bool,
    /// What it said itself, if it answered.
    report: Option<Report>,
    /// What the leader says of it.
    peer: Option<PeerReport>,
    /// Why it is not reached, if it did not answer and others hear it.
    unreached: Option<String>,
}

impl Row {
    fn role(&self) -> &'static str {
        match self.report.as_ref().map(|report| report.role) {
            None if self.unreached.is_some() => "unreached",
            None => "silent",
            Some(RoleKind::Leader) => "leader",
            Some(RoleKind::Candidate | RoleKind::PreCandidate) => "candidate",
            Some(RoleKind::Follower) if self.is_voter => "follower",
            Some(RoleKind::Follower) => "learner",
        }
    }

    fn line(&self) -> String {
        let of = |number: fn(&Report) -> u64| {
            let report = self.report.as_ref();
            report.map_or(String::new(), |report| number(report).to_string())
        };
        let lag = self.peer.map(|peer| peer.lag_entries.to_string());
        let round_trip = self.peer.and_then(|peer| peer.round_trip);
        format!(
            "{:<16} {:<10} {:>6} {:>10} {:>10} {:>10} {:>8} {:>6} {:>10}\n",
            self.name,
            self.role(),
            of(|report| report.term.0),
            of(|report| report.last.0),
            of(|report| report.commit.0),
            of(|report| report.applied.0),
            lag.unwrap_or_default(),
            of(|report| report.links.into()),
            round_trip.map_or(String::new(), |time| format!("{time:.1?}")),
        )
    }

    /// A line for each link that the member has told of.
    fn link_lines(&self, name_of: &impl Fn(ServerId) -> String) -> Vec<String> {
        let paths = self.report.iter().flat_map(|report| &report.paths);
        let line = |link: &LinkReport| {
            let relay = link
                .relay
                .map(|relay| format!(" through {}", name_of(relay)));
            let path = link.description.as_ref().map(|path| format!(" ({path})"));
            format!(
                "{:<16} {:<16} {}{}{}\n",
                self.name,
                name_of(link.peer),
                link.carrier,
                relay.unwrap_or_default(),
                path.unwrap_or_default(),
            )
        };
        paths.map(line).collect()
    }

    fn json(&self, unix_ms: u128) -> Value {
        let paths = self.report.iter().flat_map(|report| &report.paths);
        let path = |link: &LinkReport| {
            json!({
                "peer": format!("{:?}", link.peer),
                "carrier": link.carrier,
                "relay": link.relay.map(|relay| format!("{relay:?}")),
                "path": link.description,
            })
        };
        let paths = paths.map(path).collect::<Vec<_>>();
        let report = self.report.as_ref();
        let of = |number: fn(&Report) -> u64| report.map(number);
        json!({
            "unix_ms": unix_ms,
            "id": format!("{:?}", self.id),
            "name": self.name,
            "role": self.role(),
            "unreached": self.unreached,
            "is_voter": self.is_voter,
            "term": of(|report| report.term.0),
            "leader": report.and_then(|report| report.leader).map(|leader| format!("{leader:?}")),
            "last": of(|report| report.last.0),
            "commit": of(|report| report.commit.0),
            "applied": of(|report| report.applied.0),
            "snapshot": of(|report| report.snapshot.0),
            "log_bytes": of(|report| report.log_bytes),
            "links": of(|report| report.links.into()),
            "paths": paths,
            "lag_entries": self.peer.map(|peer| peer.lag_entries),
            "round_trip_us": self.peer.and_then(|peer| peer.round_trip).map(|time| time.as_micros()),
            "silent_for_us": self.peer.and_then(|peer| peer.silent_for).map(|time| time.as_micros()),
        })
    }
}
