//! Tells what the demo does to its cluster, act by act.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use liferaft::ids::Term;
use liferaft::time::Instant;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::chronicle::Election;
use super::cluster::Cluster;
use super::medium::Carried;
use super::options::{Options, Transport};
use super::recorder::{Record, now};
use super::summary::Report;
use super::timeline::{Mark, Strip, Timeline};
use super::verify::{Line, Outcome, Testimony, verify};
use super::writing::{Composer, Written, write_share};

/// How many lines the longer measurement appends, one after the other.
const SERIALIZED_LINES: usize = 100;

/// Tells it from beginning to end, or to where it fails, and reports.
pub(super) async fn tell(options: &Options, root: Option<&Path>, timeline: Timeline) -> Report {
    let mut report = Report::of(options);
    if let Err(error) = acts(options, root, &timeline, &mut report).await {
        report.verified = false;
        report.findings.push(format!("{error:#}"));
    }
    timeline.end();
    report
}

async fn acts(
    options: &Options,
    root: Option<&Path>,
    timeline: &Timeline,
    report: &mut Report,
) -> anyhow::Result<()> {
    let seed = options.seed();
    timeline.title(options, seed);
    let mut story = Story::begin(options, seed, root, timeline, report).await?;
    let played = story.play(options).await;
    let carried = story.cluster.stop().await;
    if options.transport() == Transport::WebRtc {
        story.judge_carried(&carried);
    }
    played
}

pub(super) struct Story<'a> {
    pub(super) cluster: Cluster,
    pub(super) timeline: &'a Timeline,
    pub(super) report: &'a mut Report,
    pub(super) patience: Duration,
    /// All that was written so far.
    lines: Vec<Line>,
    composer: Arc<Composer>,
    pub(super) election: Election,
}

impl<'a> Story<'a> {
    /// One first server takes in all others, who ask whomever they know.
    async fn begin(
        options: &Options,
        seed: u64,
        root: Option<&Path>,
        timeline: &'a Timeline,
        report: &'a mut Report,
    ) -> anyhow::Result<Self> {
        let patience = options.patience();
        let nodes = options.nodes;
        timeline.act("the cluster comes up");
        let born = now();
        let cluster = Cluster::start(options, seed, root).await?;
        timeline.tell(
            now(),
            Mark::Step,
            &format!(
                "1 first server, {} newcomers who know one another",
                nodes - 1
            ),
            None,
        );
        let up = timeout(patience, cluster.settled(&cluster.living()))
            .await
            .context("the members did not become a cluster")??;
        report.up = Some(up.since(born));
        let election = cluster
            .chronicle()
            .last_election()
            .context("no leader stands")?;
        let mut story = Self {
            cluster,
            timeline,
            report,
            patience,
            lines: Vec::new(),
            composer: Arc::default(),
            election,
        };
        story.tell_election(None);
        let learners = match nodes - options.voters() {
            0 => String::new(),
            learners => format!(" and {learners} learners"),
        };
        timeline.tell(
            up,
            Mark::Step,
            &format!(
                "{} voters{learners}: every member knows it is committed",
                options.voters()
            ),
            story.report.up,
        );
        // Links that prove nothing lead to whoever is there.
        if !options.unproven {
            story.mesh(born).await?;
        }
        Ok(story)
    }

    /// All voters have a link with each member.
    async fn mesh(&mut self, born: Instant) -> anyhow::Result<()> {
        let living = self.cluster.living();
        let links = timeout(self.patience, self.cluster.meshed(&living))
            .await
            .context("members are without the links that they are to have")??;
        let at = now();
        self.report.mesh = Some(at.since(born));
        self.report.links = Some(links);
        let text = format!("{links} links: each voter has one with each member");
        self.timeline.tell(at, Mark::Step, &text, self.report.mesh);
        Ok(())
    }

    /// All that comes once the cluster is up.
    async fn play(&mut self, options: &Options) -> anyhow::Result<()> {
        let kills = options.half() > 0;
        let all = options.lines();
        let at_each_kill = if kills { all / 4 } else { 0 };
        self.chat(all - 2 * at_each_kill).await?;
        self.measure().await?;
        if kills {
            self.kill_the_leader(at_each_kill).await?;
            self.kill_half(options.half(), at_each_kill).await?;
        }
        self.judge().await
    }

    /// Everybody writes, everybody reads.
    async fn chat(&mut self, count: usize) -> anyhow::Result<()> {
        self.timeline.act("all members write");
        let began = now();
        let members = self.cluster.living();
        let writing = self.write(&members, count)?;
        self.finish(writing).await?;
        let text = format!(
            "{count} lines appended by {}, all at once",
            people(members.len())
        );
        self.timeline
            .tell(now(), Mark::Step, &text, Some(now().since(began)));
        self.read_everywhere().await?;
        Ok(())
    }

    /// One line, then a hundred, through a follower.
    async fn measure(&mut self) -> anyhow::Result<()> {
        self.timeline.act("lines spread");
        let follower = self.follower();
        for count in [1, SERIALIZED_LINES] {
            let took = self.propagate(follower, count).await?;
            let text = if count == 1 {
                format!(
                    "1 line from follower {}, until applied everywhere",
                    follower + 1
                )
            } else {
                format!("{count} lines one by one, until applied everywhere")
            };
            self.timeline.tell(now(), Mark::Step, &text, Some(took));
            if count == 1 {
                self.report.propagate_1 = Some(took);
            } else {
                self.report.propagate_100 = Some(took);
            }
        }
        Ok(())
    }

    /// Compares what all survivors hold with what was acknowledged.
    async fn judge(&mut self) -> anyhow::Result<()> {
        self.timeline.act("histories are compared");
        // First the reads: they leave nothing unapplied that was done.
        let reads = self.read_everywhere().await?;
        let survivors = reads.len();
        let testimonies: Vec<Testimony> = reads
            .into_iter()
            .map(|(member, read)| {
                let record = self.cluster.record(member);
                let applied = record.borrow();
                let applied = applied.iter().map(|applied| applied.line.clone()).collect();
                Testimony {
                    member,
                    applied,
                    read,
                }
            })
            .collect();
        let verdict = verify(&self.lines, &testimonies);
        let acknowledged = self.acknowledged();
        let report = &mut *self.report;
        report.written = self.lines.len();
        report.acknowledged = acknowledged;
        report.survivors = survivors;
        report.verified = verdict.findings.is_empty();
        report.lost = Some(verdict.lost);
        report.duplicated = Some(verdict.duplicated);
        report.findings.extend(verdict.findings);
        let (mark, text) = if report.verified {
            let text = format!("the histories of {} are identical", people(survivors));
            (Mark::Good, text)
        } else {
            (
                Mark::Killed,
                "the histories are not what they must be".to_owned(),
            )
        };
        self.timeline.tell(now(), mark, &text, None);
        Ok(())
    }

    /// Examines whether each packet that a survivor has taken, and so each frame, has come by UDP.
    fn judge_carried(&mut self, carried: &[Option<Carried>]) {
        let sent = |carried: &Option<Carried>| carried.map(|carried| carried.udp_datagrams);
        self.report.udp_datagrams = carried.iter().map(sent).min().flatten();
        if self.report.nodes == 1 {
            return;
        }
        let silent = || Some("a member does not say what has come to it by UDP".to_owned());
        let faults = carried
            .iter()
            .filter_map(|carried| carried.map_or_else(silent, Carried::fault));
        let known = self.report.findings.len();
        self.report.findings.extend(faults);
        self.report.verified &= self.report.findings.len() == known;
    }

    /// Appends lines one by one through a member. Returns the time from the first append until the last line is applied
    /// on all members.
    async fn propagate(&mut self, member: usize, count: usize) -> anyhow::Result<Duration> {
        let mut writer = self.cluster.writer(member)?;
        let before = self.cluster.record(member).borrow().len();
        let began = now();
        for _ in 0..count {
            let text = self.composer.line(member);
            let outcome = writer.append(text.clone()).await;
            self.took_down(member, Line { text, outcome })?;
        }
        let mut ended = began;
        for member in self.cluster.living() {
            let mut record = self.cluster.record(member);
            self.applied(&mut record, before + count).await?;
            ended = ended.max(record.borrow()[before + count - 1].at);
        }
        Ok(ended.since(began))
    }

    /// Waits until so many lines are applied.
    pub(super) async fn applied(&self, record: &mut Record, count: usize) -> anyhow::Result<()> {
        timeout(
            self.patience,
            record.wait_for(|record| record.len() >= count),
        )
        .await
        .context("a line was not applied")?
        .context("a member has stopped")?;
        Ok(())
    }

    /// Reads the whole chat through each member, all at once. Returns what each one says.
    async fn read_everywhere(&self) -> anyhow::Result<BTreeMap<usize, Vec<Bytes>>> {
        let began = now();
        let acknowledged = self.acknowledged();
        let reads = self.cluster.living().into_iter().map(async |member| {
            let read = self.cluster.read(member).await?;
            Ok::<_, anyhow::Error>((member, read))
        });
        let reads: BTreeMap<_, _> = try_join_all(reads).await?.into_iter().collect();
        for (member, read) in &reads {
            ensure!(
                read.len() >= acknowledged,
                "member {} reads {} lines when {acknowledged} are acknowledged",
                member + 1,
                read.len()
            );
        }
        let text = format!(
            "a linearizable read on {} sees them all",
            people(reads.len())
        );
        self.timeline
            .tell(now(), Mark::Step, &text, Some(now().since(began)));
        Ok(reads)
    }

    fn acknowledged(&self) -> usize {
        let is_done = |line: &&Line| matches!(line.outcome, Outcome::Done(_));
        self.lines.iter().filter(is_done).count()
    }

    /// Has members write so many lines, all at the same time, each member one line after the other.
    pub(super) fn write(
        &self,
        members: &[usize],
        count: usize,
    ) -> anyhow::Result<JoinSet<Written>> {
        let mut shares: BTreeMap<usize, usize> = BTreeMap::new();
        for member in members.iter().cycle().take(count) {
            *shares.entry(*member).or_default() += 1;
        }
        let mut writing = JoinSet::new();
        for (member, share) in shares {
            let writer = self.cluster.writer(member)?;
            let composer = Arc::clone(&self.composer);
            writing.spawn(write_share(
                member,
                writer,
                share,
                composer,
                self.timeline.clone(),
            ));
        }
        Ok(writing)
    }

    /// Waits for those who write. Returns how many lines the killed among them left unwritten.
    pub(super) async fn finish(&mut self, mut writing: JoinSet<Written>) -> anyhow::Result<usize> {
        let mut unwritten = 0;
        while let Some(written) = writing.join_next().await {
            let written = written.context("a writer panicked")?;
            unwritten += written.unwritten;
            for line in written.lines {
                self.took_down(written.member, line)?;
            }
        }
        Ok(unwritten)
    }

    /// Keeps what a writer was told. Only the killed may have no answer.
    fn took_down(&mut self, member: usize, line: Line) -> anyhow::Result<()> {
        let number = member + 1;
        let lives = self.cluster.living().contains(&member);
        let refused = match &line.outcome {
            Outcome::Done(_) => None,
            Outcome::Unknown => lives.then(|| "unknown: nobody answered".to_owned()),
            Outcome::NotDone(reason) => lives.then(|| reason.clone()),
        };
        self.lines.push(line);
        match refused {
            Some(reason) => bail!("a line of member {number}: {reason}"),
            None => Ok(()),
        }
    }

    pub(super) fn leader(&mut self) -> anyhow::Result<usize> {
        // On a bad network another may have been elected since.
        let last = self.cluster.chronicle().last_election();
        self.election = last.context("nobody leads")?;
        Ok(self.election.leader)
    }

    /// The last member that does not lead; the only one of a cluster of one.
    fn follower(&self) -> usize {
        let mut members = self.cluster.living().into_iter().rev();
        members
            .find(|member| *member != self.election.leader)
            .unwrap_or(self.election.leader)
    }

    pub(super) fn tell_election(&self, after: Option<(Term, Duration)>) {
        let Election { at, leader, term } = self.election;
        let candidacies =
            after.map(|(before, _)| self.cluster.chronicle().candidacies(before, term));
        let candidates = match candidacies {
            Some(count @ 2..) => format!(", of {count} candidacies"),
            Some(_) | None => String::new(),
        };
        let text = format!("member {} leads in term {term}{candidates}", leader + 1);
        let figure = after.map(|(_, took)| took);
        self.timeline
            .tell_with(&self.strip(Some(leader)), at, Mark::Leads, &text, figure);
    }

    pub(super) fn strip(&self, leader: Option<usize>) -> Strip {
        Strip {
            members: self.report.nodes,
            living: self.cluster.living(),
            leader,
        }
    }
}

pub(super) fn people(members: usize) -> String {
    match members {
        1 => "1 member".to_owned(),
        _ => format!("{members} members"),
    }
}
