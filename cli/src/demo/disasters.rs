//! Kills the leader, which comes back, and then just under half of the members at once.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;

use super::recorder::now;
use super::story::{Story, people};
use super::timeline::Mark;

/// How long it took until all was well again.
pub(super) struct Recovery {
    /// From the kill until another leads.
    elected: Duration,
    /// From the kill until all survivors know that the killed are evicted; `None` if they are kept, because there would
    /// be too few voters.
    evicted: Option<Duration>,
}

impl Story<'_> {
    /// The leader dies, is evicted, and comes back.
    pub(super) async fn kill_the_leader(&mut self, lines: usize) -> anyhow::Result<()> {
        let leader = self.leader()?;
        self.timeline.act("the leader is killed");
        let recovery = self.kill(&[leader], lines).await?;
        self.report.elect_after_leader = Some(recovery.elected);
        self.report.recover_leader = recovery.evicted;

        self.timeline.act("the killed leader comes back");
        let began = now();
        timeout(self.patience, self.cluster.restart(leader))
            .await
            .context("the killed leader does not start again")??;
        let members = self.cluster.living();
        timeout(self.patience, self.cluster.settled(&members))
            .await
            .context("the killed leader is not taken in again")??;
        let read = self.cluster.read(leader).await?;
        self.timeline.tell(
            now(),
            Mark::Step,
            &format!(
                "member {} is back from its disk, reads {} lines",
                leader + 1,
                read.len()
            ),
            Some(now().since(began)),
        );
        Ok(())
    }

    /// The leader and others die, as many as the rest can do without, and are evicted.
    pub(super) async fn kill_half(&mut self, half: usize, lines: usize) -> anyhow::Result<()> {
        let leader = self.leader()?;
        // Around the circle from the leader on.
        let mut victims = self.cluster.voters(leader).await?;
        victims.sort_by_key(|member| (*member < leader, *member));
        victims.truncate(half);
        self.timeline.act("just under half are killed");
        let recovery = self.kill(&victims, lines).await?;
        self.report.elect_after_half = Some(recovery.elected);
        self.report.recover_half = recovery.evicted;
        Ok(())
    }

    /// Kills members while everybody writes, and waits until another leads and the killed are evicted.
    async fn kill(&mut self, victims: &[usize], lines: usize) -> anyhow::Result<Recovery> {
        let living = self.cluster.living();
        let survivors: Vec<usize> = living
            .iter()
            .copied()
            .filter(|member| !victims.contains(member))
            .collect();
        let mut record = self.cluster.record(self.election.leader);
        let before = record.borrow_and_update().len();
        let writing = self.write(&living, lines)?;
        if lines > 0 {
            // In the midst of it: some lines are on their way.
            self.applied(&mut record, before + 1).await?;
        }
        let killed_at = self.cluster.kill(victims);
        let text = match victims {
            [_] => format!("member {}, the leader, is killed", self.election.leader + 1),
            _ => format!(
                "{} of {} voters are killed, the leader too",
                victims.len(),
                self.report.voters
            ),
        };
        let strip = self.strip(None);
        self.timeline
            .tell_with(&strip, killed_at, Mark::Killed, &text, None);

        let election = self.cluster.chronicle().election_after(self.election.term);
        let before = self.election.term;
        self.election = timeout(self.patience, election)
            .await
            .context("no other leader was elected")?;
        let elected = self.election.at.since(killed_at);
        self.tell_election(Some((before, elected)));
        // What the killed left unwritten, the others write.
        let unwritten = self.finish(writing).await?;
        let writing = self.write(&survivors, unwritten)?;
        self.finish(writing).await?;
        let text = format!(
            "{lines} lines written meanwhile by {}",
            people(living.len())
        );
        self.timeline.tell(now(), Mark::Step, &text, None);
        let mut recovery = Recovery {
            elected,
            evicted: None,
        };
        if self.cluster.may_shrink_to(survivors.len()) {
            let settled = timeout(self.patience, self.cluster.settled(&survivors)).await;
            let settled = settled.context("the killed are not evicted")??;
            let took = settled.since(killed_at);
            recovery.evicted = Some(took);
            let text = format!("evicted: {} know of it", people(survivors.len()));
            self.timeline
                .tell(settled, Mark::Step, &text, recovery.evicted);
        }
        Ok(recovery)
    }
}
