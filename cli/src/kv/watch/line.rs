//! Tells when a watch is cut off from its cluster, and when it goes on: a silence of its own would look like one of the
//! keys.

use std::sync::Arc;
use std::time::Duration;

use liferaft::driver::{ClientStatus, Unreached, UnreachedCause};
use liferaft::kv::Revision;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A watch that is cut off for less is not told of: changes of leaders take so long.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// One that is refused is told of after this: a refusal that lasts ends the watch before, and says so.
const REFUSAL_TOLD_AFTER: Duration = Duration::from_secs(8);

/// The line to the leader.
#[derive(Debug, Default)]
pub(super) struct Line {
    cut: Option<Cut>,
    /// A cut that was told of is over: how long it lasted.
    resumed_after: Option<Duration>,
}

#[derive(Debug)]
struct Cut {
    since: Instant,
    why: Option<Arc<Unreached>>,
    is_told: bool,
}

/// What is to be told of it.
#[derive(Debug)]
pub(super) enum News {
    Interrupted {
        after: Duration,
        why: Option<Arc<Unreached>>,
    },
    Resumed {
        after: Duration,
    },
}

impl Line {
    /// Takes what the client knows.
    pub(super) fn look(&mut self, status: &ClientStatus, now: Instant) {
        if !status.is_connected {
            let cut = self.cut.get_or_insert(Cut {
                since: now,
                why: None,
                is_told: false,
            });
            cut.why.clone_from(&status.unreached);
        } else if let Some(cut) = self.cut.take()
            && cut.is_told
        {
            self.resumed_after = Some(now - cut.since);
        }
    }

    /// Returns what is to be told by now, once.
    pub(super) fn news(&mut self, now: Instant) -> Option<News> {
        if let Some(after) = self.resumed_after.take() {
            return Some(News::Resumed { after });
        }
        let due = self.due()?;
        let cut = self.cut.as_mut().filter(|_| due <= now)?;
        cut.is_told = true;
        Some(News::Interrupted {
            after: now - cut.since,
            why: cut.why.clone(),
        })
    }

    /// Returns when there is something to tell, if nothing happens before.
    pub(super) fn due(&self) -> Option<Instant> {
        let cut = self.cut.as_ref().filter(|cut| !cut.is_told);
        let told_at = |cut: &Cut| Some(cut.since + cut.told_after()?);
        cut.and_then(told_at)
    }
}

impl Cut {
    /// Returns after how long it is told; `None`: the watch ends by it, with an error of its own.
    fn told_after(&self) -> Option<Duration> {
        match &self.why {
            Some(why) if why.is_lasting => None,
            Some(why) if matches!(why.cause, UnreachedCause::Refused(_)) => {
                Some(REFUSAL_TOLD_AFTER)
            }
            _ => Some(TOLD_AFTER),
        }
    }
}

impl News {
    /// Tells it, with the revision from which on the watch goes on: on standard error, or among the lines of JSON.
    pub(super) fn tell(&self, from: Option<Revision>, json: bool) -> anyhow::Result<()> {
        if json {
            return super::super::print(format!("{}\n", self.json(from)).as_bytes());
        }
        match self {
            Self::Interrupted { why, .. } => {
                let why = why.as_ref().map(|why| format!(": {why}"));
                crate::tell_error(format_args!("interrupted{}", why.unwrap_or_default()));
            }
            Self::Resumed { after } => {
                crate::tell_error(format_args!(
                    "resumed after {:.1} s; nothing is lost",
                    after.as_secs_f64()
                ));
            }
        }
        Ok(())
    }

    fn json(&self, from: Option<Revision>) -> Value {
        let from = from.map(|from| from.0);
        match self {
            Self::Interrupted { after, why } => {
                let why = why.as_ref().map(|why| why.to_string());
                json!({ "interrupted": { "for_ms": millis(*after), "why": why, "resumes_from": from } })
            }
            Self::Resumed { after } => {
                json!({ "resumed": { "after_ms": millis(*after), "from": from } })
            }
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use liferaft::transport::access::Refusal;

    use super::*;

    fn status(is_connected: bool) -> ClientStatus {
        let mut status = ClientStatus::default();
        status.is_connected = is_connected;
        status
    }

    #[test]
    fn a_cut_is_told_after_a_second_and_its_end_as_well() {
        let (mut line, begin) = (Line::default(), Instant::now());
        line.look(&status(false), begin);

        let early = line.news(begin);
        let cut = line.news(begin + TOLD_AFTER);
        let again = line.news(begin + 2 * TOLD_AFTER);
        line.look(&status(true), begin + 3 * TOLD_AFTER);
        let over = line.news(begin + 3 * TOLD_AFTER);

        assert!(early.is_none() && again.is_none());
        assert!(matches!(cut, Some(News::Interrupted { .. })));
        assert!(matches!(over, Some(News::Resumed { after }) if after == 3 * TOLD_AFTER));
    }

    #[test]
    fn a_refusal_that_ends_the_watch_is_not_told_before() {
        let (mut line, begin) = (Line::default(), Instant::now());
        let refused = |is_lasting| {
            let mut status = status(false);
            status.unreached = Some(Arc::new(Unreached {
                cause: UnreachedCause::Refused(Refusal::TokenExpired),
                is_lasting,
                tried: Vec::new(),
            }));
            status
        };
        line.look(&refused(false), begin);
        let early = line.news(begin + 2 * TOLD_AFTER);
        line.look(&refused(true), begin + 2 * TOLD_AFTER);
        let lasting = line.news(begin + REFUSAL_TOLD_AFTER);
        line.look(&refused(false), begin + REFUSAL_TOLD_AFTER);

        assert!(early.is_none() && lasting.is_none());
        assert!(line.news(begin + REFUSAL_TOLD_AFTER).is_some());
    }

    #[test]
    fn a_change_of_leaders_is_not_told() {
        let (mut line, begin) = (Line::default(), Instant::now());
        line.look(&status(false), begin);
        line.look(&status(true), begin + TOLD_AFTER / 2);

        assert!(line.news(begin + 9 * TOLD_AFTER).is_none());
        assert_eq!(line.due(), None);
    }
}
