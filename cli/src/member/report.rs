//! Tells what becomes of a member, as sentences or as lines of JSON.

use std::fmt;
use std::time::Duration;

use liferaft::configuration::Suffrage;
use liferaft::consensus::RoleKind;
use liferaft::driver::{Exclusion, Handle, MemberStatus, StopReason};
use liferaft::kv::Kv;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::lines::Lines;
use super::web::Web;
use crate::members::Purpose;

/// So often the status is told in JSON, if it is another.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);

/// Something that a person, or a program, is told of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub(crate) enum News {
    /// It runs.
    Started {
        server: String,
        name: String,
        cluster: String,
        addresses: Vec<String>,
        /// Where monitors ask.
        monitor: Option<String>,
        /// Where it is, for members that find nobody.
        contact: String,
    },
    /// Whoever has this may come, for that.
    Invited {
        purpose: Purpose,
        invitation: String,
    },
    /// Who leads.
    Led {
        term: u64,
        leader: Option<String>,
        is_own: bool,
    },
    /// Who takes part.
    Members {
        voters: Vec<String>,
        learners: Vec<String>,
    },
    /// Why it takes no part; nothing if it may.
    Excluded { why: Option<String> },
    /// What was not whole on its disk, and was repaired.
    Repaired { what: String },
    /// Where it stands. In JSON alone.
    Status(Standing),
    /// What was told while nobody read it is left out.
    LeftOut { lines: u64 },
    /// It leaves its cluster.
    Leaving,
    /// It hands over and stops.
    Stopping,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) server: String,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) term: u64,
    pub(crate) leader: Option<String>,
    pub(crate) last: u64,
    pub(crate) commit: u64,
    pub(crate) applied: u64,
    pub(crate) voters: usize,
    /// Where its links to servers run.
    pub(crate) links: Vec<StandingLink>,
}

/// Where a link to a server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StandingLink {
    pub(crate) peer: String,
    pub(crate) carrier: String,
    /// The server that passes its packets on.
    pub(crate) relay: Option<String>,
    /// What the carrier says of its path.
    pub(crate) path: Option<String>,
}

impl News {
    pub(crate) fn started(member: &Handle<Kv>, web: Option<&Web>) -> Self {
        let addresses = member.addresses().iter();
        Self::Started {
            server: format!("{:?}", member.id()),
            name: member.label().to_owned(),
            cluster: member.cluster().to_string(),
            addresses: addresses.map(ToString::to_string).collect(),
            contact: member.contact().to_string(),
            monitor: web.map(|web| format!("http://{}", web.address())),
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                server,
                name,
                cluster,
                addresses,
                monitor,
                contact,
            } => {
                let at = addresses.join(", ");
                write!(f, "{name} is server {server} of cluster {cluster}, at {at}")?;
                if let Some(monitor) = monitor {
                    write!(f, "; monitors ask at {monitor}")?;
                }
                write!(f, "\nits contact, for members that find nobody: {contact}")
            }
            Self::Invited {
                purpose,
                invitation,
            } => {
                let purpose = purpose.in_words();
                write!(
                    f,
                    "an invitation {purpose}, which is a secret:\n\n{invitation}\n"
                )?;
                let code = invitation
                    .parse()
                    .ok()
                    .and_then(|read| crate::code::of(&read));
                code.map_or(Ok(()), |code| write!(f, "\n{code}"))
            }
            Self::Led {
                term, is_own: true, ..
            } => write!(f, "leads in term {term}"),
            Self::Led {
                term,
                leader: Some(leader),
                ..
            } => write!(f, "follows {leader} in term {term}"),
            Self::Led { term, .. } => write!(f, "knows no leader, in term {term}"),
            Self::Members { voters, learners } => {
                write!(f, "voters: {}", voters.join(", "))?;
                if !learners.is_empty() {
                    write!(f, "; learners: {}", learners.join(", "))?;
                }
                Ok(())
            }
            Self::Excluded { why: Some(why) } => write!(f, "takes no part: {why}"),
            Self::Excluded { why: None } => f.write_str("may take part again"),
            Self::Repaired { what } => write!(f, "repaired: {what}"),
            Self::Status(standing) => write!(f, "{standing:?}"),
            Self::LeftOut { lines } => write!(f, "{lines} lines are left out: nobody read them"),
            Self::Leaving => f.write_str("leaves its cluster"),
            Self::Stopping => f.write_str("stops"),
        }
    }
}

/// How there came to be no more to tell of a member.
#[derive(Debug)]
pub(crate) enum End {
    Stopped(StopReason),
    /// An operator has removed it.
    Expelled,
}

/// Writes news on standard output, in the order in which they come.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    lines: Lines,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let left_out = move |lines| line(&News::LeftOut { lines }, json);
        let lines = Lines::new(std::io::stdout(), left_out);
        Self { json, lines }
    }

    /// Has news written. It never waits: what nobody reads is left out.
    pub(crate) fn tell(&self, news: &News) {
        if self.json || !matches!(news, News::Status(_)) {
            self.lines.push(line(news, self.json));
        }
    }

    /// Tells what becomes of a member until it stops, or is expelled.
    ///
    /// It is expelled if it took part since it was started: if it has heard of a leader, whatever its store says of who
    /// is a member. One that is started again after that asks whether it may come back, and is there when it is added.
    pub(crate) async fn follow(&self, member: &Handle<Kv>) -> End {
        let mut status = member.status();
        let mut took_part = false;
        let mut told = Vec::new();
        let mut standing_told = None;
        let mut next = Instant::now();
        loop {
            let (news, standing, stopped, exclusion) = {
                let now = status.borrow_and_update();
                let is_member = now.raft.configuration.contains(now.raft.id);
                took_part |= is_member && now.leader().is_some() && now.exclusion.is_none();
                (
                    news(&now),
                    standing(&now),
                    now.stopped.clone(),
                    now.exclusion,
                )
            };
            for item in news.iter().filter(|item| !told.contains(*item)) {
                self.tell(item);
            }
            told = news;
            if let Some(why) = stopped {
                return End::Stopped(why);
            }
            if took_part && exclusion == Some(Exclusion::Removed) {
                return End::Expelled;
            }
            if self.json && standing_told.as_ref() != Some(&standing) && next <= Instant::now() {
                next = Instant::now() + STATUS_INTERVAL;
                self.tell(&News::Status(standing.clone()));
                standing_told = Some(standing);
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() {
                    let last = status.borrow().stopped.clone();
                    return End::Stopped(last.unwrap_or(StopReason::RuntimeEnded));
                },
                () = sleep_until(next), if self.json && next > Instant::now() => {}
            }
        }
    }
}

fn line(news: &News, json: bool) -> String {
    let text = if json {
        serde_json::to_string(news).expect("news are text and numbers")
    } else {
        news.to_string()
    };
    text + "\n"
}

/// What there is to tell of a member, whenever it is something else than before.
fn news(status: &MemberStatus) -> Vec<News> {
    let raft = &status.raft;
    let name_of = |id| {
        let member = raft.configuration.member(id);
        let label = member.map(|member| member.description.label().as_str());
        match label {
            Some(label) if !label.is_empty() => label.to_owned(),
            _ => id.to_string(),
        }
    };
    let mut news = vec![News::Led {
        term: raft.term.0,
        leader: raft.leader.map(name_of),
        is_own: status.is_leader(),
    }];
    let named = |suffrage| {
        let members = raft.configuration.members();
        let having = members.filter(|(_, member)| member.suffrage == Some(suffrage));
        having.map(|(id, _)| name_of(id)).collect::<Vec<_>>()
    };
    let is_committed = raft.configuration_index <= raft.commit;
    if is_committed && !raft.configuration.is_joint() && !raft.configuration.is_empty() {
        news.push(News::Members {
            voters: named(Suffrage::Voter),
            learners: named(Suffrage::Learner),
        });
    }
    if let Some(why) = status.exclusion {
        news.push(News::Excluded {
            why: Some(why.to_string()),
        });
    }
    news
}

fn standing(status: &MemberStatus) -> Standing {
    let raft = &status.raft;
    let role = match raft.role {
        RoleKind::Leader => "leader",
        RoleKind::Candidate | RoleKind::PreCandidate => "candidate",
        RoleKind::Follower if raft.configuration.is_voter(raft.id) => "follower",
        RoleKind::Follower => "learner",
    };
    let links = status.links.iter().filter_map(|link| {
        let path = link.path.as_ref()?;
        Some(StandingLink {
            peer: format!("{:?}", link.peer),
            carrier: path.carrier.clone(),
            relay: path.relay.map(|relay| format!("{relay:?}")),
            path: path.description.clone(),
        })
    });
    Standing {
        server: format!("{:?}", raft.id),
        name: status.label.to_string(),
        role: role.to_owned(),
        term: raft.term.0,
        leader: raft.leader.map(|leader| format!("{leader:?}")),
        last: raft.last.index.0,
        commit: raft.commit.0,
        applied: raft.applied.0,
        voters: raft.configuration.voters().len(),
        links: links.collect(),
    }
}
