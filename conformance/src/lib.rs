//! An independent judge: the interaction scripts of etcd's raft, run against our core.
//!
//! Whoever writes both a protocol and its tests may be wrong twice in the same way. These scripts were written by others,
//! for another implementation. A script commands a handful of servers (campaign, propose, deliver, lose, tick) and
//! says what etcd's servers answered. The scripts are read where they lie; none is kept here.
//!
//! # What is compared
//! What the protocol fixes, not how a library goes about it. Messages, their order, and the log lines are passed over:
//! our servers send others at other moments. Each of these must agree:
//!
//! - `raft-state`: each server's role, term, leader, and whether it votes;
//! - `raft-log`: what is on a server's disk: index, term and content of each entry. With asynchronous writes how they
//!   are grouped is schedule: the logs that the script sees must be ones that our disk has held, in that order;
//! - `status`: the servers that a leader replicates to, the learners among them, and the match of each. While etcd
//!   searches for the match, sends a snapshot or holds entries back, ours may be further, up to what is on that disk;
//! - each `Ready`: the term and vote on disk, the role and leader passed through, the committed entries, the
//!   configuration. At the end of a `stabilize` the last of them, and the commit index, are what ours are at;
//! - the term of a campaign, and whether a server may campaign at all; proposals taken, dropped or refused.
//!
//! # Where the two meet
//! - etcd's configuration is in force when applied, ours when appended (§4.1): compared is that of the last committed
//!   entry, by what it leads to.
//! - A server votes with us only when it has caught up (§4.2.1): as long as a change waits for that, what is committed
//!   may come later, and is looked at again. It must have come when the servers are settled without waiting.
//! - Entries have the same index in both logs. Only where one has a membership entry that the other has not (a refused
//!   change leaves an empty entry with etcd; one voter needs no joint phase with us) are they told by term, content and
//!   order from there on.
//! - A follower may learn sooner what is committed; the same is demanded as soon as all servers are settled.
//! - Whoever only asks whether it would be elected counts as a follower without a leader: it has promised nothing.
//!
//! # What the environment makes up for
//! Our core has fewer switches. The environment does only what a real one may: it loses or delays messages, lets time
//! pass for one server, or speaks for a server that has nobody to speak for it.
//!
//! - No pre-vote: the question is not sent, and answered yes for all voters.
//! - No check-quorum: vote requests are marked as asked for by the leader, and leaders begin that span anew each tick.
//! - A joint phase that the script ends itself: messages with the entry that leaves it are delayed until then.
//! - A removed leader's word to its successor is lost: the script says who campaigns.
//! - Votes alone are on disk at once where entries wait for the script: our candidates ask only after that.
//! - A gap in a follower's log may mean reordering, so that our leaders resend after a while: at the end of a `stabilize`
//!   in which a gap was shown, that while passes.
//! - A leader that is forgotten is time that passes for the follower.
//!
//! # What differs by design
//! A file that disagrees only after one of these has come up `differs`; any other disagreement fails it:
//!
//! - a removed leader that goes on leading: ours steps down when its removal commits (§4.2.2);
//! - membership changes without the check that one is under way (§4.1);
//! - a voter that never catches up with the log (§4.2.1);
//! - which of several servers goes on that ask for pre-votes at the same time: ours agree on the one with the best log
//!   and id, so that they do not split the vote.

mod cluster;
mod expected;
mod judge;
mod likeness;
mod run;
mod script;

pub use script::ScriptError;

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ours hold to be true what etcd's do.
    Agreed,
    /// Something is decided otherwise by our design: what, and where it shows.
    Differs(String),
    /// Something is otherwise that should not be, or the script cannot be run.
    Failed(String),
}

/// A script's name and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The name of the file.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How many facts were compared.
    pub facts: usize,
}

/// Runs a script. One that panics, or cannot be read or run, has failed.
///
/// ```
/// use liferaft_conformance::{Verdict, judge};
///
/// let script = "add-nodes 1 voters=(1) index=3\n----\nok\n\nraft-state\n----\n\
///               1: StateFollower (Voter) Term:0 Lead:0\n";
///
/// assert_eq!(judge("idle.txt", script).verdict, Verdict::Agreed);
/// assert!(matches!(judge("bad.txt", "dance\n----\n").verdict, Verdict::Failed(_)));
/// ```
#[must_use]
pub fn judge(name: &str, text: &str) -> FileReport {
    // A broken invariant of the core panics: that, too, is a verdict on this file and no other.
    let judged = catch_unwind(AssertUnwindSafe(|| run::run(text)));
    let (verdict, facts) = match judged {
        Ok(Ok(judge)) => (verdict(&judge.findings), judge.facts),
        Ok(Err(error)) => (Verdict::Failed(error.to_string()), 0),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            let said = said.unwrap_or("without a word");
            (Verdict::Failed(format!("panicked: {said}")), 0)
        }
    };
    FileReport {
        name: name.to_owned(),
        verdict,
        facts,
    }
}

fn verdict(findings: &[judge::Finding]) -> Verdict {
    let unexplained = findings.iter().find(|finding| finding.explained.is_none());
    if let Some(finding) = unexplained {
        return Verdict::Failed(format!("line {}: {}", finding.line, finding.what));
    }
    match findings.first() {
        None => Verdict::Agreed,
        Some(finding) => {
            let reason = finding.explained.map_or("", cluster::Difference::reason);
            let (line, what) = (finding.line, &finding.what);
            Verdict::Differs(format!("{reason}; line {line}: {what}"))
        }
    }
}

/// Runs the scripts of a folder, sorted by name: its files that end in `.txt`.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn judge_folder(folder: &Path) -> io::Result<Vec<FileReport>> {
    let mut reports = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_file() || path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        reports.push(judge(&name, &fs::read_to_string(&path)?));
    }
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(reports)
}
