//! What happened in a run, told for people: messages and what became of them, crashes, roles, clients.
//!
//! Only a replay that is to be drawn keeps one.

use std::collections::BTreeMap;

use liferaft_raft::consensus::{Addition, MembershipStep, RoleKind};
use liferaft_raft::ids::Index;
use liferaft_raft::message::{Body, Message};

use crate::action::Action;
use crate::clock::{MILLI, Nanos};
use crate::invariants::Alarm;
use crate::member::View;
use crate::network::Fate;
use crate::operation::Change;

/// A run as it is told.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// How many members there are.
    pub members: usize,
    /// The messages, in the order in which they were sent.
    pub words: Vec<Word>,
    /// What happened, in the order of time.
    pub scenes: Vec<(Nanos, Scene)>,
    /// Messages on their way: when they arrive, and which they are.
    under_way: Vec<(Nanos, usize)>,
    /// What was last said on a link: what is said again is not news.
    said: BTreeMap<(usize, usize, &'static str), String>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Who sends it, by place.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// When it is sent.
    pub sent: Nanos,
    /// What it says.
    pub text: String,
    /// Whether it says what was said before, as a heartbeat does.
    pub is_routine: bool,
}

/// Something that happens. Words are places in [`Story::words`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A message leaves, and will arrive unless something happens to it.
    Sent(usize),
    /// A message leaves and is lost.
    Lost(usize),
    /// A message arrives and is heard.
    Heard(usize),
    /// A message arrives where nobody hears it: the member is down or the link is cut.
    Unheard(usize),
    /// A member crashes.
    Crashed(usize),
    /// A member starts.
    Started(usize),
    /// A member does nothing from here on.
    Paused(usize),
    /// A member goes on.
    Resumed(usize),
    /// A member has another role or another term.
    Became(usize, RoleKind, String),
    /// Something else happens to a member, or is asked of it.
    Note(usize, String),
    /// Something happens to links or to all.
    Around(String),
    /// The alarm that ends it.
    Alarm(Option<usize>, String),
}

impl Story {
    /// The beginning of one.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self {
            members,
            ..Self::default()
        }
    }

    /// A message leaves; when it arrives is known, unless it is lost.
    pub fn sent(&mut self, now: Nanos, from: usize, to: usize, message: &Message, fate: Fate) {
        let (kind, text, key) = words_of(message);
        let said = self.said.insert((from, to, kind), key.clone());
        let word = self.words.len();
        self.words.push(Word {
            from,
            to,
            sent: now,
            text,
            is_routine: !key.is_empty() && said.as_ref() == Some(&key),
        });
        let arrivals = [fate.takes, fate.copy_takes].into_iter().flatten();
        let under_way = self.under_way.len();
        self.under_way
            .extend(arrivals.map(|takes| (now + takes, word)));
        let scene = if self.under_way.len() == under_way {
            Scene::Lost(word)
        } else {
            Scene::Sent(word)
        };
        self.scenes.push((now, scene));
    }

    /// A message arrives.
    pub fn arrived(&mut self, now: Nanos, from: usize, to: usize, is_heard: bool) {
        let words = &self.words;
        let found = self.under_way.iter().position(|(at, word)| {
            let word = &words[*word];
            *at == now && word.from == from && word.to == to
        });
        if let Some(found) = found {
            let (_, word) = self.under_way.remove(found);
            let scene = if is_heard {
                Scene::Heard(word)
            } else {
                Scene::Unheard(word)
            };
            self.scenes.push((now, scene));
        }
    }

    /// A member crashes.
    pub fn crashed(&mut self, now: Nanos, at: usize) {
        self.scenes.push((now, Scene::Crashed(at)));
    }

    /// A member starts again.
    pub fn started(&mut self, now: Nanos, at: usize) {
        self.scenes.push((now, Scene::Started(at)));
    }

    /// A member has taken a turn.
    pub fn turned(&mut self, now: Nanos, at: usize, before: View, after: View) {
        if (before.role, before.term) != (after.role, after.term) {
            let term = after.term;
            let text = match after.role {
                RoleKind::Follower => format!("follower in term {term}"),
                RoleKind::PreCandidate => format!("asks for pre-votes in term {term}"),
                RoleKind::Candidate => format!("candidate in term {term}"),
                RoleKind::Leader => format!("LEADER of term {term}"),
            };
            self.scenes.push((now, Scene::Became(at, after.role, text)));
        }
        if after.leads() && before.positions.commit < after.positions.commit {
            let text = format!("commits {}", after.positions.commit);
            self.scenes.push((now, Scene::Note(at, text)));
        }
    }

    /// A read is granted.
    pub fn granted(&mut self, now: Nanos, at: usize, index: Index) {
        let text = format!("read granted as of {index}");
        self.scenes.push((now, Scene::Note(at, text)));
    }

    /// Faults stop.
    pub fn calmed(&mut self, now: Nanos) {
        let text = "faults stop: all are up, all links whole".to_owned();
        self.scenes.push((now, Scene::Around(text)));
    }

    /// Something strikes, or somebody asks for something. Crashes and starts are told of when they happen.
    pub fn acted(&mut self, now: Nanos, action: &Action) {
        if let Some(scene) = scene_of(action) {
            if let Scene::Around(text) = &scene
                && let Some((then, Scene::Around(before))) = self.scenes.last_mut()
                && *then == now
            {
                before.push_str(", ");
                before.push_str(text);
                return;
            }
            self.scenes.push((now, scene));
        }
        if *action == Action::DropInFlight {
            self.under_way.clear();
        }
    }

    /// It ends with an alarm.
    pub fn alarmed(&mut self, alarm: &Alarm) {
        let place = alarm.member.and_then(|id| usize::try_from(id.0).ok());
        let place = place.and_then(|id| id.checked_sub(1));
        let place = place.filter(|place| *place < self.members);
        let lines: Vec<&str> = alarm.text.lines().take(2).map(str::trim).collect();
        let text = format!("{}: {}", alarm.invariant, lines.join(" "));
        self.scenes.push((alarm.at, Scene::Alarm(place, text)));
    }
}

/// The kind of a message, what it says, and what of it would be news; nothing if all of it is.
fn words_of(message: &Message) -> (&'static str, String, String) {
    let term = message.term;
    match &message.body {
        Body::RequestVote(ask) => {
            let what = if ask.pre_vote { "PreVote?" } else { "Vote?" };
            let text = format!("{what} t{} last {}", ask.campaign, ask.last);
            ("ask", text, String::new())
        }
        Body::RequestVoteReply(reply) => {
            let what = if reply.pre_vote { "PreVote" } else { "Vote" };
            let answer = if reply.granted { "yes" } else { "no" };
            let text = format!("{what} {answer} t{}", reply.campaign);
            ("vote", text, String::new())
        }
        Body::AppendEntries(append) => {
            let (prev, commit, round) = (append.prev, append.commit, append.round);
            match (append.entries.first(), append.entries.last()) {
                (Some(first), Some(last)) => {
                    let (first, last) = (first.position(), last.position());
                    let entries = if first == last {
                        format!("{first}")
                    } else {
                        format!("{first}..{last}")
                    };
                    let text = format!("Append t{term} {entries} after {prev} c{commit} r{round}");
                    ("append", text, String::new())
                }
                _ => {
                    let text = format!("Beat t{term} at {prev} c{commit} r{round}");
                    ("append", text, format!("t{term} {prev} c{commit}"))
                }
            }
        }
        Body::AppendEntriesReply(reply) => {
            let (matched, round) = (reply.match_index, reply.round);
            match &reply.conflict {
                Some(conflict) => {
                    let text = format!("Conflict t{term} at {} r{round}", conflict.prev);
                    ("appended", text, String::new())
                }
                None => {
                    let text = format!("Match t{term} {matched} r{round}");
                    ("appended", text, format!("t{term} {matched}"))
                }
            }
        }
        Body::InstallSnapshot(install) => {
            let end = install.offset + install.data.len() as u64;
            let what = match &install.metadata {
                Some(metadata) => format!("to {}", metadata.last),
                None => format!("transfer {}", install.transfer),
            };
            let text = format!("Snapshot t{term} {what}: bytes {}..{end}", install.offset);
            ("install", text.clone(), text)
        }
        Body::InstallSnapshotReply(reply) => {
            let text = format!(
                "Snapshot has {} of {} match {}",
                reply.next_offset, reply.received, reply.match_index
            );
            ("installed", text.clone(), text)
        }
        Body::TimeoutNow => ("transfer", format!("TimeoutNow t{term}"), String::new()),
        Body::ReadIndex(read) => ("read", format!("ReadIndex #{}", read.id), String::new()),
        Body::ReadIndexReply(reply) => {
            let index = reply
                .index
                .map_or("refused".to_owned(), |at| at.to_string());
            let text = format!("ReadIndex #{}: {index}", reply.id);
            ("answer", text, String::new())
        }
    }
}

/// What is told of an action; `None` if its effect is told instead.
fn scene_of(action: &Action) -> Option<Scene> {
    let ms = |nanos: Nanos| format!("{}.{:03} ms", nanos / MILLI, nanos / 1000 % 1000);
    Some(match action {
        Action::Crash(..) | Action::CrashInTurn(..) | Action::Restart(_) => return None,
        Action::Pause(at) => Scene::Paused(*at),
        Action::Resume(at) => Scene::Resumed(*at),
        Action::Cut(from, to) => Scene::Around(format!("{}>{} cut", from + 1, to + 1)),
        Action::Mend(from, to) => Scene::Around(format!("{}>{} mended", from + 1, to + 1)),
        Action::DropInFlight => Scene::Around("all that is on its way is lost".to_owned()),
        Action::SlowDisk(at, slowness) => Scene::Note(*at, format!("disk {slowness} times slower")),
        Action::ClockForward(at, by) => Scene::Note(*at, format!("clock leaps {}", ms(*by))),
        Action::ClockBack(at, by) => Scene::Note(*at, format!("clock leaps back {}", ms(*by))),
        Action::ClockRate(at, rate) => Scene::Note(*at, format!("clock runs {rate} ppm")),
        Action::Propose(at, requests) => {
            let requests = requests.iter().map(|request| {
                let key = request.key;
                match request.change {
                    Change::Set(value) => format!("set {key} to {value}"),
                    Change::CompareAndSet(_, value) => format!("compare and set {key} to {value}"),
                    Change::Delete => format!("delete {key}"),
                    Change::Append(value) => format!("append {value} to {key}"),
                    Change::CompareAndDelete(_) => format!("compare and delete {key}"),
                    Change::SeqAppend(_, value) => format!("compare and append {value} to {key}"),
                    Change::TrimBefore(_) => format!("trim {key}"),
                    Change::DeleteKeys(_) => format!("delete all of {key}"),
                    Change::Undone(value) => format!("set {key} to {value} and undo that"),
                }
            });
            Scene::Note(*at, requests.collect::<Vec<_>>().join(", "))
        }
        Action::Read(at, key) => Scene::Note(*at, format!("read {key}")),
        Action::Change(at, change) => {
            let steps = change.steps.iter().map(|step| match step {
                MembershipStep::AddVoter(Addition { id, .. }) => format!("add voter {id}"),
                MembershipStep::AddLearner(Addition { id, .. }) => format!("add learner {id}"),
                MembershipStep::Remove(id) => format!("remove {id}"),
                MembershipStep::Evict(id) => format!("evict {id}"),
                MembershipStep::Retire(id) => format!("retire {id}"),
                MembershipStep::Describe(id, _) => format!("describe {id}"),
                MembershipStep::Issue(token) => format!("issue {}", token.key),
                MembershipStep::Revoke(token) => format!("revoke {token}"),
                MembershipStep::RaiseVersion(version) => format!("raise version to {version}"),
            });
            Scene::Note(*at, steps.collect::<Vec<_>>().join(", "))
        }
        Action::Transfer(at, Some(to)) => Scene::Note(*at, format!("hand over to {}", to + 1)),
        Action::Transfer(at, None) => Scene::Note(*at, "hand over".to_owned()),
        Action::Capture(at) => Scene::Note(*at, "take a snapshot".to_owned()),
        Action::SetTiming(at, times) => {
            let text = format!("election timeout {}", ms(times.election_timeout));
            Scene::Note(*at, text)
        }
        Action::FailSync(at, _) => Scene::Note(*at, "the next sync fails".to_owned()),
        Action::FillDisk(at, _) => Scene::Note(*at, "disk full".to_owned()),
        Action::FreeDisk(at) => Scene::Note(*at, "disk has room".to_owned()),
        Action::Wipe(at) => Scene::Note(*at, "disk wiped".to_owned()),
        Action::Rot(at, _) => Scene::Note(*at, "disk rots".to_owned()),
        Action::ReplaceLost => Scene::Around("lost servers are replaced".to_owned()),
        Action::PartWhenJoint(at, _) => Scene::Note(*at, "to be parted when joint".to_owned()),
        Action::CrashInInstall(at) => Scene::Note(*at, "to crash while it installs".to_owned()),
        Action::MarkTime(at, times) => Scene::Note(*at, format!("mark time {times} times")),
        Action::HangDisk(at) => Scene::Note(*at, "disk hangs".to_owned()),
        Action::ResumeDisk(at) => Scene::Note(*at, "disk goes on".to_owned()),
        Action::StallMachine(at) => Scene::Note(*at, "state machine stalls".to_owned()),
        Action::ResumeMachine(at) => Scene::Note(*at, "state machine goes on".to_owned()),
        Action::Stranger(at, saying) => Scene::Note(*at, format!("hears a stranger: {saying:?}")),
        Action::Blank(at) => Scene::Note(*at, "disk wiped, under its id".to_owned()),
        Action::Retire(at) => Scene::Note(*at, "gets another id".to_owned()),
        Action::Impostor(at, saying) => Scene::Note(*at, format!("hears an impostor: {saying:?}")),
        Action::CopyDisk(at) => Scene::Note(*at, "disk copied".to_owned()),
        Action::ShowCopy(at) => Scene::Note(*at, "a copy of the disk shows itself".to_owned()),
    })
}
