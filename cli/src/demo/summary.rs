//! Sums up what came of the demo: as a table for people, and as an object for programs.

use std::fmt;
use std::time::Duration;

use console::style;
use serde::{Serialize, Serializer};

use super::options::Options;

/// The result. As JSON it has only what the documentation of `--json` names.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Whether the whole story was told and nothing was found wrong.
    pub(super) verified: bool,
    /// Members at the start.
    pub(super) nodes: usize,
    /// Lines of the chat, without those that measure.
    pub(super) lines: usize,
    /// Acknowledged lines that a survivor does not have; `None` if that was not examined.
    pub(super) lost: Option<usize>,
    /// Lines that a survivor has more than once; `None` if that was not examined.
    pub(super) duplicated: Option<usize>,
    /// From the construction of the first member until all know that they are members, and as many vote as are to.
    #[serde(rename = "up_ms", serialize_with = "as_milliseconds")]
    pub(super) up: Option<Duration>,
    /// From the same moment until each voter has a link with each member.
    #[serde(rename = "mesh_ms", serialize_with = "as_milliseconds")]
    pub(super) mesh: Option<Duration>,
    /// How many links that are.
    pub(super) links: Option<usize>,
    /// From a follower's append until the line is applied on all.
    #[serde(rename = "propagate_1_ms", serialize_with = "as_milliseconds")]
    pub(super) propagate_1: Option<Duration>,
    /// From the first of 100 appends, one by one, until the last line is applied on all.
    #[serde(rename = "propagate_100_ms", serialize_with = "as_milliseconds")]
    pub(super) propagate_100: Option<Duration>,
    /// From the kill of the leader until another leads.
    #[serde(rename = "elect_after_leader_ms", serialize_with = "as_milliseconds")]
    pub(super) elect_after_leader: Option<Duration>,
    /// From the kill of just under half, the leader among them, until another leads.
    #[serde(rename = "elect_after_half_ms", serialize_with = "as_milliseconds")]
    pub(super) elect_after_half: Option<Duration>,
    /// From the kill of the leader until all survivors know that it is evicted.
    #[serde(rename = "recover_leader_ms", serialize_with = "as_milliseconds")]
    pub(super) recover_leader: Option<Duration>,
    /// From the kill of just under half until all survivors know that they are evicted.
    #[serde(rename = "recover_half_ms", serialize_with = "as_milliseconds")]
    pub(super) recover_half: Option<Duration>,
    /// The silence after which a member is evicted, in milliseconds.
    evict_after_ms: u64,
    /// The fewest datagrams of UDP that a member which lived to the end has sent; `None` where they are not counted.
    pub(super) udp_datagrams: Option<u64>,
    /// Lines appended in all, with those that measure.
    #[serde(skip)]
    pub(super) written: usize,
    /// How many of them were acknowledged.
    #[serde(skip)]
    pub(super) acknowledged: usize,
    /// Members that lived to the end.
    #[serde(skip)]
    pub(super) survivors: usize,
    /// How many are killed at once, of how many voters.
    #[serde(skip)]
    half: usize,
    #[serde(skip)]
    pub(super) voters: usize,
    /// What is wrong.
    #[serde(skip)]
    pub(super) findings: Vec<String>,
}

impl Report {
    /// That of a story that has not begun.
    pub(super) fn of(options: &Options) -> Self {
        Self {
            verified: false,
            nodes: options.nodes,
            lines: options.lines(),
            lost: None,
            duplicated: None,
            up: None,
            mesh: None,
            links: None,
            propagate_1: None,
            propagate_100: None,
            elect_after_leader: None,
            elect_after_half: None,
            recover_leader: None,
            recover_half: None,
            evict_after_ms: u64::try_from(options.evict_after().as_millis()).unwrap_or(u64::MAX),
            udp_datagrams: None,
            written: 0,
            acknowledged: 0,
            survivors: 0,
            half: options.half(),
            voters: options.voters(),
            findings: Vec::new(),
        }
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

fn as_milliseconds<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3)
        .serialize(serializer)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { voters, half, .. } = *self;
        writeln!(f)?;
        let mut row = |what: &str, time: Option<Duration>, about: &str| {
            let time = time.map_or_else(|| "–".to_owned(), milliseconds);
            let time = style(format!("{time:>10}")).bold();
            writeln!(f, "  {what:16}{time} ms   {}", style(about).dim())
        };
        row(
            "up",
            self.up,
            "first member constructed → all know who takes part",
        )?;
        let links = self
            .links
            .map_or_else(String::new, |links| links.to_string());
        row(
            "mesh",
            self.mesh,
            &format!("first member constructed → all {links} links are up"),
        )?;
        row(
            "1 line",
            self.propagate_1,
            "append on a follower → applied on all",
        )?;
        row(
            "100 lines",
            self.propagate_100,
            "each acknowledged before the next → last applied on all",
        )?;
        row(
            "leader killed",
            self.elect_after_leader,
            "kill → another leads",
        )?;
        row(
            &format!("{half} of {voters} killed"),
            self.elect_after_half,
            "kill, the leader among them → another leads",
        )?;
        let evicted = format!(
            "kill → evicted everywhere, after {} ms of silence",
            self.evict_after_ms
        );
        row("leader evicted", self.recover_leader, &evicted)?;
        row(
            &format!("{half} of {voters} evicted"),
            self.recover_half,
            &evicted,
        )?;
        writeln!(f)?;
        let count = |count: Option<usize>| {
            count.map_or_else(|| "an unknown number".to_owned(), |n| n.to_string())
        };
        let cut_short = match self.written - self.acknowledged {
            0 => String::new(),
            lines => format!(", {lines} cut short by the kills"),
        };
        let counts = format!(
            "{} lines appended: {} acknowledged{cut_short} · {} lost · {} duplicated",
            self.written,
            self.acknowledged,
            count(self.lost),
            count(self.duplicated)
        );
        writeln!(f, "  {counts}")?;
        if let Some(datagrams) = self.udp_datagrams {
            writeln!(
                f,
                "  carried by UDP alone: each survivor sent at least {datagrams} datagrams"
            )?;
        }
        if self.verified {
            let verified = style("✔ verified").green().bold();
            let identical = "survivors applied and read identical histories";
            writeln!(f, "  {verified}: {} {identical}", self.survivors)
        } else {
            writeln!(f, "  {}", style("✖ not verified").red().bold())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::parse;
    use super::*;

    #[test]
    fn what_was_not_measured_is_null_in_json() {
        let options = parse(["--nodes", "2"]).expect("all is well");
        let mut report = Report::of(&options);
        report.up = Some(Duration::from_nanos(1_234_567));

        let json = serde_json::to_value(&report).expect("it is an object");

        assert_eq!(
            json,
            serde_json::json!({
                "verified": false, "nodes": 2, "lines": 40, "lost": null, "duplicated": null, "up_ms": 1.235,
                "mesh_ms": null, "links": null,
                "propagate_1_ms": null, "propagate_100_ms": null, "elect_after_leader_ms": null,
                "elect_after_half_ms": null, "recover_leader_ms": null, "recover_half_ms": null,
                "evict_after_ms": 4000, "udp_datagrams": null,
            })
        );
    }
}
